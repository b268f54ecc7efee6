"""What others on the host can see of a running stack, whose store and databases have passwords: nothing that is secret."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.databases import NoPostgres, killable_postgres
from tests.support.stack import RunningStack, running_stack
from tests.support.valkey import running_valkey

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="this system shows processes in another way"),
]

PASSWORDS = {"redis": "store-hush-1", "registry": "registry-hush-2", "journal": "journal-hush-3"}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    """A stack that a careless shell has started, its secrets given by file; everything is everybody's by default."""
    folder = tmp_path_factory.mktemp("process")
    with ExitStack() as held:
        try:
            postgres = held.enter_context(killable_postgres())
        except NoPostgres as reason:
            if os.environ.get("CI"):
                raise
            pytest.skip(str(reason))
        valkey = held.enter_context(running_valkey())
        with valkey.client() as client:
            client.config_set("requirepass", PASSWORDS["redis"])
        urls = {"redis_url": valkey.url.replace("unix://", f"unix://:{PASSWORDS['redis']}@")}
        for name in ("registry", "journal"):
            postgres.create(name)
            urls[f"{name}_url"] = postgres.url(name).replace("postgres@", f"postgres:{PASSWORDS[name]}@")
        settings = folder / "settings.toml"
        urls["postgres_storage"] = "disposable"
        settings.write_text("".join(f"{name} = {json.dumps(url)}\n" for name, url in urls.items()))
        yield held.enter_context(
            running_stack(folder / "home", "--workers", "2", umask=0, PORTCULLIS_CONFIG=str(settings), LANG="C.UTF-8")
        )


def processes(stack: RunningStack) -> dict[str, int]:
    return {"parent": stack.process.pid, **stack.children}


def secrets(stack: RunningStack) -> dict[str, str]:
    """Give every secret that this home has, by what it is."""
    files = {path.name: path.read_text().strip() for path in (stack.home / "keys").glob("*.key")}
    operators = {"operator-key": (stack.home / "operator-key").read_text().strip()}
    return PASSWORDS | files | operators | dict(stack.keys)


@pytest.mark.parametrize("shown", ["cmdline", "environ"])
def test_no_secret_is_in_the_arguments_or_the_environment_of_any_process(stack: RunningStack, shown: str) -> None:
    known = secrets(stack)
    seen = {name: Path(f"/proc/{pid}/{shown}").read_bytes().decode() for name, pid in processes(stack).items()}

    assert {"parent", "publisher", "follower", "exchange", "gateway-1", "gateway-2"} == seen.keys()
    assert {"token.key", "seal.key", "record.key", "journal.key", "ticketing", "redis"} <= known.keys()
    assert all(seen.values())
    assert [] == [(name, what) for name, text in seen.items() for what, secret in known.items() if secret in text]


def test_no_secret_is_in_what_the_processes_say(stack: RunningStack) -> None:
    said = stack.stdout.read_text() + stack.stderr.read_text()

    assert "serving" in said
    assert [] == [what for what, secret in secrets(stack).items() if secret in said]


def test_everything_that_the_stack_made_is_its_owners_alone_but_a_replicas_files_which_its_group_may_have(
    stack: RunningStack,
) -> None:
    made = [stack.home, *(path for path in stack.home.rglob("*") if not path.is_symlink())]
    for_all = [str(path) for path in made if path.stat().st_mode & 0o007]
    for_group = [path for path in made if path.stat().st_mode & 0o070]
    replicas = [stack.home / "replica", stack.home / "publisher" / "mirror"]

    assert {"stack.json", "token.key", "operator-key"} <= {path.name for path in made}
    assert [] == for_all
    assert [] == [path for path in for_group if not any(path.is_relative_to(each) for each in replicas)]


def test_no_process_can_dump_what_it_holds_or_make_a_file_for_others(stack: RunningStack) -> None:
    for name, pid in processes(stack).items():
        limits = Path(f"/proc/{pid}/limits").read_text().splitlines()
        (core,) = [line.split()[4:6] for line in limits if line.startswith("Max core file size")]
        masks = [
            line.split()[1] for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("Umask:")
        ]

        assert (["0", "0"], ["0077"]) == (core, masks), name


def test_root_is_warned_once_for_the_whole_stack(stack: RunningStack) -> None:
    warned = [line for line in stack.stderr.read_text().splitlines() if "it runs as root" in line]

    assert (1 if os.geteuid() == 0 else 0) == len(warned)
