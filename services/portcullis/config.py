"""Settings: frozen, validated once at construction, units in the names.

They come from ``PORTCULLIS_*`` variables, then from the TOML file that ``PORTCULLIS_CONFIG`` names, then from the
defaults here. What is not given is derived from ``home``.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

Transport = Literal["grpcio", "native"]
PostgresStorage = Literal["disk", "whole-pages", "disposable"]
"""What a PostgreSQL keeps its data on: a disk, storage that never writes half a page, or what may be lost."""

FORWARDED_BY_LOOPBACK = "loopback"
"""What ``forwarded_by`` says of a proxy without a certificate, on this host."""

_STORE_SCHEMES = ("redis", "rediss", "unix")


class Settings(BaseSettings):
    """Everything that can be set, of every part."""

    model_config = SettingsConfigDict(env_prefix="PORTCULLIS_", frozen=True, extra="forbid")

    home: Path = Field(Path(".portcullis"), description="Where this host keeps its state.")
    grpc_host: str = Field("127.0.0.1", description="The address the gateway listens on.")
    grpc_port: int = Field(50051, ge=0, le=65535, description="The gateway's gRPC port.")
    http_host: str = Field("127.0.0.1", description="The address of health and metrics.")
    http_port: int = Field(8080, ge=0, le=65535, description="The HTTP port of health and metrics.")
    transport: Transport = Field("grpcio", description="Which gRPC server carries the calls.")
    tls_cert: Path | None = Field(
        None, description="The gRPC server's certificate chain, PEM, followed when it changes; empty: no TLS."
    )
    tls_key: Path | None = Field(
        None, validate_default=True, description="The key of tls_cert, PEM without a passphrase; followed as well."
    )
    tls_client_ca: Path | None = Field(
        None,
        validate_default=True,
        description="The authorities of callers' certificates, PEM; then every caller must show one. Followed as well.",
    )
    forwarded_by: str = Field(
        "",
        max_length=255,
        description="Whose x-forwarded-client-cert is believed: a name in the proxy's certificate, or loopback; empty: "
        "nobody's.",
    )
    workers: int = Field(1, ge=1, le=64, description="How many gateway processes share the port.")
    redis_url: str = Field("", description="The store of snapshots; empty: the embedded Valkey's socket.")
    registry_url: str = Field("", description="The registry's database URL; empty: SQLite under home.")
    journal_url: str = Field("", description="The journal's database URL; empty: SQLite under home.")
    postgres_storage: PostgresStorage = Field(
        "disk",
        description="What PostgreSQL keeps its data on; disk demands fsync and full_page_writes, whole-pages (ZFS, Aurora) "
        "fsync alone, disposable (a trial) neither.",
    )
    spool_dir: Path | None = Field(None, description="Where decisions wait for the journal; empty: under home.")
    replica_dir: Path | None = Field(None, description="Where the replica lies; empty: under home.")
    keys_dir: Path | None = Field(None, description="Where the key files lie; empty: under home.")
    trusted_root: Path | None = Field(
        None, description="The root file that a follower begins to trust from; empty: trust/1.root.json with the key files."
    )
    publish_interval_s: float = Field(0.05, gt=0, le=60, description="How often the publisher looks for changes.")
    follow_interval_s: float = Field(1.0, gt=0, le=60, description="How often the follower looks, told or not.")
    refresh_interval_s: float = Field(0.02, gt=0, le=5, description="How often a worker looks for a new replica.")
    checkpoint_interval_s: float = Field(1.0, gt=0, le=3600, description="How often the journal's checkpoint is signed.")
    heartbeat_s: float = Field(5.0, gt=0, le=60, description="How often a stream of changes says that it is alive.")
    feed_kept_d: int = Field(90, ge=1, le=3650, description="How many days the feed of changes is kept.")
    relay_issuer: str = Field(
        "", description="The relay's own https URL, as its receivers reach it; empty: receivers configure and poll nothing."
    )
    relay_host: str = Field("127.0.0.1", description="The address that the relay's receivers are answered on.")
    relay_port: int = Field(8085, ge=0, le=65535, description="The HTTP port that the relay's receivers are answered on.")
    drain_s: float = Field(5.0, ge=0, le=300, description="How long calls under way may go on after a stop.")
    max_message_bytes: int = Field(4 * 1024 * 1024, ge=1024, description="The largest request taken.")
    max_metadata_bytes: int = Field(8 * 1024, ge=1024, description="The largest request metadata taken.")
    allow_cache_ttl_s: float = Field(0.0, ge=0, le=2, description="How long a partner may reuse an ALLOW; 0: not at all.")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="What is logged.")

    @field_validator("redis_url")
    @classmethod
    def _check_store(cls, url: str) -> str:
        """Refuse a URL that no client of Redis can read, before a part of the stack stumbles over it."""
        try:
            parts = urlsplit(url)
            readable = not url or (parts.scheme in _STORE_SCHEMES and bool(parts.netloc or parts.path) and parts.port != 0)
        except ValueError:
            readable = False
        if not readable:
            raise ValueError("must be redis://HOST:PORT, rediss://HOST:PORT or unix://PATH")
        return url

    @field_validator("tls_cert")
    @classmethod
    def _check_transport(cls, cert: Path | None, info: ValidationInfo) -> Path | None:
        """Refuse TLS on a transport that has none, rather than serve in the clear."""
        if cert is not None and info.data.get("transport") == "native":
            raise ValueError("the native transport has no TLS; take the transport grpcio, or let Envoy end the TLS")
        return cert

    @field_validator("tls_key")
    @classmethod
    def _check_pair(cls, key: Path | None, info: ValidationInfo) -> Path | None:
        """Refuse a certificate without its key, and a key alone."""
        if "tls_cert" in info.data and (key is None) != (info.data["tls_cert"] is None):
            raise ValueError("tls_cert and tls_key are set together or not at all")
        return key

    @field_validator("tls_client_ca")
    @classmethod
    def _check_client_ca(cls, client_ca: Path | None, info: ValidationInfo) -> Path | None:
        """Refuse authorities that nothing would ask."""
        if client_ca is not None and info.data.get("tls_cert") is None and "tls_cert" in info.data:
            raise ValueError("callers show certificates to a server with TLS alone; set tls_cert and tls_key too")
        return client_ca

    @field_validator("forwarded_by")
    @classmethod
    def _check_proxy(cls, name: str, info: ValidationInfo) -> str:
        """Refuse a proxy that could never show who it is."""
        by_certificate = name not in ("", FORWARDED_BY_LOOPBACK)
        if by_certificate and info.data.get("tls_client_ca") is None and "tls_client_ca" in info.data:
            raise ValueError("a proxy is known by its certificate where tls_client_ca is set alone; else write loopback")
        return name

    @property
    def registry_database_url(self) -> str:
        """The registry's database URL."""
        return self.registry_url or f"sqlite:///{(self.home / 'registry.db').absolute()}"

    @property
    def journal_database_url(self) -> str:
        """The journal's database URL."""
        return self.journal_url or f"sqlite:///{(self.home / 'journal.db').absolute()}"

    @property
    def relay_issuer_url(self) -> str:
        """The URL that the relay's receivers know it by."""
        return self.relay_issuer or f"http://127.0.0.1:{self.relay_port}"

    @property
    def spool_path(self) -> Path:
        """The folder of decisions that wait for the journal."""
        return self.spool_dir or self.home / "spool"

    @property
    def replica_path(self) -> Path:
        """The replica's folder."""
        return self.replica_dir or self.home / "replica"

    @property
    def publisher_path(self) -> Path:
        """The folder of what the publisher of this home has signed; it must outlive restarts."""
        return self.home / "publisher"

    @property
    def keys_path(self) -> Path:
        """The folder of the key files."""
        return self.keys_dir or self.home / "keys"

    @property
    def trusted_root_path(self) -> Path:
        """The root file that a follower begins to trust from."""
        return self.trusted_root or self.keys_path / "trust" / "1.root.json"

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - pydantic's signature
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - pydantic's signature
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Put arguments before variables before the TOML file."""
        file = os.environ.get("PORTCULLIS_CONFIG")
        toml = (TomlConfigSettingsSource(settings_cls, toml_file=file),) if file else ()
        return (init_settings, env_settings, *toml)
