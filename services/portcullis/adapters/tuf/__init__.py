"""Trust by The Update Framework (https://theupdateframework.github.io/specification/), with python-tuf."""
