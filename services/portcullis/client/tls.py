"""TLS for the SDK: a channel's credentials from files."""

from __future__ import annotations

from pathlib import Path

import grpc


def tls_credentials(
    ca: str | Path | None = None, cert: str | Path | None = None, key: str | Path | None = None
) -> grpc.ChannelCredentials:
    """Give the credentials of a channel with TLS; blocks on the disk.

    Args:
        ca: the authorities that the gateway's certificate is proven by, PEM; None for those of gRPC itself.
        cert: your own certificate with its chain, PEM, where the gateway knows you by one.
        key: its key, PEM without a passphrase.

    Raises:
        ValueError: one of certificate and key is given without the other.
        OSError: a file can't be read.
    """
    if (cert is None) != (key is None):
        raise ValueError("cert and key: give both or neither")
    return grpc.ssl_channel_credentials(
        root_certificates=Path(ca).read_bytes() if ca is not None else None,
        private_key=Path(key).read_bytes() if key is not None else None,
        certificate_chain=Path(cert).read_bytes() if cert is not None else None,
    )
