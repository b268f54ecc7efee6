"""What the parts of the stack count, for Prometheus.

`catalogue` names every metric once. Each part builds only its own instruments, on a registry that it is given. They work
alone (one process, one registry) and in prometheus_client's multiprocess mode (``PROMETHEUS_MULTIPROC_DIR`` stands in the
environment before the interpreter starts), where the stack's parent adds up what its children wrote.
"""

from portcullis.metrics.alarms import AlarmMetrics
from portcullis.metrics.catalogue import SAMPLE_EVERY
from portcullis.metrics.exchange import AnnouncementMetrics, CheckpointMetrics, FeedMetrics
from portcullis.metrics.keys import KeyMetrics
from portcullis.metrics.parts import FollowerMetrics, PublisherMetrics, ShipperMetrics, StackMetrics
from portcullis.metrics.quotas import QuotaMetrics
from portcullis.metrics.registry import KeeperMetrics
from portcullis.metrics.relay import RelayMetrics
from portcullis.metrics.tally import CheckTally

__all__ = [
    "SAMPLE_EVERY",
    "AlarmMetrics",
    "AnnouncementMetrics",
    "CheckTally",
    "CheckpointMetrics",
    "FeedMetrics",
    "FollowerMetrics",
    "KeeperMetrics",
    "KeyMetrics",
    "PublisherMetrics",
    "QuotaMetrics",
    "RelayMetrics",
    "ShipperMetrics",
    "StackMetrics",
]
