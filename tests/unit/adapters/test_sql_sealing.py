"""Sealing: who an entry is about can be read with the key, for its own entry, and not otherwise."""

from __future__ import annotations

import itertools

import pytest

from portcullis.adapters.sql.sealing import Identity, Sealer
from portcullis.domain.errors import RegistryUnavailable, SetupFault
from tests.support.registry_entries import document

KEY = bytes(range(32))
WHO = Identity((document(1), document(2, "")), ("Nobody Atall", "无名氏"))


def test_what_is_sealed_opens_for_the_same_entry() -> None:
    blob = Sealer(KEY).seal(WHO, list_name="court", key="k1")
    assert Sealer(KEY).open(blob, list_name="court", key="k1") == WHO


def test_the_same_subject_sealed_twice_looks_different() -> None:
    sealer = Sealer(KEY)
    assert len({sealer.seal(WHO, list_name="court", key="k1") for _ in range(10)}) == 10


def test_nothing_of_the_subject_shows() -> None:
    blob = Sealer(KEY).seal(WHO, list_name="court", key="k1")
    assert WHO.identifiers[0].value.encode() not in blob
    assert b"Nobody" not in blob


@pytest.mark.parametrize(("list_name", "key"), [("carrier", "k1"), ("court", "k2"), ("courtk", "1")])
def test_a_blob_moved_to_another_entry_does_not_open(list_name: str, key: str) -> None:
    blob = Sealer(KEY).seal(WHO, list_name="court", key="k1")
    with pytest.raises(RegistryUnavailable, match=r"seal\.key"):
        Sealer(KEY).open(blob, list_name=list_name, key=key)


def test_another_key_opens_nothing() -> None:
    blob = Sealer(KEY).seal(WHO, list_name="court", key="k1")
    with pytest.raises(RegistryUnavailable):
        Sealer(bytes(32)).open(blob, list_name="court", key="k1")


def test_a_blob_with_any_byte_changed_or_cut_does_not_open() -> None:
    sealer = Sealer(KEY)
    blob = sealer.seal(WHO, list_name="court", key="k1")
    changed = (blob[:place] + bytes([blob[place] ^ 1]) + blob[place + 1 :] for place in range(len(blob)))
    for bad in itertools.chain(changed, (blob[:length] for length in range(len(blob)))):
        with pytest.raises(RegistryUnavailable):
            sealer.open(bad, list_name="court", key="k1")


def test_the_form_of_a_blob_stays_as_it_is() -> None:
    draw = bytes(range(100, 112))
    blob = Sealer(KEY, draw=lambda length: draw[:length]).seal(Identity((), ()), list_name="court", key="k1")
    assert blob[:13] == b"\x01" + draw
    assert len(blob) == 13 + len(b'{"identifiers":[],"names":[]}') + 16


@pytest.mark.parametrize("length", [0, 16, 31, 33])
def test_a_key_of_another_length_is_refused(length: int) -> None:
    with pytest.raises(SetupFault, match="32 bytes"):
        Sealer(bytes(length))
