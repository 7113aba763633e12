"""Our own layout, version 1: ``format``, ``version``, ``config``, ``state_dict`` and the rest."""

from __future__ import annotations

from crystalc.checkpoint import FORMAT, VERSION, Checkpoint
from crystalc.diagnostics import refuse
from crystalc.frontend.config import read_config, read_metadata
from crystalc.frontend.decode import parse_json
from crystalc.frontend.parameters import check_calibration, check_tensors
from crystalc.frontend.tree import Findings, Tree, Value, describe
from crystalc.frontend.version1_language import is_language, read_language
from crystalc.language import LanguageModel

REQUIRED = ("format", "version", "config", "state_dict")
FRAMEWORKS = ("pt", "np", "tf", "flax", "mlx")  # what others write there
KEYS = (*REQUIRED, "calibration", "metadata")


def read_version1(tree: Tree, source: str) -> Checkpoint | LanguageModel:
    """The model, or CompileError with everything that is wrong with it."""
    _check_version(tree)
    return read_language(tree, source) if is_language(tree) else _classifier(tree, source)


def _classifier(tree: Tree, source: str) -> Checkpoint:
    findings = Findings()
    findings.keys(tree, REQUIRED, KEYS)
    config = read_config(tree.get("config", {}), findings) if "config" in tree else None
    metadata = read_metadata(tree.get("metadata", {}), findings)
    state = tree.get("state_dict", {})
    if not isinstance(state, dict):
        findings.add(f"{describe(state)}, not a dict", "state_dict")
    if config is None or not isinstance(state, dict):
        findings.stop_if_any()
        raise AssertionError("a missing config is a finding")
    tensors = check_tensors(config, state, findings)
    calibration = check_calibration(tree.get("calibration"), config, findings)
    findings.stop_if_any()
    return Checkpoint(config, tensors, calibration, metadata, source)


def _check_version(tree: Tree) -> None:
    """The format and version decide what all else means, so they are checked first and alone."""
    name = tree["format"]
    if not isinstance(name, str) or name != FORMAT:
        raise refuse(f"{describe(name)} is not '{FORMAT}'", "format")
    version = tree.get("version", VERSION)
    if type(version) is not int or version < 1:
        raise refuse(f"{describe(version)} is not a version number", "version")
    if version > VERSION:
        raise refuse(
            f"{version} is newer than this crystalc reads ({VERSION})",
            "version",
            hint="upgrade it: pip install -U crystalc",
        )


def from_header(metadata: dict[str, str], tensors: Tree) -> Tree:
    """The tree of a ``.safetensors`` file of this layout (strings and JSON in its header)."""
    tree: Tree = {**metadata, "state_dict": {**tensors}}
    for key in ("config", "metadata"):
        if key in metadata:
            tree[key] = parse_json(metadata[key], f"header entry '{key}'")
    version = metadata.get("version", "")
    if version.isascii() and version.isdigit() and len(version) < 10:
        tree["version"] = int(version)
    state = tree["state_dict"]
    if isinstance(state, dict) and "calibration" in state:
        tree["calibration"] = state.pop("calibration")
    if "vocabulary" in metadata:
        tree["vocabulary"] = parse_json(metadata["vocabulary"], "header entry 'vocabulary'")
        _move_vocabulary(tree)
    return tree


def _move_vocabulary(tree: Tree) -> None:
    """Tensors called ``vocabulary.*`` go beside the JSON entries ``size`` and ``split``."""
    state, vocabulary = tree["state_dict"], tree["vocabulary"]
    if not isinstance(state, dict) or not isinstance(vocabulary, dict):
        return
    for key in [k for k in state if k.startswith("vocabulary.")]:
        vocabulary[key.removeprefix("vocabulary.")] = state.pop(key)


def is_version1(tree: Tree | dict[str, str]) -> bool:
    """True for a tree or header that names a format of ours (or pretends to)."""
    name: Value = tree.get("format", "pt")
    return not isinstance(name, str) or name not in FRAMEWORKS
