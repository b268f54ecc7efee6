"""The documents of one snapshot, read by name."""

from __future__ import annotations

import pytest

from portcullis.domain.documents import Documents, read_documents
from portcullis.domain.editions import FORMAT
from portcullis.domain.errors import Refusal, SnapshotInvalid
from portcullis.domain.manifests import (
    HEAD_TARGET,
    Base,
    Delta,
    Head,
    HeadList,
    Manifest,
    Terms,
    base_target,
    decode_manifest,
    delta_target,
    encode_document,
    manifest_target,
    terms_target,
)
from portcullis.domain.multisets import EMPTY
from tests.support.policies import LEGAL, NOW, a_list

VERSION = 150
NAMES = {"court": 2, "bank": 1}
"""The lists by name, in the order of the head; the numbers are in another."""


def manifest(name):
    return Manifest(
        format=FORMAT,
        list=name,
        number=NAMES[name],
        version=142,
        records=0,
        digest=EMPTY,
        terms=terms_target(name, 100),
        base=Base(target=base_target(name, 140), version=140, records=0, length=4),
        deltas=(Delta(target=delta_target(name, 140, 142), since=140, version=142, changes=1, length=30),),
    )


def documents():
    head = Head(
        format=FORMAT,
        version=VERSION,
        published_at=float(NOW),
        registry_seq=7,
        actions=(),
        partners=(),
        credentials=(),
        lists=tuple(HeadList(name=name, number=number) for name, number in NAMES.items()),
    )
    targets = {HEAD_TARGET: encode_document(head)}
    for name, number in NAMES.items():
        terms = Terms(format=FORMAT, definition=a_list(name), number=number, legal=LEGAL, measures=("loans",))
        targets[manifest_target(name)] = encode_document(manifest(name))
        targets[terms_target(name, 100)] = encode_document(terms)
    return targets


def read() -> Documents:
    return read_documents(documents().__getitem__, VERSION)


def test_lists_stand_in_the_order_of_the_head():
    found = read()
    assert (manifest("court"), manifest("bank")) == found.manifests
    assert ["court", "bank"] == [each.name for each in found.edition().lists]


def test_a_head_of_another_version_than_the_metadata_is_refused():
    with pytest.raises(SnapshotInvalid) as caught:
        read_documents(documents().__getitem__, VERSION + 1)
    assert Refusal.MIXED_VERSIONS == caught.value.refusal


def test_every_target_in_force_is_named():
    files = {(base_target(name, 140), delta_target(name, 140, 142)) for name in NAMES}
    assert documents().keys() | {target for both in files for target in both} == read().targets()


def test_a_decoder_may_remember():
    asked = []

    def remembering(data):
        asked.append(data)
        return decode_manifest(data)

    targets = documents()
    read_documents(targets.__getitem__, VERSION, remembering)
    assert [targets[manifest_target(name)] for name in NAMES] == asked
