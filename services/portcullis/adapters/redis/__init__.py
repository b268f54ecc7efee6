"""Redis or Valkey as the transport of snapshots."""
