"""The real sanctions files, where they are: import, match, import again.

They are looked for in PORTCULLIS_TEST_OFAC_DIR, then beside the repository. Nothing of them is kept here, and no test names
a number or a person of them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from portcullis.adapters.sql.migrating import migrate_registry
from portcullis.adapters.sql.registry.registry import SqlRegistry
from portcullis.domain.entries import EntryDraft
from portcullis.domain.identifiers import KINDS, Identifier
from portcullis.domain.policies import Policy, RestrictedList
from portcullis.ports import ImportReport
from portcullis.registry.imports import Importer
from portcullis.registry.readers.ofac.sdn import SdnReader
from portcullis.registry.readers.rows import GoodRow
from portcullis.registry.readers.sources import FileSource, Meter
from tests.support.imports import TOKENISER, StillClock
from tests.support.policies import NOW, YEAR_S, a_list

_ROOT = Path(__file__).resolve().parents[2]
_FOLDER = Path(os.environ.get("PORTCULLIS_TEST_OFAC_DIR") or _ROOT.parent / "shared" / "data" / "ofac")
_FILES = ("add.csv", "sdn_comments.csv", "alt.csv", "sdn.csv")

pytestmark = [
    pytest.mark.skipif(
        not all((_FOLDER / name).is_file() for name in _FILES),
        reason="the real sanctions files are not here; set PORTCULLIS_TEST_OFAC_DIR to their folder",
    ),
    pytest.mark.xdist_group("ofac"),
]

Loaded = tuple[SqlRegistry, Importer, ImportReport]


def ofac_list() -> RestrictedList:
    return a_list("ofac-sdn", max_term_s=YEAR_S, identifier_kinds=tuple(KINDS))


def files() -> Sequence[FileSource]:
    return [FileSource(_FOLDER / name) for name in _FILES]


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loaded]:
    url = f"sqlite:///{tmp_path_factory.mktemp('ofac') / 'registry.db'}"
    migrate_registry(url)
    store = SqlRegistry(url, seal_key=bytes(32), tokeniser=TOKENISER, clock=StillClock())
    store.apply_policy(Policy(lists=(ofac_list(),)), actor="test")
    importer = Importer(store, index_tokens=TOKENISER.index_tokens, clock=StillClock())
    report = importer.run("ofac-sdn", "ofac-sdn", files(), actor="test", full=True)
    yield store, importer, report
    store.close()


@pytest.fixture(scope="module")
def drafts() -> list[EntryDraft]:
    rows = list(SdnReader(ofac_list(), NOW)(files(), Meter()))
    return [row.draft for row in rows if isinstance(row, GoodRow)]


def records() -> int:
    """How many records the file has, counted without a reader: each begins a line with its number."""
    lines = (_FOLDER / "sdn.csv").read_bytes().split(b"\n")
    return sum(line[:1].isdigit() for line in lines)


def probes(kind: str, value: str, country: str) -> list[tuple[bytes, bool]]:
    found: list[tuple[bytes, bool]] = []
    TOKENISER.probes(kind, value, country, found)
    return found


def index(store: SqlRegistry) -> set[bytes]:
    with store.view() as view:
        return {token for token, _ in view.index(view.list_numbers)}


def test_every_record_is_imported(loaded: Loaded) -> None:
    store, _, report = loaded
    assert (records(), 0, records()) == (report.counts.added, report.rejected, store.count_in_force("ofac-sdn"))


def test_passports_cedulas_and_ships_are_found(loaded: Loaded) -> None:
    _, _, report = loaded
    assert report.identifiers["passport"] >= 1_100
    assert report.labels["Cedula No."] >= 600
    assert report.identifiers["imo"] >= 300


def test_every_label_of_an_official_number_is_known(loaded: Loaded) -> None:
    _, _, report = loaded
    known = set(report.labels)
    assert [] == [told for told in report.dropped if told.split(":", maxsplit=1)[0] not in known]


def test_few_numbers_under_a_known_label_are_lost(loaded: Loaded) -> None:
    _, _, report = loaded
    lost = sum(count for told, count in report.dropped.items() if not told.endswith("no kind of identifier"))
    assert lost <= sum(report.identifiers.values()) // 100


def test_a_passport_without_a_country_is_weak_and_one_with_a_country_is_not(
    loaded: Loaded, drafts: list[EntryDraft]
) -> None:
    tokens = index(loaded[0])
    passports = [each for draft in drafts for each in draft.identifiers if each.kind == "passport"]
    without = next(each for each in passports if not each.country and each.value.isalnum())
    stated = next(each for each in passports if each.country and each.value.isalnum())
    assert {True} == {weak for token, weak in probes("passport", without.value, "IR") if token in tokens}
    assert False in {weak for token, weak in probes("passport", stated.value, stated.country) if token in tokens}


def test_the_same_number_of_another_country_does_not_match(loaded: Loaded, drafts: list[EntryDraft]) -> None:
    tokens = index(loaded[0])
    passports = [each for draft in drafts for each in draft.identifiers if each.kind == "passport" and each.country]
    for each in passports[:50]:
        assert not any(token in tokens and not weak for token, weak in probes("passport", each.value, "XA"))


def test_names_and_aliases_do_not_match(loaded: Loaded, drafts: list[EntryDraft]) -> None:
    tokens = index(loaded[0])
    names = [name for draft in drafts[:500] for name in draft.names if len(name) <= 32]
    assert names
    found = (TOKENISER.index_tokens(Identifier(kind, name)) for name in names for kind in KINDS)
    assert not any(token in tokens for each in found for token in each)


def test_a_second_import_changes_nothing(loaded: Loaded) -> None:
    store, importer, first = loaded
    head = store.head()
    again = importer.run("ofac-sdn", "ofac-sdn", files(), actor="test", full=True)
    assert (0, 0, first.counts.added, 0) == (
        again.counts.added,
        again.counts.amended,
        again.counts.unchanged,
        again.counts.withdrawn,
    )
    assert head == store.head()
