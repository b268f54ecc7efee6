from __future__ import annotations

import json

import pytest

from portcullis.client import Client
from portcullis.client.channels import SERVICE_CONFIG, call_metadata, channel_options


def test_only_what_was_not_begun_is_tried_again() -> None:
    (policy,) = [each["retryPolicy"] for each in json.loads(SERVICE_CONFIG)["methodConfig"]]

    assert ["UNAVAILABLE", "CANCELLED"] == policy["retryableStatusCodes"]


def test_a_stream_is_not_retried() -> None:
    methods = [name["method"] for each in json.loads(SERVICE_CONFIG)["methodConfig"] for name in each["name"]]

    assert [
        "Check",
        "BatchCheck",
        "LookupCaller",
        "ReportEvents",
        "GetReceipt",
        "GetCheckpoint",
        "GetConsistencyProof",
    ] == methods


@pytest.mark.parametrize(("target", "proxied"), [("127.0.0.1:50051", 0), ("localhost:1", 0), ("gateway.example:443", 1)])
def test_a_forward_proxy_is_left_out_on_loopback(target: str, proxied: int) -> None:
    assert proxied == dict(channel_options(target))["grpc.enable_http_proxy"]


def test_a_key_travels_as_a_bearer() -> None:
    assert (("authorization", "Bearer pcl_a_b"),) == call_metadata("pcl_a_b\n")
    assert () == call_metadata(None)


@pytest.mark.parametrize("key", ["", "  ", "pcl_\nx", "pcl_ключ"])
def test_what_can_be_no_key_is_refused_without_repeating_it(key: str) -> None:
    with pytest.raises(ValueError, match="api_key") as caught:
        Client("127.0.0.1:1", api_key=key)

    assert "pcl_" not in str(caught.value)
