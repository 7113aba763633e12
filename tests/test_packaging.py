"""What a user installs: the wheel holds everything, nothing else, and compiles a model."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from support import as_document, tiny_checkpoint, write_safetensors

ROOT = Path(__file__).parent.parent
SOURCES = ("crystalc", "backends", "templates", "README.md", "LICENSE", "pyproject.toml")
WHEEL_BUDGET = 800_000
"""Bytes; the wheel is text: four targets, their templates, the C runtime, training."""


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the sources, so that builds leave nothing in the checkout."""
    copy = tmp_path_factory.mktemp("source")
    ignore = shutil.ignore_patterns("__pycache__", "*.pyc")
    for name in SOURCES:
        path = ROOT / name
        if path.is_dir():
            shutil.copytree(path, copy / name, ignore=ignore)
        else:
            shutil.copy(path, copy / name)
    return copy


def build(source: Path, out: Path, what: str) -> Path:
    """The one file that ``python -m build`` makes of ``source``."""
    done = subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", what, "--outdir", str(out), str(source)],
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    (made,) = out.iterdir()
    return made


@pytest.fixture(scope="module")
def wheel(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(source, tmp_path_factory.mktemp("wheel"), "--wheel")


@pytest.fixture(scope="module")
def sdist(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(source, tmp_path_factory.mktemp("sdist"), "--sdist")


def names(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return {n for n in archive.namelist() if ".dist-info/" not in n}


def test_the_wheel_holds_every_source_and_nothing_else(wheel: Path, source: Path) -> None:
    def below(folder: Path, prefix: str) -> set[str]:
        files = (p for p in folder.rglob("*") if p.is_file() and "__pycache__" not in p.parts)
        return {prefix + str(p.relative_to(folder)) for p in files}

    wanted = below(source / "crystalc", "crystalc/")
    wanted |= below(source / "templates", "crystalc/templates/")
    for package in (source / "backends").iterdir():
        wanted |= below(package, f"{package.name}/") if package.is_dir() else set()
    assert names(wheel) == wanted


def test_no_folder_that_others_might_own(wheel: Path) -> None:
    top = {name.split("/")[0] for name in names(wheel)}
    assert "crystalc" in top
    assert "crystalc_c" in top
    assert all(name == "crystalc" or name.startswith("crystalc_") for name in top)


def test_the_wheel_is_small(wheel: Path) -> None:
    assert wheel.stat().st_size < WHEEL_BUDGET
    assert wheel.name.endswith("-py3-none-any.whl")


def test_the_wheel_carries_licence_and_doors(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        info = {n.split(".dist-info/")[1]: n for n in archive.namelist() if ".dist-info/" in n}
        entry_points = archive.read(info["entry_points.txt"]).decode()
        metadata = archive.read(info["METADATA"]).decode()
    assert "licenses/LICENSE" in info
    assert "c = crystalc_c:CBackend" in entry_points
    assert "crystalc = crystalc.cli:main" in entry_points
    assert "License-Expression: MIT" in metadata


def install(wheel: Path, target: Path) -> None:
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"),
            *("--disable-pip-version-check", "--target", str(target), str(wheel)),
        ],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def compile_with(site: Path, place: Path, *words: str) -> dict[str, object]:
    """The report of a compile from / with the package in ``site``, for a model in ``place``."""
    model = write_safetensors(place / "m.safetensors", as_document(tiny_checkpoint(head=True)))
    script = (
        f"import crystalc; assert crystalc.__file__.startswith({str(site)!r}), crystalc.__file__"
    )
    env = {**os.environ, "PYTHONPATH": str(site)}
    subprocess.run([sys.executable, "-c", script], cwd="/", env=env, check=True, timeout=60)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "crystalc", str(model), "--target", "c"),
            *("-o", str(place / "out"), *words),
        ],
        cwd="/", env=env, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    report: dict[str, object] = json.loads((place / "out" / "report.json").read_text())
    return report


@pytest.mark.parametrize("words", [(), ("--arithmetic", "fixed"), ("--weights", "q8")])
def test_an_installed_wheel_compiles(wheel: Path, tmp_path: Path, words: tuple[str, ...]) -> None:
    site = tmp_path / "site"
    install(wheel, site)
    assert compile_with(site, tmp_path, *words)["ok"] is True


def test_the_sdist_makes_the_same_wheel(wheel: Path, sdist: Path, tmp_path: Path) -> None:
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    (unpacked,) = tmp_path.iterdir()
    again = build(unpacked, tmp_path / "dist", "--wheel")
    with zipfile.ZipFile(wheel) as a, zipfile.ZipFile(again) as b:
        assert {n: a.read(n) for n in a.namelist()} == {n: b.read(n) for n in b.namelist()}
