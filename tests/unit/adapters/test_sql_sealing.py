"""Sealing: who an entry is about can be read with the key, for its own entry, and not otherwise."""

from __future__ import annotations

import itertools
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor

import pytest

from portcullis.adapters.key_wrapping import KeyFileWrapper
from portcullis.adapters.sql.registry.sealing import Sealer
from portcullis.domain.errors import RegistryUnavailable
from portcullis.ports import KnownIdentity
from tests.support.registry_entries import document

KEY = bytes(range(32))
WHO = KnownIdentity(identifiers=(document(1), document(2, "")), names=("Nobody Atall", "无名氏"))

NOBODY = KnownIdentity(identifiers=(), names=())


def a_sealer(key: bytes = KEY) -> Sealer:
    return Sealer(KeyFileWrapper(key))


def test_what_is_sealed_opens_for_the_same_entry() -> None:
    blob = a_sealer().seal(WHO, list_name="court", key="k1")
    assert a_sealer().open(blob, list_name="court", key="k1") == WHO


def test_the_same_subject_sealed_twice_looks_different() -> None:
    sealer = a_sealer()
    assert len({sealer.seal(WHO, list_name="court", key="k1") for _ in range(10)}) == 10


def test_nothing_of_the_subject_shows() -> None:
    blob = a_sealer().seal(WHO, list_name="court", key="k1")
    assert WHO.identifiers[0].value.encode() not in blob
    assert b"Nobody" not in blob


@pytest.mark.parametrize(("list_name", "key"), [("carrier", "k1"), ("court", "k2"), ("courtk", "1")])
def test_a_blob_moved_to_another_entry_does_not_open(list_name: str, key: str) -> None:
    blob = a_sealer().seal(WHO, list_name="court", key="k1")
    with pytest.raises(RegistryUnavailable, match=r"seal\.key"):
        a_sealer().open(blob, list_name=list_name, key=key)


def test_another_key_opens_nothing() -> None:
    blob = a_sealer().seal(WHO, list_name="court", key="k1")
    with pytest.raises(RegistryUnavailable):
        a_sealer(bytes(32)).open(blob, list_name="court", key="k1")


def test_a_blob_with_any_byte_changed_or_cut_does_not_open() -> None:
    sealer = a_sealer()
    blob = sealer.seal(WHO, list_name="court", key="k1")
    changed = (blob[:place] + bytes([blob[place] ^ 1]) + blob[place + 1 :] for place in range(len(blob)))
    for bad in itertools.chain(changed, (blob[:length] for length in range(len(blob)))):
        with pytest.raises(RegistryUnavailable):
            sealer.open(bad, list_name="court", key="k1")


def test_the_form_of_a_blob_stays_as_it_is() -> None:
    draw = bytes(range(100, 132))
    keys = KeyFileWrapper(KEY, draw=bytes)
    blob = Sealer(keys, draw=lambda length: draw[:length]).seal(NOBODY, list_name="court", key="k1")
    wrapped = keys.wrap(draw)
    assert 61 == len(wrapped)
    assert b"\x02\x00\x3d" + wrapped + b"\x01" + draw[:12] == blob[: 64 + 13]
    assert len(blob) == 64 + 13 + len(b'{"identifiers":[],"names":[]}') + 16


def test_a_thousand_blobs_share_a_data_key_and_the_next_has_another() -> None:
    sealer = a_sealer()
    heads = [sealer.seal(NOBODY, list_name="court", key="k1")[:64] for _ in range(2_500)]
    assert [1_000, 1_000, 500] == [heads.count(head) for head in dict.fromkeys(heads)]
    keys = KeyFileWrapper(KEY)
    assert 3 == len({keys.unwrap(head[3:]) for head in heads})


def test_a_blob_with_the_wrapped_key_of_another_does_not_open() -> None:
    one, other = (a_sealer().seal(WHO, list_name="court", key="k1") for _ in range(2))
    with pytest.raises(RegistryUnavailable):
        a_sealer().open(other[:64] + one[64:], list_name="court", key="k1")


def test_threads_can_seal_together() -> None:
    sealer = a_sealer()
    with ThreadPoolExecutor(4) as threads:
        blobs = list(threads.map(lambda key: sealer.seal(WHO, list_name="court", key=str(key)), range(4_000)))
    assert {WHO} == {sealer.open(blob, list_name="court", key=str(key)) for key, blob in enumerate(blobs)}
    assert 4 <= len({blob[:64] for blob in blobs}) <= 4 * 4


def test_a_key_management_service_needs_no_key_on_this_host() -> None:
    """Any wrapper will do, with wrapped keys of any length; whoever can't unseal is told what the key is called."""

    class Service:
        name = "service:entries"
        epoch = 1

        def is_present(self, wrapped: bytes, /) -> bool:
            return wrapped[:300] == bytes(300)

        def holds(self, wrapped: Collection[bytes], /) -> bool:
            return all(self.is_present(each) for each in wrapped)

        def wrap(self, data_key: bytes, /) -> bytes:
            return b"\0" * 300 + data_key[::-1]

        def unwrap(self, wrapped: bytes, /) -> bytes:
            if wrapped[:300] != bytes(300):
                raise ValueError("not wrapped here")
            return wrapped[:299:-1]

    blob = Sealer(Service()).seal(WHO, list_name="court", key="k1")
    assert WHO == Sealer(Service()).open(blob, list_name="court", key="k1")
    with pytest.raises(RegistryUnavailable, match="service:entries"):
        Sealer(Service()).open(a_sealer().seal(WHO, list_name="court", key="k1"), list_name="court", key="k1")
