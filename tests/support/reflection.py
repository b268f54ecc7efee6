"""What a running server says that it serves."""

from __future__ import annotations

import grpc
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

IN_PLACE_OF = {"grpc.reflection.v1.ServerReflection"}
"""Served under another name than their descriptor has: the same messages."""


def methods_of(port: int) -> dict[str, MethodDescriptor]:
    """Ask a server by reflection which methods it has, by their full names; blocks."""
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        database = ProtoReflectionDescriptorDatabase(channel)
        pool = DescriptorPool(database)
        services = [name for name in database.get_services() if name not in IN_PLACE_OF]
        found = [(name, method) for name in services for method in pool.FindServiceByName(name).methods]
    return {f"{name}/{method.name}": method for name, method in found}
