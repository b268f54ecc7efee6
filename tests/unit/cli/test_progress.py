"""The bar for what takes long."""

from __future__ import annotations

import pytest

from portcullis.cli.progress import byte_bar, count_bar

BARS = pytest.mark.parametrize("bar", [byte_bar, count_bar])


@BARS
def test_a_log_is_shown_no_bar(bar, monkeypatch, capsys):
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    with bar() as progress:
        assert progress is None
    assert ("", "") == capsys.readouterr()


@BARS
def test_a_terminal_is_shown_how_far_it_is_on_stderr(bar, monkeypatch, capsys):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    with bar() as progress:
        progress(2, 4)
    shown = capsys.readouterr()
    assert "" == shown.out
    assert "2/4" in shown.err
