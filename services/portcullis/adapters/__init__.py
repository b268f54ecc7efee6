"""Adapters: one folder a technology. Each implements ports and passes their contract suites."""
