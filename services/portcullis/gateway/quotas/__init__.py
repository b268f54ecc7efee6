"""What stands between a partner and its answers: quotas, and the watch for probing."""
