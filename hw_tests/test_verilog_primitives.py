"""Every hand-written combinational primitive, on every input of small widths, against integers."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import pytest

from crystalc.ir import FixedType
from crystalc.render import source
from crystalc_verilog.circuit import Circuit
from crystalc_verilog.cmvm import Term
from crystalc_verilog.lower import Lowered
from crystalc_verilog.schedule import schedule
from crystalc_verilog.simulate import run
from crystalc_verilog.wires import PRIMITIVES, Wires
from hw_tests.verilog_models import NEEDS_ICARUS

pytestmark = NEEDS_ICARUS

Make = Callable[..., int]
Meaning = Callable[..., int]


@dataclass(frozen=True)
class Case:
    """A cell made of operands, and what it must be."""

    make: Make
    meaning: Meaning
    types: tuple[FixedType, ...]


def t(text: str) -> FixedType:
    """s3 or u2."""
    return FixedType(text[0] == "s", int(text[1:]))


def clipped(v: int, shift: int, out: FixedType) -> int:
    return min(max(v >> shift, out.low), out.high)


def sums() -> list[Case]:
    found = []
    for a, b, la, lb, minus in product(["u3", "s4"], ["u2", "s3"], (0, 2), (0, 3), (0, 1)):

        def make(c: Circuit, x: int, y: int, la: int = la, lb: int = lb, m: int = minus) -> int:
            return c.settle(c.add(Term(x, la), Term(y, lb, bool(m))))

        def meaning(x: int, y: int, la: int = la, lb: int = lb, m: int = minus) -> int:
            return (x << la) + (-1 if m else 1) * (y << lb)

        found.append(Case(make, meaning, (t(a), t(b))))
    return found


def requants() -> list[Case]:
    found = []
    for a, shift, out in product(["u5", "s6"], (0, 1, 3), ["u2", "s2", "u4", "s3"]):

        def make(c: Circuit, x: int, s: int = shift, o: str = out) -> int:
            return c.saturate(x, s, t(o))

        def meaning(x: int, s: int = shift, o: str = out) -> int:
            return clipped(x, s, t(o))

        found.append(Case(make, meaning, (t(a),)))
    return found


PAIRS = [(t(a), t(b)) for a, b in product(["u1", "u3", "s1", "s4"], ["u2", "s3"])]
CASES = {
    "add": sums(),
    "saturate": requants(),
    "mul": [Case(Circuit.mul, lambda x, y: x * y, p) for p in PAIRS],
    "less": [Case(Circuit.less, lambda x, y: int(x < y), p) for p in PAIRS],
    "choose": [Case(Circuit.choose, lambda z, x, y: x if z else y, (t("u1"), *p)) for p in PAIRS],
    "relu": [Case(Circuit.relu, lambda x: max(x, 0), (t("s5"),))],
    "abs": [Case(Circuit.absolute, abs, (t("s5"),))],
    "bits": [
        Case(lambda c, x, s=s: c.right(x, s), lambda x, s=s: x >> s, (t(k),))
        for s, k in product((1, 2, 4), ["u5", "s5"])
    ],
}


def test_no_primitive_is_left_out() -> None:
    """memory is a register file: its test is that of rewritten neurons."""
    assert set(CASES) == set(PRIMITIVES) - {"memory"}


@pytest.mark.parametrize("kind", CASES)
def test_primitive(kind: str, tmp_path: Path) -> None:
    modules, wanted = [], []
    for n, case in enumerate(CASES[kind]):
        text, values = bench(f"case_{n}", case)
        modules.append(text)
        wanted += values
    cells = [source(f"verilog/{name}") for name in (*PRIMITIVES.values(), "rank.v")]
    calls = " ".join(f"c{n}.go;" for n in range(len(modules)))
    instances = " ".join(f"case_{n} c{n} ();" for n in range(len(modules)))
    top = f'module top; {instances} initial begin {calls} $display("end"); end endmodule'
    (tmp_path / "all.v").write_text("\n".join([*cells, *modules, top]))
    run(["iverilog", "-g2005", "-Wall", "-s", "top", "-o", "sim", "all.v"], tmp_path)
    lines = run([str(shutil.which("vvp")), "-n", "sim"], tmp_path, "end").split()
    assert lines[:-1] == wanted


def bench(name: str, case: Case) -> tuple[str, list[str]]:
    """A module that prints the cell for every input, and what it must print."""
    c = Circuit()
    operands = [c.make("input", (), (k,), e.low, e.high) for k, e in enumerate(case.types)]
    cell = case.make(c, *operands)
    lowered = Lowered(c, tuple(operands), (cell,), ())
    wires = Wires(lowered, schedule(lowered, 100), name, 0, c.cells[cell].type.width)
    body = [line for k in range(len(c.cells)) for line in wires.cell(k)]
    regs = [f"reg [{e.width - 1}:0] {wires.read(k, 0)};" for k, e in enumerate(case.types)]
    names = ", ".join(wires.read(k, 0) for k in reversed(operands))
    bits = sum(e.width for e in case.types)
    out = wires.read(cell, 0)
    loop = f"for (n = 0; n < {1 << bits}; n = n + 1) begin {{{names}}} = n; #1; {SHOW % out} end"
    task = f"integer n; task go; {loop} endtask"
    text = "\n".join([f"module {name};", *regs, *body, task, "endmodule"])
    return text, [
        f"{v & c.cells[cell].type.high * 2 + 1 if v < 0 else v:b}" for v in all_values(case)
    ]


SHOW = '$display("%%0b", %s);'


def all_values(case: Case) -> list[int]:
    """The meaning for every input, the first operand counting fastest."""
    spans = [range(1 << e.width) for e in reversed(case.types)]
    found = []
    for codes in product(*spans):
        pairs = zip(reversed(codes), case.types, strict=True)
        found.append(case.meaning(*(v - (1 << e.width) if v > e.high else v for v, e in pairs)))
    return found


DIVIDE = """
module top;
    reg clk = 0, go = 0, next = 0; reg [%(wa)d-1:0] a; reg [%(wb)d-1:0] b;
    wire done; wire [%(wq)d-1:0] q; integer i, j, n;
    crystal_divide #(%(wa)d, %(sa)d, %(wb)d, %(sb)d, %(shift)d, %(wq)d, %(extra)d) dut (
        clk, 1'b0, go, next, a, b, done, q);
    always #1 clk = ~clk;
    initial begin
        next = 1; @(negedge clk); next = 0;
        for (i = 0; i < (1 << %(wa)d); i = i + 1) for (j = 0; j < (1 << %(wb)d); j = j + 1) begin
            a = i; b = j; go = 1; n = 0;
            while (!done) begin @(negedge clk); n = n + 1; end
            $display("%%0d %%0d", q, n);
            next = 1; @(negedge clk); next = 0;
        end
        $display("end"); $finish;
    end
endmodule
"""


DIVISIONS = [
    (4, 1, 3, 0, 2, 0),
    (4, 0, 3, 0, 0, 2),
    (2, 1, 5, 0, 3, 1),
    (5, 1, 1, 0, 0, 0),
    (4, 1, 4, 1, 1, 0),
]


@pytest.mark.parametrize(("wa", "sa", "wb", "sb", "shift", "extra"), DIVISIONS)
def test_divide(wa: int, sa: int, wb: int, sb: int, shift: int, extra: int, tmp_path: Path) -> None:
    """Quotient and clocks of every pair, against the op's definition."""
    wq = wa + shift + 1
    shape = {"wa": wa, "sa": sa, "wb": wb, "sb": sb, "shift": shift, "wq": wq, "extra": extra}
    (tmp_path / "all.v").write_text(source("verilog/divide.v") + DIVIDE % shape)
    run(["iverilog", "-g2005", "-Wall", "-s", "top", "-o", "sim", "all.v"], tmp_path)
    got = run([str(shutil.which("vvp")), "-n", "sim"], tmp_path, "end").splitlines()[:-1]
    clocks = max(wa + shift, wb) + 3 + extra + 2
    wanted = []
    for i, b in product(range(1 << wa), range(1 << wb)):
        a = i - (1 << wa) if sa and i >> (wa - 1) else i
        b = b - (1 << wb) if sb and b >> (wb - 1) else b
        quotient = ((a << shift) * 2 + max(b, 1)) // (2 * max(b, 1))
        wanted.append(f"{quotient % (1 << wq)} {clocks}")
    assert got == wanted


LANE = """
module top;
    reg clk = 0, counts, pre, gap; reg [2:0] x; reg [2:0] w; wire [11:0] sum; integer i;
    crystal_lane #(3, %(sx)d, 3, 12, 12, %(pre)d, %(beta)d, %(gap)d, %(left)d) dut (
        clk, 1'b1, 1'b1, pre, gap, counts, x, w, 12'd5, sum);
    always #1 clk = ~clk;
    initial begin
        for (i = 0; i < 512; i = i + 1) begin
            {counts, pre, gap, x, w} = i;
            @(negedge clk); @(negedge clk); $display("%%0d", sum);
        end
        $display("end"); $finish;
    end
endmodule
"""


LANES = [
    (0, 0, 0, 0, 0),
    (1, 1, 1, 1, 2),
    (0, 2, 0, 2, 1),
    (1, 2, 2, 0, 0),
    (1, 0, 0, 2, 0),
]


@pytest.mark.parametrize(("sx", "pre", "beta", "gap", "left"), LANES)
def test_lane(sx: int, pre: int, beta: int, gap: int, left: int, tmp_path: Path) -> None:
    """The term of every number and weight, in every mode."""
    shape = {"sx": sx, "pre": pre, "beta": beta, "gap": gap, "left": left}
    (tmp_path / "all.v").write_text(source("verilog/lane.v") + LANE % shape)
    run(["iverilog", "-g2005", "-Wall", "-s", "top", "-o", "sim", "all.v"], tmp_path)
    got = run([str(shutil.which("vvp")), "-n", "sim"], tmp_path, "end").split()[:-1]
    wanted = []
    for i in range(512):
        counts, with_square, apart, xs, ws = i >> 8, i >> 7 & 1, i >> 6 & 1, i >> 3 & 7, i & 7
        x, w = xs - 8 if sx and xs > 3 else xs, ws - 8 if ws > 3 else ws
        beside = w + (x << beta) * (0, 1, -1)[pre] * with_square
        difference = abs((x << left) - w)
        term = difference**gap if gap and apart else x * beside
        wanted.append(str((6 + term * counts) % (1 << 12)))
    assert got == wanted
