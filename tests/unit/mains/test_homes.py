import pytest

from portcullis.domain.errors import SetupFault
from portcullis.mains.homes import HomeLock, is_held, prepare_home


def test_a_home_is_made_for_its_owner_only(tmp_path):
    home = prepare_home(tmp_path / "home")
    assert 0o700 == home.stat().st_mode & 0o777
    assert 0o700 == (home / "run").stat().st_mode & 0o777
    assert [] == list((home / "run").iterdir())


def test_a_home_below_a_file_is_refused_in_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SetupFault) as refused:
        prepare_home(tmp_path / "file" / "home")
    assert "--home" in str(refused.value)
    assert 1 == len(str(refused.value).splitlines())


def test_a_second_stack_on_the_same_home_is_refused_and_told_who_holds_it(tmp_path):
    home = prepare_home(tmp_path)
    with HomeLock(home):
        with pytest.raises(SetupFault, match=r"process \d+"), HomeLock(home):
            pass
        assert is_held(home)
    assert not is_held(home)


def test_a_lock_file_left_behind_holds_nobody_up(tmp_path):
    home = prepare_home(tmp_path)
    (home / "run" / "stack.lock").write_text("99999\n")
    assert not is_held(home)
    with HomeLock(home):
        assert is_held(home)


def test_a_home_without_a_lock_file_is_not_held(tmp_path):
    assert not is_held(tmp_path)
