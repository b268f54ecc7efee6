"""The replica as LMDB files: written by one follower, read by every worker of the host."""

from portcullis.adapters.lmdb.replica import LmdbReadTransaction, LmdbReplica
from portcullis.adapters.lmdb.writer import LmdbReplicaWriter

__all__ = ["LmdbReadTransaction", "LmdbReplica", "LmdbReplicaWriter"]
