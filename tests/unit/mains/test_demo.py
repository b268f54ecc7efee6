import json
import stat
from datetime import UTC, date, datetime, timedelta
from functools import partial

import pytest

from portcullis.adapters.memory.registry import MemoryRegistry
from portcullis.demo import lists
from portcullis.domain.errors import SetupFault
from portcullis.domain.policies import Policy
from portcullis.mains.demo import PARTNERS, PEOPLE, demonstration_keys, ensure_operator_key, load_demonstration
from portcullis.mains.homes import prepare_home
from portcullis.ports import ImportReport, RowFault
from portcullis.registry.imports import Importer
from portcullis.registry.keys import KeyDesk
from tests.support.registry_entries import TOKENISER
from tools import demo_lists

NOW = datetime(2029, 3, 1, 12, tzinfo=UTC).timestamp()


class Clock:
    def now(self):
        return NOW

    def monotonic(self):
        return 0.0


class Bench:
    """A home, and a registry in memory beside it."""

    def __init__(self, home):
        self.home = prepare_home(home)
        self.store = MemoryRegistry(tokeniser=TOKENISER, clock=Clock())
        self.keys = KeyDesk(self.store, clock=Clock())
        self.importer = Importer(self.store, index_tokens=TOKENISER.index_tokens, clock=Clock())

    def load(self, import_rows=None):
        run = partial(self.importer.run, actor="test")
        usual = lambda name, source: run(name, "jsonl", [source])  # noqa: E731
        return load_demonstration(self.home, self.store, self.keys, import_rows or usual, Clock())

    def good_keys(self):
        return [key for key in self.store.keys(None) if key.revoked_at is None]


@pytest.fixture
def bench(tmp_path):
    return Bench(tmp_path)


def test_the_files_are_those_that_the_tool_writes():
    assert demo_lists.texts() == {path.name: path.read_text() for path in lists.list_files().values()}


def test_every_list_of_the_demonstration_policy_has_a_few_dozen_entries(bench):
    assert bench.load()
    names = [each.name for each in bench.store.policy().lists]
    assert sorted(names) == sorted(lists.list_files())
    assert all(30 <= bench.store.count_in_force(name) <= 60 for name in names)


def test_every_entry_is_in_force_on_the_day_of_the_loading():
    for name in lists.list_files():
        for day in (lists.REFERENCE_DAY, date(2031, 7, 1)):
            for line in lists.moved_rows(name, day):
                row = json.loads(line)
                assert date.fromisoformat(row["valid_from"]) <= day < date.fromisoformat(row["until"])
                assert day + timedelta(days=7) < date.fromisoformat(row["until"]), "a demonstration lasts a week at least"


def test_each_partner_gets_a_key_in_a_private_file(bench):
    bench.load()
    assert set(PARTNERS) == demonstration_keys(bench.home).keys()
    assert stat.S_IMODE((bench.home / "demo-keys.json").stat().st_mode) == 0o600
    assert sorted((*PARTNERS, *PEOPLE)) == sorted(key.holder for key in bench.good_keys())


def test_a_registry_that_has_a_policy_is_left_alone(bench):
    bench.load()
    head, keys = bench.store.head(), demonstration_keys(bench.home)
    assert not bench.load()
    assert (head, keys) == (bench.store.head(), demonstration_keys(bench.home))


def test_a_loading_that_was_cut_off_is_done_again_and_leaves_no_lost_key(bench):
    bench.load()
    whole = bench.store.head()
    (bench.home / "demo-keys.json").unlink()
    (bench.home / "run" / "demonstration-under-way").touch()
    assert bench.load()
    assert sorted((*PARTNERS, *PEOPLE)) == sorted(key.holder for key in bench.good_keys())
    assert bench.store.head() == whole + 2 * len((*PARTNERS, *PEOPLE)), "a revoked key and a new one each, and nothing else"
    assert not (bench.home / "run" / "demonstration-under-way").exists()


def test_a_list_that_does_not_load_whole_stops_the_start_and_the_next_start_tries_again(bench):
    def half(name, source):
        return ImportReport(list_name=name, rejected=1, faults=[RowFault(source.name, 3, "until", "missing")])

    with pytest.raises(SetupFault, match="line 3: until: missing"):
        bench.load(half)
    assert bench.store.policy() != Policy()
    assert bench.load()


def test_the_operators_key_is_made_once_and_private(bench):
    ensure_operator_key(bench.home, bench.keys)
    first = (bench.home / "operator-key").read_text()
    ensure_operator_key(bench.home, bench.keys)
    assert first == (bench.home / "operator-key").read_text()
    assert stat.S_IMODE((bench.home / "operator-key").stat().st_mode) == 0o600
    assert ["operator"] == [key.role for key in bench.good_keys()]
