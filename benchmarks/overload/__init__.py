"""Overload and attacks: what the gateway keeps up under more than it can take."""
