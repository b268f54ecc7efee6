"""After a run with a thousand identifiers none of them stands in the clear anywhere: no file, store, log, metric or error.

Only who may see an identifier is given it (`RevealEntry`, a subject's own record); all else that comes back is searched.
Case references and keys are in the clear on purpose, which shows that the search reads what it is given.
"""

from __future__ import annotations

import base64
import json
import shutil
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing
from pathlib import Path

import lmdb
import psycopg
import pytest

from tests.support.canaries import CANARIES, WITNESS, Canaries
from tests.support.canary_calls import Heard
from tests.support.canary_office import Office, opened_office
from tests.support.canary_run import Remains, Run
from tests.support.canary_search import Search, redis_contents
from tests.support.databases import NoPostgres
from tests.support.stack import running_stack
from tests.support.valkey import running_valkey

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def remains(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Remains]:
    folder = tmp_path_factory.mktemp("canaries")
    with running_stack(folder / "home", "--workers", "2") as stack, ExitStack() as held:
        run = Run(stack, folder, held)
        run.take_part()
        yield Remains(run, folder)


@pytest.fixture(scope="module")
def search(remains: Remains) -> Search:
    return Search(remains.canaries.texts)


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    try:
        with opened_office(tmp_path_factory.mktemp("office")) as opened:
            opened.take_part()
            opened.look()
            yield opened
    except NoPostgres as fault:
        pytest.skip(str(fault))


def leaks(found: Mapping[str, set[str]]) -> dict[str, list[str]]:
    """Give the places where something was found, with a few of what it was."""
    return {place: sorted(names)[:5] for place, names in found.items() if names}


def told(heard: Heard, search: Search) -> list[bytes]:
    """Give what was said that holds something."""
    return [said for said in heard.said if search.data(said)]


def test_after_a_run_with_a_thousand_identifiers_no_file_holds_one_in_the_clear(remains, search):
    assert CANARIES == len({each.value for each in remains.canaries.all})
    assert {} == leaks(search.folder(remains.copy))


def test_what_was_searched_is_what_the_run_wrote(remains):
    found = leaks(Search({WITNESS: "witness"}).folder(remains.copy))
    # An erasure empties the registry's log into its file.
    assert found.keys() & {"running/registry.db", "running/registry.db-wal"}
    assert {"stopped/registry.db", "running/run/dump.rdb"} <= found.keys()
    files = [path for path in (remains.copy / "running").rglob("*") if path.is_file() and path.stat().st_size]
    assert {"journal.db", "data.mdb"} <= {path.name for path in files}
    assert {".segment", ".db-wal"} <= {path.suffix for path in files}


def test_the_store_of_snapshots_holds_none(remains, search):
    assert Search({WITNESS: "witness"}).data(b"\n".join(remains.store))
    assert set() == search.data(b"\n".join(remains.store))


def test_no_metric_names_one(remains, search):
    assert "portcullis_" in remains.metrics
    assert set() == search.text(remains.metrics)


def test_no_answer_error_or_command_tells_one_to_whom_it_is_not_for(remains, search):
    assert remains.heard.errors > 90
    assert [] == told(remains.heard, search)


def test_in_postgresql_no_row_and_no_file_holds_one_in_the_clear(office):
    assert {} == leaks(office.found_in_rows(office.canaries.texts))
    assert {} == leaks(office.found_in_files(office.canaries.texts))


def test_what_was_searched_in_postgresql_is_what_was_written(office):
    assert "registry.entry_versions" in leaks(office.found_in_rows({WITNESS: "witness"}))
    found = leaks(office.found_in_files({WITNESS: "witness", "INSERT INTO decisions": "statement"}))
    assert any("/base/" in place for place in found)
    assert any("/pg_wal/" in place for place in found)
    assert ["statement as UTF-8", "witness as UTF-8"] == found[str(office.log)]


def test_no_error_tells_one_while_postgresql_is_there_or_not(office, capfd):
    assert office.heard.errors > 20
    assert "RegistryUnavailable" in office.while_away
    assert "JournalUnavailable" in office.while_away
    search = Search(office.canaries.texts)
    assert [] == told(office.heard, search)
    assert set() == search.text(office.while_away + "".join(capfd.readouterr()))


WRITTEN: dict[str, Callable[[str], bytes]] = {
    "as it is": str.encode,
    "in small letters": lambda text: text.lower().encode(),
    "within other text": lambda text: f'{{"id":"cn.resident-id:{text}00"}}'.encode(),
    "in UTF-16": lambda text: text.encode("utf-16-le"),
    "in UTF-16 of the other order": lambda text: text.encode("utf-16-be"),
    "in hexadecimal": lambda text: text.encode().hex().encode(),
    "in capital hexadecimal": lambda text: text.encode().hex().upper().encode(),
    "in JSON's escapes": lambda text: json.dumps(text).encode(),
    **{f"in base64 after {n}": lambda text, n=n: base64.b64encode(b"x" * n + text.encode() + b"end") for n in range(3)},
}


@pytest.mark.parametrize("written", WRITTEN)
def test_a_text_is_found_however_it_is_written(written):
    canaries = Canaries()
    texts = [*(each.value for each in canaries.all[::50]), canaries.name(), canaries.name()]
    search = Search(canaries.texts)
    assert [] == [text for text in texts if not search.data(b"1101" + WRITTEN[written](text) + b"\0" * 9)]
    assert set() == search.data(b"110101" + WRITTEN[written]("another's number: 11010121") + b"\0" * 9)


def test_a_phone_number_is_found_without_its_plus():
    canaries = Canaries()
    number = canaries.take("phone").value
    assert Search(canaries.texts).text(f"44{number.removeprefix('+44')}")


def into_sqlite(file: Path, text: str) -> None:
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("UPDATE change_log SET detail = ?", (text,))
        connection.commit()


def into_journal(file: Path, text: str) -> None:
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("UPDATE log SET entry = entry || ? WHERE sequence = 1", (text.encode(),))
        connection.commit()


def into_lmdb(file: Path, text: str) -> None:
    with lmdb.open(str(file.parent), max_dbs=16, map_size=1 << 30) as environment, environment.begin(write=True) as writing:
        writing.put(b"planted", text.encode())


def into_file(file: Path, text: str) -> None:
    with file.open("ab") as stream:
        stream.write(b"\0" + text.encode() + b"\0")


def into_log(file: Path, text: str) -> None:
    with file.open("a") as stream:
        stream.write(json.dumps({"event": f"refused {text}"}) + "\n")


def into_hole(file: Path, text: str) -> None:
    """Write it far behind the end, as into a map that is mostly empty."""
    with file.open("r+b") as stream:
        stream.seek(1 << 32)
        stream.write(text.encode())


PLACES: dict[str, tuple[str, Callable[[Path, str], None]]] = {
    "the registry": ("stopped/registry.db", into_sqlite),
    "the journal": ("stopped/journal.db", into_journal),
    "a write-ahead log": ("running/*.db-wal", into_file),
    "the replica": ("stopped/**/data.mdb", into_lmdb),
    "a file with holes": ("stopped/**/data.mdb", into_hole),
    "the spool": ("running/spool/*.segment", into_file),
    "the dump of the store": ("running/run/dump.rdb", into_file),
    "the stack's log": ("output/stderr", into_log),
    "the metrics of a process": ("metrics/*.db", into_file),
}


@pytest.mark.parametrize("place", PLACES)
def test_one_that_is_planted_in_a_copy_is_found(remains, search, tmp_path, place):
    pattern, plant = PLACES[place]
    source = next(path for path in sorted(remains.copy.glob(pattern)) if path.stat().st_size)
    copy = tmp_path / source.name
    shutil.copyfile(source, copy)
    planted = remains.canaries.all[5]
    plant(copy, planted.value)
    assert {source.name: [f"{remains.canaries.texts[planted.value]} as UTF-8"]} == leaks(search.folder(tmp_path))


@pytest.mark.parametrize("kind", ["string", "hash", "list", "set", "zset", "stream", "key"])
def test_one_that_is_planted_in_a_store_is_found(kind):
    canaries = Canaries()
    number = canaries.take("national-id").value
    with running_valkey() as valkey, valkey.client() as client:
        plant = {
            "string": lambda: client.set("k", f"x{number}"),
            "hash": lambda: client.hset("k", number, "1"),
            "list": lambda: client.rpush("k", "1", number),
            "set": lambda: client.sadd("k", number),
            "zset": lambda: client.zadd("k", {number: 1.0}),
            "stream": lambda: client.xadd("k", {"field": number}),
            "key": lambda: client.set(f"holder:{number}", "1"),
        }
        plant[kind]()
        assert Search(canaries.texts).data(b"\n".join(redis_contents(client)))


def test_one_that_an_error_tells_is_found(search, remains):
    heard = Heard()
    planted = remains.canaries.all[7].value
    heard.refuse("identifiers[0].value: not a number", {"metadata": {"value": planted}})
    assert 1 == len(told(heard, search))


def test_one_that_is_planted_in_postgresql_is_found_in_rows_and_files(office):
    planted = office.canaries.all[9].value
    office.server.start()
    with psycopg.connect(office.server.url("registry")) as connection:
        connection.execute("UPDATE change_log SET detail = %s WHERE seq = 1", (planted,))
    office.keep()
    texts = {planted: "planted"}
    assert ["registry.change_log"] == list(leaks(office.found_in_rows(texts)))
    found = leaks(office.found_in_files(texts))
    assert all(any(part in place for place in found) for part in ("/base/", "/pg_wal/", str(office.log))), found
