"""A clock and the registers of streaming blocks: every word's transfer, cycle by cycle.

Blocks are joined by links with a valid and a ready signal; a word moves in each cycle in which both are high.
A cycle has three steps. Signals that depend on other signals of the same cycle are settled: valid in the
direction of the data, then ready against it (forks, joins, equal-width converters and the windows' ready are
such). Then transfers are counted. Then every block's registers take their next values from the signals, in any
order, because a block reads nothing of another but its links.

A block is a row of `parameters` and a row of `state`; what the columns mean is named below, kind by kind.
Pipelines are rings in `rings`: a slot holds what entered as many enabled cycles ago as the ring has slots.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Words = NDArray[np.int64]
Bits = NDArray[np.uint8]

#: Kinds of blocks, as numbers in `Chain.kind`.
SERIAL, PARALLEL, REPLAY, DIRECT, THRESHOLD, PADDING, FIFO, WIDEN, NARROW, WIRE, FORK, JOIN, TAP = range(13)

#: Most parameters and state registers of a block.
PARAMETERS, REGISTERS = 20, 17

#: The register with the most words that a queue or window has held.
MOST_HELD = REGISTERS - 1

#: Why a run stopped.
DONE, STUCK, OUT_OF_CYCLES = range(3)

# Serial window: loops from the innermost, three inside a window and three over windows, each a size and the
# words its step skips.
(SW_INPUTS, SW_BUFFER, SW_SPAN, SW_WORDS, SW_DELAY, SW_SIZES) = 0, 1, 2, 3, 4, 5
SW_STEPS = SW_SIZES + 6
(SW_NEWEST, SW_CURRENT, SW_NEXT, SW_PLACE, SW_FETCHED, SW_HOLDS, SW_WRITTEN, SW_START, SW_FOLLOWING, SW_ARRIVING) = (
    range(10)
)
SW_COUNTERS = 10

# Parallel window: loops over channels, columns and rows of the outputs.
PW_INPUTS, PW_FIRST, PW_SIZES = 0, 1, 2
PW_STEPS = PW_SIZES + 3
PW_NEWEST, PW_CURRENT, PW_WRITTEN, PW_COUNTERS = 0, 1, 2, 3

# Matrix and vector units, with a replay buffer or without.
MU_LENGTH, MU_REPEATS, MU_LATENCY, MU_BUFFER, MU_OUTPUTS, MU_DELAY = range(6)
MU_ITEM, MU_REPEAT, MU_HELD, MU_UNREAD, MU_READ, MU_READ_LAST, MU_SLOT, MU_INSIDE, MU_DONE, MU_ARRIVING = range(10)

TH_STAGES, TH_MOST = 0, 1
TH_INSIDE, TH_SLOT, TH_QUEUED, TH_OUT = range(4)

PD_WORDS, PD_COLUMNS, PD_ROWS, PD_LEFT, PD_RIGHT, PD_TOP, PD_BOTTOM, PD_AHEAD = range(8)
PD_SIDE, PD_OUT, PD_WORD, PD_COLUMN, PD_ROW = range(5)

FF_DEPTH, FF_DELAY = 0, 1
FF_COUNT, FF_ARRIVING = 0, 1

WC_RATIO = 0
WC_COUNT, WC_SIDE, WC_OUT = 0, 1, 2

FK_TAKEN = 0
TP_SIDE, TP_OUT, TP_TAP, TP_FRESH, TP_FIRST, TP_SECOND, TP_TAP_OUT = range(7)


class Chain(NamedTuple):
    """Blocks in the direction of the data, and where words come from and go to."""

    kind: Ints  # [blocks]
    parameters: NDArray[np.int64]  # [blocks, PARAMETERS]
    ring_at: Ints  # [blocks + 1] into `Registers.rings`
    in_at: Ints  # [blocks + 1] into `ins`
    ins: Ints  # links
    out_at: Ints  # [blocks + 1] into `outs`
    outs: Ints  # links
    valid_blocks: Ints  # blocks whose valid depends on signals of the same cycle, with the data
    ready_blocks: Ints  # blocks whose ready does, against the data
    words: Ints  # [links] words a frame
    source_link: Ints  # [sources]
    source_chance: Ints  # [sources] of 256 a cycle that a word is offered; 256 always
    source_pace: Ints  # [sources] cycles a frame of evenly spaced words; 0 for offers by chance
    sink_link: Ints  # [sinks]
    sink_chance: Ints  # [sinks] of 256 a cycle that a word is taken


class Registers(NamedTuple):
    """What the blocks, sources and sinks remember from cycle to cycle."""

    state: NDArray[np.int64]  # [blocks, REGISTERS]
    rings: Bits  # pipelines of all blocks, end to end
    valid: Bits  # [links]
    ready: Bits  # [links]
    clock: Ints  # [2] cycles so far, cycles since the last transfer
    source_draw: Ints  # [sources] generator state
    source_offers: Ints  # [sources] whether a word is offered
    source_left: Ints  # [sources] words still to be offered
    source_sent: Ints  # [sources] words offered so far
    sink_draw: Ints  # [sinks]


class Record(NamedTuple):
    """What is written down of a run; frames beyond the arrays and words beyond a trace are not."""

    counts: Ints  # [links] transfers
    begin: NDArray[np.int64]  # [links, frames] cycle of each frame's first transfer, -1 for none
    last: NDArray[np.int64]  # [links, frames] cycle of each frame's last transfer, -1 for none
    left: Ints  # [links] words until the frame's last
    frame: Ints  # [links] frame of the next transfer
    blocked: Ints  # [links] cycles with valid but not ready
    frozen: Ints  # [blocks] cycles in which a matrix unit stood still because its output buffer was full
    trace_at: Ints  # [links + 1] into `trace`
    trace: Ints  # cycles of all transfers, link after link


@njit(cache=True)
def run(
    c: Chain,
    r: Registers,
    record: Record,
    wanted: Ints,
    emptied: bool,
    drain_cycles: int,
    most_idle_cycles: int,
    most_cycles: int,
) -> int:
    """Clocks the chain until every sink has its `wanted` words and `drain_cycles` more.

    Where `emptied`, sources must have no word left either. Ends early as STUCK after `most_idle_cycles` without a
    transfer, and as OUT_OF_CYCLES at cycle `most_cycles`. May be called again to go on.
    """
    # arrays are taken out of their tuples once: a call that passes tuples costs more than a block's cycle
    kind, p, ring_at, in_at, ins, out_at, outs = c.kind, c.parameters, c.ring_at, c.in_at, c.ins, c.out_at, c.outs
    valid_blocks, ready_blocks, words = c.valid_blocks, c.ready_blocks, c.words
    source_link, source_chance, source_pace = c.source_link, c.source_chance, c.source_pace
    sink_link, sink_chance = c.sink_link, c.sink_chance
    s, rings, valid, ready, clock = r.state, r.rings, r.valid, r.ready, r.clock
    source_draw, offers, to_offer, sent = r.source_draw, r.source_offers, r.source_left, r.source_sent
    sink_draw = r.sink_draw
    count, begin, last, left = record.counts, record.begin, record.last, record.left
    frame, blocked, frozen, trace_at, trace = (
        record.frame, record.blocked, record.frozen, record.trace_at, record.trace,
    )  # fmt: skip
    drained = 0
    _present(kind, p, s, in_at, ins, out_at, outs, valid, ready)
    while clock[0] < most_cycles:
        cycle = clock[0]
        _offer(cycle, words, source_link, source_chance, source_pace, source_draw, offers, to_offer, sent, valid)
        _settle_valid(kind, s, in_at, ins, out_at, outs, valid_blocks, valid)
        _take(sink_link, sink_chance, sink_draw, ready)
        _settle_ready(kind, p, s, in_at, ins, out_at, outs, ready_blocks, valid, ready)
        moved = _note(cycle, words, valid, ready, count, begin, last, left, frame, blocked, trace_at, trace)
        _step(kind, p, s, rings, ring_at, in_at, ins, out_at, outs, valid, ready, frozen)
        for k in range(source_link.size):
            if ready[source_link[k]] and valid[source_link[k]]:
                offers[k] = 0
        _present(kind, p, s, in_at, ins, out_at, outs, valid, ready)
        clock[0] = cycle + 1
        clock[1] = 0 if moved else clock[1] + 1
        served = True
        for k in range(sink_link.size):
            served = served and count[sink_link[k]] >= wanted[k]
        for k in range(source_link.size):
            served = served and not (emptied and (to_offer[k] > 0 or offers[k]))
        if served:
            drained += 1
            if drained > drain_cycles:
                return DONE
        elif clock[1] >= most_idle_cycles:
            return STUCK
    return OUT_OF_CYCLES


@njit(cache=True)
def _draw(seed: int) -> int:
    """The next state of the 32-bit generator s = 1664525 s + 1013904223."""
    return (1664525 * seed + 1013904223) & 0xFFFFFFFF


@njit(cache=True)
def _offer(
    cycle: int,
    words: Ints,
    link: Ints,
    chance: Ints,
    pace: Ints,
    draw: Ints,
    offers: Ints,
    left: Ints,
    sent: Ints,
    valid: Bits,
) -> None:
    for k in range(link.size):
        hit = True
        if pace[k] > 0:
            frame, word = sent[k] // words[link[k]], sent[k] % words[link[k]]
            hit = cycle >= frame * pace[k] + word * pace[k] // words[link[k]]
        elif chance[k] < 256:
            draw[k] = _draw(draw[k])
            hit = (draw[k] >> 16) & 255 < chance[k]
        if hit and not offers[k] and left[k] > 0:
            offers[k] = 1
            left[k] -= 1
            sent[k] += 1
        valid[link[k]] = offers[k]


@njit(cache=True)
def _take(link: Ints, chance: Ints, draw: Ints, ready: Bits) -> None:
    for k in range(link.size):
        hit = True
        if chance[k] < 256:
            draw[k] = _draw(draw[k])
            hit = (draw[k] >> 16) & 255 < chance[k]
        ready[link[k]] = hit


@njit(cache=True)
def _note(
    cycle: int,
    words: Ints,
    valid: Bits,
    ready: Bits,
    counts: Ints,
    begin: NDArray[np.int64],
    last: NDArray[np.int64],
    left: Ints,
    frame: Ints,
    blocked: Ints,
    trace_at: Ints,
    trace: Ints,
) -> bool:
    moved = False
    for link in range(words.size):
        if not valid[link]:
            continue
        if not ready[link]:
            blocked[link] += 1
            continue
        moved = True
        count = counts[link]
        if left[link] == words[link] and frame[link] < begin.shape[1]:
            begin[link, frame[link]] = cycle
        if count < trace_at[link + 1] - trace_at[link]:
            trace[trace_at[link] + count] = cycle
        counts[link] = count + 1
        left[link] -= 1
        if left[link] == 0:
            left[link] = words[link]
            if frame[link] < last.shape[1]:
                last[link, frame[link]] = cycle
            frame[link] += 1
    return moved


@njit(cache=True)
def _settle_valid(
    kind: Ints, s: Words, in_at: Ints, ins: Ints, out_at: Ints, outs: Ints, blocks: Ints, valid: Bits
) -> None:
    for j in range(blocks.size):
        b = blocks[j]
        offered = valid[ins[in_at[b]]]
        if kind[b] == FORK:
            for k in range(out_at[b], out_at[b + 1]):
                valid[outs[k]] = offered and not (s[b, FK_TAKEN] >> (k - out_at[b])) & 1
        elif kind[b] == JOIN:
            for k in range(in_at[b] + 1, in_at[b + 1]):
                offered = offered and valid[ins[k]]
            valid[outs[out_at[b]]] = offered
        else:
            valid[outs[out_at[b]]] = offered


@njit(cache=True)
def _settle_ready(
    kind: Ints,
    p: Words,
    s: Words,
    in_at: Ints,
    ins: Ints,
    out_at: Ints,
    outs: Ints,
    blocks: Ints,
    valid: Bits,
    ready: Bits,
) -> None:
    for j in range(blocks.size):
        b = blocks[j]
        first_in, first_out = ins[in_at[b]], outs[out_at[b]]
        if kind[b] == SERIAL:
            oldest = s[b, SW_NEWEST] - (p[b, SW_BUFFER] - 1)
            room = s[b, SW_FETCHED] != 0 or (oldest < s[b, SW_NEXT] and oldest < s[b, SW_CURRENT])
            ready[first_in] = valid[first_in] and room and s[b, SW_NEWEST] < p[b, SW_INPUTS] - 1
        elif kind[b] == PARALLEL:
            stands = valid[first_out] and not ready[first_out]
            ready[first_in] = valid[first_in] and not stands and s[b, PW_NEWEST] < p[b, PW_INPUTS] - 1
        elif kind[b] == FORK:
            all_taken = valid[first_in]
            for k in range(out_at[b], out_at[b + 1]):
                all_taken = all_taken and (ready[outs[k]] or (s[b, FK_TAKEN] >> (k - out_at[b])) & 1)
            ready[first_in] = all_taken != 0
        elif kind[b] == JOIN:
            for k in range(in_at[b], in_at[b + 1]):
                ready[ins[k]] = valid[first_out] and ready[first_out]
        else:
            ready[first_in] = ready[first_out]


@njit(cache=True)
def _present(
    kind: Ints, p: Words, s: Words, in_at: Ints, ins: Ints, out_at: Ints, outs: Ints, valid: Bits, ready: Bits
) -> None:
    """Signals that follow from registers alone, for the next cycle."""
    for b in range(kind.size):
        first_in, first_out = ins[in_at[b]], outs[out_at[b]]
        if kind[b] == SERIAL:
            valid[first_out] = s[b, SW_HOLDS]
        elif kind[b] == PARALLEL:
            valid[first_out] = s[b, PW_CURRENT] <= s[b, PW_NEWEST] and s[b, PW_WRITTEN] == 0
        elif kind[b] == REPLAY:
            valid[first_out] = s[b, MU_DONE] > 0
            ready[first_in] = s[b, MU_HELD] < p[b, MU_BUFFER]
        elif kind[b] == DIRECT:
            valid[first_out] = s[b, MU_DONE] > 0
            ready[first_in] = s[b, MU_DONE] < p[b, MU_OUTPUTS]
        elif kind[b] == THRESHOLD:
            valid[first_out] = s[b, TH_OUT]
            ready[first_in] = s[b, TH_INSIDE] < p[b, TH_MOST]
        elif kind[b] == PADDING:
            valid[first_out] = s[b, PD_OUT]
            ready[first_in] = s[b, PD_SIDE] == 0
        elif kind[b] == FIFO:
            valid[first_out] = s[b, FF_COUNT] > _bits(s[b, FF_ARRIVING])
            ready[first_in] = s[b, FF_COUNT] < p[b, FF_DEPTH]
        elif kind[b] == WIDEN:
            valid[first_out] = s[b, WC_COUNT] == p[b, WC_RATIO]
            ready[first_in] = s[b, WC_SIDE] == 0
        elif kind[b] == NARROW:
            valid[first_out] = s[b, WC_OUT]
            ready[first_in] = s[b, WC_SIDE] == 0 and s[b, WC_COUNT] <= 1
        elif kind[b] == TAP:
            valid[first_out] = s[b, TP_OUT]
            valid[outs[out_at[b] + 1]] = s[b, TP_TAP_OUT]
            ready[first_in] = s[b, TP_SIDE] == 0


@njit(cache=True)
def _step(
    kind: Ints,
    p: Words,
    s: Words,
    rings: Bits,
    ring_at: Ints,
    in_at: Ints,
    ins: Ints,
    out_at: Ints,
    outs: Ints,
    valid: Bits,
    ready: Bits,
    frozen: Ints,
) -> None:
    """The registers' next values, from the signals of this cycle."""
    for b in range(kind.size):
        first_in, first_out = ins[in_at[b]], outs[out_at[b]]
        offered, wanted = valid[first_in] != 0, ready[first_out] != 0
        came = offered and ready[first_in] != 0
        left = valid[first_out] != 0 and wanted
        if kind[b] == SERIAL:
            _step_serial(p, s, b, came, left, wanted)
        elif kind[b] == PARALLEL:
            _step_parallel(p, s, b, came, left)
        elif kind[b] == REPLAY:
            frozen[b] += np.int64(s[b, MU_DONE] == p[b, MU_OUTPUTS])
            _step_replay(p, s, b, rings, ring_at[b], came, left)
        elif kind[b] == DIRECT:
            frozen[b] += np.int64(s[b, MU_DONE] == p[b, MU_OUTPUTS])
            _step_direct(p, s, b, rings, ring_at[b], came, left)
        elif kind[b] == THRESHOLD:
            _step_threshold(p, s, b, rings, ring_at[b], came, left, wanted)
        elif kind[b] == PADDING:
            _step_padding(p, s, b, offered, wanted)
        elif kind[b] == FIFO:
            s[b, FF_COUNT] += np.int64(came) - np.int64(left)
            s[b, MOST_HELD] = max(s[b, MOST_HELD], s[b, FF_COUNT])
            s[b, FF_ARRIVING] = _later(s[b, FF_ARRIVING], came, p[b, FF_DELAY])
        elif kind[b] == WIDEN:
            _step_widen(p, s, b, offered, left)
        elif kind[b] == NARROW:
            _step_narrow(p, s, b, offered, wanted)
        elif kind[b] == FORK:
            if came:
                s[b, FK_TAKEN] = 0
            elif offered:
                for k in range(out_at[b], out_at[b + 1]):
                    if ready[outs[k]]:
                        s[b, FK_TAKEN] |= np.int64(1) << (k - out_at[b])
        elif kind[b] == TAP:
            _step_tap(s, b, offered, wanted, ready[outs[out_at[b] + 1]] != 0)


@njit(cache=True)
def _bits(word: int) -> int:
    count = 0
    while word:
        word &= word - 1
        count += 1
    return count


@njit(cache=True)
def _later(arriving: int, came: bool, delay: int) -> int:
    """A shift register of `delay` bits: words that have come and are not to be seen yet."""
    if delay == 0:
        return 0
    return int(((arriving << 1) | np.int64(came)) & ((np.int64(1) << delay) - 1))


@njit(cache=True)
def _step_serial(p: Words, s: Words, b: int, came: bool, left: bool, wanted: bool) -> None:
    newest, fetched, written = s[b, SW_NEWEST], s[b, SW_FETCHED], s[b, SW_WRITTEN]
    stored = newest - _bits(s[b, SW_ARRIVING])
    fetch = s[b, SW_CURRENT] <= stored and not fetched and (wanted or not s[b, SW_HOLDS])
    complete = newest == p[b, SW_INPUTS] - 1
    completing = came and newest == p[b, SW_INPUTS] - 2
    if came:
        s[b, SW_NEWEST] = newest + 1
    s[b, SW_ARRIVING] = _later(s[b, SW_ARRIVING], came, p[b, SW_DELAY])
    if fetch:
        _fetch(p, s, b)
    if fetch or left:
        s[b, SW_HOLDS] = fetch
    over = (left and fetched and (complete or completing)) or (completing and written)
    if left and fetched:
        s[b, SW_WRITTEN] = 1
    if over:
        s[b, SW_NEWEST] = -1
        s[b, SW_CURRENT] = s[b, SW_NEXT] = s[b, SW_START] = s[b, SW_FOLLOWING] = 0
        s[b, SW_FETCHED] = s[b, SW_WRITTEN] = s[b, SW_ARRIVING] = 0
    elif not s[b, SW_FETCHED]:
        held = s[b, SW_NEWEST] + 1 - min(s[b, SW_NEXT], s[b, SW_CURRENT])
        s[b, MOST_HELD] = max(s[b, MOST_HELD], held)


@njit(cache=True)
def _fetch(p: Words, s: Words, b: int) -> None:
    """Moves on to the next word of the window, or to the next window."""
    if s[b, SW_PLACE] == 0:
        s[b, SW_FOLLOWING] = _following(p, s, b)
        s[b, SW_NEXT] = s[b, SW_FOLLOWING] if s[b, SW_FOLLOWING] >= 0 else s[b, SW_START] + p[b, SW_SPAN] - 1
    s[b, SW_PLACE] += 1
    if s[b, SW_PLACE] == p[b, SW_WORDS]:
        s[b, SW_PLACE] = 0
        for k in range(3):
            s[b, SW_COUNTERS + k] = 0
        _advance(p, s, b, 3)
        if s[b, SW_FOLLOWING] < 0:
            s[b, SW_FETCHED] = 1
        else:
            s[b, SW_CURRENT] = s[b, SW_START] = s[b, SW_FOLLOWING]
        return
    s[b, SW_CURRENT] += _advance(p, s, b, 0)


@njit(cache=True)
def _advance(p: Words, s: Words, b: int, begin: int) -> int:
    """Counts the three loops from `begin` on by one; returns the words skipped by it."""
    skipped = np.int64(0)
    for k in range(begin, begin + 3):
        s[b, SW_COUNTERS + k] += 1
        if s[b, SW_COUNTERS + k] < p[b, SW_SIZES + k]:
            return int(skipped + p[b, SW_STEPS + k])
        s[b, SW_COUNTERS + k] = 0
        skipped -= (p[b, SW_SIZES + k] - 1) * p[b, SW_STEPS + k]
    return int(skipped)


@njit(cache=True)
def _following(p: Words, s: Words, b: int) -> int:
    """First word of the window after this one; -1 after the last."""
    start = s[b, SW_START]
    for k in range(3, 6):
        if s[b, SW_COUNTERS + k] + 1 < p[b, SW_SIZES + k]:
            return int(start + p[b, SW_STEPS + k])
        start -= s[b, SW_COUNTERS + k] * p[b, SW_STEPS + k]
    return -1


@njit(cache=True)
def _step_parallel(p: Words, s: Words, b: int, came: bool, left: bool) -> None:
    newest, written = s[b, PW_NEWEST], s[b, PW_WRITTEN]
    complete = newest == p[b, PW_INPUTS] - 1
    completing = came and newest == p[b, PW_INPUTS] - 2
    over = completing and written != 0
    if came:
        s[b, PW_NEWEST] = newest + 1
    if left:
        more = False
        for k in range(3):
            s[b, PW_COUNTERS + k] += 1
            if s[b, PW_COUNTERS + k] < p[b, PW_SIZES + k]:
                s[b, PW_CURRENT] += p[b, PW_STEPS + k]
                more = True
                break
            s[b, PW_COUNTERS + k] = 0
            s[b, PW_CURRENT] -= (p[b, PW_SIZES + k] - 1) * p[b, PW_STEPS + k]
        if not more:
            s[b, PW_WRITTEN] = 1
            over = complete or completing
    if over:
        s[b, PW_NEWEST] = -1
        s[b, PW_WRITTEN] = 0
    elif not s[b, PW_WRITTEN]:
        held = s[b, PW_NEWEST] + 1 - (s[b, PW_CURRENT] - p[b, PW_FIRST])
        s[b, MOST_HELD] = max(s[b, MOST_HELD], held)


@njit(cache=True)
def _compute(p: Words, s: Words, b: int, rings: Bits, ring: int, enters: bool, left: bool) -> None:
    """The multiply pipeline, which stands still while its output buffer is full, and that buffer."""
    if s[b, MU_DONE] < p[b, MU_OUTPUTS]:
        slot = ring + s[b, MU_SLOT]
        s[b, MU_DONE] += np.int64(rings[slot])
        rings[slot] = enters
        s[b, MU_SLOT] = s[b, MU_SLOT] + 1 if s[b, MU_SLOT] + 1 < p[b, MU_LATENCY] else 0
    s[b, MU_DONE] -= np.int64(left)


@njit(cache=True)
def _step_direct(p: Words, s: Words, b: int, rings: Bits, ring: int, came: bool, left: bool) -> None:
    last = came and s[b, MU_ITEM] == p[b, MU_LENGTH] - 1
    if came:
        s[b, MU_ITEM] = 0 if last else s[b, MU_ITEM] + 1
    _compute(p, s, b, rings, ring, last, left)


@njit(cache=True)
def _step_replay(p: Words, s: Words, b: int, rings: Bits, ring: int, came: bool, left: bool) -> None:
    runs = s[b, MU_DONE] < p[b, MU_OUTPUTS]
    enters = s[b, MU_READ] != 0 and s[b, MU_READ_LAST] != 0
    if runs or not s[b, MU_READ]:
        _read_again(p, s, b)
    s[b, MU_HELD] += np.int64(came)
    s[b, MU_UNREAD] += np.int64(came)
    s[b, MU_ARRIVING] = _later(s[b, MU_ARRIVING], came, p[b, MU_DELAY])
    _compute(p, s, b, rings, ring, enters, left)


@njit(cache=True)
def _read_again(p: Words, s: Words, b: int) -> None:
    """Reads the next word of a sequence that is repeated; in the last repetition words are freed."""
    if s[b, MU_UNREAD] <= _bits(s[b, MU_ARRIVING]):
        s[b, MU_READ] = 0
        return
    last_item, last_repeat = s[b, MU_ITEM] == p[b, MU_LENGTH] - 1, s[b, MU_REPEAT] == p[b, MU_REPEATS] - 1
    s[b, MU_READ], s[b, MU_READ_LAST] = 1, last_item
    s[b, MU_UNREAD] -= 1
    if last_item and not last_repeat:
        s[b, MU_UNREAD] += p[b, MU_LENGTH]
    s[b, MU_HELD] -= np.int64(last_repeat)
    if last_item:
        s[b, MU_ITEM] = 0
        s[b, MU_REPEAT] = 0 if last_repeat else s[b, MU_REPEAT] + 1
    else:
        s[b, MU_ITEM] += 1


@njit(cache=True)
def _step_threshold(p: Words, s: Words, b: int, rings: Bits, ring: int, came: bool, left: bool, wanted: bool) -> None:
    slot = ring + s[b, TH_SLOT]
    through = np.int64(rings[slot])
    rings[slot] = came
    s[b, TH_SLOT] = s[b, TH_SLOT] + 1 if s[b, TH_SLOT] + 1 < p[b, TH_STAGES] else 0
    if wanted or not s[b, TH_OUT]:
        queued = s[b, TH_QUEUED] > 0
        s[b, TH_OUT] = queued
        s[b, TH_QUEUED] -= np.int64(queued)
    s[b, TH_QUEUED] += through
    s[b, TH_INSIDE] += np.int64(came) - np.int64(left)


@njit(cache=True)
def _step_padding(p: Words, s: Words, b: int, offered: bool, wanted: bool) -> None:
    column, row = s[b, PD_COLUMN], s[b, PD_ROW]
    forward = p[b, PD_LEFT] <= column < p[b, PD_RIGHT] and p[b, PD_TOP] <= row < p[b, PD_BOTTOM]
    there = offered or s[b, PD_SIDE] != 0
    begun = p[b, PD_AHEAD] != 0 or s[b, PD_WORD] > 0 or column > 0 or row > 0
    moves = wanted or not s[b, PD_OUT]
    goes = there or (begun and not forward)
    s[b, PD_SIDE] = there and not (moves and forward)
    if not moves:
        return
    s[b, PD_OUT] = goes
    if not goes:
        return
    s[b, PD_WORD] += 1
    if s[b, PD_WORD] == p[b, PD_WORDS]:
        s[b, PD_WORD] = 0
        s[b, PD_COLUMN] += 1
        if s[b, PD_COLUMN] == p[b, PD_COLUMNS]:
            s[b, PD_COLUMN] = 0
            s[b, PD_ROW] = s[b, PD_ROW] + 1 if s[b, PD_ROW] + 1 < p[b, PD_ROWS] else 0


@njit(cache=True)
def _step_widen(p: Words, s: Words, b: int, offered: bool, left: bool) -> None:
    moves = s[b, WC_COUNT] < p[b, WC_RATIO] or left
    there = offered or s[b, WC_SIDE] != 0
    if left:
        s[b, WC_COUNT] = 0
    if moves and there:
        s[b, WC_COUNT] += 1
    s[b, WC_SIDE] = there and not moves


@njit(cache=True)
def _step_narrow(p: Words, s: Words, b: int, offered: bool, wanted: bool) -> None:
    """`WC_COUNT` pieces wait to go on, one at most of them in the side register when `WC_SIDE`."""
    moves = wanted or not s[b, WC_OUT]
    pieces, side = s[b, WC_COUNT], s[b, WC_SIDE] != 0
    if moves:
        s[b, WC_OUT] = side or pieces > 0
    if side:
        s[b, WC_SIDE] = not moves
        return
    s[b, WC_SIDE] = pieces > 0 and not moves
    if pieces <= 1:
        s[b, WC_COUNT] = p[b, WC_RATIO] if offered else 0
    else:
        s[b, WC_COUNT] = pieces - 1


@njit(cache=True)
def _step_tap(s: Words, b: int, offered: bool, wanted: bool, tap_wanted: bool) -> None:
    tap_moves = s[b, TP_SECOND] == 0
    there = offered or s[b, TP_SIDE] != 0
    loads = (wanted or not s[b, TP_OUT]) and ((tap_moves and s[b, TP_FRESH] != 0) or not s[b, TP_TAP])
    tapped = s[b, TP_TAP]
    if loads:
        s[b, TP_OUT] = s[b, TP_TAP] = there
    else:
        s[b, TP_OUT] = s[b, TP_OUT] != 0 and not wanted
        s[b, TP_TAP] = tapped != 0 and not tap_moves
    # a tapped word that has waited is not followed by the next in the cycle in which it goes
    s[b, TP_FRESH] = loads
    s[b, TP_SIDE] = there and not loads
    first, second = s[b, TP_FIRST], s[b, TP_SECOND]
    empties = tap_wanted or not s[b, TP_TAP_OUT]
    s[b, TP_TAP_OUT] = first != 0 or second != 0 or not empties
    s[b, TP_FIRST] = first if second else tapped
    s[b, TP_SECOND] = (first != 0 or second != 0) and not empties
