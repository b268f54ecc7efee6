"""The rules: what a list, an entry, a measure and a decision are. No I/O, and nothing of ours but itself."""
