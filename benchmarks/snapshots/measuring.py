"""What is measured of one size: publishing, the first sync, a warm start, and how soon a change is seen."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import msgspec
from grpc import insecure_channel

from benchmarks.command import say
from benchmarks.snapshots.parts import Stand, stand_on
from benchmarks.snapshots.population import LISTS
from benchmarks.snapshots.registries import Built
from benchmarks.snapshots.watching import peak_bytes
from portcullis.adapters.clock import SystemClock
from portcullis.adapters.lmdb import LmdbReplica
from portcullis.adapters.redis.store import RedisSnapshotStore
from portcullis.adapters.sql.registry.registry import SqlRegistry
from portcullis.config import Settings
from portcullis.demo import people
from portcullis.domain.entries import Entry, SubjectType
from portcullis.domain.identifiers import Identifier
from portcullis.mains.parts import open_registry, open_token_keys
from portcullis.registry.keys import KeyDesk
from portcullis.v1 import check_service_pb2 as pb
from portcullis.v1 import check_service_pb2_grpc, types_pb2

PARTNER, PURPOSE, ACTION = "ticketing", "ticketing", "rail.ticket.purchase"
STARTS = 5

_PATIENCE_S = 3600.0
_SEEN_WITHIN_S = 30.0
_POLL_S = 0.001
_FIRST_STRANGER = 100_000_000


class Size(msgspec.Struct, frozen=True, kw_only=True):
    """The figures of one size. Times are seconds, memory and files bytes; ``visible_s`` holds every change measured."""

    built: Built
    tokens: int
    publish_s: float
    publisher_peak_bytes: int
    sync_s: float
    follower_peak_bytes: int
    replica_bytes: int
    filter_bytes: int
    warm_start_s: tuple[float, ...]
    visible_s: tuple[float, ...]
    publisher_restart_s: float


def measure(registry: Path, built: Built, changes: int) -> Size:
    """Measure one size; the registry is changed and brought back."""
    with stand_on(registry) as stand, ExitStack() as held:
        key = partner_key(registry)
        began = time.monotonic()
        publisher = held.enter_context(stand.part("publisher"))
        publish_s = stand.wait(publisher, "publisher", lambda: is_published(stand), _PATIENCE_S)
        say(f"published in {publish_s:.1f} s")
        follower = held.enter_context(stand.part("follower"))
        replica = held.enter_context(closing(LmdbReplica(stand.home / "replica", SystemClock())))
        sync_s = stand.wait(follower, "follower", lambda: replica.refresh() or replica.begin() is not None, _PATIENCE_S)
        say(f"synced in {sync_s:.1f} s, {time.monotonic() - began:.1f} s after the start")
        transaction = replica.begin()
        tokens = transaction.edition.records if transaction else 0
        starts = tuple(_warm_start(stand) for _ in range(STARTS))
        say(f"warm starts in {', '.join(f'{each:.2f}' for each in starts)} s")
        with serving_gateway(stand):
            visible = tuple(changes_seen(stand, registry, key, changes))
        say(f"{len(visible)} changes were seen")
        peaks = peak_bytes(publisher.pid), peak_bytes(follower.pid)
        restart_s = _restart(stand, held)
        return Size(
            built=built,
            tokens=tokens,
            publish_s=publish_s,
            publisher_peak_bytes=peaks[0],
            sync_s=sync_s,
            follower_peak_bytes=peaks[1],
            replica_bytes=_length(stand.home / "replica", "data.mdb"),
            filter_bytes=_length(stand.home / "replica", "absent.bloom"),
            warm_start_s=starts,
            visible_s=visible,
            publisher_restart_s=restart_s,
        )


def is_published(stand: Stand) -> bool:
    """Say whether anything was published."""
    return _timestamp(stand) is not None


def partner_key(registry: Path) -> str:
    """Make a key that may ask about trains."""
    with opened_registry(registry) as store:
        _, secret = KeyDesk(store, clock=SystemClock()).create(PARTNER, "partner", "benchmark", actor="benchmark")
    return secret


@contextmanager
def opened_registry(registry: Path) -> Iterator[SqlRegistry]:
    """Open the registry of a home."""
    settings = Settings(home=registry)
    with open_registry(settings, open_token_keys(settings)) as store:
        yield store


@contextmanager
def serving_gateway(stand: Stand) -> Iterator[float]:
    """Run a gateway; gives the seconds from its start until it serves."""
    started = time.monotonic()
    with stand.part("gateway") as process:
        stand.wait(process, "gateway", stand.is_serving, 60.0)
        yield time.monotonic() - started


def _warm_start(stand: Stand) -> float:
    with serving_gateway(stand) as seconds:
        return seconds


def _restart(stand: Stand, held: ExitStack) -> float:
    """Start a second publisher beside the first one's end: seconds until it vouches from what it finds."""
    held.close()
    before = _timestamp(stand)
    started = time.monotonic()
    with stand.part("publisher") as process:
        stand.wait(process, "publisher", lambda: _timestamp(stand) != before, 600.0)
        return time.monotonic() - started


def _timestamp(stand: Stand) -> bytes | None:
    with closing(RedisSnapshotStore(stand.redis_url)) as store:
        return store.read_metadata("timestamp.json")


def changes_seen(stand: Stand, registry: Path, key: str, count: int) -> Iterator[float]:
    """List a stranger and let them go again, by turns; gives the seconds from each commit to another answer."""
    with opened_registry(registry) as store, insecure_channel(stand.address) as channel:
        ask = check_service_pb2_grpc.CheckServiceStub(channel).Check
        for number in range(count // 2):
            person = people.resident_id(_FIRST_STRANGER + number)
            entry = stranger_entry(store, number, person)
            request = question(person)

            def outcome(request: pb.CheckRequest = request) -> int:
                return int(ask(request, metadata=(("authorization", f"Bearer {key}"),), timeout=5).outcome)

            store.put_entry(entry, actor="benchmark")
            yield _seen(outcome, types_pb2.OUTCOME_RESTRICT)
            store.withdraw_entry(entry.list, entry.key, reason="benchmark", actor="benchmark")
            yield _seen(outcome, types_pb2.OUTCOME_ALLOW)


def question(person: Identifier) -> pb.CheckRequest:
    """Ask about a G train."""
    request = pb.CheckRequest(action=ACTION, purpose=PURPOSE)
    request.identifiers.add(kind=person.kind, value=person.value)
    request.attributes.add(name="train").string_value = "G101"
    return request


def stranger_entry(store: SqlRegistry, number: int, person: Identifier) -> Entry:
    """Make an entry that lists somebody from yesterday until tomorrow."""
    source = store.policy().list_named(LISTS[0])
    assert source is not None  # noqa: S101 - the demonstration policy is ours
    now = int(time.time())
    return Entry(
        list=source.name,
        key=f"stranger-{number}",
        subject_type=SubjectType.PERSON,
        identifiers=(person,),
        authority=source.authority,
        legal_basis=source.legal_basis,
        case_reference=f"(0000)S{number:05}",
        purpose=source.purpose,
        valid_from=now - 86_400,
        until=now + 86_400,
        redress=source.redress_url,
    )


def _seen(outcome: Callable[[], int], wanted: int) -> float:
    committed = time.monotonic()
    while outcome() != wanted:
        if time.monotonic() - committed > _SEEN_WITHIN_S:
            raise RuntimeError(f"a change was not seen within {_SEEN_WITHIN_S:.0f} s")
        time.sleep(_POLL_S)
    return time.monotonic() - committed


def _length(folder: Path, name: str) -> int:
    return sum(file.stat().st_size for file in folder.rglob(name))
