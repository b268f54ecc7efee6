"""The demonstration: a policy and lists of made-up subjects."""
