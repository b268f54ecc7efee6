"""A registry that answers every call as a test has it, and remembers who asked for what."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import grpc
from google.protobuf.message import Message
from grpc_status import rpc_status

from portcullis.domain.errors import PortcullisError
from portcullis.gateway.messages.statuses import to_status


class ScriptedStaff(grpc.GenericRpcHandler):
    """Gives ``answers`` by the name of the method; an error of ours is given as the gateway would."""

    def __init__(self) -> None:
        self.answers: dict[str, Message | PortcullisError] = {}
        self.asked: list[tuple[str, bytes]] = []
        self.keys: list[str] = []

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        method = details.method.rpartition("/")[2]

        def answer(request: bytes, context: grpc.ServicerContext) -> bytes:
            self.asked.append((method, request))
            self.keys.append(dict(context.invocation_metadata()).get("authorization", ""))
            found = self.answers[method]
            if isinstance(found, PortcullisError):
                context.abort_with_status(rpc_status.to_status(to_status(found)))
            return found.SerializeToString()

        return grpc.unary_unary_rpc_method_handler(answer)


@contextmanager
def serving_staff(scripted: ScriptedStaff) -> Iterator[str]:
    """Serve it on a free port of loopback; gives the target."""
    server = grpc.server(ThreadPoolExecutor(2))
    server.add_generic_rpc_handlers([scripted])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(None).wait(10)
