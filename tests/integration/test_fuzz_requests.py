"""Random and mutated requests to every method of a worker: none breaks it, and none makes it tell what it should not.

``make fuzz`` runs it for half an hour. ``PORTCULLIS_FUZZ_S`` says for how many seconds in all, ``PORTCULLIS_FUZZ_SEED`` from
which seed: what a run was made of is its seed and what the server answered meanwhile, so a failing request is shrunk and
shown in hexadecimal as well.
"""

from __future__ import annotations

import asyncio
import gc
import itertools
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from portcullis.config import Transport
from portcullis.v1 import check_service_pb2, types_pb2
from tests.support.databases import NoPostgres, PostgresServer, migrated_database, postgres_server
from tests.support.fuzz_calls import Fuzzer, hearing, open_descriptors, resident_bytes
from tests.support.fuzz_home import CANARIES, PEOPLE, WORDS, a_case, credentials_of, fuzzed_worker
from tests.support.gateways import Bench
from tests.support.reflection import methods_of
from tests.support.wire_fuzz import Words

SECONDS = float(os.environ.get("PORTCULLIS_FUZZ_S", "60")) / 2
"""For each transport."""
SEED = int(os.environ.get("PORTCULLIS_FUZZ_SEED", time.time_ns() % 10**9))
AT_ONCE = 8
WARM_UP_ROUNDS = 60
MOST_GROWTH = 96 << 20
"""Bytes of memory, beyond what the warm-up took: caches, statements and the databases' own pages are bounded."""
FEW_DESCRIPTORS = 45
"""Three pools keep five connections each, opened when calls come together, and SQLite has three files open for each."""
MOST_FAULTS = 12
"""The search ends with as many."""
OFTEN = 20
"""So many calls of a method do not all end at the door by chance."""
SHALLOW = {"UNAUTHENTICATED", "ROLE_REQUIRED", "UNPARSABLE", "DEADLINE_EXCEEDED"}
"""What is said at the door; a method that says nothing else was not searched."""

pytestmark = pytest.mark.timeout(SECONDS * 2 + 240)


@contextmanager
def databases(store: str, folder: Path) -> Iterator[tuple[str, str]]:
    """Give the URLs of a registry and a journal; CI never goes without PostgreSQL."""
    with ExitStack() as stack:
        try:
            server = stack.enter_context(postgres_server()) if store == "postgresql" else None
        except NoPostgres as reason:
            if os.environ.get("CI"):
                raise
            pytest.skip(f"no PostgreSQL here: {reason}")

        def lent() -> PostgresServer:
            assert server is not None
            return server

        registry, journal = (
            stack.enter_context(migrated_database(store, role, folder, lent)) for role in ("registry", "journal")
        )
        yield registry, journal


@pytest.mark.parametrize(("transport", "store"), [("grpcio", "postgresql"), ("native", "sqlite")])
async def test_no_request_breaks_a_worker_or_makes_it_tell_a_number(
    transport: Transport, store: str, tmp_path: Path
) -> None:
    print(f"\n{transport} on {store}, seed {SEED}")
    with databases(store, tmp_path) as (registry, journal), hearing() as heard:
        async with fuzzed_worker(transport, tmp_path, registry, journal) as (bench, home):
            methods = await asyncio.to_thread(methods_of, bench.port)
            credentials = await asyncio.to_thread(credentials_of, home)
            cases = [await a_case(bench, number) for number in (2, 3)]
            words = Words({**WORDS, "case_id": cases}, [(each.kind, each.value, each.country) for each in PEOPLE])
            fuzzer = Fuzzer(
                bench.channel,
                methods=methods,
                credentials=credentials,
                words=words,
                canaries=CANARIES,
                heard=heard,
                seed=SEED,
            )
            await fuzz(fuzzer, bench)
    print(report(fuzzer))
    if fuzzer.faults:
        pytest.fail("\n".join([*fuzzer.faults, f"PORTCULLIS_FUZZ_SEED={SEED} begins with the same cases"]), pytrace=False)
    assert set(methods) == set(fuzzer.calls)
    often = {name: codes for name, codes in fuzzer.codes.items() if fuzzer.calls[name] >= OFTEN}
    unanswered = {name: codes for name, codes in often.items() if not set(codes) - SHALLOW}
    assert {} == unanswered, "some methods were never reached"


async def fuzz(fuzzer: Fuzzer, bench: Bench) -> None:
    """Make rounds of calls until the time is over, each followed by a good check; memory and descriptors stay bounded."""
    ends, begun = time.monotonic() + SECONDS, (0, 0)
    for number in itertools.count():
        if number == WARM_UP_ROUNDS:
            begun = await held()
        if number > WARM_UP_ROUNDS and (time.monotonic() > ends or len(fuzzer.faults) >= MOST_FAULTS):
            break
        await fuzzer.round(range(number * AT_ONCE, (number + 1) * AT_ONCE))
        assert types_pb2.OUTCOME_RESTRICT == await a_good_check(bench)
    memory, descriptors = await held()
    print(f"{number} rounds; memory {(memory - begun[0]) / 2**20:+.1f} MiB, descriptors {descriptors - begun[1]:+d}")
    assert memory - begun[0] < MOST_GROWTH
    assert descriptors <= begun[1] + FEW_DESCRIPTORS


async def held() -> tuple[int, int]:
    """Give the bytes and the descriptors that this process holds once ended calls are cleared away."""
    await asyncio.sleep(0.5)
    gc.collect()
    return resident_bytes(), open_descriptors()


async def a_good_check(bench: Bench) -> int:
    """Ask about somebody listed, as a partner does."""
    person = PEOPLE[0]
    request = check_service_pb2.CheckRequest(
        identifiers=[types_pb2.Identifier(kind=person.kind, value=person.value)], action="loan.apply", purpose="lending"
    )
    body = await bench.call("CheckService/Check", request.SerializeToString(), timeout=60)
    return check_service_pb2.CheckResponse.FromString(body).outcome


def report(fuzzer: Fuzzer) -> str:
    """Say how often each method was called, and what came of it."""
    lines = [
        f"{name.removeprefix('portcullis.v1.')}: {fuzzer.calls[name]} calls: "
        + ", ".join(f"{code} {count}" for code, count in fuzzer.codes[name].most_common())
        for name in sorted(fuzzer.calls)
    ]
    return "\n".join([*lines, f"{sum(fuzzer.calls.values())} calls in all"])
