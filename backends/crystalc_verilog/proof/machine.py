"""A streaming design as a machine, run with numbers for its control and symbols for its data.

From reset on its control takes one and the same way for every vector: a proof follows it clock by
clock, with both ends ready, until it is back where reset leaves it. What holding back an end does
is proved in each of these states, so all traffic is covered by induction.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from crystalc_verilog.proof.gates import evaluate
from crystalc_verilog.proof.rtl import Flat, Gate, Net
from crystalc_verilog.proof.symbols import Bit, Made, Symbols, Word

LONGEST = 1 << 20
"""Clocks that no vector takes."""


class Broken(Exception):
    """A promise that does not hold (``certain``), or that could not be shown; says where."""

    def __init__(self, why: str, certain: bool = True) -> None:
        super().__init__(why)
        self.certain = certain


@dataclass(frozen=True)
class State:
    """Words of all registers, and of all memories that can be written."""

    flops: tuple[Word, ...]
    memories: tuple[tuple[Word, ...], ...]


@dataclass(frozen=True)
class Ends:
    """What the ports show in one clock."""

    in_ready: Bit
    out_valid: Bit
    out_data: Word


@dataclass(frozen=True)
class Clock:
    """One clock: the state before it, all wires, the state after it, and the ends."""

    state: State
    wires: Mapping[Net, Bit]
    after: State
    ends: Ends

    def data(self, machine: Machine) -> Word:
        """What stood at the input."""
        return tuple(self.wires[net] for net in machine.port("in_data"))

    def gives_as(self, other: Clock) -> bool:
        """Is the same offered at the output?"""
        mine, its = self.ends, other.ends
        same = mine.out_valid == its.out_valid
        return same and (its.out_valid == 0 or mine.out_data == its.out_data)


@dataclass
class Machine:
    """``still``: ports beside those of the stream, which stay 0; ``words``: all that was written
    to memories and, with ``registers``, to registers.
    """

    flat: Flat
    symbols: Symbols
    still: Sequence[str] = ("cfg_valid", "cfg_address", "cfg_data")
    names: dict[str, tuple[Net, ...]] = field(default_factory=dict)
    words: set[Word] = field(default_factory=set)
    registers: bool = False
    _memories: list[int] = field(default_factory=list)
    _tables: dict[int, int] = field(default_factory=dict)
    _nets: list[frozenset[Net]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._memories = [k for k, m in enumerate(self.flat.memories) if m.writes]
        for k, m in enumerate(self.flat.memories):
            if not m.writes:
                self._tables[k] = len(self.symbols.tables)
                self.symbols.tables.append(tuple(w or 0 for w in m.initial))

        self._nets = [
            frozenset(b for w in gate.ports.values() for b in w) for gate in self.flat.gates
        ]

    def port(self, name: str) -> tuple[Net, ...]:
        """The nets of a port of the stream."""
        return self.names.get(name) or self.flat.ports[name]

    def keep(self, now: Clock, given: int) -> None:
        """Note the words that registers take and, where a result is ``given``, all words, where
        some function may stand in one.
        """
        if self.registers:
            pairs = zip(now.state.flops, now.after.flops, strict=True)
            self.words.update(new for old, new in pairs if len(new) > 1 and new != old)
        if self.registers and given:
            self.words.update(self._word(dict(now.wires), gate.out) for gate in self.flat.gates)

    @cached_property
    def anything(self) -> State:
        """A state of which nothing is known."""
        s = self.symbols
        flops = tuple(s.unknown(len(f.q)) for f in self.flat.flops)
        memories = tuple(
            tuple(s.unknown(m.width) for _ in range(m.size))
            for m in (self.flat.memories[k] for k in self._memories)
        )
        return State(flops, memories)

    def weakened(self, state: State) -> State:
        """The same with each bit that depends on unknown ones unknown by itself: more states."""

        def weak(word: Word, any_word: Word) -> Word:
            if not any(map(self.symbols.unsure, word)):
                return word
            pairs = zip(word, any_word, strict=True)
            return tuple(a if self.symbols.unsure(b) else b for b, a in pairs)

        flops = tuple(map(weak, state.flops, self.anything.flops))
        pairs = zip(state.memories, self.anything.memories, strict=True)
        return State(flops, tuple(tuple(map(weak, m, a)) for m, a in pairs))

    def clock(
        self,
        state: State,
        rst: Bit,
        in_valid: Bit,
        data: Word,
        out_ready: Bit,
    ) -> Clock:
        """One clock, from nothing."""
        return self._after(state, self.wires(state, rst, in_valid, data, out_ready))

    def again(self, like: Clock, in_valid: Bit, data: Word, out_ready: Bit) -> Clock:
        """A clock from the same state with other ends: only what they move is computed."""
        wires, moved = dict(like.wires), set[Net]()
        new = (("in_valid", (in_valid,)), ("in_data", data), ("out_ready", (out_ready,)))
        for name, word in new:
            self._put(wires, moved, self.port(name), word)
        for gate, nets in zip(self.flat.gates, self._nets, strict=True):
            if not moved.isdisjoint(nets):
                self._put(wires, moved, gate.out, self._gate(like.state, gate, wires))
        return self._after(like.state, wires)

    def _put(self, wires: dict[Net, Bit], moved: set[Net], nets: Sequence[Net], word: Word) -> None:
        for net, bit in zip(nets, word, strict=True):
            if wires[net] != bit:
                wires[net] = bit
                moved.add(net)

    def _after(self, state: State, wires: dict[Net, Bit]) -> Clock:
        memories = tuple(
            self._written(state.memories[n], k, wires) for n, k in enumerate(self._memories)
        )
        ready, valid = (self._word(wires, self.port(p))[0] for p in ("in_ready", "out_valid"))
        ends = Ends(ready, valid, self._word(wires, self.port("out_data")))
        return Clock(state, wires, State(self.next(wires), memories), ends)

    def next(self, value: dict[Net, Bit]) -> tuple[Word, ...]:
        """What the registers take."""
        return tuple(self._word(value, f.d) for f in self.flat.flops)

    def wires(
        self, state: State, rst: Bit, in_valid: Bit, data: Word, out_ready: Bit
    ) -> dict[Net, Bit]:
        """Every wire in one clock."""
        value = self._given(state, rst, in_valid, data, out_ready)
        for gate in self.flat.gates:
            value.update(zip(gate.out, self._gate(state, gate, value), strict=True))
        return value

    def _gate(self, state: State, gate: Gate, value: dict[Net, Bit]) -> Word:
        ports = {p: self._word(value, nets) for p, nets in gate.ports.items()}
        if gate.kind == "read":
            return self._read(state, gate.params["memory"], ports["A"], len(gate.out))
        return evaluate(self.symbols, gate.kind, gate.params, ports, len(gate.out))

    def _given(
        self, state: State, rst: Bit, in_valid: Bit, data: Word, out_ready: Bit
    ) -> dict[Net, Bit]:
        value: dict[Net, Bit] = {"0": 0, "1": 1}
        for flop, word in zip(self.flat.flops, state.flops, strict=True):
            value.update(zip(flop.q, word, strict=True))
        for name, word in (
            ("clk", (0,)),
            ("rst", (rst,)),
            ("in_valid", (in_valid,)),
            ("in_data", data),
            ("out_ready", (out_ready,)),
        ):
            value.update(zip(self.port(name), word, strict=True))
        for name in self.still:
            value.update(dict.fromkeys(self.flat.ports.get(name, ()), 0))
        return value

    def _word(self, value: dict[Net, Bit], nets: Sequence[Net]) -> Word:
        found = []
        for net in nets:
            if net not in value:
                value[net] = self.symbols.unknown(1)[0]
            found.append(value[net])
        return tuple(found)

    def _read(self, state: State, memory: int, address: Word, width: int) -> Word:
        made = self.flat.memories[memory]
        known = all(isinstance(b, int) for b in address)
        at = sum(int(b == 1) << k for k, b in enumerate(address))
        if memory in self._tables:
            if known and at < made.size and made.initial[at] is not None:
                return _literal(made.initial[at] or 0, width)
            if known or any(w is None for w in made.initial):
                return self.symbols.unknown(width)
            return self._looked_up(memory, address, width)
        words = state.memories[self._memories.index(memory)]
        return words[at] if known and at < made.size else self.symbols.unknown(width)

    def _looked_up(self, memory: int, address: Word, width: int) -> Word:
        """A table read at an unknown place; known bits of the address choose a part of it."""
        s, entries = self.symbols, list(self.symbols.tables[self._tables[memory]])
        entries += [0] * ((1 << len(address)) - len(entries))
        places = [0]
        for k, b in enumerate(address):
            if isinstance(b, int):
                places = [p + (b << k) for p in places]
            else:
                places = places + [p + (1 << k) for p in places]
        part = tuple(entries[p] for p in places)
        if part not in s.tables:
            s.tables.append(part)
        free = tuple(b for b in address if not isinstance(b, int))
        return s.gate(Made("read", (("table", s.tables.index(part)),), (free,), width))

    def _written(
        self, words: tuple[Word, ...], memory: int, value: dict[Net, Bit]
    ) -> tuple[Word, ...]:
        made, held = self.flat.memories[memory], list(words)
        for address, data, enable in made.writes:
            on = self._word(value, enable)
            if not any(b != 0 for b in on):
                continue
            where = self._word(value, address)
            if any(b != 1 for b in on) or not all(isinstance(b, int) for b in where):
                raise Broken(f"the memory {made.name} is written where data decide", certain=False)
            at = sum(int(b == 1) << k for k, b in enumerate(where))
            if at < made.size:
                held[at] = self._word(value, data)
                self.words.add(held[at])
        return tuple(held)


def _literal(value: int, width: int) -> Word:
    return tuple(value >> k & 1 for k in range(width))


@dataclass(frozen=True)
class Way:
    """The way of the control: outputs in order, clocks from one vector to the next and from the
    clock that takes a vector's first beat to the one that gives its last.
    """

    outputs: tuple[Word, ...]
    clocks: int
    latency: int
    held: int


def follow(
    machine: Machine, inputs: Sequence[Word], beats: int, progress: Callable[[int], None]
) -> Way:
    """Take one vector through, from reset back to it. Raises Broken."""
    s = machine.symbols
    nothing = s.unknown(len(inputs[0]))
    start = _after_reset(machine, nothing)
    state, outputs, taken, clocks, first, held = start, list[Word](), 0, 0, 0, 0
    while len(outputs) < beats or not _began(start, state):
        now = machine.clock(state, 0, 1, nothing, 1)
        take, give = _known(now.ends, clocks)
        if take and taken == len(inputs):
            raise Broken(f"clock {clocks}: a number too many is taken")
        if len(outputs) + give > beats or clocks > LONGEST:
            raise Broken(f"clock {clocks}: {len(outputs) + give} numbers came out, not {beats}")
        if take:
            first, taken = (first if taken else clocks), taken + 1
            now = machine.again(now, 1, inputs[taken - 1], 1)
        held += _stalls(machine, now, nothing, clocks)
        outputs += [now.ends.out_data] * give
        machine.keep(now, give)
        state, clocks = machine.weakened(now.after), clocks + 1
        progress(clocks)
    if taken < len(inputs):
        raise Broken(f"{taken} numbers are taken, not {len(inputs)}")
    return Way(tuple(outputs), clocks, clocks - 1 - first, held)


def _after_reset(machine: Machine, data: Word) -> State:
    """What reset leaves of any state: known bits, and anything elsewhere."""
    s, before = machine.symbols, machine.anything
    edges = s.unknown(1)[0], s.unknown(1)[0]
    after = machine.next(machine.wires(before, 1, edges[0], data, edges[1]))
    return machine.weakened(State(after, before.memories))


def _began(start: State, state: State) -> bool:
    """Is every bit that reset sets as reset sets it?"""
    return all(
        b == c
        for w, v in zip(start.flops, state.flops, strict=True)
        for b, c in zip(w, v, strict=True)
        if isinstance(b, int)
    )


def _known(ends: Ends, clocks: int) -> tuple[int, int]:
    if not isinstance(ends.in_ready, int) or not isinstance(ends.out_valid, int):
        raise Broken(f"clock {clocks}: data decide about valid or ready", certain=False)
    return ends.in_ready, ends.out_valid


def _stalls(machine: Machine, now: Clock, nothing: Word, clocks: int) -> int:
    """Either end held back, or both: nothing moves, or nothing notices. 1 where it waits."""
    found = 0
    for in_valid, out_ready in ((0, 1), (1, 0), (0, 0)):
        data = now.data(machine) if in_valid else nothing
        other = machine.again(now, in_valid, data, out_ready)
        if not other.gives_as(now):
            raise Broken(f"clock {clocks}: the result depends on in_valid or out_ready")
        if not _waits(now.ends, in_valid, out_ready):
            if other.ends.in_ready != now.ends.in_ready:
                raise Broken(f"clock {clocks}: in_ready depends on an end that is not used")
            why = f"clock {clocks}: an end that is not used is noticed"
            _covers(machine, machine.weakened(now.after), other.after, why)
            continue
        found = 1
        if in_valid and other.ends.in_ready != 0:
            raise Broken(f"clock {clocks}: a number is taken by a design that waits")
        if other.after != now.state:
            _later(machine, now, other.after, nothing, clocks)
    return found


def _waits(ends: Ends, in_valid: int, out_ready: int) -> bool:
    """Must the design wait?"""
    return (ends.in_ready == 1 and not in_valid) or (ends.out_valid == 1 and not out_ready)


def _later(machine: Machine, now: Clock, waited: State, nothing: Word, clocks: int) -> None:
    """A clock of waiting changed something: no more do, and nothing comes of it."""
    data = now.data(machine)
    first = machine.clock(waited, 0, 1, data, 1)
    for in_valid, out_ready in ((1, 1), (0, 1), (1, 0), (0, 0)):
        then = machine.again(first, in_valid, data if in_valid else nothing, out_ready)
        if not then.gives_as(now):
            raise Broken(f"clock {clocks}: a result that waits changes")
        wanted = waited if _waits(now.ends, in_valid, out_ready) else now.after
        why = f"clock {clocks}: waiting changes what comes later"
        _covers(machine, machine.weakened(wanted), then.after, why)


def _covers(machine: Machine, general: State, state: State, why: str) -> None:
    """Is ``state`` as ``general``, but for bits that are unknown there? Raises Broken if not."""
    if general == state:
        return
    anything = _words(machine.anything)
    for p, q, free in zip(_words(general), _words(state), anything, strict=True):
        for b, c, any_bit in zip(p, q, free, strict=True):
            if b not in (c, any_bit):
                raise Broken(why, certain=isinstance(b, int) and isinstance(c, int))


def _words(state: State) -> Iterator[Word]:
    yield from state.flops
    for memory in state.memories:
        yield from memory
