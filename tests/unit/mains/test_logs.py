import io
import json
import logging

import pytest
import structlog

from portcullis.mains.logs import configure_logs


@pytest.fixture(autouse=True)
def restored():
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.getLogger("portcullis").setLevel(logging.NOTSET)
    structlog.reset_defaults()


def lines(level, act):
    out = io.StringIO()
    configure_logs(level, "gateway", out)
    act()
    return [json.loads(line) for line in out.getvalue().splitlines()]


def test_a_line_is_one_json_object_with_time_level_and_part():
    (line,) = lines("info", lambda: structlog.get_logger("portcullis.x").info("published", version=4))
    assert ("published", "info", "gateway", 4) == (line["event"], line["level"], line["part"], line["version"])
    assert line["timestamp"].endswith("Z")


def test_what_is_below_the_level_is_not_shown():
    assert [] == lines("warning", lambda: structlog.get_logger("portcullis.x").info("published"))


@pytest.mark.parametrize("key", ["identifier", "phone", "value", "authorization"])
def test_what_must_not_be_logged_is_withheld(key):
    (line,) = lines("info", lambda: structlog.get_logger("portcullis.x").error("refused", **{key: "+447700900123"}))
    assert "[withheld]" == line[key]


def test_a_librarys_warning_becomes_a_line_and_its_chatter_does_not():
    def act():
        logging.getLogger("somelib").info("chatter")
        logging.getLogger("somelib").warning("trouble")

    assert ["trouble"] == [line["event"] for line in lines("debug", act)]


def test_a_fault_is_logged_with_its_trace_on_one_line():
    def act():
        try:
            int("broken")
        except ValueError:
            structlog.get_logger("portcullis.x").exception("failed")

    (line,) = lines("info", act)
    assert "ValueError: invalid literal" in line["exception"]
