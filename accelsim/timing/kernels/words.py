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
Bits = NDArray[np.uint8]

#: Kinds of blocks, as numbers in `Chain.kind`.
SERIAL, PARALLEL, REPLAY, DIRECT, THRESHOLD, PADDING, FIFO, WIDEN, NARROW, WIRE, FORK, JOIN, TAP = range(13)

#: Most parameters and state registers of a block.
PARAMETERS, REGISTERS = 20, 16

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
FF_COUNT, FF_PEAK, FF_ARRIVING = 0, 1, 2

WC_RATIO = 0
WC_COUNT, WC_SIDE, WC_OUT = 0, 1, 2

FK_TAKEN = 0
TP_SIDE, TP_OUT, TP_TAP, TP_FIRST, TP_SECOND, TP_TAP_OUT = range(6)


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

    count: Ints  # [links] transfers
    first: Ints  # [links] cycle of the first transfer, -1 for none
    last: NDArray[np.int64]  # [links, frames] cycle of each frame's last transfer, -1 for none
    left: Ints  # [links] words until the frame's last
    frame: Ints  # [links] frame of the next transfer
    blocked: Ints  # [links] cycles with valid but not ready
    trace_at: Ints  # [links + 1] into `trace`
    trace: Ints  # cycles of all transfers, link after link


@njit(cache=True)
def run(
    c: Chain, r: Registers, record: Record, wanted: Ints, drain_cycles: int, most_idle_cycles: int, most_cycles: int
) -> int:
    """Clocks the chain until every sink has its `wanted` words and the sources are empty, and `drain_cycles` more.

    Ends early as STUCK after `most_idle_cycles` without a transfer, and as OUT_OF_CYCLES at cycle `most_cycles`.
    May be called again to go on.
    """
    drained = 0
    for block in range(c.kind.size):
        _present(c, r, block)
    while r.clock[0] < most_cycles:
        _offer(c, r)
        for block in c.valid_blocks:
            _settle_valid(c, r, block)
        _take(c, r)
        for k in range(c.ready_blocks.size):
            _settle_ready(c, r, c.ready_blocks[k])
        moved = _note(c, r, record)
        for block in range(c.kind.size):
            _step(c, r, block)
        _consume(c, r)
        for block in range(c.kind.size):
            _present(c, r, block)
        r.clock[0] += 1
        r.clock[1] = 0 if moved else r.clock[1] + 1
        if _served(c, r, record, wanted):
            drained += 1
            if drained > drain_cycles:
                return DONE
        elif r.clock[1] >= most_idle_cycles:
            return STUCK
    return OUT_OF_CYCLES


@njit(cache=True)
def _served(c: Chain, r: Registers, record: Record, wanted: Ints) -> bool:
    for k in range(c.sink_link.size):
        if record.count[c.sink_link[k]] < wanted[k]:
            return False
    for k in range(c.source_link.size):
        if c.source_pace[k] == 0 and (r.source_left[k] > 0 or r.source_offers[k]):
            return False
    return True


@njit(cache=True)
def _draw(seed: int) -> int:
    """The next state of the 32-bit generator s = 1664525 s + 1013904223."""
    return (1664525 * seed + 1013904223) & 0xFFFFFFFF


@njit(cache=True)
def _offer(c: Chain, r: Registers) -> None:
    for k in range(c.source_link.size):
        hit = True
        if c.source_pace[k] > 0:
            words = c.words[c.source_link[k]]
            frame, word = r.source_sent[k] // words, r.source_sent[k] % words
            hit = r.clock[0] >= frame * c.source_pace[k] + word * c.source_pace[k] // words
        elif c.source_chance[k] < 256:
            r.source_draw[k] = _draw(r.source_draw[k])
            hit = (r.source_draw[k] >> 16) & 255 < c.source_chance[k]
        if hit and not r.source_offers[k] and r.source_left[k] > 0:
            r.source_offers[k] = 1
            r.source_left[k] -= 1
            r.source_sent[k] += 1
        r.valid[c.source_link[k]] = r.source_offers[k]


@njit(cache=True)
def _take(c: Chain, r: Registers) -> None:
    for k in range(c.sink_link.size):
        hit = True
        if c.sink_chance[k] < 256:
            r.sink_draw[k] = _draw(r.sink_draw[k])
            hit = (r.sink_draw[k] >> 16) & 255 < c.sink_chance[k]
        r.ready[c.sink_link[k]] = hit


@njit(cache=True)
def _consume(c: Chain, r: Registers) -> None:
    for k in range(c.source_link.size):
        if r.ready[c.source_link[k]] and r.source_offers[k] and r.valid[c.source_link[k]]:
            r.source_offers[k] = 0


@njit(cache=True)
def _note(c: Chain, r: Registers, record: Record) -> bool:
    moved = False
    cycle = r.clock[0]
    for link in range(c.words.size):
        if not r.valid[link]:
            continue
        if not r.ready[link]:
            record.blocked[link] += 1
            continue
        moved = True
        count = record.count[link]
        if count == 0:
            record.first[link] = cycle
        if count < record.trace_at[link + 1] - record.trace_at[link]:
            record.trace[record.trace_at[link] + count] = cycle
        record.count[link] = count + 1
        record.left[link] -= 1
        if record.left[link] == 0:
            record.left[link] = c.words[link]
            if record.frame[link] < record.last.shape[1]:
                record.last[link, record.frame[link]] = cycle
            record.frame[link] += 1
    return moved


@njit(cache=True)
def _settle_valid(c: Chain, r: Registers, block: int) -> None:
    kind = c.kind[block]
    first_in = c.ins[c.in_at[block]]
    if kind == FORK:
        for k in range(c.out_at[block], c.out_at[block + 1]):
            taken = (r.state[block, FK_TAKEN] >> (k - c.out_at[block])) & 1
            r.valid[c.outs[k]] = r.valid[first_in] and not taken
    elif kind == JOIN:
        all_valid = True
        for k in range(c.in_at[block], c.in_at[block + 1]):
            all_valid = all_valid and r.valid[c.ins[k]] != 0
        r.valid[c.outs[c.out_at[block]]] = all_valid
    else:
        r.valid[c.outs[c.out_at[block]]] = r.valid[first_in]


@njit(cache=True)
def _settle_ready(c: Chain, r: Registers, block: int) -> None:
    kind = c.kind[block]
    first_in, first_out = c.ins[c.in_at[block]], c.outs[c.out_at[block]]
    if kind == SERIAL:
        p, s = c.parameters[block], r.state[block]
        oldest = s[SW_NEWEST] - (p[SW_BUFFER] - 1)
        room = s[SW_FETCHED] != 0 or (oldest < s[SW_NEXT] and oldest < s[SW_CURRENT])
        r.ready[first_in] = r.valid[first_in] and room and s[SW_NEWEST] < p[SW_INPUTS] - 1
    elif kind == PARALLEL:
        blocked = r.valid[first_out] and not r.ready[first_out]
        more = r.state[block, PW_NEWEST] < c.parameters[block, PW_INPUTS] - 1
        r.ready[first_in] = r.valid[first_in] and more and not blocked
    elif kind == FORK:
        all_taken = r.valid[first_in] != 0
        for k in range(c.out_at[block], c.out_at[block + 1]):
            taken = (r.state[block, FK_TAKEN] >> (k - c.out_at[block])) & 1
            all_taken = all_taken and (taken != 0 or r.ready[c.outs[k]] != 0)
        r.ready[first_in] = all_taken
    elif kind == JOIN:
        for k in range(c.in_at[block], c.in_at[block + 1]):
            r.ready[c.ins[k]] = r.valid[first_out] and r.ready[first_out]
    else:
        r.ready[first_in] = r.ready[first_out]


@njit(cache=True)
def _present(c: Chain, r: Registers, block: int) -> None:
    """Signals that follow from registers alone, for the next cycle."""
    kind = c.kind[block]
    p, s = c.parameters[block], r.state[block]
    first_in, first_out = c.ins[c.in_at[block]], c.outs[c.out_at[block]]
    if kind == SERIAL:
        r.valid[first_out] = s[SW_HOLDS]
    elif kind == PARALLEL:
        r.valid[first_out] = s[PW_CURRENT] <= s[PW_NEWEST] and s[PW_WRITTEN] == 0
    elif kind == REPLAY:
        r.valid[first_out] = s[MU_DONE] > 0
        r.ready[first_in] = s[MU_HELD] < p[MU_BUFFER]
    elif kind == DIRECT:
        r.valid[first_out] = s[MU_DONE] > 0
        r.ready[first_in] = s[MU_DONE] < p[MU_OUTPUTS]
    elif kind == THRESHOLD:
        r.valid[first_out] = s[TH_OUT]
        r.ready[first_in] = s[TH_INSIDE] < p[TH_MOST]
    elif kind == PADDING:
        r.valid[first_out] = s[PD_OUT]
        r.ready[first_in] = s[PD_SIDE] == 0
    elif kind == FIFO:
        r.valid[first_out] = s[FF_COUNT] > _bits(s[FF_ARRIVING])
        r.ready[first_in] = s[FF_COUNT] < p[FF_DEPTH]
    elif kind == WIDEN:
        r.valid[first_out] = s[WC_COUNT] == p[WC_RATIO]
        r.ready[first_in] = s[WC_SIDE] == 0
    elif kind == NARROW:
        r.valid[first_out] = s[WC_OUT]
        r.ready[first_in] = s[WC_SIDE] == 0 and s[WC_COUNT] <= 1
    elif kind == TAP:
        r.valid[first_out] = s[TP_OUT]
        r.valid[c.outs[c.out_at[block] + 1]] = s[TP_TAP_OUT]
        r.ready[first_in] = s[TP_SIDE] == 0


@njit(cache=True)
def _step(c: Chain, r: Registers, block: int) -> None:
    """The registers' next values, from the signals of this cycle."""
    kind = c.kind[block]
    p, s = c.parameters[block], r.state[block]
    first_in, first_out = c.ins[c.in_at[block]], c.outs[c.out_at[block]]
    offered, wanted = r.valid[first_in] != 0, r.ready[first_out] != 0
    came = offered and r.ready[first_in] != 0
    left = r.valid[first_out] != 0 and wanted
    if kind == SERIAL:
        _step_serial(p, s, came, left, wanted)
    elif kind == PARALLEL:
        _step_parallel(p, s, came, left)
    elif kind == REPLAY:
        _step_replay(p, s, r.rings, c.ring_at[block], came, left)
    elif kind == DIRECT:
        _step_direct(p, s, r.rings, c.ring_at[block], came, left)
    elif kind == THRESHOLD:
        _step_threshold(p, s, r.rings, c.ring_at[block], came, left, wanted)
    elif kind == PADDING:
        _step_padding(p, s, offered, wanted)
    elif kind == FIFO:
        s[FF_COUNT] += np.int64(came) - np.int64(left)
        s[FF_PEAK] = max(s[FF_PEAK], s[FF_COUNT])
        s[FF_ARRIVING] = _later(s[FF_ARRIVING], came, p[FF_DELAY])
    elif kind == WIDEN:
        _step_widen(p, s, offered, left)
    elif kind == NARROW:
        _step_narrow(p, s, offered, wanted)
    elif kind == FORK:
        if came:
            s[FK_TAKEN] = 0
        elif offered:
            for k in range(c.out_at[block], c.out_at[block + 1]):
                if r.ready[c.outs[k]]:
                    s[FK_TAKEN] |= 1 << (k - c.out_at[block])
    elif kind == TAP:
        _step_tap(s, offered, wanted, r.ready[c.outs[c.out_at[block] + 1]] != 0)


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
    return ((arriving << 1) | np.int64(came)) & ((np.int64(1) << delay) - 1)


@njit(cache=True)
def _step_serial(p: Ints, s: Ints, came: bool, left: bool, wanted: bool) -> None:
    newest, fetched, written = s[SW_NEWEST], s[SW_FETCHED], s[SW_WRITTEN]
    stored = newest - _bits(s[SW_ARRIVING])
    fetch = s[SW_CURRENT] <= stored and not fetched and (wanted or not s[SW_HOLDS])
    complete = newest == p[SW_INPUTS] - 1
    completing = came and newest == p[SW_INPUTS] - 2
    if came:
        s[SW_NEWEST] = newest + 1
    s[SW_ARRIVING] = _later(s[SW_ARRIVING], came, p[SW_DELAY])
    if fetch:
        _fetch(p, s)
    if fetch or left:
        s[SW_HOLDS] = fetch
    over = (left and fetched and (complete or completing)) or (completing and written)
    if left and fetched:
        s[SW_WRITTEN] = 1
    if over:
        s[SW_NEWEST] = -1
        s[SW_CURRENT] = s[SW_NEXT] = s[SW_START] = s[SW_FOLLOWING] = 0
        s[SW_FETCHED] = s[SW_WRITTEN] = s[SW_ARRIVING] = 0


@njit(cache=True)
def _fetch(p: Ints, s: Ints) -> None:
    """Moves on to the next word of the window, or to the next window."""
    if s[SW_PLACE] == 0:
        s[SW_FOLLOWING] = _following(p, s)
        s[SW_NEXT] = s[SW_FOLLOWING] if s[SW_FOLLOWING] >= 0 else s[SW_START] + p[SW_SPAN] - 1
    s[SW_PLACE] += 1
    if s[SW_PLACE] == p[SW_WORDS]:
        s[SW_PLACE] = 0
        for k in range(3):
            s[SW_COUNTERS + k] = 0
        _advance(p, s, 3)
        if s[SW_FOLLOWING] < 0:
            s[SW_FETCHED] = 1
        else:
            s[SW_CURRENT] = s[SW_START] = s[SW_FOLLOWING]
        return
    s[SW_CURRENT] += _advance(p, s, 0)


@njit(cache=True)
def _advance(p: Ints, s: Ints, begin: int) -> int:
    """Counts the three loops from `begin` on by one; returns the words skipped by it."""
    skipped = np.int64(0)
    for k in range(begin, begin + 3):
        s[SW_COUNTERS + k] += 1
        if s[SW_COUNTERS + k] < p[SW_SIZES + k]:
            return int(skipped + p[SW_STEPS + k])
        s[SW_COUNTERS + k] = 0
        skipped -= (p[SW_SIZES + k] - 1) * p[SW_STEPS + k]
    return int(skipped)


@njit(cache=True)
def _following(p: Ints, s: Ints) -> int:
    """First word of the window after this one; -1 after the last."""
    start = s[SW_START]
    for k in range(3, 6):
        if s[SW_COUNTERS + k] + 1 < p[SW_SIZES + k]:
            return int(start + p[SW_STEPS + k])
        start -= s[SW_COUNTERS + k] * p[SW_STEPS + k]
    return -1


@njit(cache=True)
def _step_parallel(p: Ints, s: Ints, came: bool, left: bool) -> None:
    newest, written = s[PW_NEWEST], s[PW_WRITTEN]
    complete = newest == p[PW_INPUTS] - 1
    completing = came and newest == p[PW_INPUTS] - 2
    over = completing and written != 0
    if came:
        s[PW_NEWEST] = newest + 1
    if left:
        more = False
        for k in range(3):
            s[PW_COUNTERS + k] += 1
            if s[PW_COUNTERS + k] < p[PW_SIZES + k]:
                s[PW_CURRENT] += p[PW_STEPS + k]
                more = True
                break
            s[PW_COUNTERS + k] = 0
            s[PW_CURRENT] -= (p[PW_SIZES + k] - 1) * p[PW_STEPS + k]
        if not more:
            s[PW_WRITTEN] = 1
            over = complete or completing
    if over:
        s[PW_NEWEST] = -1
        s[PW_WRITTEN] = 0


@njit(cache=True)
def _compute(p: Ints, s: Ints, rings: Bits, ring: int, enters: bool, left: bool) -> None:
    """The multiply pipeline, which stands still while its output buffer is full, and that buffer."""
    if s[MU_DONE] < p[MU_OUTPUTS]:
        slot = ring + s[MU_SLOT]
        s[MU_DONE] += np.int64(rings[slot])
        rings[slot] = enters
        s[MU_SLOT] = s[MU_SLOT] + 1 if s[MU_SLOT] + 1 < p[MU_LATENCY] else 0
    s[MU_DONE] -= np.int64(left)


@njit(cache=True)
def _step_direct(p: Ints, s: Ints, rings: Bits, ring: int, came: bool, left: bool) -> None:
    last = came and s[MU_ITEM] == p[MU_LENGTH] - 1
    if came:
        s[MU_ITEM] = 0 if last else s[MU_ITEM] + 1
    _compute(p, s, rings, ring, last, left)


@njit(cache=True)
def _step_replay(p: Ints, s: Ints, rings: Bits, ring: int, came: bool, left: bool) -> None:
    runs = s[MU_DONE] < p[MU_OUTPUTS]
    enters = s[MU_READ] != 0 and s[MU_READ_LAST] != 0
    if runs or not s[MU_READ]:
        _read_again(p, s)
    s[MU_HELD] += np.int64(came)
    s[MU_UNREAD] += np.int64(came)
    s[MU_ARRIVING] = _later(s[MU_ARRIVING], came, p[MU_DELAY])
    _compute(p, s, rings, ring, enters, left)


@njit(cache=True)
def _read_again(p: Ints, s: Ints) -> None:
    """Reads the next word of a sequence that is repeated; in the last repetition words are freed."""
    if s[MU_UNREAD] <= _bits(s[MU_ARRIVING]):
        s[MU_READ] = 0
        return
    last_item, last_repeat = s[MU_ITEM] == p[MU_LENGTH] - 1, s[MU_REPEAT] == p[MU_REPEATS] - 1
    s[MU_READ], s[MU_READ_LAST] = 1, last_item
    s[MU_UNREAD] -= 1
    if last_item and not last_repeat:
        s[MU_UNREAD] += p[MU_LENGTH]
    s[MU_HELD] -= np.int64(last_repeat)
    if last_item:
        s[MU_ITEM] = 0
        s[MU_REPEAT] = 0 if last_repeat else s[MU_REPEAT] + 1
    else:
        s[MU_ITEM] += 1


@njit(cache=True)
def _step_threshold(p: Ints, s: Ints, rings: Bits, ring: int, came: bool, left: bool, wanted: bool) -> None:
    slot = ring + s[TH_SLOT]
    through = np.int64(rings[slot])
    rings[slot] = came
    s[TH_SLOT] = s[TH_SLOT] + 1 if s[TH_SLOT] + 1 < p[TH_STAGES] else 0
    if wanted or not s[TH_OUT]:
        queued = s[TH_QUEUED] > 0
        s[TH_OUT] = queued
        s[TH_QUEUED] -= np.int64(queued)
    s[TH_QUEUED] += through
    s[TH_INSIDE] += np.int64(came) - np.int64(left)


@njit(cache=True)
def _step_padding(p: Ints, s: Ints, offered: bool, wanted: bool) -> None:
    column, row = s[PD_COLUMN], s[PD_ROW]
    forward = p[PD_LEFT] <= column < p[PD_RIGHT] and p[PD_TOP] <= row < p[PD_BOTTOM]
    there = offered or s[PD_SIDE] != 0
    begun = p[PD_AHEAD] != 0 or s[PD_WORD] > 0 or column > 0 or row > 0
    moves = wanted or not s[PD_OUT]
    goes = there or (begun and not forward)
    s[PD_SIDE] = there and not (moves and forward)
    if not moves:
        return
    s[PD_OUT] = goes
    if not goes:
        return
    s[PD_WORD] += 1
    if s[PD_WORD] == p[PD_WORDS]:
        s[PD_WORD] = 0
        s[PD_COLUMN] += 1
        if s[PD_COLUMN] == p[PD_COLUMNS]:
            s[PD_COLUMN] = 0
            s[PD_ROW] = s[PD_ROW] + 1 if s[PD_ROW] + 1 < p[PD_ROWS] else 0


@njit(cache=True)
def _step_widen(p: Ints, s: Ints, offered: bool, left: bool) -> None:
    moves = s[WC_COUNT] < p[WC_RATIO] or left
    there = offered or s[WC_SIDE] != 0
    if left:
        s[WC_COUNT] = 0
    if moves and there:
        s[WC_COUNT] += 1
    s[WC_SIDE] = there and not moves


@njit(cache=True)
def _step_narrow(p: Ints, s: Ints, offered: bool, wanted: bool) -> None:
    """`WC_COUNT` pieces wait to go on, one at most of them in the side register when `WC_SIDE`."""
    moves = wanted or not s[WC_OUT]
    pieces, side = s[WC_COUNT], s[WC_SIDE] != 0
    if moves:
        s[WC_OUT] = side or pieces > 0
    if side:
        s[WC_SIDE] = not moves
        return
    s[WC_SIDE] = pieces > 0 and not moves
    if pieces <= 1:
        s[WC_COUNT] = p[WC_RATIO] if offered else 0
    else:
        s[WC_COUNT] = pieces - 1


@njit(cache=True)
def _step_tap(s: Ints, offered: bool, wanted: bool, tap_wanted: bool) -> None:
    tap_moves = s[TP_SECOND] == 0
    there = offered or s[TP_SIDE] != 0
    loads = (wanted or not s[TP_OUT]) and (tap_moves or not s[TP_TAP])
    tapped = s[TP_TAP]
    if loads:
        s[TP_OUT] = s[TP_TAP] = there
    else:
        s[TP_OUT] = s[TP_OUT] != 0 and not wanted
        s[TP_TAP] = tapped != 0 and not tap_moves
    s[TP_SIDE] = there and not loads
    first, second = s[TP_FIRST], s[TP_SECOND]
    empties = tap_wanted or not s[TP_TAP_OUT]
    s[TP_TAP_OUT] = first != 0 or second != 0 or not empties
    s[TP_FIRST] = first if second else tapped
    s[TP_SECOND] = (first != 0 or second != 0) and not empties
