"""In CI a test that skips for a missing tool has failed: only hardware or data may be absent."""

from __future__ import annotations

import os
from collections.abc import Generator
from typing import Any

import pytest

MAY_BE_ABSENT = ("data:", "gpu:", "cpu:")
"""How the reason of a permitted skip begins."""

STRICT = os.environ.get("CRYSTALC_REQUIRE_TOOLS") == "1"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn every other skip into a failure when CRYSTALC_REQUIRE_TOOLS=1."""
    report = yield
    if STRICT and report.skipped and not hasattr(report, "wasxfail"):
        reason = _reason(report.longrepr)
        if not reason.startswith(MAY_BE_ABSENT):
            report.outcome = "failed"
            report.longrepr = f"skipped where every tool is required: {reason}"
    return report


def _reason(longrepr: Any) -> str:
    text = longrepr[2] if isinstance(longrepr, tuple) else str(longrepr)
    return str(text).removeprefix("Skipped: ")
