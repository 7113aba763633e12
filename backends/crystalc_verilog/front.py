"""Control, the store and the weights of a folded design: what happens before the lanes."""

from __future__ import annotations

from crystalc_verilog.element import index_bits
from crystalc_verilog.phrases import pushed, read_at, stepped
from crystalc_verilog.shared import Shared
from crystalc_verilog.wires import literal


class Front(Shared):
    """Lines of Verilog up to the lanes."""

    def control(self) -> list[str]:
        """Where the design is: group g, address a, and when all of it advances."""
        made, a, g = self.made, self.made.address_bits, self.made.group_bits
        groups = made.groups
        ends = [(k + 1, (w.first + w.steps - 1) % (1 << a)) for k, w in enumerate(groups)]
        firsts = [(k, w.first % (1 << a)) for k, w in enumerate(groups)][1:]
        firsts.append((len(groups), (ends[-1][1] + 1) % (1 << a)))
        free = " & ~(idle & cfg_valid)" if self.states else ""
        lines = [
            "reg loading, begun, live;",
            f"reg [{a - 1}:0] a, e;",
            f"reg [{g - 1}:0] g;",
            "wire give, taken;",
            f"wire advance = loading ? in_valid{free} : ~give | taken;",
            f"wire finished = give & {self.at(made.latency)} == {a}'d{made.total - 1};",
            "wire restart = rst | (advance & finished);",
            f"wire last = a == {stepped('g', g, ends, a)};",
            "wire enter;",
            f"assign in_ready = loading{free};",
            "always @(posedge clk)",
            "    if (restart) begin",
            "        {loading, begun, live} <= 3'b100;",
            f"        a <= {literal(groups[0].first, a)};",
            "        {e, g} <= 0;",
            "    end else if (advance) begin",
            "        a <= last ? " + stepped("g", g, firsts, a) + f" : a + {a}'d1;",
            f"        g <= last ? g + {g}'d1 : g;",
            "        if (last) {begun, live} <= {1'b1, begun};",
            f"        if (enter) e <= e + {a}'d1;",
            f"        if (e == {a}'d{made.inputs - 1}) loading <= 1'b0;",
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

    def front(self) -> list[str]:
        """The store and the row of registers through which a number passes the lanes."""
        made, wide = self.made, self.store_type.width
        a, lanes = made.address_bits, self.lanes
        kept = made.works[-1].address
        bits = index_bits(kept)
        write = "v_last & ~give" if made.total > 1 << bits else "v_last"
        where = self.at(made.latency)
        new = pushed("x", lanes, wide, read_at("a", bits, a, "store"))
        lines = [
            "",
            f"reg [{wide - 1}:0] store [0:{(1 << bits) - 1}];",
            "integer i;",
            f"initial for (i = 0; i < {1 << bits}; i = i + 1) store[i] = 0;",
            f"reg [{wide - 1}:0] data;",
            f"always @(posedge clk) if ({write}) store[{where}[{bits - 1}:0]] <= data;",
            f"reg [{lanes * wide - 1}:0] x;",
            f"always @(posedge clk) if (advance) x <= {new};",
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
