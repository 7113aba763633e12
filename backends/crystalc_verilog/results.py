"""From the sums of a folded design into its store and out of it."""

from __future__ import annotations

from crystalc.ir import FixedType, Op
from crystalc.render import render
from crystalc_verilog.area import rom_features
from crystalc_verilog.covers import at_least
from crystalc_verilog.element import Segment, index_bits, rotated
from crystalc_verilog.files import fixed, parts, tables
from crystalc_verilog.lower import Lowered
from crystalc_verilog.parts import PartWires, store
from crystalc_verilog.passes import elem, final, hull, unfit
from crystalc_verilog.phrases import extended, pushed
from crystalc_verilog.program import Unit, Work
from crystalc_verilog.schedule import Schedule
from crystalc_verilog.sums import Sums
from crystalc_verilog.wires import literal, table


class Results(Sums):
    """Lines of Verilog after the lanes."""

    def chain(self, q: int, work: Work) -> str:
        """What turns a sum into an element: the wire that holds it one step before the end."""
        depth, plans, number = 0, iter(work.plans), 0
        if work.head:
            kind = hull([work.head.low, work.head.high])
            value = f"sum[{kind.width - 1}:0]"
        else:
            kind = elem(self.graph, work.made.spine[0])
            value = f"x[{kind.width - 1}:0]"
        last = q == len(self.made.works) - 1
        for item in work.chain:
            if isinstance(item, Segment):
                value = self.segment(
                    f"p{q}_{number}", item, next(plans), work, value, self.at(depth)
                )
                depth += len(work.plans[number].ranks) - 2
                kind, number = item.output, number + 1
            elif self.graph[item.node].op is Op.LOOKUP:
                value, kind = self.lookup(f"t{q}_{number}", item, work, value, kind, depth)
                depth += 1
            else:
                if not last:
                    raise unfit(self.graph[item.node])
                value = self.delayed(f"r{q}", value, kind, depth)
                return self.divide(item, work, value, kind)
        return self.delayed(f"r{q}", value, kind, depth) + f"|{kind.width}|{int(kind.signed)}"

    def delayed(self, name: str, value: str, kind: FixedType, depth: int) -> str:
        """``value`` as late as that of the longest chain."""
        span = f"[{kind.width - 1}:0]"
        for d in range(depth, self.made.latency - 1):
            self.lines.append(f"reg {span} {name}_{d};")
            self.lines.append(f"always @(posedge clk) if (advance) {name}_{d} <= {value};")
            value = f"{name}_{d}"
        return value

    def segment(
        self,
        name: str,
        item: Segment,
        plan: Schedule,
        work: Work,
        value: str,
        where: str,
        advance: str = "advance",
    ) -> str:
        """An instance of a segment, unless it is a wire; the name of its result."""
        lowered = item.lowered
        if lowered.inputs == lowered.outputs and item.ports == ("value",):
            return value
        module = f"{self.name}_{name}"
        wires = PartWires(item, plan, module, work.address, self.bus)
        self.modules += [wires.part(), *wires.memories, *self.tables(lowered, module)]
        self.parts += [p for p in parts(lowered) if p not in ("rank.v", "memory.v")]
        ports = ["clk", advance] if wires.clocked else []
        ports += ["cfg_write", "cfg_address", "cfg_data"] if item.states else []
        sources = {
            "value": value,
            "square": "square",
            "least": "least",
            "index": f"{where}[{index_bits(work.made.size) - 1}:0]",
        }
        ports += [sources[p] for p in item.ports]
        self.lines += [
            f"wire [{item.output.width - 1}:0] {name};",
            f"{module} {name}_made ({', '.join([*ports, name])});",
        ]
        return name

    def tables(self, lowered: Lowered, module: str) -> list[str]:
        """Modules of the tables of more than one bit."""
        cells = lowered.circuit.cells
        wide = {c.params[0] for c in cells if c.kind == "table" and c.type.width > 1}
        names = [f"module {module}_t{n:04d} " for n in wide]
        return [t for t in tables(lowered, module) if any(n in t for n in names)]

    def lookup(
        self, name: str, item: Unit, work: Work, value: str, kind: FixedType, depth: int
    ) -> tuple[str, FixedType]:
        """A table that is read in one clock, by element and index."""
        node = self.graph[item.node]
        rows, length = (int(n) for n in self.graph[node.inputs[1]].type.shape)
        bits = length.bit_length() - 1
        index = f"{{{bits - kind.width}'d0, {value}}}" if kind.width < bits else value
        if rows > 1:
            index = f"{{{self.at(depth)}[{index_bits(rows) - 1}:0], {index}}}"
        out = elem(self.graph, item.node)
        made = self.graph[node.inputs[1]]
        if made.is_state:
            state, module = self.bus.states[node.inputs[1]], f"{self.name}_{name}"
            self.modules.append(store(module, state, work.address, self.bus, clocked=True))
            data = f"cfg_data[{state.type.width - 1}:0]"
            ports = ["clk", "advance", "cfg_write", "cfg_address", data]
        else:
            order = rotated(list(range(rows)), work.address) if rows > 1 else [0]
            values = made.data().tolist()
            entries = [int(v) for k in order for v in values[k]]
            module, ports = f"{self.name}_{name}", ["clk", "advance"]
            self.area += rom_features(entries, width=out.width)
            self.modules.append(render("verilog/rom.v.j2", table(module, entries, out.width, "<=")))
        self.lines += [
            f"wire [{out.width - 1}:0] {name};",
            f"{module} {name}_made ({', '.join([*ports, index, name])});",
        ]
        return name, out

    def divide(self, item: Unit, work: Work, value: str, kind: FixedType) -> str:
        """The division of the results, one after another, while everything else waits."""
        node = self.graph[item.node]
        den = elem(self.graph, node.inputs[1])
        tail, plan = work.chain[-1], work.plans[-1]
        assert isinstance(tail, Segment)
        extra = len(plan.ranks) - 2
        out = elem(self.graph, item.node)
        shift = int(node.attrs["shift"])
        wide = max(kind.width + shift, den.width) + 3
        self.delay = wide + extra + 2
        signs = int(kind.signed), int(den.signed)
        numbers = (kind.width, signs[0], den.width, signs[1], shift, out.width, extra)
        self.parts.append("divide.v")
        self.lines += [
            "wire done;",
            f"wire [{out.width - 1}:0] quotient;",
            f"reg [{kind.width - 1}:0] numerator;",
            f"always @(posedge clk) if (advance) numerator <= {value};",
            f"crystal_divide #({', '.join(map(str, numbers))}) divide (",
            f"    clk, restart, give, advance, numerator, divisor_{node.inputs[1]}, done, quotient",
            ");",
        ]
        made = self.segment(
            "tail", tail, plan, work, "quotient", self.at(self.made.latency), "1'b1"
        )
        return f"{made}|{tail.output.width}|{int(tail.output.signed)}"

    def back(self, results: list[str]) -> list[str]:
        """From the results into the store, into registers, and out."""
        made, a, depth = self.made, self.made.address_bits, self.made.latency
        maps = any(w.head is None for w in made.works)
        lines = [
            "",
            "assign enter = summed" + (" | mapped;" if maps else ";"),
            f"reg [{depth - 1}:0] v;",
            f"wire v_last = v[{depth - 1}];",
            "always @(posedge clk)",
            "    if (restart) v <= 0;",
            f"    else if (advance) v <= {pushed('v', depth, 1, 'enter')};",
        ]
        for d in range(1, depth + 1):
            lines += [
                f"reg [{a - 1}:0] e_{d};",
                f"always @(posedge clk) if (advance) e_{d} <= {self.at(d - 1)};",
            ]
        self.result = results[-1]
        return [*lines, *self.kept(results[:-1])]

    def kept(self, results: list[str]) -> list[str]:
        """What becomes of the results of all passes but the last."""
        made, a, depth = self.made, self.made.address_bits, self.made.latency
        where, now = self.at(depth - 1), f"v[{depth - 2}]" if depth > 1 else "enter"
        lines, new = [], ""
        for work, made_of in zip(made.works[:-1], results, strict=True):
            value, width, sign = made_of.split("|")
            kind = FixedType(bool(int(sign)), int(width))
            if work.made.scalar:
                lines += self.scalar(work, value, kind, f"{now} & {where} == {a}'d{work.address}")
                continue
            if self.uses("least") and self.min_of(work.made.target):
                lines += self.least(work, value, kind, now, where)
            assert self.result_type
            value = extended(value, kind, self.result_type.width)
            bound = f"{where} < {a}'d{work.address}"
            new = f"{bound} ? {new} : {value}" if new else value
        if new:
            lines.append(f"always @(posedge clk) if (advance) data <= {new};")
        return lines

    def min_of(self, target: int) -> bool:
        return any(self.graph[i].inputs[0] == target for i in self.graph.find(Op.MIN))

    def least(self, work: Work, value: str, kind: FixedType, now: str, where: str) -> list[str]:
        """The least element of a vector."""
        a, wide = self.made.address_bits, elem(self.graph, work.made.target).width
        own = elem(self.graph, work.made.target)
        top = literal(own.high, wide)
        new = extended(value, kind, wide)
        compare = f"$signed({new}) < $signed(least)" if own.signed else f"{new} < least"
        inside = f"{where} >= {a}'d{work.address} & {where} < {a}'d{work.address + work.made.size}"
        return [
            f"reg [{wide - 1}:0] least;",
            "always @(posedge clk)",
            f"    if (loading) least <= {top};",
            f"    else if (advance & {now} & {inside} & ({compare})) least <= {new};",
        ]

    def scalar(self, work: Work, value: str, kind: FixedType, when: str) -> list[str]:
        """A number that later passes read."""
        own = elem(self.graph, work.made.target)
        name = f"divisor_{work.made.target}"
        new = extended(value, kind, own.width)
        return [
            f"reg [{own.width - 1}:0] {name};",
            f"always @(posedge clk) if (advance & {when}) {name} <= {new};",
        ]

    def ends(self) -> list[str]:
        """What leaves: the results of the last pass, or the place of the largest."""
        made, a = self.made, self.made.address_bits
        value, width, sign = self.result.split("|")
        kind = FixedType(bool(int(sign)), int(width))
        own = elem(self.graph, final(self.graph))
        first = made.works[-1].address
        new = extended(value, kind, own.width)
        late = at_least(self.at(made.latency), a, first, range(made.base, made.total))
        lines = [f"assign give = v_last & {late};"]
        if self.delay:
            lines += ["wire result_valid = done;", "wire result_ready;"]
            lines.append(f"wire [{own.width - 1}:0] result = {new};")
            lines.append("assign taken = done & result_ready;")
        else:
            lines += [
                f"reg [{own.width - 1}:0] result;",
                f"always @(posedge clk) if (advance) result <= {new};",
                "wire result_valid = give;",
                "wire result_ready;",
                "assign taken = result_ready;",
            ]
        if final(self.graph) == self.graph.output.inputs[0]:
            return [
                *lines,
                "assign out_valid = result_valid;",
                "assign result_ready = out_ready;",
                "assign out_data = result;",
            ]
        return [*lines, *self.argmax(own)]

    def argmax(self, own: FixedType) -> list[str]:
        size = self.made.works[-1].made.size
        wide, have = fixed(self.graph.output.type.elem).width, index_bits(size)
        self.parts.append("argmax.v")
        parameters = f"{size}, {own.width}, {int(own.signed)}, {have}"
        return [
            f"wire [{have - 1}:0] best;",
            f"crystal_argmax #({parameters}) argmax (",
            "    clk, rst, result_valid, result_ready, result, out_valid, out_ready, best",
            ");",
            f"assign out_data = {extended('best', FixedType(False, have), wide)};",
        ]
