"""What carries the services: servers, their limits, certificates and peers."""
