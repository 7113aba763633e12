"""The plain time-multiplexed circuit of a folded network's integers: a yardstick.

What one writes by hand in an afternoon: one memory for the inputs and one for the hidden numbers, a
ROM of weights and one of first sums, P multipliers that all do the same step, a clamp behind each,
all sums out at once. No back-pressure, and the sums are not rounded. |x|^2, where the network has
it, is one more input.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystalc.ir import FixedType, Graph
from crystalc_verilog.engine import engine
from crystalc_verilog.head import Head, head
from crystalc_verilog.passes import Product, elem, passes
from crystalc_verilog.simulate import run

Array = NDArray[Any]
DRAIN = 4
"""Clocks from the last product of a layer to the first of the next."""


@dataclass(frozen=True)
class Layer:
    """``rows`` [O, K] and ``bias`` [O]; sums are ``bits`` wide."""

    rows: Array
    bias: Array
    bits: int


@dataclass(frozen=True)
class Net:
    """Two layers; hidden numbers are (sum << scales[n]) >> shift, clipped to ``hidden`` bits.
    ``square``: the last column of the first layer is that of |x|^2.
    """

    inputs: int
    input_bits: int
    hidden: int
    shift: int
    scales: tuple[int, ...]
    first: Layer
    second: Layer
    square: bool

    def sums(self, x: Array) -> Array:
        """The raw sums of the second layer, [n, O]."""
        squares = (x.astype(np.int64) ** 2).sum(1, keepdims=True)
        given = np.hstack([x, squares]) if self.square else x.astype(np.int64)
        sums = given @ self.first.rows.T + self.first.bias
        h = np.clip((sums << np.array(self.scales)) >> self.shift, 0, (1 << self.hidden) - 1)
        return np.asarray(h @ self.second.rows.T + self.second.bias)


def net_of(graph: Graph) -> Net:
    """The integers of a frozen radial relu crystal, or of two dense layers with a clamp between.

    Raises ValueError for any other graph.
    """
    found = passes(graph)
    heads = [head(graph, p, False) for p in found if p.product]
    if len(heads) != 2 or {h.mode for h in heads} != {"product"} or heads[0].shift is None:
        raise ValueError("the yardstick knows two layers of products only")
    a, b = heads
    product = found[0].product
    assert isinstance(product, Product)
    given, hidden = (elem(graph, i) for i in (product.parts[0][0], found[0].target))
    inputs, rows = a.rows.shape[1], a.rows.astype(np.int64)
    if a.square:
        rows = np.hstack([rows, np.full((len(rows), 1), a.square)])
    first = Layer(rows, a.bias.astype(np.int64), _bits(a, given))
    second = Layer(b.rows.astype(np.int64), b.bias.astype(np.int64), _bits(b, hidden))
    shift = a.shift
    bits = given.width, hidden.width
    return Net(inputs, *bits, shift, a.scales, first, second, bool(a.square))


def _bits(h: Head, given: FixedType) -> int:
    """Wires that hold every sum, |x|^2 and all."""
    most = int(np.abs(h.rows).sum(1).max()) * given.high + int(np.abs(h.bias).max())
    most += abs(h.square) * h.rows.shape[1] * given.high**2
    return most.bit_length() + 1


def _packed(rows: Array, lanes: int, width: int) -> Iterator[tuple[int, int, int]]:
    """(group, step, word) of a matrix, lane 0 lowest."""
    mask = (1 << width) - 1
    for g in range(-(-len(rows) // lanes)):
        part = rows[g * lanes : (g + 1) * lanes]
        for k in range(rows.shape[1]):
            yield g, k, sum((int(r[k]) & mask) << (p * width) for p, r in enumerate(part))


def verilog(net: Net, lanes: int) -> str:
    """Module ``naive``."""
    a, b, n = net.first, net.second, net.inputs
    steps = [r.shape[1] for r in (a.rows, b.rows)]
    groups = [-(-len(r.rows) // lanes) for r in (a, b)]
    wide, hid, x = max(a.bits, b.bits), net.hidden, net.input_bits
    most = max(int(np.abs(r.rows).max()) for r in (a, b))
    w = most.bit_length() + 1
    kb, gb = max(steps).bit_length(), max(1, (max(groups) - 1).bit_length())
    square = (n * ((1 << x) - 1) ** 2).bit_length() if net.square else 0
    operand = max(square, hid, x) + 1
    given = "whole ? square : xq" if net.square else "xq"
    whole = f" whole <= k == {n};" if net.square else ""
    add = " square <= (k == 0 ? 0 : square) + in_data * in_data;" if net.square else ""
    pb = (lanes - 1).bit_length()
    every = [v for rows in (a.rows, b.rows) for _, _, v in _packed(rows, lanes, w)]
    tb = (len(every) - 1).bit_length()
    words = [f"{tb}'d{t}: w <= {lanes * w}'h{v:x};" for t, v in enumerate(every)]
    firsts = [f"{{1'd{q}, {gb}'d{g}}}: base <= {lanes * wide}'h{v:x};"
              for q, layer in enumerate((a, b))
              for g, _, v in _packed(layer.bias[:, None], lanes, wide)]  # fmt: skip
    where = f"k[{kb - 1}:{pb}]" if pb else "k"
    pick = f"lane[{pb - 1}:0] * {hid} +: {hid}" if pb else f"{hid - 1}:0"
    lines = [
        "module naive (input clk, input rst, input in_valid, output in_ready,",
        f"    input [{x - 1}:0] in_data, output reg out_valid,",
        f"    output reg [{len(b.rows) * wide - 1}:0] out_data);",
        f"reg [{x - 1}:0] xs [0:{n - 1}];",
        f"reg [{lanes * hid - 1}:0] hs [0:{max(groups[0] - 1, 0)}];",
        f"reg [{max(square - 1, 0)}:0] square; reg [1:0] phase; reg [{kb - 1}:0] k, lane;",
        f"reg [{gb - 1}:0] g, g1, g2; reg [{lanes * w - 1}:0] w; reg [{lanes * wide - 1}:0] base;",
        f"reg [{x - 1}:0] xq; reg [{lanes * hid - 1}:0] hq; reg whole, second, second2;",
        "reg run1, first1, last1, last2; reg [2:0] rest; assign in_ready = phase == 0;",
        f"reg signed [{wide - 1}:0] sum [0:{lanes - 1}];",
        "wire run = (phase == 1 | phase == 2) & rest == 0;",
        f"wire last = k == (phase == 1 ? {kb}'d{steps[0] - 1} : {kb}'d{steps[1] - 1});",
        f"wire signed [{operand - 1}:0] number = second ? hq[{pick}] : {given};",
        f"reg [{tb - 1}:0] t; always @(posedge clk) case (t)",
        *words, f"default: w <= {lanes * w}'bx; endcase",
        "always @(posedge clk) case ({phase == 2, g})", *firsts, "endcase",
        f"wire [{lanes * hid - 1}:0] clamped; genvar p;",
        f"generate for (p = 0; p < {lanes}; p = p + 1) begin : l",
        f"wire signed [{w - 1}:0] mine = w[p * {w} +: {w}];",
        f"wire signed [{wide - 1}:0] start = base[p * {wide} +: {wide}];",
        "always @(posedge clk) if (run1) sum[p] <= (first1 ? start : sum[p]) + mine * number;",
        *_clamp(net, lanes, wide, gb, sorted(set(net.scales))),
        "end endgenerate",
        "always @(posedge clk) begin",
        f"    xq <= xs[k]; hq <= hs[{where}]; lane <= k;{whole} second <= phase == 2;",
        "    run1 <= run; first1 <= k == 0; last1 <= run & last; g1 <= g; g2 <= g1;",
        "    last2 <= last1; second2 <= second; out_valid <= 0;",
        "    if (last2 & ~second2) hs[g2] <= clamped;",
        *(f"    if (last2 & second2 & g2 == {o // lanes}) "
          f"out_data[{(o + 1) * wide - 1}:{o * wide}] <= sum[{o % lanes}];"
          for o in range(len(b.rows))),
        f"    if (last2 & second2 & g2 == {groups[1] - 1}) begin out_valid <= 1; phase <= 0; end",
        "    if (phase == 0 & in_valid) begin",
        f"        xs[k] <= in_data;{add}",
        f"        k <= k == {n - 1} ? 0 : k + 1; g <= 0; if (k == {n - 1}) phase <= 1;",
        "    end",
        "    if (rest != 0) rest <= rest - 1;",
        "    t <= phase == 0 ? 0 : t + run;",
        "    if (run) begin",
        "        k <= last ? 0 : k + 1; if (last) g <= g + 1;",
        f"        if (last & phase == 1 & g == {groups[0] - 1}) begin",
        f"            phase <= 2; g <= 0; rest <= {DRAIN - 1};",
        "        end",
        f"        if (last & phase == 2 & g == {groups[1] - 1}) phase <= 3;",
        "    end",
        "    if (rst) begin phase <= 0; k <= 0; g <= 0; rest <= 0; run1 <= 0; last1 <= 0;",
        "        last2 <= 0; out_valid <= 0; end",
        "end",
        "endmodule",
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def _clamp(net: Net, lanes: int, wide: int, gb: int, scales: Sequence[int]) -> list[str]:
    """Shift and clip; where neurons differ in their shift, a choice by group."""
    top = (1 << net.hidden) - 1
    text = f"sum[p] >>> {net.shift - scales[0]}"
    for s in scales[1:]:
        mine = [n for n, t in enumerate(net.scales) if t == s]
        when = " | ".join(f"(g2 == {gb}'d{n // lanes} & p == {n % lanes})" for n in mine)
        text = f"({when}) ? sum[p] >>> {net.shift - s} : ({text})"
    return [
        f"wire signed [{wide - 1}:0] moved = {text};",
        f"assign clamped[p * {net.hidden} +: {net.hidden}] = moved < 0 ? 0"
        f" : moved > {top} ? {top} : moved[{net.hidden - 1}:0];",
    ]


BENCH = """
module tb; reg clk = 0, rst = 1, go = 0; reg [{x}:0] d; wire r, v; wire [{o}:0] y;
naive dut (clk, rst, go, r, d, v, y); reg [{x}:0] xs [0:{last}]; integer n, k, f, t, c = 0;
always #5 clk = ~clk; always @(posedge clk) c <= c + 1;
initial begin $readmemh("x.hex", xs); f = $fopen("y.hex", "w"); repeat (3) @(negedge clk); rst = 0;
for (n = 0; n < {count}; n = n + 1) begin t = c;
for (k = 0; k < {size}; k = k + 1) begin go = 1; d = xs[n * {size} + k]; @(negedge clk); end
go = 0; while (!v) @(negedge clk); $fwrite(f, "%h\\n", y); end
$display("DONE clocks %0d", c - t); $finish; end endmodule
"""


def simulate(net: Net, text: str, x: Array, place: Path) -> tuple[bool, int]:
    """Are all raw sums of ``x`` right, and the clocks from one vector to the next, in Icarus."""
    wide = max(net.first.bits, net.second.bits)
    size, outputs = net.inputs, len(net.second.rows)
    names = {"x": net.input_bits - 1, "o": outputs * wide - 1, "last": len(x) * size - 1}
    bench = BENCH.format(**names, count=len(x), size=size)
    (place / "naive.v").write_text(text)
    (place / "tb.v").write_text(bench)
    (place / "x.hex").write_text("".join(f"{int(v):x}\n" for v in x.reshape(-1)))
    run(["iverilog", "-g2005", "-s", "tb", "-o", "sim", "naive.v", "tb.v"], place)
    said = run(["vvp", "-n", "sim"], place, finished="DONE")
    mask, half = (1 << wide) - 1, 1 << (wide - 1)
    words = [int(line, 16) for line in (place / "y.hex").read_text().split()]
    got = [[((v >> (o * wide) & mask) ^ half) - half for o in range(outputs)] for v in words]
    exact = np.array_equal(np.array(got), net.sums(x))
    return bool(exact), int(said.split("clocks ")[1].split()[0])


def synthesised(place: Path, prefer: str) -> str:
    """What Yosys' stat prints of naive.v, by the script of the folded designs."""
    script = [
        "read_verilog naive.v",
        "synth_xilinx -family xcup -flatten -noiopad -top naive",
        "tee -o stat.txt stat",
    ]
    engine(prefer).run(script, place)
    return (place / "stat.txt").read_text()
