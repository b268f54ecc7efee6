"""The registry on SQL: lists, entries, agreements, keys."""
