"""What becomes of a synthesis that takes too long, is interrupted or fails."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from crystalc.diagnostics import ToolError
from crystalc_verilog import layout
from crystalc_verilog.engine import Engine
from crystalc_verilog.synth import NETLIST

PARENT = "cat; sleep 60 & echo $! > child; wait; : "
"""Like Yosys with ABC: a shell that waits for a child of its own. The last word is the script.
Its input ends when somebody looks after it: an interruption before that would be too early."""

INTERRUPTED = """
import signal, sys
from pathlib import Path
from crystalc_verilog.engine import Engine
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
Engine("slow", "1", ("/bin/sh", "-c", sys.argv[2])).run(["x"], Path(sys.argv[1]))
"""


def started(place: Path) -> int:
    """The child's number, once it is there."""
    for _ in range(3000):
        if (place / "child").exists() and (text := (place / "child").read_text().strip()):
            return int(text)
        time.sleep(0.01)
    raise AssertionError("the child does not start")


def alive(number: int) -> bool:
    """Does the process run? (A dead one that nobody has waited for does not.)"""
    try:
        return Path(f"/proc/{number}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def gone(number: int) -> bool:
    """Has it ended within some seconds?"""
    for _ in range(1000):
        if not alive(number):
            return True
        time.sleep(0.01)
    os.kill(number, signal.SIGKILL)
    return False


needs_proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="there is no /proc")


@needs_proc
def test_a_timeout_ends_the_whole_group(tmp_path: Path) -> None:
    slow = Engine("slow", "1", ("/bin/sh", "-c", PARENT))
    with pytest.raises(ToolError, match="slow took longer than 1 s"):
        slow.run(["x"], tmp_path, timeout=1.0)
    assert gone(started(tmp_path))


@needs_proc
def test_a_layout_that_takes_too_long_leaves_nothing_running(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in layout.PROGRAMS:
        (tmp_path / name).write_text(f"#!/bin/sh\ncd {tmp_path}\n{PARENT}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setattr(layout, "SECONDS", 1.0)
    (tmp_path / NETLIST).write_text("module crystal; endmodule\n")
    blif = Engine("blif", "1", ("/bin/sh", "-c", "echo .model crystal > crystal.blif; : "))
    with pytest.raises(ToolError, match="qflow took longer than 1 s"):
        layout.place_and_route(tmp_path, "crystal", blif, tmp_path / "cells.lib")
    assert gone(started(tmp_path))


@needs_proc
def test_an_interruption_ends_the_whole_group(tmp_path: Path) -> None:
    command = [sys.executable, "-c", INTERRUPTED, str(tmp_path), PARENT]
    with subprocess.Popen(command, stderr=subprocess.PIPE) as process:
        child = started(tmp_path)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate()
    assert b"KeyboardInterrupt" in said
    assert gone(child)


ENDED = """
import sys
from pathlib import Path
from crystalc import cli
from crystalc_verilog.engine import Engine
run = Engine("slow", "1", ("/bin/sh", "-c", sys.argv[2])).run
cli.cli.callback = lambda: run(["x"], Path(sys.argv[1]))
cli.cli.invoke_without_command, cli.cli.no_args_is_help = True, False
cli.main([])
"""


@needs_proc
@pytest.mark.parametrize(("name", "code"), [("SIGTERM", 143), ("SIGHUP", 129)])
def test_a_signal_that_ends_the_command_ends_the_whole_group(
    tmp_path: Path, name: str, code: int
) -> None:
    command = [sys.executable, "-c", ENDED, str(tmp_path), PARENT]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        child = started(tmp_path)
        process.send_signal(getattr(signal, name))
        _, said = process.communicate()
    assert (process.returncode, said) == (code, f"ended by {name}\n")
    assert gone(child)


def test_a_signal_that_is_ignored_stays_so(tmp_path: Path) -> None:
    """As under nohup."""
    script = ENDED.replace("import sys", "import signal, sys", 1).replace(
        "from pathlib", "signal.signal(signal.SIGHUP, signal.SIG_IGN)\nfrom pathlib"
    )
    quick = "cat; kill -HUP $PPID; : "
    command = [sys.executable, "-c", script, str(tmp_path), quick]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_failure_says_the_last_lines(tmp_path: Path) -> None:
    broken = Engine("broken", "1", ("/bin/sh", "-c", "echo on a line; exit 3; : "))
    with pytest.raises(ToolError, match="broken failed with code 3") as caught:
        broken.run(["x"], tmp_path)
    assert "on a line" in str(caught.value)


def test_what_does_not_start(tmp_path: Path) -> None:
    with pytest.raises(ToolError, match="missing does not start"):
        Engine("missing", "1", (str(tmp_path / "missing"),)).run(["x"], tmp_path)
