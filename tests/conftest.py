"""Options and fixtures of the whole suite."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # so that a test may say: from support import ...

UPDATE = "--update-golden"


def pytest_addoption(parser: pytest.Parser) -> None:
    """``--update-golden`` rewrites expected files from what the code says now."""
    parser.addoption(UPDATE, action="store_true", help="rewrite the expected (golden) files")


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[Path, str], None]:
    """``golden(path, text)``: the file holds exactly ``text``, or is rewritten on request."""

    def compare(path: Path, text: str) -> None:
        if request.config.getoption(UPDATE):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8", newline="")
            return
        if not path.exists():
            pytest.fail(f"{path} is missing; write it with: pytest {UPDATE}")
        expected = path.read_text(encoding="utf-8")
        assert text == expected, f"{path} differs; if this is meant: pytest {UPDATE}"

    return compare
