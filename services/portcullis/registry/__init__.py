"""The control plane: lists, entries, agreements, keys."""
