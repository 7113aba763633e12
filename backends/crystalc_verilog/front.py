"""Control, the store and the weights of a folded design: what happens before the lanes."""

from __future__ import annotations

from functools import reduce
from operator import or_

import numpy as np

from crystalc.ir import FixedType
from crystalc_verilog.covers import cover, written
from crystalc_verilog.element import index_bits
from crystalc_verilog.phrases import extended, pushed, read_at, stepped
from crystalc_verilog.shared import Shared


class Front(Shared):
    """Lines of Verilog up to the lanes."""

    def control(self) -> list[str]:
        """Where the design is: group g, address a, and when all of it advances."""
        made, a, g = self.made, self.made.address_bits, self.made.group_bits
        free = " & ~(idle & cfg_valid)" if self.states else ""
        size = index_bits(made.base)
        first = made.works[-1].address
        done = cover([made.total - 1], range(first, made.total - 1), a)
        assert done is not None
        lines = [
            f"reg [{a - 1}:0] a, e;",
            f"reg [{g - 1}:0] g;",
            f"wire loading = e[{a - 1}:{size}] == 0;",
            "wire give, taken, enter;",
            f"wire advance = loading ? in_valid{free} : ~give | taken;",
            f"wire finished = give & ({written(self.at(made.latency), done, a)});",
            "wire restart = rst | (advance & finished);",
            *self.turns(),
            f"assign in_ready = loading{free};",
            "always @(posedge clk)",
            "    if (restart) begin",
            f"        a <= {a}'d{made.begins[0]};",
            f"        e <= {a}'d{made.entry};",
            f"        g <= {{{g}{{1'b1}}}};",
            "    end else if (advance) begin",
            "        a <= a_next;",
            f"        if (last) g <= g + {g}'d1;",
            f"        if (loading | enter) e <= e + {a}'d1;",
            "    end",
        ]
        if self.states:
            lines += [
                "reg idle;",
                "always @(posedge clk) if (restart) idle <= 1'b1; else if (advance) idle <= 1'b0;",
                "assign cfg_ready = idle;",
                "wire cfg_write = cfg_valid & cfg_ready;",
            ]
        return lines

    def turns(self) -> list[str]:
        """Is this the last step of a group; and the address of the next step."""
        made, a, g = self.made, self.made.address_bits, self.made.group_bits
        every = made.steps()
        steps = [n << a | at for n, at in every]
        ends = [w.last for w in made.groups]
        terms = cover([steps[t] for t in ends], np.delete(steps, ends), a + g)
        last = written("at", terms, a + g) if terms else self.last_by_group(every)
        lines = [
            f"wire [{a + g - 1}:0] at = {{g, a}};",
            f"wire last = {last};",
            f"wire [{a - 1}:0] more = a + {a}'d1;",
            "wire unused_at = &{1'b0, at};",
        ]
        moves = [
            (every[t][0], (every[t][1] + 1) % (1 << a), first)
            for t, first in zip(ends, made.begins[1:], strict=True)
        ]
        return [*lines, *self.next_address(moves)]

    def last_by_group(self, steps: list[tuple[int, int]]) -> str:
        """The comparison of the address with the end that the group has."""
        a, g = self.made.address_bits, self.made.group_bits
        ends = sorted(steps[w.last] for w in self.made.groups)
        return f"a == {stepped('g', g, [(n + 1, at) for n, at in ends], a)}"

    def next_address(self, moves: list[tuple[int, int, int]]) -> list[str]:
        """One more, but for the bits in which a group that begins wants another: of each end
        ``moves`` has the group, the address behind it and the one wanted.
        """
        a, g = self.made.address_bits, self.made.group_bits
        plain = [n for n, behind, first in moves if behind == first]
        forced = [(n, first) for n, behind, first in moves if behind != first]
        if not forced:
            return [f"wire [{a - 1}:0] a_next = more;"]
        kept = cover(plain, [n for n, _ in forced], g)
        if kept is None:
            kept, forced = [], [(n, first) for n, _, first in moves]
        apart = reduce(or_, (behind ^ first for _, behind, first in moves))
        low = (apart & -apart).bit_length() - 1
        values = [(n, first >> low) for n, first in sorted(forced)]
        bits = [
            cover([n for n, v in values if v >> k & 1], [n for n, v in values if not v >> k & 1], g)
            for k in reversed(range(a - low))
        ]
        text = f"{{{', '.join(written('g', t, g) for t in bits if t is not None)}}}"
        if None in bits:
            text = stepped("g", g, [(n + 1, v) for n, v in values], a - low)
        unless = f" & ~({written('g', kept, g)})" if kept else ""
        tail = f", more[{low - 1}:0]" if low else ""
        return [
            f"wire again = last{unless};",
            f"wire [{a - 1}:0] a_next = {{again ? {text} : more[{a - 1}:{low}]{tail}}};",
        ]

    def front(self) -> list[str]:
        """The memories of inputs and results, and the registers through which a number passes the
        lanes.
        """
        made, wide = self.made, self.store_type.width
        a, lanes = made.address_bits, self.lanes
        kind, size = self.input_type, index_bits(made.base)
        lines = ["", "integer i;", *self.memory("inputs", size, kind.width)]
        lines += [
            f"always @(posedge clk) if (loading) inputs[e[{size - 1}:0]] <= in_data;",
            f"reg [{kind.width - 1}:0] fresh;",
            f"always @(posedge clk) if (advance) fresh <= {read_at('a', size, a, 'inputs')};",
        ]
        new = extended("fresh", kind, wide)
        if self.result_type:
            lines += self.results_memory(self.result_type, size)
            new = f"{extended('known', self.result_type, wide)} | ({new} & {{{wide}{{is_fresh}}}})"
        lines.append(f"wire [{wide - 1}:0] operand = {new};")
        if lanes == 1:
            lines.append(f"wire [{wide - 1}:0] x = operand;")
        else:
            lines += [
                f"reg [{(lanes - 1) * wide - 1}:0] passed;",
                f"wire [{lanes * wide - 1}:0] x = {{passed, operand}};",
                f"always @(posedge clk) if (advance) passed <= x[{(lanes - 1) * wide - 1}:0];",
            ]
        for wire, works in (
            ("pre", self.kinds(["square"])),
            ("gap", self.kinds(["apart", "apart2"])),
        ):
            lines += self.marked(wire, works, False)
        lines += self.marked("counts", [q for q, w in enumerate(made.works) if w.head], True)
        maps = [q for q, w in enumerate(made.works) if w.head is None]
        lines += ["reg mapped;"] if maps else []
        if maps:
            lines.append("always @(posedge clk)")
            lines.append("    if (restart) mapped <= 1'b0;")
            lines.append(f"    else if (advance) mapped <= {self.counted(maps)};")
        return lines

    def results_memory(self, kind: FixedType, size: int) -> list[str]:
        """The memory of results behind 2**``size`` addresses of inputs; what is read is 0 there."""
        made, a = self.made, self.made.address_bits
        bits = index_bits(made.works[-1].address - made.base)
        write = "v_last & ~give" if made.total - made.base > 1 << bits else "v_last"
        read, inside = read_at("a", bits, a, "store"), f"a[{a - 1}:{size}] == 0"
        return [
            *self.memory("store", bits, kind.width),
            f"reg [{kind.width - 1}:0] data, known;",
            f"always @(posedge clk) if ({write})",
            f"    store[{self.at(made.latency)}[{bits - 1}:0]] <= data;",
            "reg is_fresh;",
            "always @(posedge clk) if (advance) begin",
            f"    is_fresh <= {inside};",
            f"    known <= {inside} ? {kind.width}'d0 : {read};",
            "end",
        ]

    def memory(self, name: str, bits: int, width: int) -> list[str]:
        """A memory of 2**``bits`` words."""
        return [
            f"reg [{width - 1}:0] {name} [0:{(1 << bits) - 1}];",
            f"initial for (i = 0; i < {1 << bits}; i = i + 1) {name}[i] = 0;",
        ]

    def marked(self, name: str, works: list[int], exact: bool) -> list[str]:
        """A bit that goes with x: is its pass one of ``works`` (and the step one that counts)?"""
        lanes = self.lanes
        groups = [g for g in self.made.groups[1:] if self.made.works[g.work].head]
        loose = any(g.steps > self.made.works[g.work].count for g in groups)
        plain = not self.uses("square") and all(
            w.head is None or w.head.mode == "product" for w in self.made.works
        )
        if exact and (plain or not loose):
            return [f"wire [{lanes - 1}:0] {name} = {{{lanes}{{1'b1}}}};"]
        if not works:
            return [f"wire [{lanes - 1}:0] {name} = {{{lanes}{{1'b0}}}};"]
        new = self.counted(works) if exact else self.during(works)
        return [
            f"reg [{lanes - 1}:0] {name};",
            f"always @(posedge clk) if (advance) {name} <= {pushed(name, lanes, 1, new)};",
        ]

    def weights(self) -> list[str]:
        """The memory of weights: one word a step."""
        found = self.words
        self.modules += found.modules(self.name)
        self.area += found.area()
        return ["", *found.lines(self.name, self.lanes)]
