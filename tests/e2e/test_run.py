"""`portcullis run`, as a newcomer sees it. Every process here is real."""

import json
import os
import signal
import socket
import stat
import subprocess
import threading
import time
from http import HTTPStatus

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from portcullis.client import ClientError, FailedPrecondition, Identifier
from portcullis.demo.people import resident_id
from tests.support.processes import is_alive, wait_for
from tests.support.stack import ROOT, clean_environment, fetch, left_children, listed_resident, portcullis, running_stack

pytestmark = pytest.mark.e2e


def ask(client, identifier, train="G101", **more):
    return client.check(
        [identifier], action="rail.ticket.purchase", purpose="ticketing", attributes={"train": train}, **more
    )


def try_out(command, *more):
    return subprocess.run(
        [*command.split(), *more], cwd=ROOT, env=clean_environment(), capture_output=True, text=True, timeout=60, check=False
    )


def test_the_three_printed_commands_give_a_refusal_an_allow_and_a_label(stack):
    refused, allowed, labelled = (try_out(command) for command in stack.commands)
    assert (0, 0, 0) == (refused.returncode, allowed.returncode, labelled.returncode), refused.stderr + labelled.stderr
    assert refused.stdout.startswith("RESTRICT")
    assert allowed.stdout.startswith("ALLOW")
    assert "published the holder of this number" in labelled.stdout.splitlines()[0]


def test_the_printed_commands_speak_json_too(stack):
    refused, allowed, labelled = (json.loads(try_out(command, "--json").stdout) for command in stack.commands)
    assert ("RESTRICT", "ALLOW") == (refused["outcome"], allowed["outcome"])
    assert labelled["label"]


def test_the_ready_line_is_the_first_and_comes_once(stack):
    lines = stack.stdout.read_text().splitlines()
    assert f"portcullis ready grpc={stack.grpc} home={stack.home}" == lines[0]
    assert 1 == sum("portcullis ready" in line for line in lines)


def test_the_demonstration_keys_are_those_of_the_five_partners_and_private(stack):
    assert {"ticketing", "ecommerce", "lending", "bikeshare", "callerid"} == set(stack.keys)
    for name in ("demo-keys.json", "operator-key", "run/stack.json", "keys/token.key", "keys/seal.key"):
        assert 0o600 == stat.S_IMODE((stack.home / name).stat().st_mode), name


def test_an_unlisted_person_is_allowed(stack):
    with stack.client("ticketing") as client:
        decision = ask(client, Identifier("cn.resident-id", resident_id(900_001).value))
    assert "ALLOW" == decision.outcome


def test_the_stack_is_ready_and_measured(stack):
    status, body = fetch(stack.http, "/readyz")
    assert (HTTPStatus.OK, {}) == (status, json.loads(body)["degraded"])
    assert HTTPStatus.OK == fetch(stack.http, "/healthz")[0]
    assert f'"http":"{stack.http}"' in stack.stderr.read_text().replace(" ", "")
    line = 'portcullis_hits_total{effect="RESTRICT",list="court-judgment-defaulters"}'
    before = stack.metric(line)
    with stack.client("ticketing") as client:
        ask(client, listed_resident())
    wait_for(lambda: stack.metric(line) == before + 1, what="the refusal in the metrics")
    assert stack.metric("portcullis_snapshot_version") > 0
    assert 1 == stack.metric('portcullis_child_up{child="gateway"}')


def test_metrics_and_logs_hold_no_identifier(stack):
    listed = listed_resident()
    with stack.client("ticketing") as client:
        ask(client, listed)
    wrong = listed.value[:-1] + ("0" if listed.value[-1] != "0" else "1")
    with stack.client("ticketing") as client, pytest.raises(ClientError):
        ask(client, Identifier("cn.resident-id", wrong))
    seen = fetch(stack.http, "/metrics")[1] + stack.stderr.read_text()
    assert listed.value not in seen
    assert wrong not in seen


def test_the_doctor_finds_nothing_to_mend(stack):
    examined = portcullis("doctor", "--home", stack.home)
    assert 0 == examined.returncode, examined.stdout


def test_health_says_that_the_stack_serves(stack):
    with grpc.insecure_channel(stack.grpc, options=[("grpc.enable_http_proxy", 0)]) as channel:
        answer = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=5)
    assert health_pb2.HealthCheckResponse.SERVING == answer.status


def test_a_second_stack_on_the_same_home_is_refused_in_one_line(stack):
    refused = portcullis("run", "--home", stack.home, "--grpc-port", "0", "--http-port", "0")
    assert (2, "") == (refused.returncode, refused.stdout)
    assert 1 == len(refused.stderr.splitlines())
    assert "already runs" in refused.stderr


@pytest.mark.parametrize("option", ["--grpc-port", "--http-port"])
def test_a_taken_port_is_refused_in_one_line_before_anything_starts(tmp_path, option):
    other = {"--grpc-port": "--http-port", "--http-port": "--grpc-port"}[option]
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        refused = portcullis("run", "--home", tmp_path / "home", option, port, other, "0")
    assert (2, "") == (refused.returncode, refused.stdout)
    (line,) = refused.stderr.splitlines()
    assert f"port {port} of 127.0.0.1 is taken by process {os.getpid()}" in line
    assert f"{option} 0" in line
    assert not (tmp_path / "home" / "registry.db").exists()


def test_the_port_of_a_running_stack_is_taken(stack, tmp_path):
    port = stack.grpc.rpartition(":")[2]
    refused = portcullis("run", "--home", tmp_path / "home", "--grpc-port", port, "--http-port", "0")
    assert (2, 1) == (refused.returncode, len(refused.stderr.splitlines()))
    assert "is taken" in refused.stderr


def test_a_home_that_cannot_be_written_is_refused_in_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    refused = portcullis("run", "--home", tmp_path / "file" / "home")
    assert (2, "") == (refused.returncode, refused.stdout)
    (line,) = refused.stderr.splitlines()
    assert "--home" in line


def test_a_gateway_that_dies_comes_back_and_is_counted(stack):
    before = stack.children["gateway"]
    restarts = stack.metric('portcullis_child_restarts_total{child="gateway"}')
    os.kill(before, signal.SIGKILL)
    wait_for(lambda: stack.children.get("gateway") not in (None, before), what="another gateway")
    wait_for(lambda: fetch(stack.http, "/readyz")[0] == HTTPStatus.OK, within_s=30, what="readiness")
    assert restarts + 1 == stack.metric('portcullis_child_restarts_total{child="gateway"}')
    with stack.client("ticketing") as client:
        refused = ask(client, listed_resident())
    assert "RESTRICT" == refused.outcome


def test_checks_go_on_while_valkey_and_the_publisher_are_away_and_heal_after(stack):
    for name in ("valkey", "publisher"):
        os.kill(stack.children[name], signal.SIGKILL)
    with stack.client("ticketing") as client:
        refused = ask(client, listed_resident())
        assert "RESTRICT" == refused.outcome
        wait_for(
            lambda: (
                json.loads(fetch(stack.http, "/readyz")[1])["degraded"] == {}
                and stack.metric("portcullis_snapshot_age_seconds") < 1.5
            ),
            within_s=30,
            what="the healing",
        )


def test_a_killed_parent_leaves_nothing_running_and_a_second_start_keeps_the_data(tmp_path):
    home = tmp_path / "home"
    with running_stack(home, "--workers", "2") as first:
        keys = first.keys
        children = first.children
        assert {"valkey", "publisher", "follower", "exchange", "gateway-1", "gateway-2"} == children.keys()
        with first.client("ticketing") as client:
            refused = ask(client, listed_resident())
        first.signal(signal.SIGKILL)
        first.wait()
        wait_for(lambda: not any(map(is_alive, children.values())), what="the end of every child")
    with running_stack(home) as second:
        assert keys == second.keys
        # It lay in the spool when the parent was killed, and is shipped from there.
        wait_for(
            lambda: 0 == portcullis("decision", "show", refused.decision_id, "--home", home).returncode,
            what="the decision in the journal",
        )
        with second.client("ticketing") as client:
            again = ask(client, listed_resident())
        assert ("RESTRICT", True) == (again.outcome, int(again.snapshot.version) >= int(refused.snapshot.version))
        interrupt(second)


def interrupt(stack):
    """Ctrl-C, and all that must hold after it."""
    children = stack.children
    stack.signal(signal.SIGINT)
    assert 0 == stack.wait(), stack.stderr.read_text()
    assert [] == [name for name, pid in children.items() if is_alive(pid)]
    assert [] == left_children(stack.home)
    assert {"stack.lock", "valkey.log"} == {path.name for path in (stack.home / "run").iterdir()}


def test_the_demonstration_comes_into_a_home_that_was_empty_and_answers_from_the_ready_line_on(tmp_path):
    home = tmp_path / "home"
    with running_stack(home, "--empty") as empty:
        empty.signal(signal.SIGTERM)
        assert empty.wait() == 0
    with running_stack(home) as filled, filled.client("ticketing") as client:
        assert ask(client, listed_resident()).outcome == "RESTRICT"


def test_a_stack_can_be_empty_and_a_call_under_way_outlives_the_stop(tmp_path):
    home = tmp_path / "home"
    with running_stack(home, "--empty") as empty:
        assert not (home / "demo-keys.json").exists()
        assert f"policy apply DIR --home {home}" in empty.stdout.read_text()
        policy = ROOT / "services" / "portcullis" / "demo" / "policy"
        assert 0 == portcullis("policy", "apply", policy, "--home", home).returncode
        key = portcullis("partner", "key", "new", "ticketing", "--home", home).stdout.strip()
        (home / "demo-keys.json").write_text(json.dumps({"ticketing": key}))
        with empty.client("ticketing") as client:
            unlisted = Identifier("cn.resident-id", resident_id(1).value)
            wait_for(lambda: _allowed(client, unlisted), what="the key's arrival")
            version = ask(client, unlisted).snapshot.version
            assert_drained(empty, client, unlisted, str(int(version) + 1))
        assert 0 == empty.wait(), empty.stderr.read_text()


def _allowed(client, identifier):
    try:
        return ask(client, identifier).outcome == "ALLOW"
    except ClientError:
        return False


def assert_drained(stack, client, identifier, version):
    """A call that waits for a snapshot gets its own answer, though the stop was asked for meanwhile."""
    stopping = threading.Timer(0.5, stack.signal, (signal.SIGTERM,))
    begun = time.monotonic()
    stopping.start()
    with pytest.raises(FailedPrecondition):
        ask(client, identifier, at_least_snapshot=version, timeout_s=2.0)
    assert time.monotonic() - begun > 1.0
    stopping.join()
