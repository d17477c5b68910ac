"""A pipeline simulated cycle by cycle: queues of tokens, stages that are idle or busy, results in flight.

It shares no code with the simulator. A clock counts cycles; in each, every stage may end a firing, let go
of tokens and start a firing, until nothing more happens in that cycle.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from itertools import accumulate
from math import ceil, prod

from accelsim.network import layers as kinds
from tests.naive_reads import pixel_reads


@dataclass(frozen=True)
class Machine:
    lanes: int
    mac_latency: int
    lane_latency: int
    copies_at_forks: bool
    frames_apart: bool = False


@dataclass
class Token:
    """A row or pixel: the cycles in which its making starts and its first and last element are there, if known."""

    started_at: int
    first_at: int | None = None
    last_at: int | None = None


@dataclass
class Buffer:
    """Every token put in so far; those that all readers have dropped take no room."""

    capacity: int | None
    tokens: list[Token] = field(default_factory=list)
    readers: list[Reader] = field(default_factory=list)

    def has_room(self, frame: int, now: int) -> bool:
        if any(reader.apart and not reader.stage.all_begun(frame, now) for reader in self.readers):
            return False
        if self.capacity is None or not self.readers:
            return True
        return len(self.tokens) - min(reader.dropped for reader in self.readers) < self.capacity


@dataclass
class Reader:
    """An operand of a stage. `upto[n]`: tokens of the frame that firing n waits for; `user[k]`: last firing of token k.

    `head_cycles` after its first element a row has come far enough to start on, None where the whole row
    is waited for; `tail_cycles` of work are left when its last element has come. `peak` is the most tokens it
    held at the end of a cycle.
    """

    buffer: Buffer
    upto: list[int]
    user: list[int]
    head_cycles: int | None
    tail_cycles: int
    dropped: int = 0
    peak: int = 0
    apart: bool = False
    stage: Stage | None = None

    def newest(self, firing: int) -> Token | None:
        """The last token a firing waits for; it must be there."""
        frame, n = divmod(firing, len(self.upto))
        return self.buffer.tokens[frame * len(self.user) + self.upto[n] - 1] if self.upto[n] else None

    def ready(self, firing: int, now: int) -> bool:
        frame, n = divmod(firing, len(self.upto))
        if not self.upto[n]:
            return True
        if len(self.buffer.tokens) < frame * len(self.user) + self.upto[n]:
            return False
        token = self.newest(firing)
        whole = token.last_at is not None and token.last_at <= now
        begun = self.head_cycles is not None and token.first_at is not None
        return whole or (begun and token.first_at + self.head_cycles <= now)

    def complete(self, firing: int, now: int) -> bool:
        """Whether what is left of the work after the last element of a row has been done too."""
        token = self.newest(firing)
        return token is None or (token.last_at is not None and token.last_at + self.tail_cycles <= now)

    def drop(self, ended: int, now: int) -> bool:
        """Lets go of the oldest tokens that have come and that no firing still to end reads."""
        before = self.dropped
        while self.dropped < len(self.buffer.tokens):
            last_at = self.buffer.tokens[self.dropped].last_at
            frame, k = divmod(self.dropped, len(self.user))
            awaited = self.user[k] >= 0 and frame * len(self.upto) + self.user[k] >= ended
            if last_at is None or last_at > now or awaited:
                break
            self.dropped += 1
        return self.dropped > before


@dataclass
class Port:
    """Held by one stage at a time."""

    free_at: int = 0


@dataclass
class Stage:
    """`making[n]`: whether firing n of a frame puts out a token; `offers[n]`: cycles its input is offered in.

    Where it needs a `port` it starts a group of firings only when told to; `ready_since` is when it first could.
    `waited` are cycles it stood still by what it `lacks`, which is what it lacked in the cycle before it went on.
    """

    name: str
    firings: int
    interval: int
    first_offset: int
    latency: int
    together: int
    making: list[bool]
    accumulates: bool
    offers: list[tuple[int, int]] | None
    readers: list[Reader]
    buffers: list[Buffer] = field(default_factory=list)
    flying: deque[Token] = field(default_factory=deque)
    results: list[Token] = field(default_factory=list)
    ended: int = 0
    port: Port | None = None
    occupancy: int = 0
    ready_since: int | None = None
    free_at: int = 0
    lacks: str | None = None
    waited: dict[str, int] = field(default_factory=lambda: dict.fromkeys(("input", "space", "port", "source"), 0))

    def step(self, now: int, frames: int, pace: int) -> bool:
        """One cycle; whether anything happened."""
        happened = self._end(now, pace)
        for reader in self.readers:
            happened |= reader.drop(self.ended, now)
        return self._start(now, frames, pace) or happened

    def _end(self, now: int, pace: int) -> bool:
        before = self.ended
        while self.flying and self._done(self.ended, self.flying[0].started_at, now, pace):
            token = self.flying.popleft()
            token.last_at = now + self.latency
            self.waited["source" if self.offers else "input"] += now - token.started_at - self.interval
            self.ended += 1
            if self._opens_a_group(self.ended):
                self.free_at = now
        return self.ended > before

    def _opens_a_group(self, firing: int) -> bool:
        return firing % self.firings % self.together == 0

    def _done(self, firing: int, start: int, now: int, pace: int) -> bool:
        if now < start + self.interval or not all(reader.complete(firing, now) for reader in self.readers):
            return False
        return self.offers is None or now >= self._offered(firing, pace)[1] + self.first_offset

    def _offered(self, firing: int, pace: int) -> tuple[int, int]:
        frame, n = divmod(firing, self.firings)
        first, last = self.offers[n]
        return frame * pace + first, frame * pace + last

    def _start(self, now: int, frames: int, pace: int) -> bool:
        firing = len(self.results)
        if firing == frames * self.firings or not self._may_start(firing, now, pace):
            return False
        if self._needs_port(firing):
            if self.ready_since is not None:
                return False
            self.ready_since = now
            return True
        self._begin(firing, now)
        return True

    def serve(self, now: int) -> None:
        """Lets it have its port."""
        self.ready_since = None
        self.port.free_at = now + self.occupancy
        self._begin(len(self.results), now)

    def _begin(self, firing: int, now: int) -> None:
        if now > self.free_at:
            self.waited[self.lacks] += now - self.free_at
        if not self._opens_a_group(firing + 1):
            self.free_at = now
        # what a reduction makes is complete only at its end
        token = Token(now, None if self.accumulates else now + self.first_offset + self.latency)
        if self.making[firing % self.firings]:
            for buffer in self.buffers:
                buffer.tokens.append(token)
        self.results.append(token)
        self.flying.append(token)

    def _needs_port(self, firing: int) -> bool:
        return self.port is not None and self._opens_a_group(firing)

    def _may_start(self, firing: int, now: int, pace: int) -> bool:
        if self._opens_a_group(firing) and self.flying:
            return False
        lacking = self._lacking(firing, now, pace)
        return not any(lacking[what] for what in ("input", "space", "source"))

    def _lacking(self, firing: int, now: int, pace: int) -> dict[str, bool]:
        makes = self.making[firing % self.firings]
        return {
            "input": not all(reader.ready(firing, now) for reader in self.readers),
            "space": makes and not all(buffer.has_room(firing // self.firings, now) for buffer in self.buffers),
            "port": self._needs_port(firing) and self.port.free_at > now,
            "source": self.offers is not None and now < self._offered(firing, pace)[0],
        }

    def all_begun(self, frames: int, now: int) -> bool:
        """Whether no more than a pixel's work is left of so many frames."""
        last = frames * self.firings - 1
        if last < self.ended:
            return True
        started = len(self.results) > last
        return started and self._done(last, self.results[last].started_at, now + self.first_offset, 0)

    def look(self, now: int, pace: int) -> None:
        """Notes the first thing that is lacking at the end of a cycle."""
        lacking = self._lacking(len(self.results), now, pace)
        self.lacks = next((what for what, lacks in lacking.items() if lacks), None)

    def patience(self) -> int:
        """More cycles than anything this stage waits for can take once it is on its way."""
        waits = [(reader.head_cycles or 0) + reader.tail_cycles for reader in self.readers]
        return self.interval + self.first_offset + self.latency + sum(waits) + self.occupancy + 1


def run(stages: list[Stage], frames: int, pace: int, peaks_from: int = 0) -> None:
    """Counts cycles until all frames are through, or nothing has happened for longer than anything takes."""
    patience = sum(stage.patience() for stage in stages)
    now, quiet = 0, 0
    while quiet <= patience or now <= frames * pace:
        quiet += 1
        while sum(stage.step(now, frames, pace) for stage in stages) or _serve_next(stages, now):
            quiet = 0
        for stage in stages:
            stage.look(now, pace)
        for reader in (reader for stage in stages for reader in stage.readers if quiet == 0 and now >= peaks_from):
            reader.peak = max(reader.peak, len(reader.buffer.tokens) - reader.dropped)
        if all(stage.ended == frames * stage.firings for stage in stages):
            return
        now += 1


def _serve_next(stages: list[Stage], now: int) -> bool:
    """Gives one port that is free to the stage that has been ready longest, of several to the first in order."""
    ready = [stage for stage in stages if stage.ready_since is not None and stage.port.free_at <= now]
    if not ready:
        return False
    min(ready, key=lambda stage: stage.ready_since).serve(now)
    return True


def build(net, machine, unroll, measured, capacities, granularity, paced_over, ports) -> list[Stage]:
    """The stages of a network, all at rest. `paced_over`: cycles a frame is offered in, None for a greedy source.

    `ports`: by name of a stage the port it needs, and for how many cycles.
    """
    groups = _groups(net)
    member_of = {member: group[0] for group in groups for member in group}
    wires = _wires(net, groups, member_of)
    buffers = _buffers(wires, capacities, machine.copies_at_forks)
    rates = {group[0]: _rate(net, group[0], unroll, measured, machine, wires) for group in groups}
    stages = [_stage(net, group[0], granularity, rates, paced_over) for group in groups]
    resources = {port: Port() for port, _ in ports.values()}
    for stage in (stage for stage in stages if stage.name in ports):
        port, cycles = ports[stage.name]
        firings = _token_length(_fired(net, net.by_name[stage.name]), granularity) / rates[stage.name].together
        stage.port, stage.occupancy = resources[port], cycles * max(1, int(firings))
    for stage in stages:
        node = net.by_name[stage.name]
        for wire in (wire for wire in wires if wire.consumer == stage.name):
            reader = _reader(net, node, wire, granularity, rates, buffers[wire])
            reader.apart, reader.stage = machine.frames_apart and _slides(node.layer), stage
            buffers[wire].readers.append(reader)
            stage.readers.append(reader)
        out = [buffers[wire] for wire in wires if wire.producer == stage.name]
        stage.buffers = [b for k, b in enumerate(out) if all(b is not other for other in out[:k])]
    return stages


@dataclass(frozen=True)
class _Wire:
    producer: str
    consumer: str
    operand: int
    name: str


@dataclass(frozen=True)
class _Rate:
    cycles_a_pixel: int
    latency: int
    together: int


def _groups(net) -> list[list[str]]:
    """Names of the layers of every stage, the working layer first."""
    still = set()
    for node in net.nodes:
        if isinstance(node.layer, kinds.Constant) or (node.inputs and all(name in still for name in node.inputs)):
            still.add(node.name)
    readers = {name: sum(node.inputs.count(name) for node in net.nodes) for name in net.tensors}
    groups: list[list[str]] = []
    for node in (node for node in net.nodes if node.name not in still):
        moving = [name for name in node.inputs if name not in still]
        host = next((g for g in groups if moving and g[-1] == moving[0]), None)
        joins = (
            host is not None
            and len(moving) == 1
            and isinstance(node.layer, kinds.Activation | kinds.BatchNorm | kinds.PRelu | kinds.Combine)
            and net.tensors[node.name] == net.tensors[moving[0]]
            and readers[moving[0]] == 1
            and moving[0] not in {port.node for port in net.outputs}
            and not isinstance(net.by_name[host[0]].layer, kinds.Input)
        )
        if joins:
            host.append(node.name)
        else:
            groups.append([node.name])
    return groups


def _wires(net, groups, member_of) -> list[_Wire]:
    wires = []
    for name in (group[0] for group in groups):
        moving = [(k, member_of[source]) for k, source in enumerate(net.by_name[name].inputs) if source in member_of]
        for k, producer in moving:
            several = sum(other == producer for _, other in moving) > 1
            wires.append(_Wire(producer, name, k, f"{producer} -> {name}" + (f" (operand {k})" if several else "")))
    return wires


def _buffers(wires, capacities, copies) -> dict[_Wire, Buffer]:
    if copies:
        return {wire: Buffer(capacities.get(wire.name)) for wire in wires}
    shared: dict[str, Buffer] = {}
    for wire in wires:
        sizes = [capacities[w.name] for w in wires if w.producer == wire.producer and w.name in capacities]
        shared.setdefault(wire.producer, Buffer(min(sizes, default=None)))
    return {wire: shared[wire.producer] for wire in wires}


def _fired(net, node):
    return net.tensors[node.inputs[0]] if isinstance(node.layer, kinds.Reduce) else net.tensors[node.name]


def _rate(net, name, unroll, measured, machine, wires) -> _Rate:
    """Cycles a firing for one pixel, cycles until its result is out, and pixels that go together."""
    node = net.by_name[name]
    together = 1
    if name in unroll:
        u = unroll[name]
        cycles = _multiplications(net, node) // (u.inputs * u.outputs * u.window)
        latency, together = machine.mac_latency, u.pixels
    else:
        streams = [node.inputs[wire.operand] for wire in wires if wire.consumer == name] + [name]
        cycles, together = _moving([net.tensors[stream] for stream in streams], _fired(net, node), machine.lanes)
        row = _row_length(_fired(net, node))
        whole_row = ceil(row * net.tensors[name].channels / machine.lanes)
        if isinstance(node.layer, kinds.Input) and cycles == 1 and row / together > 2 * whole_row:
            cycles, together = whole_row, row
        latency = 0 if isinstance(node.layer, kinds.Input) else machine.lane_latency
    replaced = measured.get(name)
    if replaced is not None and replaced.interval_cycles is not None:
        cycles, together = replaced.interval_cycles, unroll[name].pixels if name in unroll else 1
    if replaced is not None and replaced.latency_cycles is not None:
        latency = replaced.latency_cycles
    return _Rate(cycles, latency, together)


def _moving(streams, fired, lanes) -> tuple[int, int]:
    """Cycles, and pixels that go together in them: what fits the lanes at once, or one pixel in several cycles."""
    row, pixels = _row_length(fired), _pixels(fired)
    fitting = [p for p in range(1, row + 1) if all(_pixels(t) * t.channels * p <= pixels * lanes for t in streams)]
    whole = [p for p in fitting if row % p == 0]
    if whole:
        return 1, max(whole)
    return max(ceil(_pixels(t) * ceil(t.channels / lanes) / pixels) for t in streams), 1


def _multiplications(net, node) -> int:
    """Of one output pixel; a transposed convolution has one tap a stride."""
    layer, inputs = node.layer, net.tensors[node.inputs[0]].channels
    outputs = net.tensors[node.name].channels
    if isinstance(layer, kinds.Convolution):
        return outputs * inputs // layer.groups * prod(layer.kernel)
    if isinstance(layer, kinds.TransposedConvolution):
        taps = prod(ceil(k / s) for k, s in zip(layer.kernel, layer.stride, strict=True))
        return outputs * inputs // layer.groups * taps
    return outputs * inputs // (layer.groups if isinstance(layer, kinds.Product) else 1)


def _pixels(tensor) -> int:
    return prod(tensor.spatial)


def _row_length(tensor) -> int:
    return tensor.spatial[-1] if len(tensor.spatial) > 1 else 1


def _token_length(tensor, granularity) -> int:
    return _row_length(tensor) if granularity == "row" else 1


def _stage(net, name, granularity, rates, paced_over) -> Stage:
    node, rate = net.by_name[name], rates[name]
    fired = _fired(net, node)
    length = _token_length(fired, granularity)
    firings = _pixels(fired) // length
    accumulates = isinstance(node.layer, kinds.Reduce)
    making = [True] * firings
    if accumulates:
        # a tile is made by the last of its inputs
        reads = _token_reads(node.layer, 0, (fired,), net.tensors[name], granularity)
        makers = {max(read) for read in reads}
        making = [n in makers for n in range(firings)]
    offers = None
    if isinstance(node.layer, kinds.Input) and paced_over is not None:
        pixel_at = [pixel * paced_over // _pixels(fired) for pixel in range(_pixels(fired))]
        offers = [(pixel_at[n * length], pixel_at[(n + 1) * length - 1]) for n in range(firings)]
    by_pixel = granularity == "pixel"
    return Stage(
        name=name,
        firings=firings,
        interval=rate.cycles_a_pixel if by_pixel else length // rate.together * rate.cycles_a_pixel,
        first_offset=rate.cycles_a_pixel,
        latency=rate.latency,
        together=rate.together if by_pixel else 1,
        making=making,
        accumulates=accumulates,
        offers=offers,
        readers=[],
    )


def _token_reads(layer, operand, inputs, output, granularity) -> list[set[int]]:
    into, out = (_token_length(t, granularity) for t in (inputs[operand], output))
    pixels = pixel_reads(layer, operand, inputs, output)
    return [
        {pixel // into for read in pixels[begin : begin + out] for pixel in read}
        for begin in range(0, len(pixels), out)
    ]


def _reader(net, node, wire, granularity, rates, buffer) -> Reader:
    inputs = tuple(net.tensors[name] for name in node.inputs)
    source, output = inputs[wire.operand], net.tensors[node.name]
    arriving = _pixels(source) // _token_length(source, granularity)
    if isinstance(node.layer, kinds.Reduce):
        reads = [{n} for n in range(arriving)]
        head, tail = 1, 1
    else:
        reads = _token_reads(node.layer, wire.operand, inputs, output, granularity)
        head, tail = _along_the_row(node.layer, wire.operand, inputs, output)
    newest = list(accumulate((max(read, default=-1) for read in reads), max))
    # pixels that go together are waited for together; a reduction adds each up as it comes
    alone = granularity == "row" or isinstance(node.layer, kinds.Reduce)
    together = 1 if alone else rates[wire.consumer].together
    newest = [newest[n // together * together + together - 1] for n in range(len(newest))]
    user = [-1] * arriving
    for firing, read in enumerate(reads):
        for k in read:
            user[k] = firing
    if granularity == "pixel" or head >= _row_length(source):
        return Reader(buffer, [k + 1 for k in newest], user, None, 0)
    produced, consumed = rates[wire.producer], rates[wire.consumer]
    return Reader(
        buffer,
        [k + 1 for k in newest],
        user,
        head_cycles=(max(head, 1) - 1) // produced.together * produced.cycles_a_pixel,
        tail_cycles=ceil(tail / consumed.together) * consumed.cycles_a_pixel,
    )


def _slides(layer) -> bool:
    """Whether more than one input point goes into an output point."""
    if isinstance(layer, kinds.TransposedConvolution):
        return any(size > step for size, step in zip(layer.kernel, layer.stride, strict=True))
    if isinstance(layer, kinds.Convolution | kinds.Pool):
        return any(size > 1 for size in layer.kernel)
    return isinstance(layer, kinds.Resize) and layer.mode != "nearest"


def _along_the_row(layer, operand, inputs, output) -> tuple[int, int]:
    """Elements of an input row before a row's first output, and outputs left once the last one needed has come."""
    source = inputs[operand]
    if len(source.spatial) < 2 or len(output.spatial) < 2 or isinstance(layer, kinds.Rearrange):
        return _row_length(source), _row_length(output)
    columns = [-1] * _row_length(output)
    for pixel, read in enumerate(pixel_reads(layer, operand, inputs, output)):
        for other in read:
            columns[pixel % len(columns)] = max(columns[pixel % len(columns)], other % _row_length(source))
    newest = list(accumulate(columns, max))
    return newest[0] + 1, newest.count(newest[-1])
