"""The change feed on SQL."""
