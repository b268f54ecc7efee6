"""Keep the contract: generate its stubs, say which committed stub differs, lint the protos.

The toolchain is the pinned grpcio-tools, mypy-protobuf and buf of the lock: the same versions give the same bytes.
"""

from __future__ import annotations

import filecmp
import os
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

import google.rpc
import grpc_tools
from grpc_tools import protoc

ROOT = Path(__file__).resolve().parent.parent
PROTOS = ROOT / "protos"
PACKAGE = Path("portcullis/v1")
SERVICES = ROOT / "services"
SCRIPTS = Path(sysconfig.get_path("scripts"))


def run_protoc(*outputs: str) -> None:
    """Run protoc over every proto of the contract.

    Raises:
        SystemExit: protoc refused a file; it has printed why.
    """
    includes = [
        PROTOS,
        Path(grpc_tools.__file__).parent / "_proto",
        Path(next(iter(google.rpc.__path__))).parent.parent,
    ]
    files = sorted(str(path.relative_to(PROTOS)) for path in (PROTOS / PACKAGE).glob("*.proto"))
    code = protoc.main(["protoc", *(f"-I{include}" for include in includes), *outputs, *files])
    if code != 0:
        raise SystemExit(code)


def generate(into: Path) -> None:
    """Write the stubs of every proto below ``into``."""
    os.environ["PATH"] = f"{SCRIPTS}{os.pathsep}{os.environ['PATH']}"
    run_protoc(
        f"--python_out={into}", f"--mypy_out=quiet:{into}", f"--grpc_python_out={into}", f"--mypy_grpc_out=quiet:{into}"
    )


def differing(fresh: Path) -> list[str]:
    """Name the stubs that stand differently, or not at all, on one side."""
    committed = SERVICES / PACKAGE
    names = {path.name for path in fresh.iterdir()} | {path.name for path in committed.glob("*_pb2*")}
    return sorted(
        name
        for name in names
        if not (fresh / name).exists()
        or not (committed / name).exists()
        or not filecmp.cmp(fresh / name, committed / name, shallow=False)
    )


def check() -> int:
    """Compare the committed stubs with fresh ones."""
    with tempfile.TemporaryDirectory() as folder:
        generate(Path(folder))
        changed = differing(Path(folder) / PACKAGE)
    for name in changed:
        print(f"contract: {PACKAGE / name} differs from what protos/ gives; run `make proto` and commit", file=sys.stderr)
    return 1 if changed else 0


def lint() -> int:
    """Let buf lint the protos.

    buf reads a descriptor set, since it can't find google/rpc/status.proto, which comes with a Python package, by itself.
    """
    with tempfile.TemporaryDirectory() as folder:
        image = Path(folder) / "contract.binpb"
        run_protoc("--include_imports", "--include_source_info", f"--descriptor_set_out={image}")
        return subprocess.run([SCRIPTS / "buf", "lint", image, "--config", PROTOS / "buf.yaml"], check=False).returncode


def main() -> int:
    """Do what the one argument says: generate, check or lint."""
    task = sys.argv[1] if len(sys.argv) == 2 else ""
    if task == "generate":
        generate(SERVICES)
        return 0
    if task in ("check", "lint"):
        return check() if task == "check" else lint()
    print("usage: python tools/contract.py generate|check|lint", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
