"""Calls of a running stack, and everything that comes back."""

from __future__ import annotations

from typing import Any

import grpc
from google.protobuf import descriptor_pool, message_factory
from google.protobuf.message import Message

from portcullis.client.channels import call_metadata, channel_options
from tests.support.stack import RunningStack

_PERMITTED = {"RegistryService/RevealEntry", "RedressService/GetMyRecord"}
"""What gives identifiers to those who may see them."""


class Heard:
    """Everything that came back: answers, errors with their details, and what commands printed."""

    def __init__(self) -> None:
        self.said: list[bytes] = []
        self.errors = 0

    def hear(self, said: object) -> None:
        self.said.append(said if isinstance(said, bytes) else str(said).encode())

    def refuse(self, *said: object) -> None:
        """Keep an error, as text and with all that it holds."""
        self.errors += 1
        for each in said:
            self.hear(each)


class Caller:
    """Calls a running stack with one key, and hears what comes back."""

    def __init__(self, stack: RunningStack, key: str | None, heard: Heard) -> None:
        self._channel = grpc.insecure_channel(stack.grpc, channel_options(stack.grpc))
        self._metadata = call_metadata(key)
        self._heard = heard

    def __call__(self, method: str, *requests: Message) -> Any:
        """Call a method; None when it was refused."""
        service, _, name = method.partition("/")
        found = descriptor_pool.Default().FindServiceByName(f"portcullis.v1.{service}").methods_by_name[name]
        kinds = f"{'stream' if found.client_streaming else 'unary'}_{'stream' if found.server_streaming else 'unary'}"
        call = getattr(self._channel, kinds)(
            f"/portcullis.v1.{method}",
            request_serializer=type(requests[0]).SerializeToString,
            response_deserializer=message_factory.GetMessageClass(found.output_type).FromString,
        )
        given = iter(requests) if found.client_streaming else requests[0]
        try:
            answer = call(given, timeout=30.0, metadata=self._metadata)
            answer = list(answer) if found.server_streaming else answer
        except grpc.RpcError as fault:
            self._heard.refuse(
                fault.details(), fault.debug_error_string(), fault.initial_metadata(), fault.trailing_metadata()
            )
            return None
        if method not in _PERMITTED:
            for each in answer if isinstance(answer, list) else [answer]:
                self._heard.hear(each.SerializeToString())
        return answer

    def close(self) -> None:
        self._channel.close()
