"""``python -m benchmarks.exchange``: durable events, what recording a refusal costs, and changes to many watchers."""
