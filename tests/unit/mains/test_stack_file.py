import pytest

from portcullis.config import Settings
from portcullis.domain.errors import SetupFault
from portcullis.mains.homes import HomeLock, prepare_home
from portcullis.mains.stack_file import (
    StackFile,
    left_behind,
    locate_store,
    remove_stack_file,
    running_stack,
    write_stack_file,
)

STACK = StackFile(
    pid=1, grpc="127.0.0.1:1", http="127.0.0.1:2", transport="grpcio", redis_url="unix:///x", children={"valkey": 3}
)


def test_a_running_stack_is_found_by_the_other_commands_of_its_home(tmp_path):
    home = prepare_home(tmp_path)
    with HomeLock(home):
        write_stack_file(home, STACK)
        assert STACK == running_stack(home)
        assert "unix:///x" == locate_store(Settings(home=home))


def test_the_file_of_a_dead_stack_misleads_nobody(tmp_path):
    home = prepare_home(tmp_path)
    write_stack_file(home, STACK)
    assert running_stack(home) is None
    assert STACK == left_behind(home)
    with pytest.raises(SetupFault, match="portcullis run"):
        locate_store(Settings(home=home))


def test_a_store_that_is_set_goes_before_the_embedded_one(tmp_path):
    assert "redis://store:6379/0" == locate_store(Settings(home=tmp_path, redis_url="redis://store:6379/0"))


def test_the_file_is_for_its_owner_only_and_goes_at_the_end(tmp_path):
    home = prepare_home(tmp_path)
    write_stack_file(home, STACK)
    assert 0o600 == (home / "run" / "stack.json").stat().st_mode & 0o777
    remove_stack_file(home)
    assert left_behind(home) is None
