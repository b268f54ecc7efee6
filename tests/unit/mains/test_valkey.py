import tempfile
from pathlib import Path

import pytest
import redis

from portcullis.mains.children import start_child
from portcullis.mains.store_health import store_fault
from portcullis.mains.valkey import MAX_SOCKET_PATH_BYTES, discard_socket, path_of, socket_path, url_of, valkey_spec
from tests.support.processes import wait_for


def test_the_socket_lies_in_the_run_folder_when_its_path_fits(tmp_path):
    run = Path(tempfile.mkdtemp(dir="/tmp"))
    try:
        assert run / "valkey.sock" == socket_path(run)
    finally:
        run.rmdir()


def test_a_home_with_a_long_path_gets_a_private_folder_for_its_socket():
    path = socket_path(Path("/" + "long/" * 40))
    try:
        assert MAX_SOCKET_PATH_BYTES >= len(str(path))
        assert 0o700 == path.parent.stat().st_mode & 0o777
    finally:
        discard_socket(path)
    assert not path.parent.exists()


def test_a_socket_that_was_chosen_is_known_by_its_url_again():
    short, long = Path("/run/portcullis"), Path("/" + "long/" * 40)
    path = socket_path(long)
    try:
        assert short / "valkey.sock" == path_of(url_of(short / "valkey.sock"), short)
        assert path == path_of(url_of(path), long)
    finally:
        discard_socket(path)


@pytest.mark.parametrize(
    "url",
    [
        "redis://store:6379/0",
        "unix:///run/redis/redis.sock",
        "unix:///run/redis/valkey.sock",
        "unix://:hush@/run/portcullis/valkey.sock",
    ],
)
def test_the_socket_of_another_server_is_not_taken_for_ones_own(url):
    assert path_of(url, Path("/run/portcullis")) is None


def test_discarding_a_socket_in_a_run_folder_leaves_the_folder(tmp_path):
    (tmp_path / "valkey.sock").touch()
    discard_socket(tmp_path / "valkey.sock")
    assert [] == list(tmp_path.iterdir())


def test_the_server_answers_on_its_socket_alone_and_keeps_nothing(tmp_path):
    path = socket_path(tmp_path)
    child = start_child(valkey_spec(path, tmp_path))
    try:
        wait_for(lambda: store_fault(url_of(path)) is None, what="the server's answer")
        assert 0o700 == path.stat().st_mode & 0o777
        with redis.Redis.from_url(url_of(path)) as client:
            config = client.config_get("port", "save", "appendonly")
        assert {"port": "0", "save": "", "appendonly": "no"} == {
            (key.decode() if isinstance(key, bytes) else key): (value.decode() if isinstance(value, bytes) else value)
            for key, value in config.items()
        }
    finally:
        child.terminate()
        child.wait(10)
        discard_socket(path)
    assert "does not answer" in store_fault(url_of(path))
