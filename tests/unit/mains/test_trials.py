import shlex
import sys
from pathlib import Path

from portcullis.demo import lists
from portcullis.mains.trials import first_steps, program, trials

DEFAULT_TARGET = "127.0.0.1:50051"


def test_the_default_home_and_port_need_no_options(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    commands = [each.command for each in trials(tmp_path / ".portcullis", DEFAULT_TARGET)]
    assert len(commands) == 3
    assert not any(option in command for command in commands for option in ("--home", "--target"))


def test_another_home_and_port_are_told(tmp_path):
    home = tmp_path / "my home"
    for each in trials(home, "127.0.0.1:1"):
        words = shlex.split(each.command)
        assert (str(home), "127.0.0.1:1") == (words[words.index("--home") + 1], words[words.index("--target") + 1])


def test_the_first_steps_of_an_empty_stack_name_another_home_only(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert not any("--home" in each for each in first_steps(tmp_path / ".portcullis"))
    assert all(["--home", str(tmp_path / "my home")] == shlex.split(each)[-2:] for each in first_steps(tmp_path / "my home"))


def test_the_program_is_named_as_the_present_folder_finds_it(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "prefix", str(tmp_path / ".venv"))
    monkeypatch.chdir(tmp_path)
    assert program() == str(Path(".venv") / "bin" / "portcullis")
    monkeypatch.chdir("/")
    assert program() == str(tmp_path / ".venv" / "bin" / "portcullis").lstrip("/")
    monkeypatch.setattr(Path, "cwd", lambda: tmp_path / "elsewhere")
    assert program() == str(tmp_path / ".venv" / "bin" / "portcullis")


def test_the_same_person_is_asked_about_twice_and_the_caller_is_of_the_public_list(tmp_path):
    refused, allowed, labelled = trials(tmp_path, DEFAULT_TARGET)
    assert refused.command.replace("G101", "K1") == allowed.command
    assert next(lists.rows("caller-notices"))["identifiers"][0]["value"] in labelled.command
