"""The production form names only what exists: settings, commands, secrets, metrics, parts."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
import tomllib
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import redis
import yaml

from portcullis.adapters.log_signing import MEMORY
from portcullis.adapters.redis.alarms import RedisAlarmBoard
from portcullis.adapters.redis.quotas import RedisQuotaExchange
from portcullis.adapters.redis.store import CHANNEL, LEASE_KEY, METADATA_KEY
from portcullis.adapters.tuf.key_directory import KeyDirectory
from portcullis.config import FORWARDED_BY_LOOPBACK, Settings
from portcullis.mains.keys import ENTRY_KEY, FEED_KEY, JOURNAL_KEY, RECORD_KEY, SEAL_KEY, TOKEN_KEY, read_key
from portcullis.metrics.catalogue import CATALOGUE
from portcullis.ports.quotas import Standing
from portcullis.v1 import caller_service_pb2, check_service_pb2, sharing_service_pb2
from tests.support.command_lines import REPOSITORY, make_targets, parse, shell_lines
from tests.support.trust_folders import sign_as
from tests.support.valkey import ValkeyAt

COMPOSE = REPOSITORY / "docker-compose.yml"
DEPLOY = REPOSITORY / "deploy"
TEXTS = [COMPOSE, *sorted(file for file in DEPLOY.rglob("*") if file.is_file() and "secrets" not in file.parts[:-1])]
LIST = "court-judgment-defaulters"
SPOOL = "/var/lib/portcullis/spool"
# These are read before, or beside, the settings.
BESIDE_SETTINGS = {"PORTCULLIS_CONFIG", "PORTCULLIS_DEBUG", "PORTCULLIS_API_KEY"}


def compose() -> dict[str, Any]:
    return yaml.safe_load(COMPOSE.read_text())


def parts() -> dict[str, dict[str, Any]]:
    """The services that run our own image."""
    return {name: each for name, each in compose()["services"].items() if each["image"].startswith("portcullis")}


def alert_groups() -> list[dict[str, Any]]:
    return yaml.safe_load((DEPLOY / "prometheus" / "alerts.yml").read_text())["groups"]


@pytest.fixture(scope="module")
def secrets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("deploy") / "secrets"
    subprocess.run([DEPLOY / "make-secrets", folder, LIST], check=True, capture_output=True)
    return folder


@pytest.mark.parametrize("file", TEXTS, ids=lambda file: str(file.relative_to(REPOSITORY)))
def test_every_variable_named_is_a_setting(file: Path) -> None:
    named = set(re.findall(r"\bPORTCULLIS_[A-Z_]+", file.read_text()))
    known = {f"PORTCULLIS_{name.upper()}" for name in Settings.model_fields} | BESIDE_SETTINGS

    assert set() == named - known


@pytest.mark.parametrize("name", parts())
def test_every_part_starts_by_a_command_that_exists(name: str) -> None:
    command = parts()[name]["command"]

    assert "serve" == command[0]
    parse(command)


def test_compose_runs_every_part_and_two_gateways() -> None:
    run = sorted(" ".join(each["command"]) for each in parts().values())

    assert [
        "serve exchange",
        "serve follower",
        "serve gateway",
        "serve gateway",
        "serve publisher",
        "serve registry",
        "serve shipper",
    ] == run


def test_the_image_starts_by_a_command_that_exists() -> None:
    text = (DEPLOY / "Dockerfile").read_text()
    command = re.search(r"^CMD (\[.*\])$", text, re.MULTILINE)[1]

    assert 'ENTRYPOINT ["portcullis"]' in text
    parse(yaml.safe_load(command))


def test_the_image_does_not_run_as_root() -> None:
    users = re.findall(r"^USER (\S+)$", (DEPLOY / "Dockerfile").read_text(), re.MULTILINE)

    assert ["10001:10001"] == users


def test_the_image_is_built_with_the_uv_of_the_makefile_and_of_the_build_system() -> None:
    (pinned,) = re.findall(r"^uv==(\S+)", (REPOSITORY / "tools" / "uv.txt").read_text(), re.MULTILINE)
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())

    assert [f"uv_build=={pinned}"] == project["build-system"]["requires"]
    for file in (REPOSITORY / "Makefile", DEPLOY / "Dockerfile"):
        assert re.search(r"pip install .*--require-hashes --requirement \S*uv\.txt", file.read_text()), file.name


def test_the_image_takes_in_nothing_but_what_its_build_names() -> None:
    text = (DEPLOY / "Dockerfile").read_text()
    let_in = {line[1:] for line in (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = {name for line in re.findall(r"^COPY (?!--from)(.+) \S+$", text, re.MULTILINE) for name in line.split()}

    assert let_in == copied
    assert all((REPOSITORY / name).exists() for name in copied)


def test_the_image_brings_its_bill_of_materials_and_its_licences() -> None:
    text = (DEPLOY / "Dockerfile").read_text()
    (folder,) = re.findall(r"^RUN (?:\S+/)python tools/materials\.py make (\S+)$", text, re.MULTILINE)
    (kept,) = re.findall(r"^COPY --from=build (\S+) \S+$", text, re.MULTILINE)

    assert Path(folder).is_relative_to(kept)


def test_no_secret_is_an_argument_or_a_variable_of_a_process_that_compose_or_its_scripts_start() -> None:
    script = (DEPLOY / "postgres" / "databases.sh").read_text()
    variables = {name for each in compose()["services"].values() for name in each.get("environment", ())}

    assert {"POSTGRES_PASSWORD_FILE"} == {name for name in variables if re.search("PASSWORD|SECRET|TOKEN|URL", name)}
    for text in (script, COMPOSE.read_text(), (DEPLOY / "make-secrets").read_text()):
        assert not re.search(r"--(set=)?password=|-(?:a|W) \"?\$|_?(?:AUTH|PASSWORD)=\"?\$", text)


def test_every_service_says_how_it_is() -> None:
    assert [] == [name for name, each in compose()["services"].items() if "healthcheck" not in each]


@pytest.mark.parametrize("name", compose()["services"])
def test_nothing_can_write_its_root_or_gain_rights(name: str) -> None:
    each = compose()["services"][name]
    assert each["read_only"]
    assert ["ALL"] == each["cap_drop"]
    assert ["no-new-privileges:true"] == each["security_opt"]


def test_nothing_runs_as_root() -> None:
    """Our own image and Prometheus's name another user themselves; the others would begin as root."""
    assert {"valkey": "valkey", "postgres": "postgres"} == {
        name: each["user"] for name, each in compose()["services"].items() if "user" in each
    }
    assert set(compose()["services"]) == {"valkey", "postgres", "prometheus", *parts()}


def test_every_image_from_outside_can_be_given_by_its_digest() -> None:
    outside = [each["image"] for name, each in compose()["services"].items() if name not in parts()]
    assert 3 == len(outside)
    assert [] == [image for image in outside if not re.fullmatch(r"\$\{[A-Z]+_IMAGE:-[a-z/]+:[\w.-]+\}", image)]
    bases = re.findall(r"^FROM (\S+)", (DEPLOY / "Dockerfile").read_text(), re.MULTILINE)
    assert ["${PYTHON_IMAGE}"] * 2 == bases
    assert {"PYTHON_IMAGE"} == {name for each in parts().values() for name in each["build"]["args"]}


def test_nothing_that_is_given_a_secret_can_dump_it() -> None:
    given = {name: each for name, each in compose()["services"].items() if each.get("secrets")}

    assert {"valkey", "postgres"} < given.keys()
    assert [] == [name for name, each in given.items() if {"core": 0} != each.get("ulimits")]


def test_whoever_opens_the_replica_shares_one_process_namespace() -> None:
    sharing = {name for name, each in parts().items() if "replica:/var/lib/portcullis/replica" in each.get("volumes", ())}

    assert {"follower", "gateway-1", "gateway-2"} == sharing
    assert {"host"} == {parts()[name]["pid"] for name in sharing}


def test_the_gateways_and_the_shipper_of_the_host_share_one_spool_that_is_kept() -> None:
    sharing = {name for name, each in parts().items() if f"spool:{SPOOL}" in each.get("volumes", ())}

    assert {"gateway-1", "gateway-2", "shipper"} == sharing
    assert {SPOOL} == {parts()[name]["environment"]["PORTCULLIS_SPOOL_DIR"] for name in sharing}
    assert "spool" in compose()["volumes"]


def test_the_gateways_of_the_host_share_the_file_in_which_quotas_are_agreed_on() -> None:
    sharing = {name for name, each in parts().items() if "quotas:/var/lib/portcullis/quotas" in each.get("volumes", ())}

    assert {"gateway-1", "gateway-2"} == sharing
    assert "quotas" in compose()["volumes"]
    assert "portcullis/quotas" in (DEPLOY / "Dockerfile").read_text()


def test_a_gateway_needs_no_database_and_waits_for_no_store() -> None:
    gateway = parts()["gateway-1"]

    assert {"follower"} == gateway["depends_on"].keys()
    assert ["gateway.toml", TOKEN_KEY, FEED_KEY] == [
        each if isinstance(each, str) else each["source"] for each in gateway["secrets"]
    ]


@pytest.mark.parametrize(
    ("part", "keys"),
    [
        ("registry", {TOKEN_KEY, FEED_KEY, SEAL_KEY, ENTRY_KEY, RECORD_KEY, JOURNAL_KEY}),
        ("publisher", {TOKEN_KEY, SEAL_KEY, ENTRY_KEY}),
        ("follower", {TOKEN_KEY}),
        ("shipper", {RECORD_KEY}),
        ("exchange", {TOKEN_KEY, FEED_KEY, SEAL_KEY, ENTRY_KEY, RECORD_KEY, JOURNAL_KEY}),
    ],
)
def test_a_part_is_given_the_key_files_that_it_needs_and_no_other(part: str, keys: set[str]) -> None:
    given = {Path(each["target"]) for each in parts()[part]["secrets"] if not isinstance(each, str)}

    assert keys == {path.name for path in given}
    assert {parts()[part]["environment"].get("PORTCULLIS_KEYS_DIR")} >= {str(path.parent) for path in given}


def test_the_exchange_remembers_its_last_checkpoint_beside_its_key_in_a_volume() -> None:
    exchange = parts()["exchange"]
    mounted = {volume.partition(":")[2]: volume.partition(":")[0] for volume in exchange["volumes"]}
    folder = Path(exchange["environment"]["PORTCULLIS_KEYS_DIR"]) / MEMORY
    (place,) = [place for place in mounted if folder.is_relative_to(place)]

    assert mounted[place] in compose()["volumes"]
    # A new volume takes over the image's folder; one that is missing there would belong to root.
    assert "portcullis/keys " in (DEPLOY / "Dockerfile").read_text()


def test_every_secret_of_compose_is_made_by_the_script(secrets: Path) -> None:
    wanted = {Path(each["file"]).name for each in compose()["secrets"].values()}

    assert wanted == {file.name for file in secrets.iterdir() if file.is_file()}


def test_every_folder_of_secrets_that_compose_mounts_is_made_by_the_script(secrets: Path) -> None:
    mounted = re.findall(r"\./deploy/secrets/([^:]+):", "\n".join(str(each.get("volumes")) for each in parts().values()))

    assert set(mounted) == {folder.name for folder in secrets.iterdir() if folder.is_dir()}


def test_the_publisher_of_compose_can_sign_and_the_offline_keys_are_not_with_it(secrets: Path) -> None:
    directory = KeyDirectory(secrets / "trust")

    for role in ("timestamp", "snapshot", "head", f"list-{LIST}"):
        sign_as(directory, role)
    assert [] == [*directory.signers("root"), *directory.signers("targets")]


def test_the_offline_keys_lie_apart_for_their_owner_only_and_git_ignores_them(secrets: Path) -> None:
    offline = secrets.parent / "offline"

    assert {".gitignore", "root-1.pem", "root-2.pem", "root-3.pem", "targets.pem"} == {
        each.name for each in offline.iterdir()
    }
    assert 0o700 == offline.stat().st_mode & 0o777
    assert {0o600} == {each.stat().st_mode & 0o777 for each in offline.glob("*.pem")}
    assert "*\n" == (offline / ".gitignore").read_text()


def test_a_follower_is_given_the_root_that_the_publisher_begins_with(secrets: Path) -> None:
    assert (secrets / "trust" / "1.root.json").read_bytes() == (secrets / "1.root.json").read_bytes()
    follower = parts()["follower"]

    assert f"/run/secrets/{follower['secrets'][-1]}" == follower["environment"]["PORTCULLIS_TRUSTED_ROOT"]


def test_a_users_own_number_can_read_what_the_publisher_is_given(secrets: Path) -> None:
    closed = [path for path in (secrets / "trust").rglob("*") if not path.stat().st_mode & 0o004]

    assert [] == closed


def test_secrets_are_closed_to_others_by_their_folder(secrets: Path) -> None:
    assert 0o700 == secrets.stat().st_mode & 0o777


def test_a_second_run_keeps_every_secret(secrets: Path) -> None:
    before = {file: file.read_bytes() for file in secrets.parent.rglob("*") if file.is_file()}
    subprocess.run([DEPLOY / "make-secrets", secrets], check=True, capture_output=True)

    assert before == {file: file.read_bytes() for file in secrets.parent.rglob("*") if file.is_file()}


def test_the_keys_made_are_keys(secrets: Path) -> None:
    assert 4 == len({read_key(secrets, name) for name in (TOKEN_KEY, SEAL_KEY, RECORD_KEY, JOURNAL_KEY)})


@pytest.mark.parametrize(
    ("part", "urls"),
    [
        ("registry", {"registry_url", "journal_url", "redis_url"}),
        ("publisher", {"registry_url", "redis_url"}),
        ("follower", {"redis_url"}),
        ("gateway", {"redis_url"}),
        ("shipper", {"journal_url"}),
        ("exchange", {"registry_url", "journal_url", "redis_url"}),
    ],
)
def test_a_part_is_given_the_urls_that_it_needs_and_no_other(
    part: str, urls: set[str], secrets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in os.environ if name.startswith("PORTCULLIS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PORTCULLIS_CONFIG", str(secrets / f"{part}.toml"))
    settings = Settings()

    assert urls == {name for name in ("registry_url", "journal_url", "redis_url") if getattr(settings, name)}


def password_of_gateways(secrets: Path) -> str:
    url = urlsplit(tomllib.loads((secrets / "gateway.toml").read_text())["redis_url"])
    assert url.password
    return url.password


@pytest.fixture
def store_of_gateways(secrets: Path) -> Iterator[str]:
    """Run the store as it is shipped; gives the URL by which gateways reach it."""
    password = (secrets / "valkey-password").read_text()
    with tempfile.TemporaryDirectory(prefix="portcullis-valkey-") as folder:
        valkey = ValkeyAt(Path(folder), configuration=secrets / "valkey.conf", password=password)
        valkey.start()
        try:
            yield valkey.url_of("gateway", password_of_gateways(secrets))
        finally:
            valkey.kill()


def test_gateways_agree_on_alarms_and_quotas_in_the_store_and_reach_nothing_else(store_of_gateways: str) -> None:
    with closing(RedisAlarmBoard(store_of_gateways)) as board:
        board.release("shop", by="olga", at=1.0, why="called back")
        assert {"shop"} == board.look().releases.keys()
    with closing(RedisQuotaExchange(store_of_gateways)) as quotas:
        assert Standing(1, {}) == quotas.turn("worker", 1, [])
    with closing(redis.Redis.from_url(store_of_gateways)) as client:
        for forbidden in (f"GET {METADATA_KEY}timestamp", f"SET {LEASE_KEY} me", f"PUBLISH {CHANNEL} x", "CONFIG GET *"):
            with pytest.raises(redis.exceptions.NoPermissionError):
                client.execute_command(*forbidden.split())


def test_secrets_from_before_there_was_an_entry_key_keep_the_names_of_entries(secrets: Path, tmp_path: Path) -> None:
    older = tmp_path / "secrets"
    shutil.copytree(secrets, older)
    for name in (ENTRY_KEY, "gateway.toml"):
        (older / name).unlink()
    (older / "valkey.conf").write_text((older / "valkey.conf").read_text().partition("user gateway")[0])
    subprocess.run([DEPLOY / "make-secrets", older], check=True, capture_output=True)

    assert read_key(older, TOKEN_KEY) == read_key(older, ENTRY_KEY)
    assert f"user gateway on >{password_of_gateways(older)} " in (older / "valkey.conf").read_text()


def test_a_part_reads_only_secrets_that_it_is_given() -> None:
    for name, each in parts().items():
        given = {secret for secret in each["secrets"] if isinstance(secret, str) and secret.endswith(".toml")}
        wanted = each["environment"].get("PORTCULLIS_CONFIG")

        assert given == ({Path(wanted).name} if wanted else set()), name


def test_prometheus_looks_at_every_part() -> None:
    jobs = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text())["scrape_configs"]
    targets = {target for job in jobs for static in job["static_configs"] for target in static["targets"]}

    assert {f"{name}:{Settings.model_fields['http_port'].default}" for name in parts()} == targets


def test_alerts_watch_metrics_of_the_catalogue() -> None:
    watched = {
        name for group in alert_groups() for rule in group["rules"] for name in re.findall(r"portcullis_\w+", rule["expr"])
    }
    known = {each.name for each in CATALOGUE} | {f"{each.name}_bucket" for each in CATALOGUE if each.kind == "histogram"}

    assert watched
    assert set() == watched - known


def test_every_alert_says_what_to_do() -> None:
    groups = yaml.safe_load((DEPLOY / "prometheus" / "alerts.yml").read_text())["groups"]

    assert [] == [
        rule["alert"]
        for group in groups
        for rule in group["rules"]
        if not {"summary", "action"} <= rule["annotations"].keys()
    ]


def test_envoy_lets_through_only_services_that_exist() -> None:
    text = (DEPLOY / "envoy" / "envoy.yaml").read_text()
    protos = "".join(file.read_text() for file in (REPOSITORY / "protos").rglob("*.proto"))
    ours = re.findall(r"prefix: /portcullis\.v1\.(\w+)/", text)

    assert ["CheckService", "CallerService", "SharingService"] == ours
    assert all(f"service {name} {{" in protos for name in ours)


def test_envoy_reaches_the_gateway_where_it_listens_and_the_exchange_where_compose_puts_it() -> None:
    clusters = yaml.safe_load((DEPLOY / "envoy" / "envoy.yaml").read_text())["static_resources"]["clusters"]
    endpoints = {
        each["name"]: each["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]["address"]["socket_address"]
        for each in clusters
    }
    published = int(parts()["exchange"]["ports"][0].split(":")[1])

    assert {
        "gateway": {"address": "127.0.0.1", "port_value": Settings.model_fields["grpc_port"].default},
        "batches": {"address": "127.0.0.1", "port_value": Settings.model_fields["grpc_port"].default},
        "streams": {"address": "127.0.0.1", "port_value": Settings.model_fields["grpc_port"].default},
        "health": {"address": "127.0.0.1", "port_value": Settings.model_fields["grpc_port"].default},
        "exchange": {"address": "127.0.0.1", "port_value": published},
    } == endpoints


def envoy_listener() -> tuple[dict[str, Any], dict[str, Any]]:
    """The TLS context and the HTTP connection manager of the one listener."""
    (listener,) = yaml.safe_load((DEPLOY / "envoy" / "envoy.yaml").read_text())["static_resources"]["listeners"]
    (chain,) = listener["filter_chains"]
    (manager,) = chain["filters"]
    return chain["transport_socket"]["typed_config"], manager["typed_config"]


def envoy_secrets() -> dict[str, dict[str, Any]]:
    """What Envoy's files of certificates hold, by name."""
    files = [yaml.safe_load(file.read_text())["resources"] for file in (DEPLOY / "envoy" / "sds").iterdir()]
    return {each["name"]: each for (each,) in files}


def test_envoy_reads_each_of_its_tls_files_anew_when_it_is_renewed() -> None:
    tls = envoy_listener()[0]["common_tls_context"]
    (server,) = tls["tls_certificate_sds_secret_configs"]

    kinds = {server["name"]: "tls_certificate", tls["validation_context_sds_secret_config"]["name"]: "validation_context"}
    for name, kind in kinds.items():
        assert {"path": "/etc/envoy/tls"} == envoy_secrets()[name][kind]["watched_directory"]
    assert kinds.keys() == envoy_secrets().keys()


def test_envoy_proves_callers_certificates_and_takes_the_ones_without_too() -> None:
    tls, _ = envoy_listener()

    assert not tls["require_client_certificate"]
    named = tls["common_tls_context"]["validation_context_sds_secret_config"]["name"]
    assert envoy_secrets()[named]["validation_context"]["trusted_ca"]["filename"].endswith("client-ca.crt")
    assert "trust_chain_verification" not in str(tls)


def test_envoy_writes_the_callers_certificate_itself_and_lets_no_other_word_of_it_through() -> None:
    _, manager = envoy_listener()

    assert "SANITIZE_SET" == manager["forward_client_cert_details"]
    assert {"cert": True} == manager["set_current_client_cert_details"]


def test_the_loopback_that_envoys_gateway_shall_believe_is_a_setting() -> None:
    text = (DEPLOY / "envoy" / "envoy.yaml").read_text()
    named = re.search(r"PORTCULLIS_FORWARDED_BY=(\w+)", text)[1]

    assert named == Settings(forwarded_by=named).forwarded_by == FORWARDED_BY_LOOPBACK


def test_envoy_routes_only_to_its_clusters() -> None:
    _, _, text = (DEPLOY / "envoy" / "envoy.yaml").read_text().partition("static_resources:")

    assert {"gateway", "batches", "streams", "health", "exchange"} == set(re.findall(r"\bcluster: (\w+)", text))


def envoy_route(method: str) -> dict[str, Any]:
    """The first route that takes a method."""
    (host,) = envoy_listener()[1]["route_config"]["virtual_hosts"]
    return next(
        each
        for each in host["routes"]
        if method == each["match"].get("path") or method.startswith(each["match"].get("prefix", "\0"))
    )


@pytest.mark.parametrize("service", [check_service_pb2, caller_service_pb2, sharing_service_pb2])
def test_a_single_call_goes_on_from_envoy_when_it_is_whole_and_a_stream_as_it_comes(service: Any) -> None:
    ((_, service_of),) = service.DESCRIPTOR.services_by_name.items()
    for method in service_of.methods:
        found = envoy_route(f"/{service_of.full_name}/{method.name}")
        buffer = found.get("typed_per_filter_config", {}).get("envoy.filters.http.buffer", {})
        if method.client_streaming or method.server_streaming:
            assert (method.name, True) == (method.name, buffer.get("disabled"))
        else:
            assert (method.name, None, "10s") == (method.name, buffer.get("disabled"), found["route"]["idle_timeout"])


def test_the_commands_of_the_guide_parse() -> None:
    shown = [words for words in shell_lines(REPOSITORY / "docs" / "how-to" / "deploy.md") if "registry" in words]

    assert shown
    for words in shown:
        # A file of the reader's own, which the command wants to be there.
        parse([str(COMPOSE) if word.startswith("/lists/") else word for word in words[words.index("registry") + 1 :]])


def test_continuous_integration_runs_what_make_knows() -> None:
    script = REPOSITORY / ".ci" / "run"
    subprocess.run(["bash", "-n", script], check=True)
    named = re.findall(r"^make (.+)$", script.read_text(), re.MULTILINE)

    assert os.access(script, os.X_OK)
    assert [["check", "test"]] == [line.split() for line in named]
    assert {"check", "test"} <= make_targets()


def test_hooks_run_what_continuous_integration_runs() -> None:
    hooks = yaml.safe_load((REPOSITORY / ".pre-commit-config.yaml").read_text())
    entries = [hook["entry"].split()[-1] for repository in hooks["repos"] for hook in repository["hooks"]]

    assert ["local"] == [repository["repo"] for repository in hooks["repos"]]
    assert ["check", "test"] == entries
