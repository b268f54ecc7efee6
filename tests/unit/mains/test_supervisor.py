import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from portcullis.mains.children import ChildSpec, start_child
from portcullis.mains.supervisor import FIRST_PAUSE_S, LONGEST_PAUSE_S, STABLE_AFTER_S, Supervisor
from portcullis.metrics import StackMetrics
from tests.support.processes import end, is_alive, wait_for

SLEEP = (sys.executable, "-I", "-S", "-c", "import time; time.sleep(600)")
DEAF = (
    sys.executable,
    "-I",
    "-S",
    "-c",
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(600)",
)


class Stack:
    """A supervisor over real processes, with a clock that only the test moves."""

    def __init__(self, *stages):
        self.registry = CollectorRegistry()
        self.now = 1000.0
        self.told: list[dict[str, int]] = []
        self.dead: list[int] = []
        self.supervisor = Supervisor(
            stages,
            metrics=StackMetrics(self.registry),
            monotonic=lambda: self.now,
            on_change=self.told.append,
            on_death=self.dead.append,
        )

    def pid(self, name):
        return self.told[-1][name]

    def restarts(self, child):
        return self.registry.get_sample_value("portcullis_child_restarts_total", {"child": child})

    def kill(self, name):
        os.kill(self.pid(name), signal.SIGKILL)
        told = len(self.told)
        wait_for(lambda: self.supervisor.tend() or len(self.told) > told)


@pytest.fixture
def stack_of():
    stacks = []

    def build(*stages):
        stacks.append(Stack(*stages))
        return stacks[-1]

    yield build
    for stack in stacks:
        stack.supervisor.stop(hurry=lambda: True)


def spec(name, argv=SLEEP, **more):
    return ChildSpec(name=name, argv=argv, **more)


def test_every_child_runs_after_the_start(stack_of):
    stack = stack_of([spec("one")], [spec("two")])
    stack.supervisor.start()
    assert all(is_alive(stack.pid(name)) for name in ("one", "two"))
    assert 1.0 == stack.registry.get_sample_value("portcullis_child_up", {"child": "two"})


def test_a_child_that_dies_is_started_again_after_a_pause_and_counted(stack_of):
    stack = stack_of([spec("one")])
    stack.supervisor.start()
    first = stack.pid("one")
    stack.kill("one")
    assert not stack.supervisor.is_up("one")
    stack.supervisor.tend()
    assert not stack.supervisor.is_up("one")
    stack.now += FIRST_PAUSE_S
    stack.supervisor.tend()
    assert first != stack.pid("one")
    assert 1.0 == stack.restarts("one")
    assert [first] == stack.dead


STEP_S = 0.01


def pauses(stack, deaths):
    seen = []
    for _ in range(deaths):
        stack.kill("one")
        before = stack.now
        while not stack.supervisor.is_up("one"):
            stack.now += STEP_S
            stack.supervisor.tend()
        seen.append(stack.now - before)
    return seen


def test_the_pause_doubles_up_to_its_greatest(stack_of):
    stack = stack_of([spec("one")])
    stack.supervisor.start()
    assert pytest.approx([0.2, 0.4, 0.8, 1.6, 3.2, LONGEST_PAUSE_S], abs=2 * STEP_S) == pauses(stack, 6)


def test_a_child_that_ran_long_enough_starts_again_soon(stack_of):
    stack = stack_of([spec("one")])
    stack.supervisor.start()
    pauses(stack, 3)
    stack.now += STABLE_AFTER_S + 1
    assert pytest.approx([FIRST_PAUSE_S], abs=2 * STEP_S) == pauses(stack, 1)


def test_a_child_that_cannot_start_as_it_is_set_up_is_named(stack_of):
    stack = stack_of([spec("good"), spec("bad", (sys.executable, "-I", "-S", "-c", "raise SystemExit(2)"))])
    stack.supervisor.start()
    wait_for(lambda: stack.supervisor.tend() or stack.supervisor.refused())
    assert ["bad"] == stack.supervisor.refused()


def test_stages_end_in_reverse_order(stack_of, tmp_path):
    log = tmp_path / "ends"
    program = textwrap.dedent("""
        import signal, sys, time
        def ended(*_):
            with open(sys.argv[2], "a") as log:
                log.write(sys.argv[1] + "\\n")
            raise SystemExit(0)
        signal.signal(signal.SIGTERM, ended)
        print("up", flush=True)
        time.sleep(600)
    """)

    def child(name):
        argv = (sys.executable, "-I", "-S", "-c", program, name, str(log))
        return spec(name, argv, output=tmp_path / f"{name}.out")

    stack = stack_of([child("first")], [child("second")], [child("third")])
    stack.supervisor.start()
    outputs = [tmp_path / f"{name}.out" for name in ("first", "second", "third")]
    wait_for(lambda: all("up" in path.read_text() for path in outputs))
    stack.supervisor.stop()
    assert ["third", "second", "first"] == log.read_text().split()


def test_a_child_that_does_not_end_is_killed(stack_of, tmp_path):
    stack = stack_of([spec("deaf", DEAF, stop_s=0.0, output=tmp_path / "out")])
    stack.supervisor.start()
    pid = stack.pid("deaf")
    wait_for(lambda: "deaf" in (tmp_path / "out").read_text())
    stack.supervisor.stop()
    assert not is_alive(pid)


def test_a_second_signal_does_not_wait_for_the_drain(stack_of, tmp_path):
    stack = stack_of([spec("deaf", DEAF, stop_s=3600.0, output=tmp_path / "out")])
    stack.supervisor.start()
    pid = stack.pid("deaf")
    wait_for(lambda: "deaf" in (tmp_path / "out").read_text())
    stack.supervisor.stop(hurry=lambda: True)
    assert not is_alive(pid)


def test_a_child_leads_a_session_of_its_own_so_that_ctrl_c_is_its_parents():
    child = start_child(spec("one"))
    try:
        assert child.pid == os.getsid(child.pid)
    finally:
        child.kill()
        child.wait()


PARENT = """
import sys, time
from portcullis.mains.children import ChildSpec, start_child
child = start_child(ChildSpec(name="child", argv=(sys.executable, "-I", "-S", "-c", "import time; time.sleep(600)")))
print(child.pid, flush=True)
time.sleep(600)
"""


def test_a_child_dies_with_its_killed_parent():
    parent = subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True)
    child = int(parent.stdout.readline())
    try:
        wait_for(lambda: b"tether" not in Path(f"/proc/{child}/cmdline").read_bytes())
        parent.kill()
        parent.wait()
        wait_for(lambda: not is_alive(child), what="the child's end")
    finally:
        parent.stdout.close()
        end(child)


def test_a_child_whose_parent_died_before_it_was_tied_does_not_start():
    gone = subprocess.Popen([sys.executable, "-I", "-S", "-c", ""])
    gone.wait()
    tether = start_child.__globals__["_TETHER"]
    command = [sys.executable, "-I", "-S", tether, str(gone.pid), "/bin/echo", "alive"]
    ended = subprocess.run(command, capture_output=True, check=False)
    assert (1, b"") == (ended.returncode, ended.stdout)
