"""The ``folded`` architecture: P lanes a matrix product, weights in ROMs, one number a clock.

Units in a row, each with valid/ready at both ends: a product gathers its vector, gives its sums
one after another, and a small pipelined circuit turns each sum into the next vector's element.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from crystalc.ir import FixedType, Graph, Node, Op
from crystalc.ranges import smallest_type
from crystalc.render import render
from crystalc_verilog.area import Features, features, product_features
from crystalc_verilog.element import PRODUCTS, index_bits, post, unfit
from crystalc_verilog.files import Design, count, fixed, module, parts, tables
from crystalc_verilog.lower import Lowered
from crystalc_verilog.schedule import Schedule, schedule
from crystalc_verilog.wires import Wires, table


@dataclass(frozen=True)
class Product:
    """A matrix product as a unit: ``rows`` [O, K] of integers as its ROM holds them."""

    number: int
    x: FixedType
    rows: np.ndarray[tuple[int, int], np.dtype[np.int64]]
    l1: bool
    left: int
    sum: FixedType
    square: FixedType | None
    lanes: int

    @property
    def weight(self) -> FixedType:
        """A signed type for every entry."""
        low, high = int(self.rows.min()), int(self.rows.max())
        return smallest_type(min(low, -1), high, 0)

    @property
    def groups(self) -> int:
        """How many times the lanes are filled."""
        return -(-len(self.rows) // self.lanes)

    def words(self) -> list[int]:
        """The ROM: one word a clock, lane 0 lowest."""
        outputs, inputs = self.rows.shape
        full = np.zeros((self.groups * self.lanes, inputs), dtype=np.int64)
        full[:outputs] = self.rows
        width = self.weight.width
        mask = (1 << width) - 1
        grouped = full.reshape(self.groups, self.lanes, inputs).transpose(0, 2, 1)
        return [
            sum((int(v) & mask) << (p * width) for p, v in enumerate(word))
            for group in grouped
            for word in group
        ]

    def times(self, arrivals: Sequence[int]) -> list[int]:
        """Clock edges at which each sum can be taken, when element k can be at arrivals[k]."""
        outputs, inputs = self.rows.shape
        taken = -1
        for at in arrivals:
            taken = max(at, taken + 1)
        done = taken + 2
        found: list[int] = []
        for g in range(self.groups):
            wait = self.lanes + 1 if g else 0
            done += max(inputs, wait)
            found += [done + 1 + p for p in range(min(self.lanes, outputs - g * self.lanes))]
        return found

    @property
    def interval(self) -> int:
        """Clocks from one vector to the next: gather, then compute.

        The last element of a vector waits until the sums of the one before are out of the lanes.
        """
        inputs = self.rows.shape[1]
        compute = inputs + (self.groups - 1) * max(inputs, self.lanes + 1)
        return compute + max(inputs, 3)


@dataclass
class _Folding:
    graph: Graph
    name: str
    lanes: int
    levels: int
    lines: list[str] = field(default_factory=list)
    modules: list[str] = field(default_factory=list)
    parts: list[str] = field(default_factory=list)
    circuits: list[tuple[Lowered, Schedule]] = field(default_factory=list)
    products: list[Product] = field(default_factory=list)
    stream: str = "in"
    elem: FixedType = field(default_factory=lambda: FixedType(False, 1))
    times: list[int] = field(default_factory=list)

    def run(self) -> Design:
        """Units from the input to the output."""
        graph = self.graph
        entry = graph.input.type
        self.elem, self.times = fixed(entry.elem), list(range(1, entry.shape[0] + 1))
        value = graph.find(Op.INPUT)[0]
        for target in _targets(graph):
            value = self.stage(value, target)
        self.lines += [
            f"assign out_valid = {self.stream}_valid;",
            f"assign {self.stream}_ready = out_ready;",
            f"assign out_data = {self.stream}_data;",
        ]
        outputs = int(graph.output.type.shape[0])
        width = fixed(graph.output.type.elem).width
        top = _Top(self.name, fixed(entry.elem).width, width, 0, 0, self.lines)
        return Design(
            graph=graph,
            name=self.name,
            beats=(int(entry.shape[0]), outputs),
            latency=self.times[-1] - 1,
            interval=max(p.interval for p in self.products),
            states=(),
            modules=[render("verilog/module.v.j2", top), *self.modules],
            parts=self.parts,
            cells={
                **count(self.circuits),
                "lanes": self.lanes * len(self.products),
                "rom_bits": sum(_rom_bits(p) for p in self.products),
            },
            area=self.area(),
        )

    def area(self) -> Features:
        """The features of all units together."""
        total: Features = Counter()
        for lowered, plan in self.circuits:
            total += features(lowered, plan)
        for p in self.products:
            widths = (p.x.width, p.weight.width, p.sum.width)
            square = p.square.width if p.square else 0
            total += product_features(
                (len(p.rows), p.rows.shape[1]), p.lanes, widths, square, p.words(), p.l1
            )
        return total

    def stage(self, value: int, target: int) -> int:
        """The units that compute node ``target`` from the stream of node ``value``."""
        node = self.graph[target]
        if node.op is Op.ARGMAX:
            self.argmax(node)
            return target
        size = int(node.type.shape[0])
        lowered, root, square = post(self.graph, target, size)
        if self.graph[root].inputs[0] != value:
            raise unfit(self.graph[root])
        self.product(root, square)
        self.element(lowered, node, size)
        return target

    def product(self, root: int, square: int | None) -> None:
        node = self.graph[root]
        weight = self.graph[node.inputs[1]]
        if not weight.is_frozen_const:
            raise unfit(weight)
        rows, left = weight.data(), 0
        if node.op is Op.DISTANCE:
            if node.attrs["metric"] != "l1":
                raise unfit(node)
            fracs = self.elem.frac, fixed(weight.type.elem).frac
            left = max(fracs) - fracs[0]
            rows = rows << (max(fracs) - fracs[1])
        elif not node.attrs.get("transposed"):
            rows = rows.T
        unit = Product(
            number=len(self.products),
            x=self.elem,
            rows=rows,
            l1=node.op is Op.DISTANCE,
            left=left,
            sum=fixed(node.type.elem),
            square=None if square is None else fixed(self.graph[square].type.elem),
            lanes=min(self.lanes, len(rows)),
        )
        self.products.append(unit)
        self.times = unit.times(self.times)
        self.lines += _product_lines(unit, self.name, self.stream)
        self.modules.append(_rom(unit, self.name))
        self.parts += ["macs.v", "lane.v"]
        self.stream = f"m{unit.number}"

    def element(self, lowered: Lowered, node: Node, size: int) -> None:
        """The circuit after a product, as a module of its own."""
        plan = schedule(lowered, self.levels)
        number, elem = len(self.circuits), fixed(node.type.elem)
        name = f"{self.name}_p{number}"
        bits = sum(lowered.circuit.cells[c].type.width for c in lowered.inputs)
        wires = Wires(lowered, plan, name, 0, elem.width)
        self.modules += [module(name, wires, (bits, elem.width)), *tables(lowered, name)]
        self.parts += parts(lowered)
        self.circuits.append((lowered, plan))
        self.times = [t + plan.latency for t in self.times]
        before, self.stream, self.elem = self.stream, f"p{number}", elem
        self.lines += [
            "",
            *_stream(self.stream, elem.width),
            f"{name} post_{number} (",
            f"    clk, rst, {before}_valid, {before}_ready,",
            f"    {{{before}_index, {before}_square, {before}_data}},",
            f"    {self.stream}_valid, {self.stream}_ready, {self.stream}_data",
            ");",
        ]

    def argmax(self, node: Node) -> None:
        """The index of the largest of the numbers that come by."""
        width = fixed(node.type.elem).width
        size = int(self.graph[node.inputs[0]].type.shape[0])
        wide = index_bits(size)
        self.parts.append("argmax.v")
        parameters = f"{size}, {self.elem.width}, {int(self.elem.signed)}, {wide}"
        before = self.stream
        self.lines += [
            "",
            *_stream("best", wide),
            f"crystal_argmax #({parameters}) argmax (",
            f"    clk, rst, {before}_valid, {before}_ready, {before}_data,",
            "    best_valid, best_ready, best_data",
            ");",
            *_stream("wide", width),
            "assign wide_valid = best_valid;",
            "assign best_ready = wide_ready;",
            f"assign wide_data = {_extended('best_data', wide, width)};",
        ]
        self.stream, self.elem = "wide", fixed(node.type.elem)
        self.times = [self.times[-1] + 1]


@dataclass(frozen=True)
class _Top:
    name: str
    input_bits: int
    output_bits: int
    address_bits: int
    data_bits: int
    lines: Sequence[str]


def folded(graph: Graph, name: str, lanes: int, levels: int) -> Design:
    """A chain of frozen matrix products. Raises CompileError for any other graph."""
    for _, node in graph:
        if node.is_state:
            raise unfit(node)
    return _Folding(graph, name, lanes, levels).run()


def _targets(graph: Graph) -> list[int]:
    """The values that go from one unit to the next, in order."""
    found = [node.inputs[0] for _, node in graph if node.op in PRODUCTS]
    last = graph.output.inputs[0]
    if graph[last].op is Op.ARGMAX:
        found.append(graph[last].inputs[0])
    inputs = set(graph.find(Op.INPUT))
    return [i for i in dict.fromkeys([*found, last]) if i not in inputs]


def _stream(name: str, width: int) -> list[str]:
    return [f"wire {name}_valid, {name}_ready;", f"wire [{width - 1}:0] {name}_data;"]


def _extended(name: str, have: int, want: int) -> str:
    if want == have:
        return name
    return f"{{{want - have}'b0, {name}}}" if want > have else f"{name}[{want - 1}:0]"


def _rom_bits(unit: Product) -> int:
    return unit.groups * unit.rows.shape[1] * unit.lanes * unit.weight.width


def _rom(unit: Product, name: str) -> str:
    width = unit.lanes * unit.weight.width
    made = table(f"{name}_w{unit.number}", unit.words(), width, "<=")
    return render("verilog/rom.v.j2", made)


def _product_lines(unit: Product, name: str, before: str) -> list[str]:
    outputs, inputs = unit.rows.shape
    square = 1 if unit.square is None else unit.square.width
    me, address = f"m{unit.number}", index_bits(unit.groups * inputs)
    rom = unit.lanes * unit.weight.width
    shape = (inputs, outputs, unit.lanes, int(unit.l1), int(unit.square is not None))
    widths = (unit.x.width, int(unit.x.signed), unit.left, unit.weight.width, unit.sum.width)
    ends = (square, index_bits(inputs), index_bits(outputs), address)
    return [
        "",
        *_stream(me, unit.sum.width),
        f"wire [{square - 1}:0] {me}_square;",
        f"wire [{index_bits(outputs) - 1}:0] {me}_index;",
        f"wire {me}_rom_enable;",
        f"wire [{address - 1}:0] {me}_rom_address;",
        f"wire [{rom - 1}:0] {me}_rom_data;",
        f"{name}_w{unit.number} rom_{unit.number}",
        f"    (clk, {me}_rom_enable, {me}_rom_address, {me}_rom_data);",
        f"crystal_macs #({', '.join(map(str, (*shape, *widths, *ends)))}) product_{unit.number} (",
        f"    clk, rst, {before}_valid, {before}_ready, {before}_data,",
        f"    {me}_rom_enable, {me}_rom_address, {me}_rom_data,",
        f"    {me}_valid, {me}_ready, {me}_data, {me}_square, {me}_index",
        ");",
    ]
