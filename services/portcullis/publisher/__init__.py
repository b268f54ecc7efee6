"""Compile the registry into editions and publish them."""
