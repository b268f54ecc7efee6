"""The client of those who keep lists and look into disputes: RegistryService, RedressService and AdminService.

It sends the messages of the contract as they are, with the key, a deadline and the SDK's own errors.

    with StaffClient("127.0.0.1:50051", api_key=key) as staff:
        answer = staff.call(staff.registry.GetList, GetListRequest(name="carrier-misconduct"))
"""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Self, TypeVar, cast

import grpc
from google.protobuf.message import Message

from portcullis.client.channels import ChannelGuard, call_metadata, open_channel
from portcullis.client.errors import FailedCall, error_of_call
from portcullis.v1 import admin_service_pb2_grpc, redress_service_pb2_grpc, registry_service_pb2_grpc

if TYPE_CHECKING:
    from grpc import UnaryUnaryMultiCallable

_Request = TypeVar("_Request", bound=Message)
_Response = TypeVar("_Response", bound=Message)


class StaffClient:
    """A connection of somebody with a key of their own; share one between threads, and make it after a fork, never before.

    Attributes:
        registry: the methods of RegistryService.
        redress: those of RedressService.
        admin: those of AdminService.

    Args:
        target: the server, as gRPC names it: ``host:port``, ``dns:///name:port``, ``unix:/path``.
        api_key: the key, or a subject's session; it travels as ``authorization: Bearer KEY``. None to begin a session.
        timeout_s: the deadline of a call in seconds, where the call gives none.
        credentials: TLS credentials of the channel; None for plain text, which is for loopback and private networks.

    Raises:
        ValueError: the key can't be a key.
    """

    def __init__(
        self,
        target: str = "127.0.0.1:50051",
        *,
        api_key: str | None = None,
        timeout_s: float = 10.0,
        credentials: grpc.ChannelCredentials | None = None,
    ) -> None:
        self._metadata = call_metadata(api_key)
        self._timeout_s = timeout_s
        self._channel = open_channel(target, credentials)
        self._guard = ChannelGuard()
        self.registry = registry_service_pb2_grpc.RegistryServiceStub(self._channel)
        self.redress = redress_service_pb2_grpc.RedressServiceStub(self._channel)
        self.admin = admin_service_pb2_grpc.AdminServiceStub(self._channel)

    def call(
        self,
        method: UnaryUnaryMultiCallable[_Request, _Response],
        request: _Request,
        *,
        timeout_s: float | None = None,
    ) -> _Response:
        """Call one method. Blocks on the network.

        It is never tried again by itself: a step that was taken and whose answer was lost must be looked at first.

        Raises:
            ClientError: there is no answer.
        """
        self._guard.check()
        timeout = self._timeout_s if timeout_s is None else timeout_s
        try:
            return method(request, timeout=timeout, metadata=self._metadata)
        except grpc.RpcError as fault:
            raise error_of_call(cast("FailedCall", fault)) from None

    def close(self) -> None:
        """Give up the connection; calls under way fail."""
        self._guard.close()
        self._channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None) -> None:
        self.close()
