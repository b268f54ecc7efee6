"""`portcullis run`: the whole stack on one machine, in one command.

The parent makes the home ready, loads the demonstration into an empty registry, starts Valkey, the publisher, the follower
and the gateway workers as children, and serves their metrics and health. What can be wrong with the set-up is found before
anything is started, and said in one line.
"""

from __future__ import annotations

import shutil
import socket
import sys
import time
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import structlog
from prometheus_client import CollectorRegistry

from portcullis.adapters.clock import SystemClock
from portcullis.config import Settings
from portcullis.domain.errors import PortcullisError, SetupFault
from portcullis.mains.demo import demonstration_keys, ensure_operator_key, load_demonstration
from portcullis.mains.exposures import warn_of_exposures
from portcullis.mains.homes import HomeLock, prepare_home
from portcullis.mains.keys import ensure_keys
from portcullis.mains.listening import dialled, reserve_port
from portcullis.mains.logs import configure_logs, log_uncaught
from portcullis.mains.parts import (
    demand_durable_journal,
    demand_durable_registry,
    open_entry_namer,
    open_journal,
    open_registry,
    open_token_keys,
)
from portcullis.mains.stack import Stack
from portcullis.mains.stopping import StopSignals, stop_signals
from portcullis.mains.trials import first_steps, trials
from portcullis.registry.imports import Importer
from portcullis.registry.keys import KeyDesk

EXIT_SETUP = 2
READY_WITHIN_S = 20.0

_TEND_EVERY_S = 0.05
_log = structlog.get_logger(__name__)


def run_stack(settings: Settings, *, empty: bool) -> int:
    """Run the stack until SIGINT or SIGTERM; blocks. To be called from the main thread.

    Args:
        settings: the stack's; without ``redis_url`` an embedded Valkey is started.
        empty: leave a registry without a policy as it is, instead of loading the demonstration.

    Returns:
        The exit status: 0 after a stop asked for, 2 when the stack can't start as it is set up.
    """
    configure_logs(settings.log_level, "stack")
    log_uncaught()
    try:
        with stop_signals() as signals, ExitStack() as held:
            return _run(settings, signals, held, empty=empty)
    except PortcullisError as fault:
        print(f"portcullis: {fault.message}", file=sys.stderr, flush=True)
        return EXIT_SETUP


def _run(settings: Settings, signals: StopSignals, held: ExitStack, *, empty: bool) -> int:
    home = prepare_home(settings.home)
    held.enter_context(HomeLock(home))
    reservation = held.enter_context(reserve_port(settings.grpc_host, settings.grpc_port, "--grpc-port"))
    settings = _resolved(settings, home, reservation)
    registry = CollectorRegistry()
    stack = Stack(settings, registry)
    held.callback(stack.close)
    _prepare_state(settings, empty=empty)
    if signals.asked():
        return 0
    held.callback(stack.stop, signals.hurry)
    stack.start()
    if not _wait_until_serving(stack, signals):
        return 0
    warn_of_exposures()
    _greet(settings)
    while not signals.asked(_TEND_EVERY_S):
        stack.tend()
    _log.info("stopping", drain_s=settings.drain_s)
    return 0


def _resolved(settings: Settings, home: Path, reservation: socket.socket) -> Settings:
    return settings.model_copy(update={"home": home, "grpc_port": int(reservation.getsockname()[1])})


def _prepare_state(settings: Settings, *, empty: bool) -> None:
    ensure_keys(settings.keys_path)
    clock = SystemClock()
    with open_journal(settings), open_registry(settings, open_token_keys(settings)) as store:
        demand_durable_journal(settings)
        demand_durable_registry(settings)
        keys = KeyDesk(store, clock=clock)
        importer = Importer(store, index_tokens=open_entry_namer(settings).index_tokens, clock=clock)
        if not empty:
            run = partial(importer.run, actor="demonstration")
            loaded = load_demonstration(settings.home, store, keys, lambda name, source: run(name, "jsonl", [source]), clock)
            if loaded:
                # What was published of the empty registry would be served, without the new keys, until the first publish;
                # without it they wait.
                for folder in (settings.replica_path, settings.publisher_path):
                    shutil.rmtree(folder, ignore_errors=True)
                _log.info("the demonstration was loaded")
        ensure_operator_key(settings.home, keys)


def _wait_until_serving(stack: Stack, signals: StopSignals) -> bool:
    """Wait for the first answer; False when a stop was asked for meanwhile.

    Raises:
        SetupFault: a child can't start as it is set up, or the deadline passed.
    """
    deadline = time.monotonic() + READY_WITHIN_S
    while not stack.serving():
        if signals.asked(_TEND_EVERY_S):
            return False
        stack.tend()
        if refused := stack.refused():
            raise SetupFault(f"the part {refused[0]} can't start as it is set up; its own line above says what to do")
        if time.monotonic() >= deadline:
            of_valkey = (
                f", and {stack.valkey_log} what Valkey says" if stack.valkey_log else "; is PORTCULLIS_REDIS_URL right?"
            )
            raise SetupFault(
                f"the gateway did not begin to serve within {READY_WITHIN_S:.0f} s; the lines above say what it waits for"
                f"{of_valkey}"
            )
    return True


def _greet(settings: Settings) -> None:
    target = dialled(settings.grpc_host, settings.grpc_port)
    lines = [f"portcullis ready grpc={target} home={settings.home}"]
    if demonstration_keys(settings.home):
        for trial in trials(settings.home, target):
            lines += [f"# {trial.shows}", trial.command]
    else:
        # Comments, not commands: their capitals stand for what only the reader has.
        lines += ["# no lists yet; put a policy in, then a list:", *(f"#   {each}" for each in first_steps(settings.home))]
    print("\n".join(lines), flush=True)
