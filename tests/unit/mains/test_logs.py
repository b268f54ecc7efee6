import io
import json
import logging
import sys
import threading

import pytest
import stamina
import structlog

from portcullis.mains.logs import configure_logs, log_uncaught


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
    assert line["exception"].endswith("ValueError")
    assert "in act" in line["exception"]
    assert "broken" not in json.dumps(line)


def test_a_text_of_a_library_is_scrubbed_and_its_fault_told_without_what_it_quotes():
    def act():
        try:
            int("XA12345678")
        except ValueError:
            logging.getLogger("somelib").exception("can't connect to %s", "redis://:hush@store:6379")

    (line,) = lines("info", act)
    assert "can't connect to redis://[withheld]@store:6379" == line["event"]
    assert line["exception"].endswith("ValueError")
    assert not {"hush", "XA12345678"} & set(json.dumps(line).replace('"', " ").replace(":", " ").split())


def test_what_a_retry_was_called_with_is_withheld():
    @stamina.retry(on=ValueError, attempts=2, wait_initial=0, wait_max=0, wait_jitter=0)
    def look_up(number):
        raise ValueError(number)

    def act():
        with pytest.raises(ValueError, match="XA12345678"):
            look_up("XA12345678")

    (line,) = lines("info", act)
    assert "stamina.retry_scheduled" == line["event"]
    assert ("[withheld]", "[withheld]", "[withheld]") == (line["args"], line["kwargs"], line["caused_by"])
    assert "XA12345678" not in json.dumps(line)


def test_a_fault_that_ends_a_thread_is_a_line_without_what_it_quotes(monkeypatch):
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)
    monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)

    def act():
        log_uncaught()
        thread = threading.Thread(target=int, args=("XA12345678",))
        thread.start()
        thread.join()

    (line,) = lines("info", act)
    assert ("a thread ended by a fault", "error") == (line["event"], line["level"])
    assert line["exception"].endswith("ValueError")


def test_on_a_terminal_a_fault_is_told_without_what_it_quotes():
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    out = Terminal()
    configure_logs("info", "gateway", out)
    try:
        int("XA12345678")
    except ValueError:
        structlog.get_logger("portcullis.x").exception("failed")
    assert "ValueError" in out.getvalue()
    assert "XA12345678" not in out.getvalue()
