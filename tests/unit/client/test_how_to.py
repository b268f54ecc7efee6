from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import portcullis.client

HOW_TO = Path(__file__).resolve().parents[3] / "docs" / "how-to"
PAGES = [HOW_TO / "use-the-sdk.md", HOW_TO / "share-events.md"]
EXAMPLES = [
    example
    for page in PAGES
    for example in re.findall(r"^```python\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
]


@pytest.mark.parametrize("example", EXAMPLES)
def test_every_example_compiles_and_imports_what_is_there(example: str) -> None:
    compile(example, "how-to", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)

    imports = [each for each in ast.walk(ast.parse(example)) if isinstance(each, ast.ImportFrom)]
    names = {name.name for each in imports if each.module == "portcullis.client" for name in each.names}
    assert names <= set(portcullis.client.__all__)


def test_every_error_of_the_tree_is_exported() -> None:
    errors = {each.__name__ for each in portcullis.client.ClientError.__subclasses__()}

    assert errors <= set(portcullis.client.__all__)
