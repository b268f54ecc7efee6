"""Checkpoints as signed notes: a golden one, keys that others made, and every way in which a note is refused."""

from __future__ import annotations

import base64

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from hypothesis import given
from hypothesis import strategies as st

from portcullis.domain.checkpoints import (
    Checkpoint,
    CheckpointInvalid,
    VerifierKey,
    parse_checkpoint,
    read_checkpoint,
    read_key,
    sign_checkpoint,
    verifier_key,
)
from portcullis.domain.merkle import Frontier, leaf_hash

ORIGIN = "journal.example/a1b2c3"
PRIVATE = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
KEY = verifier_key(ORIGIN, PRIVATE)
# The key of the seed 00 01 ... 1f, and a log of the first three leaves of certificate transparency's vectors. Ed25519
# signatures are deterministic, so this note never changes.
GOLDEN_KEY = "journal.example/a1b2c3+a1e45897+AQOhB7/zzhC+HXDdGOdLwJln5NYwm6UNXx3chmQSVTG4"
GOLDEN = (
    "journal.example/a1b2c3\n"
    "3\n"
    "rra8/idLcKFPsGel5VeCZNsPqbUa9eC6FZFY8yngbnc=\n"
    "\n"
    "— journal.example/a1b2c3 "
    "oeRYlz2CXW49fqKVcrDyGKvfyirG8M5d2SsYNjN5/EFnRzFKWTIhLrzPxMdNlMT614mfkkSr9wuv3oXAy9+imaSEewo=\n"
)
# From the documentation of golang.org/x/mod/sumdb/note, the format's first implementation.
GO_KEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
GO_TEXT = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
GO_SIGNATURE = "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM="
# The example of c2sp.org/tlog-checkpoint.
C2SP_EXAMPLE = (
    "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n"
    "— example.com/behind-the-sofa "
    "Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n"
)


def golden_checkpoint() -> Checkpoint:
    frontier = Frontier()
    for entry in (b"", b"\x00", b"\x10"):
        frontier.append(leaf_hash(entry))
    return Checkpoint(origin=ORIGIN, size=frontier.size, root=frontier.root())


def test_a_checkpoint_is_signed_to_the_letter() -> None:
    assert GOLDEN == sign_checkpoint(golden_checkpoint(), PRIVATE)
    assert GOLDEN_KEY == str(KEY)


def test_a_signed_checkpoint_is_read_back() -> None:
    assert golden_checkpoint() == read_checkpoint(GOLDEN, read_key(GOLDEN_KEY))


def test_a_key_and_a_signature_of_the_first_implementation_are_understood() -> None:
    key, signature = read_key(GO_KEY), base64.b64decode(GO_SIGNATURE)
    assert (key.name, key.key_id) == ("PeterNeumann", signature[:4])
    Ed25519PublicKey.from_public_bytes(key.public).verify(signature[4:], GO_TEXT.encode())


def test_the_specifications_own_example_is_read() -> None:
    checkpoint = parse_checkpoint(C2SP_EXAMPLE)
    assert ("example.com/behind-the-sofa", 20852163) == (checkpoint.origin, checkpoint.size)
    assert C2SP_EXAMPLE.startswith(checkpoint.text() + "\n")


def test_signatures_of_others_are_passed_over() -> None:
    witness = "— witness.example " + base64.b64encode(b"\x01\x02\x03\x04" + bytes(72)).decode() + "\n"
    namesake = f"— {ORIGIN} " + base64.b64encode(b"\x01\x02\x03\x04" + bytes(64)).decode() + "\n"
    text, signature = GOLDEN.split("\n\n")
    assert golden_checkpoint() == read_checkpoint(f"{text}\n\n{witness}{signature}{namesake}", KEY)


def signed(text: str) -> str:
    """Sign any text, whether it is a checkpoint or not."""
    signature = base64.b64encode(KEY.key_id + PRIVATE.sign(text.encode())).decode()
    return f"{text}\n— {ORIGIN} {signature}\n"


ROOT = base64.b64encode(bytes(32)).decode()


@pytest.mark.parametrize(
    ("note", "what"),
    [
        ("", "it was cut"),
        (GOLDEN[:-1], "it was cut"),
        (GOLDEN.replace("\n\n", "\n"), "it was cut"),
        (GOLDEN.replace("\n", "\r\n"), "carriage returns"),
        (GOLDEN + "\n", "it was cut|is no signature"),
        (GOLDEN.replace("— ", "- "), "is no signature"),
        (GOLDEN.replace("ewo=", "ewp="), "is no signature"),
        (GOLDEN + "— witness.example\n", "is no signature"),
        (GOLDEN + "— witness.example AQIDBA==\n", "is no signature"),
        (signed(f"{ORIGIN}\n3\n"), "three lines"),
        (signed(f"{ORIGIN}\n3\n{ROOT}\nmore\n"), "three lines"),
        (signed(f"\n3\n{ROOT}\n"), "no origin"),
        (signed(f"a b\n3\n{ROOT}\n"), "no origin"),
        (signed(f"a+b\n3\n{ROOT}\n"), "no origin"),
        (signed(f"{ORIGIN}\n03\n{ROOT}\n"), "no size"),
        (signed(f"{ORIGIN}\n-3\n{ROOT}\n"), "no size"),
        (signed(f"{ORIGIN}\n\u0663\n{ROOT}\n"), "no size"),
        (signed(f"{ORIGIN}\n{'9' * 20}\n{ROOT}\n"), "no size"),
        (signed(f"{ORIGIN}\n3\n{ROOT[:-1]}\n"), "no root"),
        (signed(f"{ORIGIN}\n3\n{base64.b64encode(bytes(31)).decode()}\n"), "no root"),
        (signed(f"{ORIGIN}\n3\n{ROOT}\n").replace(ORIGIN, "journal.example/other"), "of another log"),
        (GOLDEN.replace("\n3\n", "\n4\n"), "does not verify"),
        (GOLDEN.replace("rra8", "rra9"), "does not verify"),
        (GOLDEN + f"— {ORIGIN} " + base64.b64encode(KEY.key_id + bytes(64)).decode() + "\n", "does not verify"),
        (GOLDEN + f"— {ORIGIN} " + base64.b64encode(KEY.key_id + bytes(63)).decode() + "\n", "64 bytes"),
        (GOLDEN + "— witness.example " + "A" * 20_000 + "\n", "longer than"),
        (GOLDEN.replace("journal", "journal\udc80"), "characters that no note has"),
    ],
)
def test_what_is_no_checkpoint_of_this_key_is_refused_and_says_why(note: str, what: str) -> None:
    with pytest.raises(CheckpointInvalid, match=what):
        read_checkpoint(note, KEY)


def test_a_checkpoint_of_another_key_is_refused() -> None:
    other = verifier_key(ORIGIN, Ed25519PrivateKey.from_private_bytes(bytes(32)))
    with pytest.raises(CheckpointInvalid, match="not signed by this key"):
        read_checkpoint(GOLDEN, other)


@given(st.integers(0, len(GOLDEN) - 1), st.characters())
def test_no_note_with_one_character_changed_is_believed(place: int, character: str) -> None:
    changed = GOLDEN[:place] + character + GOLDEN[place + 1 :]
    if changed != GOLDEN:
        with pytest.raises(CheckpointInvalid):
            read_checkpoint(changed, KEY)


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    for read in (parse_checkpoint, read_key):
        with pytest.raises(CheckpointInvalid):
            read(text)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "is not written"),
        ("name+a1e45897", "does not hold an Ed25519 key"),
        (GOLDEN_KEY.replace("+a1e45897", ""), "is not written"),
        (GOLDEN_KEY.replace("a1e45897", "A1E45897"), "is not written"),
        (GOLDEN_KEY.replace("a1e45897", "a1e45898"), "id is not that"),
        (GOLDEN_KEY.replace("journal.example", "journel.example"), "id is not that"),
        (GOLDEN_KEY.replace("AQOh", "BQOh"), "does not hold an Ed25519 key"),
        (GOLDEN_KEY[:-1], "does not hold an Ed25519 key"),
    ],
)
def test_what_is_no_verifier_key_is_refused_and_says_why(text: str, what: str) -> None:
    with pytest.raises(CheckpointInvalid, match=what):
        read_key(text)


def test_a_key_is_read_as_it_is_printed() -> None:
    assert VerifierKey(ORIGIN, KEY.public) == read_key(f"{KEY}\n")


@pytest.mark.parametrize("origin", ["", "a b", "a+b", "a\nb"])
def test_an_origin_that_no_key_can_be_named_after_is_not_signed(origin: str) -> None:
    with pytest.raises(ValueError, match="no checkpoint"):
        sign_checkpoint(Checkpoint(origin=origin, size=3, root=bytes(32)), PRIVATE)
