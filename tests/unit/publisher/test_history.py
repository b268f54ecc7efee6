"""The log of versions."""

from __future__ import annotations

import json

from portcullis.domain.history import ListChange, Version
from portcullis.publisher.history import History


def note(version):
    changed = ListChange(list="court", kind="delta", records=9, changes=2, bytes=80)
    return Version(version=version, published_at=5.0, registry_seq=version, lists=(changed,))


def lines(file):
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_a_line_says_what_a_version_changed(tmp_path):
    History(tmp_path).note(note(7))
    changed = {"list": "court", "kind": "delta", "records": 9, "changes": 2, "bytes": 80}
    assert [{"version": 7, "published_at": 5.0, "registry_seq": 7, "lists": [changed]}] == lines(tmp_path / "log.jsonl")


def test_the_log_is_bounded_and_goes_on_over_a_restart(tmp_path, monkeypatch):
    monkeypatch.setattr("portcullis.publisher.history.LONGEST_LINES", 10)
    for version in range(25):
        History(tmp_path).note(note(version))
    assert list(range(20, 25)) == [each["version"] for each in lines(tmp_path / "log.jsonl")]
    assert list(range(10, 20)) == [each["version"] for each in lines(tmp_path / "log.1.jsonl")]
