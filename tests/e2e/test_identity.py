"""Certificates and keys on the embedded stack with TLS and two workers: made, used, rotated and revoked by command."""

from __future__ import annotations

import json
import re
import shutil
import ssl
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from portcullis.client import Client, ClientError, Identifier, Unauthenticated, tls_credentials
from portcullis.demo.people import passport
from portcullis.mains.demo import POLICY
from tests.support.stack import RunningStack, fetch, portcullis, running_stack

pytestmark = pytest.mark.e2e

PARTNER = "ticketing"
VISIBLE_S = 2.0
"""How soon a revocation must be seen at every worker."""
CONNECTIONS = 16
"""Standing connections, so that each of two workers has some."""


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("identity") / "certificates"
    made = portcullis("certs", "dev", folder, "--partner", PARTNER, "--home", folder.parent / "nothing")
    assert 0 == made.returncode, made.stderr
    return folder


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, certificates: Path) -> Iterator[RunningStack]:
    folder = tmp_path_factory.mktemp("stack")
    tls = {
        "PORTCULLIS_TLS_CERT": str(certificates / "server.crt"),
        "PORTCULLIS_TLS_KEY": str(certificates / "server.key"),
        "PORTCULLIS_TLS_CLIENT_CA": str(certificates / "ca.crt"),
    }
    with running_stack(folder / "home", "--workers", "2", **tls) as running:
        shutil.copytree(POLICY, folder / "policy")
        file = folder / "policy" / "partners" / f"{PARTNER}.toml"
        text = file.read_text().replace("[partner]\n", '[partner]\ncredentials = "either"\n', 1)
        file.write_text(text + f'\n[[certificate]]\nsan = "spiffe://portcullis.example/partner/{PARTNER}"\n')
        done("policy", "apply", folder / "policy", "--home", running.home)
        yield running


def done(*arguments: Any, **environment: str) -> str:
    """Run a command that has to succeed; gives what it printed."""
    ran = portcullis(*arguments, **environment)
    assert 0 == ran.returncode, ran.stderr
    return ran.stdout


def target(stack: RunningStack) -> str:
    return f"localhost:{stack.grpc.rpartition(':')[2]}"


def client(stack: RunningStack, certificates: Path, key: str | None = None) -> Client:
    own = certificates / "partners" / PARTNER
    credentials = tls_credentials(certificates / "ca.crt", own.with_suffix(".crt"), own.with_suffix(".key"))
    return Client(target(stack), api_key=key, timeout_s=5.0, credentials=credentials)


def is_answered(asking: Client) -> bool:
    given = passport(77)
    try:
        asking.check(
            [Identifier.parse(f"{given.kind}:{given.country}:{given.value}")],
            action="rail.ticket.purchase",
            purpose="ticketing",
            attributes={"train": "G101"},
        )
    except Unauthenticated:
        return False
    return True


def answered_within(clients: list[Client], *, wanted: bool, within_s: float) -> float:
    """Wait until all of them are answered, or none is; gives how long that took, in seconds."""
    began = time.monotonic()
    while any(is_answered(each) is not wanted for each in clients):
        assert time.monotonic() - began < within_s
        time.sleep(0.01)
    return time.monotonic() - began


def test_a_key_that_is_revoked_is_refused_at_every_worker_within_two_seconds(
    stack: RunningStack, certificates: Path
) -> None:
    """The certificate beside it is good still, and makes up for no key that is none."""
    made = json.loads(done("partner", "key", "new", PARTNER, "--json", "--home", stack.home))
    with ExitStack() as opened:
        clients = [opened.enter_context(client(stack, certificates, made["key"])) for _ in range(CONNECTIONS)]
        answered_within(clients, wanted=True, within_s=10)
        done("partner", "key", "revoke", made["key_id"], "--home", stack.home)
        took = answered_within(clients, wanted=False, within_s=VISIBLE_S)
    print(f"a key revoked at {CONNECTIONS} standing connections after {took:.3f} s")


def test_a_partner_is_known_by_its_certificate_until_that_is_revoked_at_every_worker(
    stack: RunningStack, certificates: Path
) -> None:
    with ExitStack() as opened:
        clients = [opened.enter_context(client(stack, certificates)) for _ in range(CONNECTIONS)]
        answered_within(clients, wanted=True, within_s=10)
        own = certificates / "partners" / PARTNER
        words = ("check", "--id", "passport:XA:P0000077", "--action", "rail.ticket.purchase", "--purpose", "ticketing")
        tls = ("--tls-ca", certificates / "ca.crt", "--tls-cert", f"{own}.crt", "--tls-key", f"{own}.key")
        answer = json.loads(done(*words, "--attr", "train=G101", "--target", target(stack), *tls, "--json"))
        assert "ALLOW" == answer["outcome"]
        assert 200 == fetch(stack.http, "/readyz")[0]
        # Commands of the home need neither certificate nor authority, but a key: they go by the socket in it.
        answer = json.loads(done(*words, "--attr", "train=G101", "--home", stack.home, "--as", PARTNER, "--json"))
        assert "ALLOW" == answer["outcome"]
        done("doctor", "--home", stack.home)
        serial = x509.load_pem_x509_certificate(own.with_suffix(".crt").read_bytes()).serial_number
        done("partner", "certificate", "revoke", f"{serial:X}", "--note", "lost", "--home", stack.home)
        took = answered_within(clients, wanted=False, within_s=VISIBLE_S)
        with client(stack, certificates) as newcomer:
            assert not is_answered(newcomer)
    print(f"revoked at {CONNECTIONS} standing connections after {took:.3f} s")
    listed = json.loads(done("partner", "certificate", "list", "--home", stack.home, "--json"))
    assert [(f"{serial:x}", "lost")] == [(each["certificate"], each["note"]) for each in listed]


def test_a_key_is_rotated_with_an_overlap_and_ends_by_itself(stack: RunningStack) -> None:
    made = json.loads(
        done("partner", "key", "new", "dance-shop", "--role", "auditor", "--expires", "1h", "--json", "--home", stack.home)
    )
    assert made["expires_at"] == pytest.approx(time.time() + 3600, abs=60)
    successor = json.loads(
        done("partner", "key", "rotate", made["key_id"], "--overlap", "7d", "--json", "--home", stack.home)
    )
    assert ("dance-shop", "auditor") == (successor["holder"], successor["role"])
    assert successor["expires_at"] == pytest.approx(time.time() + 3600, abs=60)
    again = portcullis("partner", "key", "rotate", made["key_id"], "--home", stack.home)
    assert 1 == again.returncode
    assert "rotate its successor" in again.stderr
    listed = done("partner", "key", "list", "dance-shop", "--home", stack.home)
    assert re.search(r"0 d .* UTC, then " + successor["key_id"], listed)


def test_plain_text_and_no_certificate_are_refused(stack: RunningStack, certificates: Path) -> None:
    with Client(target(stack), timeout_s=2.0) as plain, pytest.raises(ClientError):
        is_answered(plain)
    bare = tls_credentials(certificates / "ca.crt")
    with Client(target(stack), timeout_s=2.0, credentials=bare) as anonymous, pytest.raises(ClientError):
        is_answered(anonymous)
    assert ssl.get_server_certificate(("localhost", int(stack.grpc.rpartition(":")[2])))
    # None of them wrote a line: strangers must not fill the log.
    assert [] == [line for line in stack.stderr.read_text().splitlines() if not line.startswith("{")]
