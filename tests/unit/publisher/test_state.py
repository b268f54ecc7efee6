"""The publisher's state file."""

from __future__ import annotations

import pytest

from portcullis.publisher.state import PublisherState, StateFile

STATE = PublisherState(version=3, registry_seq=9, snapshot_sha256="ab")


def test_a_state_reads_as_it_was_saved(tmp_path):
    StateFile(tmp_path / "new" / "publisher.json").save(STATE)
    assert STATE == StateFile(tmp_path / "new" / "publisher.json").load()


def test_a_state_that_is_absent_or_damaged_is_empty(tmp_path):
    file = StateFile(tmp_path / "publisher.json")
    assert PublisherState() == file.load()
    file.file.write_bytes(b'{"version": 3, "reg')
    assert PublisherState() == file.load()


def test_a_disk_that_refuses_leaves_the_old_state(tmp_path):
    file = StateFile(tmp_path / "publisher.json")
    file.save(STATE)
    (tmp_path / "publisher.new").mkdir()
    with pytest.raises(OSError, match="directory"):
        file.save(PublisherState(version=4))
    assert STATE == file.load()
