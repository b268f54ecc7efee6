"""What the command line is wired to."""

from __future__ import annotations

import os
import pwd

import pytest

from portcullis.mains.wiring import ProcessWiring


@pytest.mark.parametrize("variable", ["LOGNAME", "USER", "LNAME", "USERNAME"])
def test_nobody_takes_another_name_by_setting_a_variable(monkeypatch, variable):
    expected = pwd.getpwuid(os.getuid()).pw_name
    monkeypatch.setenv(variable, "the-second-operator")
    assert expected == ProcessWiring().actor()


def test_a_user_without_a_name_goes_by_its_number(monkeypatch):
    monkeypatch.setattr(os, "getuid", lambda: 4_000_000_000)
    assert "uid-4000000000" == ProcessWiring().actor()
