"""The transmitter over HTTP: discovery, streams, status, verification, and polling."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from portcullis.adapters.set_reading import parse_set
from portcullis.domain.changes import ChangeKind
from portcullis.domain.errors import JournalUnavailable, SetupFault
from portcullis.domain.security_events import CHANGE_TYPES, STREAM_UPDATED, VERIFICATION
from portcullis.exchange.relay import http_app
from portcullis.exchange.relay.http_app import MAX_REQUEST_BYTES, relay_app
from portcullis.exchange.relay.polling import Polls
from portcullis.exchange.relay.receivers import MAX_STREAMS, Receivers
from portcullis.exchange.relay.setting_up import NEW_ENDPOINT
from portcullis.ports.relay import DeliveryMethod, Side, Stream, StreamSettings
from tests.support.clocks import HandClock
from tests.support.policies import NOW
from tests.support.relays import ISSUER, NAMES, World, running, until

API_KEYS = {"key-of-lender": "lender", "key-of-shop": "shop"}
PUSH = "urn:ietf:rfc:8935"
POLL = "urn:ietf:rfc:8936"


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@pytest.fixture
async def client(world: World) -> AsyncIterator[httpx.AsyncClient]:
    receivers = Receivers(world.desk, store=world.store, sources=world.sources, partner_of=API_KEYS.get, clock=world.clock)
    polls = Polls(
        world.store,
        sources=world.sources,
        envelopes=world.envelopes,
        clock=world.clock,
        metrics=world.metrics,
        long_poll_s=5.0,
    )
    app = relay_app(issuer=ISSUER, signer=world.signer, receivers=receivers, polls=polls)
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="https://portcullis.example") as opened:
        yield opened


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


LENDER = bearer("key-of-lender")
SHOP = bearer("key-of-shop")


def polled(
    world: World, holder: str = "lender", side: Side = Side.PARTNER, **settings: Any
) -> tuple[Stream, dict[str, str]]:
    made = world.desk.create(
        holder=holder, side=side, settings=StreamSettings(method=DeliveryMethod.POLL, **settings), from_oldest=True
    )
    return made.stream, bearer(made.token)


async def poll(client: httpx.AsyncClient, stream: Stream, auth: dict[str, str], **body: Any) -> dict[str, Any]:
    request = {"returnImmediately": True} | body
    answer = await client.post(f"/relay/ssf/poll/{stream.stream_id}", json=request, headers=auth)
    assert 200 == answer.status_code, answer.text
    assert "no-store" == answer.headers["cache-control"]
    return answer.json()


def entries(world: World, sets: dict[str, str], holder: str = "lender") -> list[int]:
    known = {NAMES.name(holder, 1, number): number for number in range(1, 2000)}
    events = {jti: parse_set(token, world.signer.jwks(), issuer=ISSUER, audience=holder) for jti, token in sets.items()}
    assert all(jti == event.id for jti, event in events.items())
    return [known[str(event.subject_id["id"])] for event in events.values()]


# --- discovery ------------------------------------------------------------


async def test_the_configuration_is_found_where_the_issuer_says(client: httpx.AsyncClient) -> None:
    answer = await client.get("/.well-known/ssf-configuration/relay")

    document = answer.json()
    assert ("1_0", ISSUER) == (document["spec_version"], document["issuer"])
    assert [PUSH, POLL] == document["delivery_methods_supported"]
    assert "ALL" == document["default_subjects"]
    endpoints = [name for name in document if name.endswith(("_endpoint", "_uri"))]
    assert ["jwks_uri", "configuration_endpoint", "status_endpoint", "verification_endpoint"] == endpoints
    assert all(document[name].startswith(f"{ISSUER}/") for name in endpoints)


async def test_the_keys_are_shown_without_what_is_private(client: httpx.AsyncClient) -> None:
    keys = (await client.get("/relay/jwks.json")).json()["keys"]

    assert [{"kty", "crv", "x", "y", "kid", "use", "alg"}] == [set(each) for each in keys]


@pytest.mark.parametrize("issuer", ["", "portcullis.example", "http://portcullis.example", f"{ISSUER}/", f"{ISSUER}?a"])
def test_an_issuer_that_is_none_is_a_fault_of_the_setup(world: World, issuer: str) -> None:
    with pytest.raises(SetupFault, match="issuer"):
        relay_app(issuer=issuer, signer=world.signer, receivers=None, polls=None)  # type: ignore[arg-type]


# --- who may ------------------------------------------------------------


@pytest.mark.parametrize("headers", [{}, bearer("nobody"), bearer(""), {"authorization": "Basic a2V5"}], ids=str)
async def test_nothing_but_discovery_is_without_a_token(client: httpx.AsyncClient, headers: dict[str, str]) -> None:
    for method, path in (("GET", "/stream"), ("POST", "/stream"), ("GET", "/status?stream_id=x"), ("POST", "/poll/x")):
        answer = await client.request(method, f"/relay/ssf{path}", headers=headers)
        assert (401, "Bearer") == (answer.status_code, answer.headers["www-authenticate"])
        assert "authentication_failed" == answer.json()["err"]


async def test_a_receiver_sees_its_own_streams_alone(client: httpx.AsyncClient, world: World) -> None:
    own, token = polled(world)
    polled(world)
    other, _ = polled(world, "shop")
    world.stream(DeliveryMethod.WEBHOOK, "https://receiver.example/hook")

    by_token = (await client.get("/relay/ssf/stream", headers=token)).json()
    by_key = (await client.get("/relay/ssf/stream", headers=LENDER)).json()

    assert [own.stream_id] == [each["stream_id"] for each in by_token]
    assert 2 == len(by_key)
    for method, path in (
        ("GET", f"/stream?stream_id={other.stream_id}"),
        ("DELETE", f"/stream?stream_id={other.stream_id}"),
        ("GET", f"/status?stream_id={other.stream_id}"),
        ("POST", f"/poll/{other.stream_id}"),
    ):
        assert 404 == (await client.request(method, f"/relay/ssf{path}", headers=token)).status_code
    body = {"stream_id": other.stream_id, "status": "disabled"}
    for path in ("/status", "/verify"):
        assert 404 == (await client.post(f"/relay/ssf{path}", json=body, headers=token)).status_code
    assert 404 == (await client.patch("/relay/ssf/stream", json=body, headers=token)).status_code


# --- streams ------------------------------------------------------------


async def test_a_partner_makes_reads_changes_replaces_and_deletes_its_stream(
    client: httpx.AsyncClient, world: World
) -> None:
    stayed = CHANGE_TYPES[ChangeKind.STAYED]
    made = await client.post(
        "/relay/ssf/stream",
        json={"delivery": {"method": POLL}, "events_requested": [stayed, "urn:x:unknown"], "description": "ours"},
        headers=LENDER,
    )
    document = made.json()
    stream_id = document["stream_id"]

    assert 201 == made.status_code
    assert {"method": POLL, "endpoint_url": f"{ISSUER}/ssf/poll/{stream_id}"} == document["delivery"]
    assert (ISSUER, "lender", "ours") == (document["iss"], document["aud"], document["description"])
    assert [stayed] == document["events_delivered"]
    assert list(CHANGE_TYPES.values()) == document["events_supported"]
    assert document == (await client.get(f"/relay/ssf/stream?stream_id={stream_id}", headers=LENDER)).json()

    changed = await client.patch(
        "/relay/ssf/stream", json={"stream_id": stream_id, "iss": ISSUER, "description": "still ours"}, headers=LENDER
    )
    assert document | {"description": "still ours"} == changed.json()
    replaced = await client.put("/relay/ssf/stream", json={"stream_id": stream_id}, headers=LENDER)
    assert list(CHANGE_TYPES.values()) == replaced.json()["events_delivered"]
    assert not {"description", "events_requested"} & replaced.json().keys()
    assert 204 == (await client.delete(f"/relay/ssf/stream?stream_id={stream_id}", headers=LENDER)).status_code
    assert [] == (await client.get("/relay/ssf/stream", headers=LENDER)).json()


async def test_an_endpoint_that_a_receiver_gives_waits_for_the_operator(client: httpx.AsyncClient, world: World) -> None:
    delivery = {"method": PUSH, "endpoint_url": "https://receiver.example/events", "authorization_header": "Bearer made-up"}
    made = await client.post("/relay/ssf/stream", json={"delivery": delivery}, headers=LENDER)
    stream_id = made.json()["stream_id"]

    assert {"method": PUSH, "endpoint_url": "https://receiver.example/events"} == made.json()["delivery"]
    assert "made-up" not in made.text
    assert "Bearer made-up" == world.store.secret(stream_id)
    status = (await client.get(f"/relay/ssf/status?stream_id={stream_id}", headers=LENDER)).json()
    assert {"stream_id": stream_id, "status": "paused", "reason": NEW_ENDPOINT} == status

    world.desk.resume(stream_id)
    same = await client.patch("/relay/ssf/stream", json={"stream_id": stream_id, "delivery": delivery}, headers=LENDER)
    assert 200 == same.status_code
    assert world.store.stream(stream_id).settings.held == ""
    moved = delivery | {"endpoint_url": "https://elsewhere.example/events"}
    await client.patch("/relay/ssf/stream", json={"stream_id": stream_id, "delivery": moved}, headers=LENDER)
    assert NEW_ENDPOINT == world.store.stream(stream_id).settings.held


@pytest.mark.parametrize("paused", ["before", "after"])
async def test_an_endpoint_given_beside_an_operators_pause_is_not_agreed_to_by_the_end_of_the_pause(
    client: httpx.AsyncClient, world: World, paused: str
) -> None:
    stream = world.stream(DeliveryMethod.PUSH, "https://receiver.example/events")
    moved = {"method": PUSH, "endpoint_url": "https://elsewhere.example/events"}
    if paused == "before":
        world.desk.pause(stream.stream_id, "upgrade")
    await client.patch("/relay/ssf/stream", json={"stream_id": stream.stream_id, "delivery": moved}, headers=LENDER)
    if paused == "after":
        world.desk.pause(stream.stream_id, "upgrade")
    assert "upgrade" == world.store.stream(stream.stream_id).settings.held

    first = world.desk.resume(stream.stream_id).settings
    second = world.desk.resume(stream.stream_id).settings

    assert (NEW_ENDPOINT, True) == (first.held, first.unagreed)
    assert ("", False) == (second.held, second.unagreed)


@pytest.mark.parametrize(
    "body",
    [
        {"delivery": {"method": "urn:x"}},
        {"delivery": {"method": PUSH}},
        {"delivery": "push"},
        {"delivery": {"method": PUSH, "endpoint_url": "http://127.0.0.1/events"}},
        {"delivery": {"method": PUSH, "endpoint_url": "https://r.example/", "authorization_header": "two\nlines"}},
        {"delivery": {"method": PUSH, "endpoint_url": "https://r.example/", "authorization_header": 5}},
        {"events_requested": "all"},
        {"events_requested": [5]},
        {"events_requested": ["x"] * 65},
        {"description": 5},
        {"description": "x" * 257},
    ],
    ids=str,
)
async def test_a_configuration_that_can_not_be_is_refused(client: httpx.AsyncClient, body: dict[str, Any]) -> None:
    answer = await client.post("/relay/ssf/stream", json=body, headers=LENDER)

    assert (400, "invalid_request") == (answer.status_code, answer.json()["err"])


@pytest.mark.parametrize("content", [b"[]", b"{", b"\xff", b"null", b"{" + b" " * MAX_REQUEST_BYTES + b"}"])
async def test_a_body_that_is_no_small_object_is_refused(client: httpx.AsyncClient, content: bytes) -> None:
    assert 400 == (await client.post("/relay/ssf/stream", content=content, headers=LENDER)).status_code


async def test_what_is_the_transmitters_can_not_be_changed(client: httpx.AsyncClient, world: World) -> None:
    stream, token = polled(world)
    for change in ({"iss": "https://other.example"}, {"aud": "other"}, {"min_verification_interval": 1}):
        answer = await client.patch("/relay/ssf/stream", json={"stream_id": stream.stream_id} | change, headers=token)
        assert 400 == answer.status_code


async def test_who_may_make_how_many_streams_is_bounded(client: httpx.AsyncClient, world: World) -> None:
    _, token = polled(world, side=Side.AUTHORITY, holder="Demonstration Court")
    assert 403 == (await client.post("/relay/ssf/stream", json={}, headers=token)).status_code

    answers = [await client.post("/relay/ssf/stream", json={}, headers=LENDER) for _ in range(MAX_STREAMS + 1)]

    assert [201] * MAX_STREAMS + [403] == [each.status_code for each in answers]


# --- status and verification ------------------------------------------------------------


async def test_a_paused_stream_holds_what_comes_and_a_disabled_one_does_not(client: httpx.AsyncClient, world: World) -> None:
    stream, token = polled(world)

    async def set_status(status: str) -> None:
        body = {"stream_id": stream.stream_id, "status": status, "reason": "ours"}
        answer = await client.post("/relay/ssf/status", json=body, headers=token)
        assert body == answer.json()

    await set_status("paused")
    world.grow(1)
    assert {"sets": {}} == await poll(client, stream, token)
    await set_status("enabled")
    assert [1] == entries(world, (await poll(client, stream, token))["sets"])
    await set_status("disabled")
    world.grow(2)
    assert {"sets": {}} == await poll(client, stream, token)
    await set_status("enabled")
    assert {"sets": {}} == await poll(client, stream, token)
    world.grow(3)
    assert [3] == entries(world, (await poll(client, stream, token))["sets"])


@pytest.mark.parametrize("body", [{"status": "on"}, {}, {"status": ["enabled"]}, {"status": "paused", "reason": 5}], ids=str)
async def test_a_status_that_is_none_is_refused(client: httpx.AsyncClient, world: World, body: dict[str, Any]) -> None:
    stream, token = polled(world)

    answer = await client.post("/relay/ssf/status", json={"stream_id": stream.stream_id} | body, headers=token)

    assert 400 == answer.status_code


async def test_a_verification_event_carries_the_receivers_own_word(client: httpx.AsyncClient, world: World) -> None:
    stream, token = polled(world)
    assert isinstance(world.clock, HandClock)
    body = {"stream_id": stream.stream_id, "state": "VGhpcyBpcyBhbiBleGFtcGxlIHN0YXRlIHZhbHVlLgo="}

    assert 204 == (await client.post("/relay/ssf/verify", json=body, headers=token)).status_code
    assert 429 == (await client.post("/relay/ssf/verify", json=body, headers=token)).status_code
    sets = (await poll(client, stream, token))["sets"]
    event = parse_set(next(iter(sets.values())), world.signer.jwks(), issuer=ISSUER, audience="lender")
    assert {VERIFICATION: {"state": body["state"]}} == event.events
    assert {"format": "opaque", "id": stream.stream_id} == event.subject_id
    assert {"sets": {}} == await poll(client, stream, token, ack=list(sets))
    world.clock.advance(30)
    assert 204 == (await client.post("/relay/ssf/verify", json={"stream_id": stream.stream_id}, headers=token)).status_code
    assert 400 == (await client.post("/relay/ssf/verify", json=body | {"state": 5}, headers=token)).status_code


# --- polling ------------------------------------------------------------


async def test_events_are_offered_until_they_are_acknowledged(client: httpx.AsyncClient, world: World) -> None:
    stream, token = polled(world)
    world.grow(1, 2, 3)

    first = await poll(client, stream, token, maxEvents=2)
    again = await poll(client, stream, token, maxEvents=2)
    assert [1, 2] == entries(world, first["sets"]) == entries(world, again["sets"])
    assert list(first["sets"]) == list(again["sets"])
    assert first["moreAvailable"]
    rest = await poll(client, stream, token, ack=list(first["sets"]))
    assert [3] == entries(world, rest["sets"])
    assert "moreAvailable" not in rest
    assert {"sets": {}} == await poll(client, stream, token, ack=list(rest["sets"]), maxEvents=0)
    assert 3 == world.store.stream(stream.stream_id).place.position
    assert 3 == world.metric("portcullis_relay_delivered_total", stream=stream.stream_id)


async def test_events_are_acknowledged_in_any_order(client: httpx.AsyncClient, world: World) -> None:
    stream, token = polled(world)
    world.grow(1, 2, 3, 4)
    ids = list((await poll(client, stream, token))["sets"])

    left = await poll(client, stream, token, ack=[ids[1], ids[3], "unknown", f"{stream.stream_id}-00000000-1"])
    assert [1, 3] == entries(world, left["sets"])
    assert 0 == world.store.stream(stream.stream_id).place.position
    left = await poll(client, stream, token, ack=[ids[0]])
    assert [3] == entries(world, left["sets"])
    assert 2 == world.store.stream(stream.stream_id).place.position
    await poll(client, stream, token, ack=[ids[2], ids[0]])
    place = world.store.stream(stream.stream_id).place
    assert (4, ()) == (place.position, place.acked)


@pytest.mark.parametrize("seed", range(5))
async def test_a_receiver_that_acknowledges_as_it_likes_gets_everything(
    client: httpx.AsyncClient, world: World, seed: int
) -> None:
    draw = random.Random(seed)
    stream, token = polled(world)
    got: dict[str, str] = {}
    acked: list[str] = []
    made = 0
    while True:
        if made < 60:
            world.grow(made + 1, **({} if draw.random() < 0.8 else {"list": "unknown"}))
            made += 1
        answer = await poll(client, stream, token, maxEvents=draw.randint(0, 5), ack=acked)
        for jti, text in answer["sets"].items():
            assert jti not in acked
            got.setdefault(jti, text)
        waiting = [jti for jti in answer["sets"] if jti not in acked]
        acked = draw.sample(waiting, draw.randint(0, len(waiting)))
        if made == 60 and world.store.stream(stream.stream_id).place.position == 60:
            break
    expected = [change.entry_id for change in world.feed.read(0, 100) if change.list == "court"]
    assert expected == sorted(entries(world, got))


async def test_an_event_that_the_receiver_can_not_take_parks_the_stream(client: httpx.AsyncClient, world: World) -> None:
    stream, token = polled(world)
    world.grow(1, 2, 3)
    ids = list((await poll(client, stream, token))["sets"])

    errors = {ids[1]: {"err": "invalid_issuer", "description": "secret words"}}
    assert {"sets": {}} == await poll(client, stream, token, ack=[ids[0]], setErrs=errors)

    place = world.store.stream(stream.stream_id).place
    assert (1, "the receiver refused the event: invalid_issuer") == (place.position, place.parked)
    status = (await client.get(f"/relay/ssf/status?stream_id={stream.stream_id}", headers=token)).json()
    assert "paused" == status["status"]
    world.desk.replay(stream.stream_id, skip=True)
    sets = (await poll(client, stream, token))["sets"]
    told = [parse_set(each, world.signer.jwks(), issuer=ISSUER, audience="lender").events for each in sets.values()]
    assert [STREAM_UPDATED, CHANGE_TYPES[ChangeKind.ENTRY_ADDED]] == [next(iter(each)) for each in told]
    assert ids[2] in sets


async def test_what_is_left_out_is_the_event_that_could_not_be_taken_and_no_earlier_one(
    client: httpx.AsyncClient, world: World
) -> None:
    stream, token = polled(world)
    world.grow(1, 2, 3, 4)
    ids = list((await poll(client, stream, token))["sets"])
    await poll(client, stream, token, setErrs={ids[2]: {"err": "invalid_issuer"}})

    world.desk.replay(stream.stream_id, skip=True)

    assert [ids[0], ids[1], ids[3]] == [each for each in (await poll(client, stream, token))["sets"] if each in ids]
    await poll(client, stream, token, ack=[ids[0], ids[1], ids[3]])
    assert 4 == world.store.stream(stream.stream_id).place.position


async def test_a_notice_that_could_not_be_taken_is_left_out_and_no_event(client: httpx.AsyncClient, world: World) -> None:
    stream, token = polled(world)
    world.grow(1)
    world.desk.verify(stream.stream_id)
    world.desk.verify(stream.stream_id)
    first, second, event = (await poll(client, stream, token))["sets"]
    await poll(client, stream, token, setErrs={second: {"err": "invalid_issuer"}})

    world.desk.replay(stream.stream_id, skip=True)

    offered = (await poll(client, stream, token))["sets"]
    assert second not in offered
    assert {first, event} <= offered.keys()


async def test_a_poll_waits_for_an_event(client: httpx.AsyncClient, world: World) -> None:
    stream, token = polled(world)

    waiting = asyncio.create_task(poll(client, stream, token, returnImmediately=False))
    await asyncio.sleep(0.05)
    assert not waiting.done()
    world.grow(1)

    assert [1] == entries(world, (await waiting)["sets"])


async def test_a_poll_does_not_wait_for_ever(client: httpx.AsyncClient, world: World) -> None:
    stream, token = polled(world)
    assert isinstance(world.clock, HandClock)

    waiting = asyncio.create_task(poll(client, stream, token, returnImmediately=False))
    await asyncio.sleep(0.05)
    world.clock.advance(6)

    assert {"sets": {}} == await waiting


async def test_a_poll_finds_an_event_behind_thousands_of_others(client: httpx.AsyncClient, world: World) -> None:
    stream, token = polled(world)
    world.grow(*range(1, 2000), list="unknown")
    world.grow(7)

    assert [7] == entries(world, (await poll(client, stream, token))["sets"])


@pytest.mark.parametrize(
    "body",
    [
        {"maxEvents": -1},
        {"maxEvents": True},
        {"maxEvents": "5"},
        {"returnImmediately": 1},
        {"ack": "x"},
        {"ack": [5]},
        {"setErrs": []},
        {"setErrs": {"x": "y"}},
        {"setErrs": {"x": {"err": 5}}},
    ],
    ids=str,
)
async def test_a_poll_that_breaks_the_specification_is_refused(
    client: httpx.AsyncClient, world: World, body: dict[str, Any]
) -> None:
    stream, token = polled(world)

    answer = await client.post(f"/relay/ssf/poll/{stream.stream_id}", json=body, headers=token)

    assert (400, "invalid_request") == (answer.status_code, answer.json()["err"])


async def test_a_place_that_the_feed_does_not_reach_back_to_parks_a_polled_stream(
    client: httpx.AsyncClient, world: World
) -> None:
    stream, token = polled(world)
    world.grow(1, happened_at=NOW - 100.0)
    world.grow(2)
    world.feed.trim(NOW - 50.0)

    assert {"sets": {}} == await poll(client, stream, token)

    assert "not kept any more" in world.store.stream(stream.stream_id).place.parked


async def test_the_relay_watches_a_polled_stream(world: World) -> None:
    waiting, _ = polled(world)
    quiet, _ = polled(world, events_requested=(CHANGE_TYPES[ChangeKind.STAYED],))
    world.grow(1, happened_at=NOW - 60.0)

    async with running(world.relay()):
        await until(lambda: world.metric("portcullis_relay_behind_seconds", stream=waiting.stream_id) == 60)
        await until(lambda: world.store.stream(quiet.stream_id).place.position == 1)


async def test_a_database_that_is_away_is_told_as_such(client: httpx.AsyncClient, world: World) -> None:
    stream, token = polled(world)
    read = world.feed.read

    def away(after: int, limit: int) -> Any:
        raise JournalUnavailable

    world.feed.read = away  # type: ignore[method-assign]
    answer = await client.post(f"/relay/ssf/poll/{stream.stream_id}", json={}, headers=token)
    world.feed.read = read  # type: ignore[method-assign]

    assert (503, "1") == (answer.status_code, answer.headers["retry-after"])


async def test_a_key_that_the_receiver_has_not_fetched_yet_parks_nothing(client: httpx.AsyncClient, world: World) -> None:
    stream, token = polled(world)
    world.grow(1)
    event_id = next(iter((await poll(client, stream, token))["sets"]))

    again = await poll(client, stream, token, setErrs={event_id: {"err": "invalid_key", "description": "x"}})

    assert [event_id] == list(again["sets"])
    assert "" == world.store.stream(stream.stream_id).place.parked
    assert 1 == world.metric("portcullis_relay_failures_total", stream=stream.stream_id, fault="refused")


@pytest.mark.parametrize(
    ("method", "path", "status", "err"),
    [
        ("GET", "/relay/ssf/status", 400, "invalid_request"),
        ("DELETE", "/relay/ssf/stream", 400, "invalid_request"),
        ("GET", "/relay/ssf/nothing", 404, "not_found"),
        ("PUT", "/relay/ssf/verify", 405, "invalid_request"),
    ],
)
async def test_every_error_has_the_form_of_rfc_8935(
    client: httpx.AsyncClient, method: str, path: str, status: int, err: str
) -> None:
    answer = await client.request(method, path, headers=LENDER)

    assert (status, err) == (answer.status_code, answer.json()["err"])
    assert {"err", "description"} == answer.json().keys()
    assert "no-store" == answer.headers["cache-control"]


async def test_a_request_nested_too_deeply_is_refused(client: httpx.AsyncClient) -> None:
    answer = await client.post("/relay/ssf/verify", content=b'{"a":' * 50_000, headers=LENDER)

    assert (400, "invalid_request") == (answer.status_code, answer.json()["err"])


async def test_a_request_that_never_ends_is_given_up(client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_app, "BODY_WITHIN_S", 0.05)

    async def endless() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.Event().wait()

    async with asyncio.timeout(5):
        answer = await client.post("/relay/ssf/verify", content=endless(), headers=LENDER)

    assert 400 == answer.status_code


async def test_one_receiver_does_not_take_the_places_of_all_that_wait(client: httpx.AsyncClient, world: World) -> None:
    (greedy, greedy_token), (other, other_token) = polled(world), polled(world, "shop")
    waiting = [asyncio.create_task(poll(client, greedy, greedy_token, returnImmediately=False)) for _ in range(66)]
    async with asyncio.timeout(20):
        while len(still := [each for each in waiting if not each.done()]) > 2:
            await asyncio.wait(still, return_when=asyncio.FIRST_COMPLETED)

    late = asyncio.create_task(poll(client, other, other_token, returnImmediately=False))
    answered, _ = await asyncio.wait([late], timeout=0.3)
    world.grow(1)

    assert 2 == len(still)
    assert not answered
    assert 1 == len((await late)["sets"])
    await asyncio.gather(*waiting)
