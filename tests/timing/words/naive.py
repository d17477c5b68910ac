"""Streaming blocks in plain Python, stepped by a clock; it shares no code with the simulator.

Words are numbered and really move: a window reads the words it names out of a buffer, a matrix unit repeats a stored
vector, a queue is a queue. Signals of a cycle are settled by asking every block again until nothing changes.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from math import ceil

LATENCY_DSP48 = 5


@dataclass
class Link:
    """A wire: whether a word is offered and whether it would be taken, in this cycle."""

    valid: bool = False
    ready: bool = False
    cycles: list[int] = field(default_factory=list)

    @property
    def moves(self) -> bool:
        return self.valid and self.ready


class Module:
    """A block: `settle` sets the signals it drives, `clock` changes its registers by what moved."""

    def __init__(self, ins, outs):
        self.ins, self.outs = ins, outs

    def settle(self):
        raise NotImplementedError

    def clock(self):
        raise NotImplementedError


class SerialWindow(Module):
    def __init__(self, ins, outs, p):
        super().__init__(ins, outs)
        fold = p["C"] // p["SIMD"]
        taps = p["KH"] * p["KW"]
        rows, columns = (p["H"] - p["KH"]) // p["S"] + 1, (p["W"] - p["KW"]) // p["S"] + 1
        group = list(range(fold)) if p["dw"] and fold > 1 else [None]
        self.windows = []
        for y in range(rows):
            for x in range(columns):
                for only in group:
                    words = []
                    for ky in range(p["KH"]):
                        for kx in range(p["KW"]):
                            pixel = (y * p["S"] + ky) * p["W"] + x * p["S"] + kx
                            words += [pixel * fold + c for c in (range(fold) if only is None else [only])]
                    self.windows.append(words)
        self.order = [(w, word) for w, words in enumerate(self.windows) for word in words]
        self.span = ((p["KH"] - 1) * p["W"] + p["KW"]) * fold
        beside = max(0, p["S"] - 1 - taps) + max(0, (p["S"] - 1) * p["W"] - taps)
        self.room = self.span + beside * fold
        self.total = p["H"] * p["W"] * fold
        self.start_frame()
        self.offering = False

    def start_frame(self):
        self.stored, self.fetched, self.sent = 0, 0, 0

    def still_needed(self):
        """The oldest word that must not be overwritten."""
        if self.fetched == 0:
            return 0
        window, _ = self.order[self.fetched - 1]
        started_new = window + 1 < len(self.windows)
        following = self.windows[window + 1][0] if started_new else self.windows[window][0] + self.span - 1
        return min(following, self.order[min(self.fetched, len(self.order) - 1)][1])

    def has_room(self):
        if self.stored == self.total:
            return False
        return self.fetched == len(self.order) or self.stored - self.room < self.still_needed()

    def settle(self):
        self.outs[0].valid = self.offering
        self.ins[0].ready = self.ins[0].valid and self.has_room()

    def clock(self):
        taken = self.outs[0].moves
        free = taken or not self.offering
        can_fetch = self.fetched < len(self.order) and self.order[self.fetched][1] < self.stored
        if self.ins[0].moves:
            self.stored += 1
        self.sent += taken
        if free:
            self.offering = can_fetch
            self.fetched += can_fetch
        if self.sent == len(self.order) and self.stored == self.total:
            self.start_frame()


class ParallelWindow(Module):
    def __init__(self, ins, outs, p):
        super().__init__(ins, outs)
        fold = p["C"] // p["SIMD"]
        rows, columns = (p["H"] - p["KH"]) // p["S"] + 1, (p["W"] - p["KW"]) // p["S"] + 1
        corner = (p["KH"] - 1) * p["W"] + p["KW"] - 1
        self.completes = [
            (y * p["S"] * p["W"] + x * p["S"] + corner) * fold + c
            for y in range(rows)
            for x in range(columns)
            for c in range(fold)
        ]
        self.total = p["H"] * p["W"] * fold
        self.stored, self.sent = 0, 0

    def settle(self):
        done = self.sent == len(self.completes)
        self.outs[0].valid = not done and self.completes[self.sent] < self.stored
        held_up = self.outs[0].valid and not self.outs[0].ready
        self.ins[0].ready = self.ins[0].valid and self.stored < self.total and not held_up

    def clock(self):
        self.sent += self.outs[0].moves
        self.stored += self.ins[0].moves
        if self.sent == len(self.completes) and self.stored == self.total:
            self.stored, self.sent = 0, 0


class Unit(Module):
    """Matrix-vector unit, or with `per_channel` a vector-vector unit."""

    def __init__(self, ins, outs, p, per_channel):
        super().__init__(ins, outs)
        self.length, self.times = p["MW"] // p["SIMD"], 1 if per_channel else p["MH"] // p["PE"]
        chain = ceil(p["SIMD"] / 3)
        dsp58 = 2 + ceil(chain / (p.get("seglen") or chain))
        self.pipeline = deque([False] * (dsp58 if "dsp58" in p["core"] else LATENCY_DSP48))
        self.results = 0
        self.place = 0
        self.size = 2
        while self.size < self.length:
            self.size *= 2
        self.memory: list[int] = []
        self.next, self.repeat, self.came = 0, 0, 0
        self.register: bool | None = None

    @property
    def frozen(self):
        return self.results == 2

    def settle(self):
        self.outs[0].valid = self.results > 0
        self.ins[0].ready = len(self.memory) < self.size if self.times > 1 else not self.frozen

    def clock(self):
        entering = self.from_memory() if self.times > 1 else self.straight()
        if not self.frozen:
            self.pipeline.append(entering)
            finished = self.pipeline.popleft()
        else:
            finished = False
        self.results += finished - self.outs[0].moves

    def straight(self):
        if not self.ins[0].moves:
            return False
        self.place = (self.place + 1) % self.length
        return self.place == 0

    def from_memory(self):
        """The memory holds the words of vectors in order; each vector is read `times` times, then goes word by word."""
        entering = False
        arrived = [self.came] if self.ins[0].moves else []
        self.came += len(arrived)
        if not self.frozen or self.register is None:
            entering = bool(self.register) and not self.frozen
            self.register = None
            if self.next in self.memory:
                last = (self.next + 1) % self.length == 0
                self.register = last
                if self.repeat == self.times - 1:
                    self.memory.remove(self.next)
                self.next += 1
                if last:
                    self.repeat += 1
                    if self.repeat < self.times:
                        self.next -= self.length
                    else:
                        self.repeat = 0
        self.memory += arrived
        return entering


class Threshold(Module):
    def __init__(self, ins, outs, p):
        super().__init__(ins, outs)
        self.most = p["N"] + 3
        self.stages = deque([False] * p["N"])
        self.queue, self.out = 0, False

    def settle(self):
        inside = sum(self.stages) + self.queue + self.out
        self.outs[0].valid = self.out
        self.ins[0].ready = inside < self.most

    def clock(self):
        if self.outs[0].ready or not self.out:
            self.out = self.queue > 0
            self.queue -= self.out
        self.queue += self.stages.popleft()
        self.stages.append(self.ins[0].moves)


class Pad(Module):
    def __init__(self, ins, outs, p):
        super().__init__(ins, outs)
        top, left, bottom, right = p["pads"]
        self.real = [
            top <= y < top + p["H"] and left <= x < left + p["W"]
            for y in range(p["H"] + top + bottom)
            for x in range(p["W"] + left + right)
            for _ in range(p["C"] // p["SIMD"])
        ]
        self.place, self.side, self.out = 0, False, False

    def settle(self):
        self.outs[0].valid = self.out
        self.ins[0].ready = not self.side

    def clock(self):
        waiting = self.side or self.ins[0].moves
        if self.out and not self.outs[0].ready:
            self.side = waiting
            return
        if self.real[self.place]:
            self.out, self.side = waiting, False
        else:
            self.out, self.side = True, waiting
        if self.out:
            self.place = (self.place + 1) % len(self.real)


class Queue(Module):
    def __init__(self, ins, outs, p):
        super().__init__(ins, outs)
        self.depth, self.count, self.most = p["depth"], 0, 0

    def settle(self):
        self.outs[0].valid = self.count > 0
        self.ins[0].ready = self.count < self.depth

    def clock(self):
        self.count += self.ins[0].moves - self.outs[0].moves
        self.most = max(self.most, self.count)


class Wider(Module):
    def __init__(self, ins, outs, ratio):
        super().__init__(ins, outs)
        self.ratio, self.pieces, self.side = ratio, 0, False

    def settle(self):
        self.outs[0].valid = self.pieces == self.ratio
        self.ins[0].ready = not self.side

    def clock(self):
        if self.outs[0].moves:
            self.pieces = 0
        waiting = self.side + self.ins[0].moves
        if self.pieces < self.ratio and waiting:
            self.pieces += 1
            waiting -= 1
        self.side = bool(waiting)


class Narrower(Module):
    def __init__(self, ins, outs, ratio):
        super().__init__(ins, outs)
        self.ratio, self.pieces, self.side, self.out = ratio, 0, False, False

    def settle(self):
        self.outs[0].valid = self.out
        self.ins[0].ready = not self.side and self.pieces <= 1

    def clock(self):
        free = self.outs[0].ready or not self.out
        if self.side:
            self.out = True
            self.side = not free
            return
        leaving = self.pieces > 0
        if free:
            self.out = leaving
        elif leaving:
            self.side = True
        self.pieces -= leaving
        if self.ins[0].moves:
            self.pieces = self.ratio


class Wire(Module):
    def settle(self):
        self.outs[0].valid = self.ins[0].valid
        self.ins[0].ready = self.outs[0].ready

    def clock(self):
        pass


class Fork(Module):
    def __init__(self, ins, outs):
        super().__init__(ins, outs)
        self.taken = [False] * len(outs)

    def settle(self):
        for out, taken in zip(self.outs, self.taken, strict=True):
            out.valid = self.ins[0].valid and not taken
        served = all(taken or out.ready for out, taken in zip(self.outs, self.taken, strict=True))
        self.ins[0].ready = self.ins[0].valid and served

    def clock(self):
        if self.ins[0].moves:
            self.taken = [False] * len(self.outs)
        else:
            self.taken = [taken or out.moves for out, taken in zip(self.outs, self.taken, strict=True)]


class Join(Module):
    def settle(self):
        every = all(link.valid for link in self.ins)
        self.outs[0].valid = every
        for link in self.ins:
            link.ready = every and self.outs[0].ready

    def clock(self):
        pass


class Tap(Module):
    """One register for both outputs with a side register before it; the tapped side has two more and its own."""

    def __init__(self, ins, outs):
        super().__init__(ins, outs)
        self.side = self.forward = self.tapped = self.waited = False
        self.skid: str = "empty"
        self.tap_out = False

    def settle(self):
        self.outs[0].valid, self.outs[1].valid = self.forward, self.tap_out
        self.ins[0].ready = not self.side

    def clock(self):
        room = self.skid in ("empty", "one")
        tap_goes = self.tapped and room
        forward_free = self.outs[0].ready or not self.forward
        loads = forward_free and (not self.tapped or (tap_goes and not self.waited))
        self.step_skid(tap_goes)
        waiting = self.side or self.ins[0].moves
        if loads:
            self.forward = self.tapped = waiting
            self.side = False
        else:
            self.forward = self.forward and not self.outs[0].ready
            self.tapped = self.tapped and not tap_goes
            self.side = waiting
        self.waited = not loads

    def step_skid(self, comes):
        """In "one, closed" it holds a single word and yet takes no other until it has gone."""
        free = self.outs[1].ready or not self.tap_out
        if free:
            self.tap_out = self.skid != "empty"
            stays = {"empty": 0, "one": 0, "one, closed": 0, "two": 1}[self.skid]
            self.skid = "one" if stays + comes else "empty"
        elif self.skid == "empty":
            self.skid = "one" if comes else "empty"
        elif self.skid == "one":
            self.skid = "two" if comes else "one, closed"


def draw(seed):
    return (1664525 * seed + 1013904223) % 2**32


class Source(Module):
    def __init__(self, link, spec, frames):
        super().__init__([], [link])
        self.chance, self.seed = spec["p256"], spec["seed"]
        self.left, self.offering = spec["words_per_frame"] * frames, False

    def begin(self):
        self.seed = draw(self.seed)
        if self.seed // 65536 % 256 < self.chance and not self.offering and self.left:
            self.offering = True
            self.left -= 1

    def settle(self):
        self.outs[0].valid = self.offering

    def clock(self):
        if self.outs[0].moves:
            self.offering = False


class Sink(Module):
    def __init__(self, link, spec):
        super().__init__([link], [])
        self.chance, self.seed, self.hit = spec["p256"], spec["seed"], False

    def begin(self):
        self.seed = draw(self.seed)
        self.hit = self.seed // 65536 % 256 < self.chance

    def settle(self):
        self.ins[0].ready = self.hit

    def clock(self):
        pass


def module(entry, links):
    ins, outs, p = [links[n] for n in entry["ins"]], [links[n] for n in entry["outs"]], entry["params"]
    kind = entry["kind"]
    if kind == "swg":
        single = p["KH"] * p["KW"] == 1
        return (ParallelWindow if p["par"] or single else SerialWindow)(ins, outs, p)
    if kind in ("mvu", "vvu"):
        return Unit(ins, outs, p, per_channel=kind == "vvu")
    if kind == "dwc":
        if p["ibits"] == p["obits"]:
            return Wire(ins, outs)
        wider = p["obits"] > p["ibits"]
        ratio = max(p["ibits"], p["obits"]) // min(p["ibits"], p["obits"])
        return (Wider if wider else Narrower)(ins, outs, ratio)
    if kind in ("thresholding", "fmpadding", "fifo"):
        return {"thresholding": Threshold, "fmpadding": Pad, "fifo": Queue}[kind](ins, outs, p)
    return {"fork": Fork, "join": Join, "tap_fork": Tap}[kind](ins, outs)


@dataclass
class Clocked:
    """What happened: transfers by link, most words by queue, and whether all words got through."""

    transfers: dict[str, list[int]]
    peaks: dict[str, int]
    complete: bool


def clocked(spec, most_cycles, idle_cycles=20_000):
    """Runs a spec until its sink has every word, nothing moves for `idle_cycles`, or `most_cycles` are over."""
    names = {name for entry in spec["modules"] for name in (*entry["ins"], *entry["outs"])}
    links = {name: Link() for name in sorted(names)}
    source = Source(links[spec["source"]["link"]], spec["source"], spec["frames"])
    sink = Sink(links[spec["sink"]["link"]], spec["sink"])
    modules = [module(entry, links) for entry in spec["modules"]]
    every = [source, *modules, sink]
    wanted = spec["sink"]["words_per_frame"] * spec["frames"]
    received, idle, cycle = sink.ins[0].cycles, 0, 0
    while cycle < most_cycles and idle < idle_cycles:
        if len(received) >= wanted and not source.left and not source.offering:
            break
        source.begin()
        sink.begin()
        before = None
        while before != (before := [(link.valid, link.ready) for link in links.values()]):
            for each in every:
                each.settle()
        moved = [link for link in links.values() if link.moves]
        for link in moved:
            link.cycles.append(cycle)
        for each in every:
            each.clock()
        idle = 0 if moved else idle + 1
        cycle += 1
    queues = {e["name"]: m.most for e, m in zip(spec["modules"], modules, strict=True) if isinstance(m, Queue)}
    return Clocked({name: link.cycles for name, link in links.items()}, queues, len(received) >= wanted)
