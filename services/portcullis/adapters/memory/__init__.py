"""In memory: every port without a server; product code for tests and trials."""
