from __future__ import annotations

import pytest

from portcullis.mains.exposures import exposures

HUSH = "hush"


def test_a_user_without_rights_and_without_secrets_is_told_nothing() -> None:
    environment = {"PORTCULLIS_REDIS_URL": "redis://store:6379/0", "PORTCULLIS_HOME": "/var/lib/portcullis"}

    assert [] == exposures(uid=10001, environment=environment)


def test_root_is_told_to_be_someone_else() -> None:
    (found,) = exposures(uid=0, environment={})

    assert "root" in found.what
    assert "user of its own" in found.mend


@pytest.mark.parametrize(
    ("name", "url"),
    [
        ("PORTCULLIS_REDIS_URL", f"redis://:{HUSH}@store:6379/0"),
        ("PORTCULLIS_REGISTRY_URL", f"postgresql://registry:{HUSH}@db/registry"),
        ("PORTCULLIS_JOURNAL_URL", f"postgresql:///journal?host=/run&password={HUSH}"),
    ],
)
def test_a_password_in_a_variable_is_told_without_being_shown(name: str, url: str) -> None:
    (found,) = exposures(uid=10001, environment={name: url})

    assert name in found.what
    assert "PORTCULLIS_CONFIG" in found.mend
    assert HUSH not in found.what + found.mend
