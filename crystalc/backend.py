"""What a backend is, how it is found, and whether it can take a graph."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from difflib import get_close_matches
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar, Protocol, runtime_checkable

from numpy.typing import NDArray

from crystalc.container.kinds import MODES, Mode
from crystalc.diagnostics import CompileError, Diagnostic, refuse
from crystalc.ir import FixedType, Graph, Op

GROUP = "crystalc.backends"

Files = Mapping[PurePosixPath, str | bytes]


@dataclass(frozen=True)
class Exact:
    """Outputs equal the oracle's, without exception."""


@dataclass(frozen=True)
class Within:
    """Outputs stay inside the running error bound of binary arithmetic with this precision.

    ``bits`` is the significand length: 24 for IEEE single precision.
    """

    bits: int


@dataclass(frozen=True)
class Electrical:
    """A circuit: every output within ``absolute`` volts plus ``share`` of the range that the
    oracle's outputs span, and the same decision for at least ``decisions`` of the vectors.
    """

    absolute: float
    share: float
    decisions: float


Agreement = Exact | Within | Electrical


@dataclass(frozen=True)
class Capabilities:
    """Data, not code: what a backend takes and what it promises.

    ``float_ops`` and ``fixed_ops`` are the ops it renders at each level; an empty set means the
    level is not offered. ``tools``: programs its ``execute`` needs, any one of each tuple.
    ``multipliers``: False where a product with a constant should be a shift; the integers are then
    chosen so. ``weights``: modes that it takes language models in.
    """

    float_ops: frozenset[Op]
    fixed_ops: frozenset[Op]
    max_width: int
    float_agreement: Agreement
    fixed_agreement: Agreement
    tools: tuple[tuple[str, ...], ...] = ()
    description: str = ""
    multipliers: bool = True
    weights: tuple[Mode, ...] = MODES


@runtime_checkable
class Backend(Protocol):
    """A frozen dataclass whose fields are its options; see ``docs/backends.md``."""

    name: ClassVar[str]
    capabilities: ClassVar[Capabilities]

    def emit(self, graph: Graph, header: str) -> Files:
        """Text and data of the artefact by relative path. Pure: writes nothing."""
        ...

    def execute(self, build: Path, inputs: NDArray[Any]) -> NDArray[Any]:
        """Outputs [batch, O] of the artefact in ``build``. Raises ToolError."""
        ...


@runtime_checkable
class Tunable(Backend, Protocol):
    """A backend whose artefact depends on how large the values are that a model meets."""

    def tuned(self, samples: NDArray[Any]) -> Backend:
        """The same backend for inputs like ``samples`` [n, I]."""
        ...


@dataclass(frozen=True)
class Study:
    """What was measured of an artefact: ``facts`` for a report (JSON types), ``lines`` for people,
    ``files`` by relative path.
    """

    facts: Mapping[str, Any]
    lines: tuple[str, ...] = ()
    files: Mapping[PurePosixPath, str | bytes] = field(default_factory=dict)


@runtime_checkable
class Studied(Backend, Protocol):
    """A backend that measures more of an artefact than its outputs."""

    def study(self, build: Path, graph: Graph, inputs: NDArray[Any]) -> Study:
        """Of the artefact in ``build``, made of ``graph``. Raises ToolError."""
        ...


@runtime_checkable
class LanguageBackend(Backend, Protocol):
    """A backend that takes language models too, as the bytes of a ``.crystal`` container."""

    def emit_language(self, container: bytes, header: str) -> Files:
        """Text and data of the artefact by relative path. Pure: writes nothing."""
        ...

    def execute_language(self, build: Path, ids: NDArray[Any]) -> NDArray[Any]:
        """Logits [B, T, V] of the artefact in ``build`` for token ids [B, T]. Raises ToolError."""
        ...


@dataclass(frozen=True)
class Examined:
    """What a backend learned of its artefact from other tools than the check's.

    ``lines`` are printed, ``report`` goes to "resources" in report.json; a ``reason`` means that
    the artefact is not what it must be.
    """

    lines: tuple[str, ...]
    report: Mapping[str, Any]
    reason: str = ""


@runtime_checkable
class Noting(Backend, Protocol):
    """A backend that may not take every option as it is given."""

    def notes(self, graph: Graph) -> tuple[str, ...]:
        """What to say of that, one line each, of an artefact of ``graph``."""
        ...


@runtime_checkable
class Examiner(Protocol):
    """A backend that has more to say of what it made."""

    def examine(self, build: Path) -> Examined:
        """Look at the artefact in ``build``. Raises ToolError where it is refused."""
        ...


@runtime_checkable
class LanguageExaminer(LanguageBackend, Protocol):
    """A language backend that has more to say of what it made."""

    def examine_language(self, build: Path, ids: NDArray[Any]) -> Examined:
        """Look at the artefact in ``build``; ``ids`` [B, T] are text. Raises ToolError."""
        ...


def available() -> dict[str, EntryPoint]:
    """Installed backends by name, not yet imported. Raises CompileError on a name clash."""
    found: dict[str, EntryPoint] = {}
    for entry in entry_points(group=GROUP):
        other = found.get(entry.name)
        if other is not None and other.value != entry.value:
            raise refuse(
                f"two packages offer the target '{entry.name}': "
                f"{_origin(other)} and {_origin(entry)}",
                hint="uninstall one of them",
            )
        found[entry.name] = entry
    return dict(sorted(found.items()))


def _origin(entry: EntryPoint) -> str:
    return entry.dist.name if entry.dist else entry.value


def load(name: str) -> type[Any]:
    """The backend class called ``name``. Raises CompileError with the nearest valid name."""
    found = available()
    if name not in found:
        near = get_close_matches(name, found, 1)
        hint = f"did you mean '{near[0]}'?" if near else f"targets: {', '.join(found)}"
        raise refuse(f"unknown target '{name}'", hint=hint)
    try:
        backend = found[name].load()
    except (ImportError, AttributeError) as error:
        raise refuse(
            f"the backend for '{name}' in {_origin(found[name])} does not import: {error}"
        ) from error
    if not _is_backend(backend):
        raise refuse(f"'{found[name].value}' in {_origin(found[name])} is not a Backend dataclass")
    return backend  # type: ignore[no-any-return]


def describe(name: str) -> tuple[Capabilities | None, str]:
    """Capabilities and description of a target, or None and why it does not load."""
    try:
        capabilities: Capabilities = load(name).capabilities
    except CompileError as error:
        return None, f"broken: {error.diagnostics[0].message}"
    return capabilities, capabilities.description


def _is_backend(backend: object) -> bool:
    needed = ("name", "capabilities", "emit", "execute")
    is_class = isinstance(backend, type) and is_dataclass(backend)
    return is_class and all(hasattr(backend, key) for key in needed)


def create(name: str, options: Mapping[str, str]) -> Backend:
    """The backend with its options set from text. Raises CompileError for an unknown option."""
    backend = load(name)
    known = {f.name: f for f in fields(backend) if f.init}
    bad = [_unknown_option(name, key, list(known)) for key in options if key not in known]
    if bad:
        raise CompileError(*bad)
    made = backend(**options)
    assert isinstance(made, Backend)
    return made


def _unknown_option(target: str, key: str, known: list[str]) -> Diagnostic:
    near = get_close_matches(key, known, 1)
    hint = f"did you mean '{near[0]}'?" if near else f"options: {', '.join(known) or 'none'}"
    return Diagnostic(f"target '{target}' has no option '{key}'", hint=hint)


def illegal(graph: Graph, backend: Backend) -> list[Diagnostic]:
    """Every node that the backend does not take; empty when the graph is legal."""
    caps = backend.capabilities
    ops = caps.fixed_ops if graph.is_fixed else caps.float_ops
    level = "fixed" if graph.is_fixed else "float"
    if not ops:
        return [Diagnostic(f"target '{backend.name}' has no {level} arithmetic")]
    out = []
    if len(graph.input.type.shape) > 1:
        return [Diagnostic(f"target '{backend.name}' takes vectors only", graph.input.loc)]
    for _, node in graph:
        elem = node.type.elem
        if node.op not in ops:
            out.append(
                Diagnostic(f"target '{backend.name}' has no {level} '{node.op.value}'", node.loc)
            )
        elif isinstance(elem, FixedType) and elem.width > caps.max_width:
            text = f"{elem} is wider than the {caps.max_width} bits of target '{backend.name}'"
            out.append(Diagnostic(text, node.loc, "lower --width"))
    return out
