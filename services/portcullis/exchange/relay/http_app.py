"""The transmitter over HTTP: its configuration and keys, streams and their status, verification, and polling.

Every path but the first two wants ``Authorization: Bearer``: the token of a stream, or a partner's API key. An error is
``{"err", "description"}`` as in RFC 8935, whatever the path.
"""

# No postponed annotations here: FastAPI looks at them, and they name what stands in the functions around them.
import asyncio
from collections.abc import Callable
from typing import Annotated, Any, Final

import msgspec
import structlog
from fastapi import APIRouter, Depends, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from portcullis.domain.errors import (
    InvalidRequest,
    NotFound,
    NotPermitted,
    PortcullisError,
    SetupFault,
    Unauthenticated,
    Unavailable,
)
from portcullis.exchange.relay.documents import (
    Addresses,
    Document,
    check_supplied,
    read_poll,
    read_text,
    read_wish,
    status_document,
)
from portcullis.exchange.relay.polling import Polls
from portcullis.exchange.relay.receivers import Receiver, Receivers, TooSoon
from portcullis.ports.relay import DeliveryMethod, SetSigner, Stream, StreamStatus

MAX_REQUEST_BYTES: Final = 256 * 1024
BODY_WITHIN_S: Final = 10.0
"""How long a receiver may take to send its request."""

_JWKS_KEPT_S: Final = 300
_log = structlog.get_logger(__name__)

# The first that fits; (status, code).
_STATUSES: Final[tuple[tuple[type[PortcullisError], int, str], ...]] = (
    (InvalidRequest, 400, "invalid_request"),
    (Unauthenticated, 401, "authentication_failed"),
    (NotPermitted, 403, "access_denied"),
    (NotFound, 404, "not_found"),
    (TooSoon, 429, "too_many_requests"),
    (Unavailable, 503, "unavailable"),
    (SetupFault, 503, "unavailable"),
)


def relay_app(*, issuer: str, signer: SetSigner, receivers: Receivers, polls: Polls) -> FastAPI:
    """Make the HTTP application.

    Args:
        issuer: the URL that receivers know this transmitter by; its path comes before every path but the well-known one.
        signer: whose public keys are shown.
        receivers: the receivers' desk.
        polls: answers polling receivers.

    Raises:
        SetupFault: the issuer is none.
    """
    addresses = Addresses(issuer)
    app = FastAPI(title="Portcullis relay", openapi_url=None, docs_url=None, redoc_url=None)
    app.add_exception_handler(PortcullisError, _refuse)
    app.add_exception_handler(RequestValidationError, _refuse_parameters)
    app.add_exception_handler(HTTPException, _refuse_path)
    app.include_router(_public(addresses, signer))
    app.include_router(_management(addresses, receivers))
    app.include_router(_status(addresses, receivers))
    app.include_router(_polling(addresses, receivers, polls))
    return app


def _public(addresses: Addresses, signer: SetSigner) -> APIRouter:
    router = APIRouter()

    @router.get(addresses.well_known)
    async def configuration() -> Response:
        return _answer(addresses.configuration())

    @router.get(f"{addresses.path}/jwks.json")
    async def jwks() -> Response:
        keys = await asyncio.to_thread(signer.jwks)
        return JSONResponse(keys, headers={"Cache-Control": f"public, max-age={_JWKS_KEPT_S}"})

    return router


def _management(addresses: Addresses, receivers: Receivers) -> APIRouter:
    router = APIRouter(prefix=f"{addresses.path}/ssf")
    caller = _caller(receivers)

    def shown(stream: Stream) -> Document:
        return addresses.stream(stream, receivers.events_supported(stream))

    @router.post("/stream")
    async def create(request: Request, receiver: Annotated[Receiver, Depends(caller)]) -> Response:
        wish = read_wish(await _body(request))
        return _answer(shown(await asyncio.to_thread(receivers.create, receiver, wish)), status=201)

    @router.get("/stream")
    async def read(receiver: Annotated[Receiver, Depends(caller)], stream_id: str | None = None) -> Response:
        if stream_id is None:
            return _answer([shown(each) for each in await asyncio.to_thread(receivers.streams, receiver)])
        return _answer(shown(await asyncio.to_thread(receivers.stream, receiver, stream_id)))

    async def change(request: Request, receiver: Receiver, *, replace: bool) -> Response:
        document = await _body(request)
        stream_id = read_text(document, "stream_id")
        check_supplied(document, shown(await asyncio.to_thread(receivers.stream, receiver, stream_id)))
        wish = read_wish(document)
        return _answer(shown(await asyncio.to_thread(receivers.update, receiver, stream_id, wish, replace=replace)))

    @router.patch("/stream")
    async def update(request: Request, receiver: Annotated[Receiver, Depends(caller)]) -> Response:
        return await change(request, receiver, replace=False)

    @router.put("/stream")
    async def replace(request: Request, receiver: Annotated[Receiver, Depends(caller)]) -> Response:
        return await change(request, receiver, replace=True)

    @router.delete("/stream")
    async def delete(receiver: Annotated[Receiver, Depends(caller)], stream_id: str) -> Response:
        await asyncio.to_thread(receivers.delete, receiver, stream_id)
        return Response(status_code=204)

    return router


def _status(addresses: Addresses, receivers: Receivers) -> APIRouter:
    router = APIRouter(prefix=f"{addresses.path}/ssf")
    caller = _caller(receivers)

    @router.get("/status")
    async def read_status(receiver: Annotated[Receiver, Depends(caller)], stream_id: str) -> Response:
        return _answer(status_document(await asyncio.to_thread(receivers.stream, receiver, stream_id)))

    @router.post("/status")
    async def set_status(request: Request, receiver: Annotated[Receiver, Depends(caller)]) -> Response:
        document = await _body(request)
        stream_id, reason = read_text(document, "stream_id"), document.get("reason", "")
        wanted = read_text(document, "status")
        if wanted not in {each.value for each in StreamStatus} or not isinstance(reason, str):
            raise InvalidRequest.at("status", "must be enabled, paused or disabled, and the reason a text")
        status = StreamStatus(wanted)
        return _answer(status_document(await asyncio.to_thread(receivers.set_status, receiver, stream_id, status, reason)))

    @router.post("/verify")
    async def verify(request: Request, receiver: Annotated[Receiver, Depends(caller)]) -> Response:
        document = await _body(request)
        state = read_text(document, "state") if document.get("state") is not None else None
        await asyncio.to_thread(receivers.verify, receiver, read_text(document, "stream_id"), state)
        return Response(status_code=204, headers={"Cache-Control": "no-store"})

    return router


def _polling(addresses: Addresses, receivers: Receivers, polls: Polls) -> APIRouter:
    router = APIRouter(prefix=f"{addresses.path}/ssf/poll")
    caller = _caller(receivers)

    @router.post("/{stream_id}")
    async def poll(stream_id: str, request: Request, receiver: Annotated[Receiver, Depends(caller)]) -> Response:
        stream = await asyncio.to_thread(receivers.stream, receiver, stream_id)
        if stream.settings.method is not DeliveryMethod.POLL:
            raise NotFound("stream_id: this stream is not polled")
        answer = await polls.poll(stream_id, read_poll(await _body(request)))
        document: dict[str, object] = {"sets": dict(answer.sets)}
        return _answer(document | ({"moreAvailable": True} if answer.more else {}))

    return router


def _caller(receivers: Receivers) -> Callable[[Request], Any]:
    async def caller(request: Request) -> Receiver:
        scheme, _, bearer = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            raise Unauthenticated
        return await asyncio.to_thread(receivers.authenticate, bearer.strip())

    return caller


async def _body(request: Request) -> Document:
    try:
        async with asyncio.timeout(BODY_WITHIN_S):
            data = await _read(request)
    except TimeoutError:
        raise InvalidRequest.at("body", f"must be sent within {BODY_WITHIN_S:g} seconds") from None
    try:
        return msgspec.json.decode(data or b"{}", type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise InvalidRequest.at("body", "must be a JSON object") from None


async def _read(request: Request) -> bytes:
    data = b""
    async for chunk in request.stream():
        data += chunk
        if len(data) > MAX_REQUEST_BYTES:
            raise InvalidRequest.at("body", f"must have at most {MAX_REQUEST_BYTES} bytes")
    return data


def _answer(document: object, status: int = 200) -> Response:
    return JSONResponse(document, status_code=status, headers={"Cache-Control": "no-store"})


async def _refuse(_request: Request, fault: Exception) -> Response:
    assert isinstance(fault, PortcullisError)  # noqa: S101 - tells mypy; the handler is registered for these alone
    status, code = next(((status, code) for kind, status, code in _STATUSES if isinstance(fault, kind)), (500, "internal"))
    if status >= 500:
        _log.error("a receiver's request failed", fault=fault.message)
    headers = {"Cache-Control": "no-store"}
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if status == 503:
        headers["Retry-After"] = "1"
    description = fault.message if status != 503 else "the relay can't answer just now; ask again"
    return JSONResponse({"err": code, "description": description}, status_code=status, headers=headers)


async def _refuse_parameters(request: Request, fault: Exception) -> Response:
    """Refuse a request whose parameters are wrong; the framework's own answer would repeat what was sent."""
    assert isinstance(fault, RequestValidationError)  # noqa: S101 - tells mypy; the handler is registered for these alone
    names = sorted({str(each["loc"][-1]) for each in fault.errors()})
    return await _refuse(request, InvalidRequest.at(", ".join(names), "is missing, or no text"))


async def _refuse_path(_request: Request, fault: Exception) -> Response:
    """Refuse a path or a method that there is none of."""
    assert isinstance(fault, HTTPException)  # noqa: S101 - tells mypy; the handler is registered for these alone
    code = "not_found" if fault.status_code == 404 else "invalid_request"
    headers = {**(fault.headers or {}), "Cache-Control": "no-store"}
    return JSONResponse({"err": code, "description": fault.detail}, status_code=fault.status_code, headers=headers)
