"""The ``folded`` architecture: P lanes for all matrix products, one after another.

One store for all vectors, one memory for all weights, and one element a clock through what stands
after the sums. A single wire, ``advance``, holds everything.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from crystalc.ir import FixedType, Graph, Op
from crystalc.render import render
from crystalc_verilog.element import Segment, index_bits, rotated
from crystalc_verilog.files import Design, address_bits, count, fixed, parts, tables
from crystalc_verilog.lower import State
from crystalc_verilog.parts import Bus, PartWires, store
from crystalc_verilog.passes import elem, final, hull, unfit
from crystalc_verilog.program import Program, Unit, Work, program
from crystalc_verilog.wires import literal, packed, table
from crystalc_verilog.words import Words, words


def folded(graph: Graph, name: str, lanes: int, levels: int) -> Design:
    """A chain of products. Raises CompileError for a graph that is none."""
    made = program(graph, lanes, levels)
    return _Folding(made, name).design()


@dataclass(frozen=True)
class _Top:
    name: str
    input_bits: int
    output_bits: int
    address_bits: int
    data_bits: int
    lines: Sequence[str]


def states_of(graph: Graph) -> list[State]:
    """Active constants and their addresses on the bus: those of every architecture."""
    found, address = [], 0
    for i, node in graph:
        if not node.is_state:
            continue
        flat = tuple(int(v) for v in node.data().reshape(-1))
        shape = tuple(int(n) for n in node.type.shape)
        memory = any(graph[u].op is Op.LOOKUP for u in graph.users(i))
        found.append(State(i, address, shape, fixed(node.type.elem), flat, memory))
        address += len(flat)
    return found


class _Folding:
    def __init__(self, made: Program, name: str) -> None:
        self.made, self.name, self.graph = made, name, made.graph
        self.states = states_of(made.graph)
        data = max((s.type.width for s in self.states), default=0)
        self.bus = Bus({s.node: s for s in self.states}, address_bits(self.states), data)
        self.lanes = made.lanes
        self.modules: list[str] = []
        self.parts: list[str] = ["lane.v"]
        self.lines: list[str] = []
        self.store_type = self.stored_type()
        heads = [w.head for w in made.works if w.head]
        self.sum = hull([v for h in heads for v in (h.low, h.high)])
        self.words: Words = words(made, self.bus, self.sum.width)
        self.term = hull([v for h in heads for v in h.term])
        self.delay = 0

    # What is how wide.

    def stored_type(self) -> FixedType:
        """A type for every number in the store."""
        kinds = [elem(self.graph, self.graph.find(Op.INPUT)[0])]
        kinds += [elem(self.graph, w.made.target) for w in self.made.works[:-1]]
        return hull([v for k in kinds for v in (k.low, k.high)])

    def design(self) -> Design:
        """Everything."""
        made = self.made
        self.lines += self.control()
        self.lines += self.front()
        self.lines += self.weights()
        self.lines += self.sums()
        results = [self.chain(q, work) for q, work in enumerate(made.works)]
        self.lines += self.back(results)
        self.lines += self.ends()
        inputs, outputs = self.graph.input.type, self.graph.output.type
        ends = fixed(inputs.elem).width, fixed(outputs.elem).width
        top = _Top(self.name, *ends, self.bus.address_bits, self.bus.data_bits, self.lines)
        wait = self.delay * made.works[-1].made.size
        argmax = int(final(self.graph) != self.graph.output.inputs[0])
        return Design(
            graph=self.graph,
            name=self.name,
            beats=(int(inputs.shape[0]), int(outputs.shape[0])),
            latency=made.end + wait + argmax,
            interval=made.end + wait + 1,
            states=self.states,
            modules=[render("verilog/module.v.j2", top), *self.modules],
            parts=self.parts,
            cells=self.cells(),
        )

    def cells(self) -> dict[str, int]:
        circuits = [
            (item.lowered, plan)
            for work in self.made.works
            for item, plan in zip(
                [c for c in work.chain if isinstance(c, Segment)], work.plans, strict=True
            )
        ]
        return {
            **count(circuits),
            "lanes": self.lanes,
            "rom_bits": self.words.bits,
            "state_bits": sum(s.words * s.type.width for s in self.states),
        }

    # Control.

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
            f"wire last = a == {_steps('g', g, ends, a)};",
            "wire enter;",
            f"assign in_ready = loading{free};",
            "always @(posedge clk)",
            "    if (restart) begin",
            "        {loading, begun, live} <= 3'b100;",
            f"        a <= {literal(groups[0].first, a)};",
            "        {e, g} <= 0;",
            "    end else if (advance) begin",
            "        a <= last ? " + _steps("g", g, firsts, a) + f" : a + {a}'d1;",
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

    def at(self, depth: int) -> str:
        """The address of the element that is ``depth`` steps behind the sums."""
        return f"e_{depth}" if depth else "e"

    # Store and weights.

    def kinds(self, mode: Sequence[str]) -> list[int]:
        """Which works have one of these modes."""
        return [q for q, w in enumerate(self.made.works) if w.head and w.head.mode in mode]

    def front(self) -> list[str]:
        """The store and the row of registers through which a number passes the lanes."""
        made, wide = self.made, self.store_type.width
        a, lanes = made.address_bits, self.lanes
        kept = made.works[-1].address
        bits = index_bits(kept)
        write = "v_last & ~give" if made.total > 1 << bits else "v_last"
        where = self.at(made.latency)
        lines = [
            "",
            f"reg [{wide - 1}:0] store [0:{(1 << bits) - 1}];",
            "integer i;",
            f"initial for (i = 0; i < {1 << bits}; i = i + 1) store[i] = 0;",
            f"reg [{wide - 1}:0] data;",
            f"always @(posedge clk) if ({write}) store[{where}[{bits - 1}:0]] <= data;",
            f"reg [{lanes * wide - 1}:0] x;",
            f"always @(posedge clk) if (advance) x <= {_pushed('x', lanes, wide, _low('a', bits, a, 'store'))};",
        ]
        for wire, works in (("pre", self.kinds(["square"])), ("gap", self.kinds(["apart", "apart2"]))):
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
            f"always @(posedge clk) if (advance) {name} <= {_pushed(name, lanes, 1, new)};",
        ]

    def during(self, works: list[int], later: int = 0) -> str:
        """Is g a group of one of ``works`` (``later`` groups before)?"""
        bits = self.made.group_bits
        found = []
        for q in works:
            mine = [k + later for k, g in enumerate(self.made.groups) if g.work == q]
            one = f"g == {bits}'d{mine[0]}"
            span = f"(g >= {bits}'d{mine[0]} & g <= {bits}'d{mine[-1]})"
            found.append(f"({one})" if len(mine) == 1 else span)
        return " | ".join(found)

    def counted(self, works: list[int]) -> str:
        """Is this a step that reads a number of one of ``works``?"""
        bits = self.made.address_bits
        found = []
        for q in works:
            work = self.made.works[q]
            low = f" & a >= {bits}'d{work.read}" if work.read else ""
            high = f" & a < {bits}'d{work.read + work.count}"
            found.append(f"(({self.during([q])}){low}{high})")
        return " | ".join(found)

    def weights(self) -> list[str]:
        """The memory of weights: one word a step."""
        found = self.words
        self.modules += found.modules(self.name)
        return ["", *found.lines(self.name, self.lanes)]

    # Lanes.

    def sums(self) -> list[str]:
        """The lanes, where their sums start, and the row in which they finish."""
        made, lanes, wide = self.made, self.lanes, self.sum.width
        bits = index_bits(lanes)
        lines = ["", "reg d1, d2;", f"reg [{lanes - 1}:0] first;"]
        lines += [
            "always @(posedge clk)",
            "    if (restart) {d1, d2, first} <= 0;",
            "    else if (advance) begin",
            "        d1 <= last;",
            "        d2 <= d1;",
            f"        first <= {_pushed('first', lanes, 1, 'd2')};",
            "    end",
        ]
        lines += self.starts(bits)
        heads = [w.head for w in made.works if w.head]
        numbers = self.lane_parameters()
        weight = self.words.width
        lines += [
            f"wire [{lanes * wide - 1}:0] sums;",
            "genvar p;",
            f"generate for (p = 0; p < {lanes}; p = p + 1) begin : lane",
            f"    crystal_lane #({', '.join(map(str, numbers))}) mac (",
            "        clk, advance, first[p], pre[p], gap[p], counts[p],",
            f"        x[p*{self.store_type.width} +: {self.store_type.width}],",
            f"        w[p*{weight} +: {weight}], start, sums[p*{wide} +: {wide}]",
            "    );",
            "end endgenerate",
        ]
        valid = f"live{self.excluded()}"
        if lanes == 1:
            lines += [
                f"wire [{wide - 1}:0] sum = sums;",
                f"wire summed = first & {valid};",
            ]
        else:
            lines += [
                "reg scan, summed;",
                f"reg [{wide - 1}:0] sum;",
                "always @(posedge clk)",
                "    if (restart) {scan, summed} <= 0;",
                "    else if (advance) begin",
                f"        scan <= d2 | (scan & finish != {bits}'d{lanes - 1});",
                f"        summed <= scan & {valid};",
                f"        sum <= sums[finish*{wide} +: {wide}];",
                "    end",
            ]
        if any(h.square for h in heads) or self.uses("square"):
            lines += self.squares()
        return lines

    def uses(self, port: str) -> bool:
        """Does any segment read this?"""
        chains = [c for w in self.made.works for c in w.chain]
        return any(port in c.ports for c in chains if isinstance(c, Segment))

    def excluded(self) -> str:
        """Sums that are none: behind a vector that only passes, and in a group that is not full."""
        made, bits, out = self.made, index_bits(self.lanes), ""
        maps = [q for q, w in enumerate(made.works) if w.head is None]
        if maps:
            out += f" & ~({self.during(maps, later=1)})"
        for q, work in enumerate(made.works[:-1]):
            rest = work.made.size % self.lanes
            if work.head and rest and self.lanes > 1:
                k = max(k for k, g in enumerate(made.groups) if g.work == q)
                out += f" & ~(g == {made.group_bits}'d{k + 1} & finish >= {bits}'d{rest})"
        return out

    def starts(self, bits: int) -> list[str]:
        """What each sum starts with: by group and lane, one a clock. A lane adds 1 a step."""
        made, lanes, wide = self.made, self.lanes, self.sum.width
        shift = bits if lanes > 1 else 0
        entries = [0] * ((len(made.groups)) << shift)
        for k, g in enumerate(made.groups):
            head = made.works[g.work].head
            if k and head:
                mine = head.bias[g.output : g.output + lanes]
                for p, v in enumerate(mine):
                    entries[(k << shift) + p] = int(v) - g.steps
        lines = []
        if lanes > 1:
            lines += [
                f"reg [{bits - 1}:0] begin_lane, finish;",
                "always @(posedge clk) if (advance) begin",
                f"    begin_lane <= d1 ? {bits}'d0 : begin_lane + {bits}'d1;",
                "    finish <= begin_lane;",
                "end",
            ]
        if self.words.shared:
            return [*lines, *self.starts_beside(entries, wide)]
        if not any(entries):
            return [*lines, f"wire [{wide - 1}:0] start = {wide}'d0;"]
        made_table = table(f"{self.name}_starts", entries, wide, "<=")
        self.modules.append(render("verilog/rom.v.j2", made_table))
        which = "{g, begin_lane}" if lanes > 1 else "g"
        have = made.group_bits + shift
        if have > made_table.index_width:
            lines.append(f"wire [{have - 1}:0] start_index = {which};")
            which = f"start_index[{made_table.index_width - 1}:0]"
        return [
            *lines,
            f"wire [{wide - 1}:0] start;",
            f"{self.name}_starts starts (clk, advance, {which}, start);",
        ]

    def starts_beside(self, entries: list[int], wide: int) -> list[str]:
        """Starts from the second port of the weights. Where a word is narrower than a start, it
        comes in pieces, in turn, during the group before.
        """
        made, word, bits = self.made, self.words.width * self.lanes, self.made.group_bits
        pieces = -(-wide // word)
        turn = index_bits(pieces) if pieces > 1 else 0
        if pieces > 1:
            entries = [*entries[1:], 0]
        mask = (1 << word) - 1
        flat = [
            (v & ((1 << wide) - 1)) >> (k * word) & mask
            for v in entries
            for k in range(1 << turn)
        ]
        region = 1 << index_bits(len(flat))
        base, full = self.words.place_of_starts(region)
        self.modules.append(self.words.beside(self.name, [*flat, *[0] * (region - len(flat))]))
        low = index_bits(region)
        if pieces > 1:
            which = f"{{g_1, a[{turn - 1}:0]}}"
            have = bits + turn
        else:
            which, have = ("{g, begin_lane}", bits + index_bits(self.lanes)) if self.lanes > 1 else ("g", bits)
        lines = [f"wire [{have - 1}:0] start_index = {which};"]
        if have > low:
            lines.append(f"wire unused_start_index = &{{1'b0, start_index[{have - 1}:{low}]}};")
        part = f"start_index[{low - 1}:0]" if have > low else "start_index"
        more = full - min(have, low)
        head = f"{{{literal(base >> min(have, low), more)}, " if more else "{"
        key = self.words.key_bits
        index = f"{{{full - key}'d0, key}}" if full > key else "key"
        lines += [
            f"wire [{word - 1}:0] piece;",
            f"{self.name}_weights weights (clk, advance, {index}, {head}{part}}}, w, piece);",
        ]
        if pieces == 1:
            rest = f"wire unused_piece = &{{1'b0, piece[{word - 1}:{wide}]}};" if word > wide else ""
            return [*lines, *([rest] if rest else []), f"wire [{wide - 1}:0] start = piece[{wide - 1}:0];"]
        lines += [
            f"reg [{bits - 1}:0] g_1;",
            f"reg [{turn - 1}:0] turn;",
            f"reg [{pieces * word - 1}:0] pieces;",
            f"wire [{wide - 1}:0] start = pieces[{wide - 1}:0];",
            "always @(posedge clk)",
            "    if (restart) g_1 <= 0;",
            "    else if (advance) g_1 <= g;",
            "always @(posedge clk) if (advance) begin",
            f"    turn <= a[{turn - 1}:0];",
        ]
        for k in range(pieces):
            lines.append(f"    if (turn == {turn}'d{k}) pieces[{(k + 1) * word - 1}:{k * word}] <= piece;")
        return [*lines, "end"]

    def lane_parameters(self) -> list[int]:
        """Of crystal_lane."""
        made = [w.head for w in self.made.works if w.head]
        squares = [h.beta for h in made if h.mode == "square"]
        gaps = [h for h in made if h.mode in ("apart", "apart2")]
        if len(set(squares)) > 1 or len({(h.mode, h.left) for h in gaps}) > 1:
            raise unfit(self.graph[self.graph.output.inputs[0]])
        pre = (1 if squares[0] > 0 else 2) if squares else 0
        beta = abs(squares[0]).bit_length() - 1 if squares else 0
        gap = {"apart": 1, "apart2": 2}[gaps[0].mode] if gaps else 0
        kind = self.store_type
        widths = [kind.width, int(kind.signed), self.words.width, self.term.width, self.sum.width]
        if not self.term.signed:
            widths[3] += 1
        return [*widths, pre, beta, gap, gaps[0].left if gaps else 0]

    def squares(self) -> list[str]:
        """One sum of squares beside lane 0, for every lane."""
        wide, kind = self.square_width(), self.store_type
        parameters = f"{kind.width}, {int(kind.signed)}, {wide}, {int(self.lanes > 1)}"
        self.parts.append("squares.v")
        return [
            f"wire [{wide - 1}:0] square;",
            f"crystal_squares #({parameters}) squares (",
            f"    clk, advance, first[0], counts[0], x[{kind.width - 1}:0], square",
            ");",
        ]

    def square_width(self) -> int:
        return max(elem(self.graph, i).width for i in self.graph.find(Op.SUMSQ))

    # Results.

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
                value = self.segment(f"p{q}_{number}", item, next(plans), work, value, self.at(depth))
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
        self, name: str, item: Segment, plan: object, work: Work, value: str, where: str,
        advance: str = "advance",
    ) -> str:
        """An instance of a segment, unless it is a wire; the name of its result."""
        lowered = item.lowered
        if lowered.inputs == lowered.outputs and item.ports == ("value",):
            return value
        from crystalc_verilog.schedule import Schedule

        assert isinstance(plan, Schedule)
        module = f"{self.name}_{name}"
        wires = PartWires(item, plan, module, work.address, self.bus)
        self.modules += [wires.part(), *wires.memories, *tables(lowered, module)]
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
        numbers = (kind.width, int(kind.signed), den.width, shift, out.width, extra)
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
        made, wide, a = self.made, self.store_type.width, self.made.address_bits
        depth = made.latency
        maps = any(w.head is None for w in made.works)
        lines = [
            "",
            "assign enter = loading | summed" + (" | mapped;" if maps else ";"),
            f"reg [{depth - 1}:0] v;",
            "wire v_last = v[%d];" % (depth - 1),
            "always @(posedge clk)",
            "    if (restart) v <= 0;",
            f"    else if (advance) v <= {_pushed('v', depth, 1, 'enter')};",
        ]
        for d in range(1, depth + 1):
            lines += [
                f"reg [{a - 1}:0] e_{d};",
                f"always @(posedge clk) if (advance) e_{d} <= {self.at(d - 1)};",
            ]
        new = self.entering(lines)
        where = self.at(depth - 1)
        now = f"v[{depth - 2}]" if depth > 1 else "enter"
        for work, made_of in zip(made.works[:-1], results[:-1], strict=True):
            value, width, sign = made_of.split("|")
            kind = FixedType(bool(int(sign)), int(width))
            bound = f"{where} < {a}'d{work.address}"
            if work.made.scalar:
                lines += self.scalar(work, value, kind, f"{now} & {where} == {a}'d{work.address}")
                continue
            if self.uses("least") and self.min_of(work.made.target):
                lines += self.least(work, value, kind, now, where)
            new = f"{bound} ? {new} : {_extended(value, kind, wide)}"
        lines.append(f"always @(posedge clk) if (advance) data <= {new};")
        self.result = results[-1]
        return lines

    def entering(self, lines: list[str]) -> str:
        """What comes in, as late as the results."""
        kind = elem(self.graph, self.graph.find(Op.INPUT)[0])
        value = "in_data"
        for d in range(self.made.latency - 1):
            lines.append(f"reg [{kind.width - 1}:0] in_{d};")
            lines.append(f"always @(posedge clk) if (advance) in_{d} <= {value};")
            value = f"in_{d}"
        return _extended(value, kind, self.store_type.width)

    def min_of(self, target: int) -> bool:
        return any(self.graph[i].inputs[0] == target for i in self.graph.find(Op.MIN))

    def least(self, work: Work, value: str, kind: FixedType, now: str, where: str) -> list[str]:
        """The least element of a vector."""
        a, wide = self.made.address_bits, elem(self.graph, work.made.target).width
        own = elem(self.graph, work.made.target)
        top = literal(own.high, wide)
        new = _extended(value, kind, wide)
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
        return [
            f"reg [{own.width - 1}:0] {name};",
            f"always @(posedge clk) if (advance & {when}) {name} <= {_extended(value, kind, own.width)};",
        ]

    def ends(self) -> list[str]:
        """What leaves: the results of the last pass, or the place of the largest."""
        made, a = self.made, self.made.address_bits
        value, width, sign = self.result.split("|")
        kind = FixedType(bool(int(sign)), int(width))
        own = elem(self.graph, final(self.graph))
        first = made.works[-1].address
        lines = [f"assign give = v_last & {self.at(made.latency)} >= {a}'d{first};"]
        ready, valid = "out_ready", "give"
        if self.delay:
            valid = "done"
            lines += ["wire result_valid = done;", "wire result_ready;"]
            lines.append(f"wire [{own.width - 1}:0] result = {_extended(value, kind, own.width)};")
            lines.append("assign taken = done & result_ready;")
        else:
            lines += [
                f"reg [{own.width - 1}:0] result;",
                f"always @(posedge clk) if (advance) result <= {_extended(value, kind, own.width)};",
                "wire result_valid = give;", "wire result_ready;",
                "assign taken = result_ready;",
            ]
        del ready, valid
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
            f"assign out_data = {_extended('best', FixedType(False, have), wide)};",
        ]


def _steps(name: str, bits: int, values: Sequence[tuple[int, int]], width: int) -> str:
    """A choice by ``name``: the value of the first bound that it is below."""
    runs: list[tuple[int, int]] = []
    for bound, value in values:
        if runs and runs[-1][1] == value:
            runs[-1] = (bound, value)
        else:
            runs.append((bound, value))
    text = f"{width}'d{runs[-1][1]}"
    for bound, value in reversed(runs[:-1]):
        text = f"{name} < {bits}'d{bound} ? {width}'d{value} : {text}"
    return f"({text})"


def _pushed(name: str, count: int, width: int, new: str) -> str:
    """A row of ``count`` numbers with ``new`` in the lowest place."""
    return new if count == 1 else f"{{{name}[{(count - 1) * width - 1}:0], {new}}}"


def _low(name: str, want: int, have: int, array: str) -> str:
    return f"{array}[{name}[{want - 1}:0]]" if want < have else f"{array}[{name}]"


def _extended(value: str, kind: FixedType, width: int) -> str:
    """``value`` with ``width`` bits."""
    if kind.width == width:
        return value
    if kind.width > width:
        return f"{value}[{width - 1}:0]"
    more = width - kind.width
    if not kind.signed:
        return f"{{{more}'d0, {value}}}"
    return f"{{{{{more}{{{value}[{kind.width - 1}]}}}}, {value}}}"


_ = packed
