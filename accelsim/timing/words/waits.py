"""A stuck chain as a sentence: which block waits for which, round the circle."""

from __future__ import annotations

from accelsim.hardware.streaming import StreamBlocks
from accelsim.timing.words.blocks import Fifo
from accelsim.timing.words.chain import Placed
from accelsim.timing.words.run import Run


def describe_deadlock(stuck: Run, constants: StreamBlocks) -> str:
    """One line: the last cycle in which a word moved, and every wait of the circle."""
    cycle = max(0, stuck.cycles - constants.idle_cycles - 1)
    return f"deadlock at cycle {cycle:,}: {'; '.join(_circle(stuck))}"


def _circle(stuck: Run) -> list[str]:
    writers = {link: placed for placed in stuck.chain.blocks for link in placed.outs}
    readers = {link: placed for placed in stuck.chain.blocks for link in placed.ins}
    at = writers[stuck.chain.sinks[0].link]
    told: dict[str, str] = {}
    while at.name not in told:
        link, for_space = _wait(stuck, at)
        other = readers.get(link) if for_space else writers.get(link)
        if other is None:
            told[at.name] = f"{at.name} waits for the {'sink' if for_space else 'source'}"
            break
        told[at.name] = _sentence(at, other, for_space)
        at = other
    names = list(told)
    begin = names.index(at.name) if at.name in told else 0
    return [told[name] for name in names[begin:]]


def _wait(stuck: Run, placed: Placed) -> tuple[str, bool]:
    """The link a block waits on, and whether for room behind it rather than for a word."""
    index, (valid, ready) = stuck.chain.link_index, stuck.waiting
    for link in placed.ins:
        if not valid[index[link]]:
            return link, False
    for link in placed.outs:
        if valid[index[link]] and not ready[index[link]]:
            return link, True
    return placed.outs[0], True


def _sentence(placed: Placed, other: Placed, for_space: bool) -> str:
    if not for_space:
        return f"{placed.name} waits for a word of {other.name}"
    room = f" ({other.block.depth:,} words, all taken)" if isinstance(other.block, Fifo) else ""
    return f"{placed.name} waits for space in {other.name}{room}"
