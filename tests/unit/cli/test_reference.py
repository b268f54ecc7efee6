from __future__ import annotations

import subprocess
import sys

from tools.cli_page import PAGE, filled


def test_the_documented_help_is_what_the_commands_show() -> None:
    page = PAGE.read_text(encoding="utf-8")

    assert filled(page) == page, "run `python tools/cli_page.py`"


def test_help_starts_without_the_costly_imports() -> None:
    program = (
        "import sys\n"
        "from portcullis.cli.app import execute\n"
        "from portcullis.mains.wiring import ProcessWiring\n"
        "assert execute(['check', '--help'], ProcessWiring()) == 0\n"
        "costly = {'grpc', 'google', 'sqlalchemy', 'pydantic_settings', 'redis', 'lmdb', 'msgspec', 'structlog'}\n"
        "print(sorted(costly & set(sys.modules)), file=sys.stderr)\n"
    )

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60)

    assert (0, "[]") == (done.returncode, done.stderr.strip())
    assert done.stdout.startswith("Usage: portcullis check")
