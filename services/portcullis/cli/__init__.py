"""Thin commands over what `mains` hands them."""
