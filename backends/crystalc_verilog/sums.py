"""The lanes of a folded design: what their sums start with, and the row in which they finish."""

from __future__ import annotations

import textwrap
from collections import Counter

from crystalc.ir import FixedType, Op
from crystalc.render import render
from crystalc_verilog.area import rom_features
from crystalc_verilog.element import index_bits
from crystalc_verilog.front import Front
from crystalc_verilog.parts import rom
from crystalc_verilog.passes import elem, hull, unfit
from crystalc_verilog.phrases import chosen, pushed, pushed_down
from crystalc_verilog.wires import literal, table

BLOCK = 512
"""Bits of what sums start with from which on they take a block of memory."""


def wrapped_choice(lanes: int, wide: int, bits: int) -> list[str]:
    """The sum of lane ``finish``."""
    items = [f"sums[{(p + 1) * wide - 1}:{p * wide}]" for p in range(lanes)]
    text = f"sum <= {chosen(items, 'finish', bits - 1)};"
    return textwrap.wrap(
        text,
        88,
        initial_indent="        ",
        subsequent_indent="            ",
        break_long_words=False,
        break_on_hyphens=False,
    )


class Sums(Front):
    """Lines of Verilog of the lanes."""

    def sums(self) -> list[str]:
        """The lanes, where their sums start, and the row in which they finish."""
        made, lanes, wide = self.made, self.lanes, self.sum.width
        bits = index_bits(lanes)
        lines = ["", "reg d1, d2, live;", f"reg [{lanes - 1}:0] first;"]
        lines += [
            "always @(posedge clk)",
            "    if (restart) {d1, d2, live, first} <= 0;",
            "    else if (advance) begin",
            "        d1 <= last;",
            "        d2 <= d1;",
            f"        live <= live | {'first' if lanes == 1 else 'd2'};",
            f"        first <= {pushed('first', lanes, 1, 'd2')};",
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
        if lanes == 1:
            lines += [
                f"wire [{wide - 1}:0] sum = sums;",
                f"wire summed = first & live{self.excluded()};",
            ]
        else:
            lines += [
                "reg scan, summed;",
                f"reg [{wide - 1}:0] sum;",
                "always @(posedge clk)",
                "    if (restart) {scan, summed} <= 0;",
                "    else if (advance) begin",
                f"        scan <= (d2 & live) | (scan & finish != {bits}'d{lanes - 1});",
                f"        summed <= scan{self.excluded()};",
                *wrapped_choice(lanes, wide, bits),
                "    end",
            ]
        lines.append("wire unused_sum = &{1'b0, sum};")
        if any(h.square for h in heads) or self.uses("square"):
            lines += self.squares()
        return lines

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
                out += f" & ~(g == {made.group_bits}'d{k} & finish >= {bits}'d{rest})"
        return out

    def starts(self, bits: int) -> list[str]:
        """What each sum starts with: by group and lane, one a clock. A lane adds 1 a step."""
        made, lanes, wide = self.made, self.lanes, self.sum.width
        shift = bits if lanes > 1 else 0
        entries = [0] * ((len(made.groups) - 1) << shift)
        for k, g in enumerate(made.groups[1:]):
            head = made.works[g.work].head
            if head:
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
        used = index_bits(len(entries))
        if len(entries) * wide >= BLOCK:
            self.modules.append(rom(f"{self.name}_starts", entries, wide, ports=1))
            self.area += Counter(block_bits=len(entries) * wide)
        else:
            made_table = table(f"{self.name}_starts", entries, wide, "<=")
            self.modules.append(render("verilog/rom.v.j2", made_table))
            self.area += rom_features(entries, width=wide)
        which = "{g, begin_lane}" if lanes > 1 else "g"
        have = made.group_bits + shift
        if have > used:
            lines.append(f"wire [{have - 1}:0] start_index = {which};")
            lines.append("wire unused_start_index = &{1'b0, start_index};")
            which = f"start_index[{used - 1}:0]"
        return [
            *lines,
            f"wire [{wide - 1}:0] start;",
            f"{self.name}_starts starts (clk, advance, {which}, start);",
        ]

    def starts_beside(self, entries: list[int], wide: int) -> list[str]:
        """Starts from the second port of the weights, in pieces where a word is narrower."""
        word, bits = self.words.width * self.lanes, self.made.group_bits
        count = -(-wide // word)
        masked = [v & ((1 << wide) - 1) for v in entries]
        if count > 1:
            flat, which, have = self.pieces(masked, count, word)
        elif self.lanes > 1:
            flat, which, have = masked, "{g, begin_lane}", bits + index_bits(self.lanes)
        else:
            flat, which, have = masked, "g", bits
        region = 1 << index_bits(len(flat))
        base, full = self.words.place_of_starts(region)
        self.area += rom_features(self.words.before(region), flat, width=word)
        self.modules.append(self.words.beside(self.name, [*flat, *[0] * (region - len(flat))]))
        low = index_bits(region)
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
        whole = "piece"
        if count > 1:
            span = (count - 1) * word
            lines += [
                f"reg [{span - 1}:0] pieces;",
                "always @(posedge clk)",
                f"    if (advance) pieces <= {pushed_down('pieces', span, word, 'piece')};",
            ]
            whole = "{piece, pieces}"
        lines.append(f"wire [{count * word - 1}:0] whole = {whole};")
        if count * word > wide:
            lines.append(f"wire unused_whole = &{{1'b0, whole[{count * word - 1}:{wide}]}};")
        return [*lines, f"wire [{wide - 1}:0] start = whole[{wide - 1}:0];"]

    def pieces(self, entries: list[int], count: int, word: int) -> tuple[list[int], str, int]:
        """Words in the order of their index, and the index and its bits: of the ``count`` pieces of
        a start the last one is read one step after its group begins.
        """
        steps, mask = self.made.steps(), (1 << word) - 1
        wanted = [
            (*steps[group.begin + 2 - count + k], v >> (k * word) & mask)
            for group, v in zip(self.made.groups[1:], entries, strict=True)
            for k in range(count)
        ]
        for low in range(1, self.made.address_bits + 1):
            found: dict[int, int] = {}
            keys = [(g << low | a & ((1 << low) - 1), v) for g, a, v in wanted]
            if all(found.setdefault(k, v) == v for k, v in keys):
                break
        where = f"a[{low - 1}:0]" if low < self.made.address_bits else "a"
        flat = [found.get(k, 0) for k in range(max(found) + 1)]
        return flat, f"{{g, {where}}}", self.made.group_bits + low

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
        narrow = min(kind.width, self.squared().width) if pre else kind.width
        return [*widths, pre, beta, gap, gaps[0].left if gaps else 0, narrow]

    def squares(self) -> list[str]:
        """One sum of squares beside lane 0, for every lane."""
        wide, kind = self.square_width(), self.squared()
        parameters = f"{kind.width}, {int(kind.signed)}, {wide}, {int(self.lanes > 1)}"
        self.parts.append("squares.v")
        return [
            f"wire [{wide - 1}:0] square;",
            f"crystal_squares #({parameters}) squares (",
            f"    clk, advance, first[0], counts[0], x[{kind.width - 1}:0], square",
            ");",
        ]

    def squared(self) -> FixedType:
        """A type for what is squared: the sum counts only while such a vector passes."""
        kinds = [elem(self.graph, self.graph[i].inputs[0]) for i in self.graph.find(Op.SUMSQ)]
        return hull([v for k in kinds for v in (k.low, k.high)])

    def square_width(self) -> int:
        return max(elem(self.graph, i).width for i in self.graph.find(Op.SUMSQ))
