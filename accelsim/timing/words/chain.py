"""A graph of blocks: who hands words to whom, where they come from and where they go."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from types import MappingProxyType

from accelsim.errors import InputError, collected
from accelsim.timing.words.blocks import Block, Fifo

#: Most outputs of a fork: which of them have a word is one bit each of a register.
MOST_BRANCHES = 62


@dataclass(frozen=True)
class Placed:
    """A block in its place, with the links it takes words from and gives them to."""

    name: str
    block: Block
    ins: tuple[str, ...]
    outs: tuple[str, ...]


@dataclass(frozen=True)
class Traffic:
    """How a source offers words, or a sink takes them.

    Each cycle with a chance of `chance` in 256 drawn from `seed`, or, with `pace_cycles`, a source's words evenly
    spread over that many cycles a frame.
    """

    link: str
    chance: int = 256
    seed: int = 1
    pace_cycles: int = 0


@dataclass(frozen=True)
class Chain:
    """Blocks in the direction of the data; `words` by link is what a frame is. Build it with `chain`."""

    blocks: tuple[Placed, ...]
    words: Mapping[str, int]
    sources: tuple[Traffic, ...]
    sinks: tuple[Traffic, ...]

    @cached_property
    def by_name(self) -> Mapping[str, Placed]:
        return MappingProxyType({placed.name: placed for placed in self.blocks})

    @cached_property
    def link_index(self) -> Mapping[str, int]:
        return MappingProxyType({link: position for position, link in enumerate(self.words)})

    @property
    def fifos(self) -> tuple[str, ...]:
        """Names of the queues."""
        return tuple(placed.name for placed in self.blocks if isinstance(placed.block, Fifo))


def with_depths(given: Chain, depths: Mapping[str, int]) -> Chain:
    """`given` with queues of other depths, by name."""
    blocks = tuple(
        replace(placed, block=Fifo(depths[placed.name])) if placed.name in depths else placed for placed in given.blocks
    )
    return replace(given, blocks=blocks)


def chain(
    blocks: Sequence[Placed], source_words: Mapping[str, int], sources: Sequence[Traffic], sinks: Sequence[Traffic]
) -> Chain:
    """A checked `Chain`; `source_words` gives the words a frame of each source's link, blocks may come in any order.

    Raises `InputError` with every link that has not exactly one writer and one reader, every block with too few
    or too many links, loops, and the first block whose words do not fit it.
    """
    problems = _name_problems(blocks) + _link_problems(blocks, sources, sinks)
    if problems:
        raise collected(problems)
    words = dict(source_words)
    ordered = _ordered(blocks, words)
    return Chain(tuple(ordered), MappingProxyType(words), tuple(sources), tuple(sinks))


def _name_problems(blocks: Sequence[Placed]) -> list[str]:
    problems = [
        f"{name} is the name of {count} blocks"
        for name, count in Counter(placed.name for placed in blocks).items()
        if count > 1
    ]
    for placed in blocks:
        for links, wanted, what in zip((placed.ins, placed.outs), placed.block.arity, ("ins", "outs"), strict=True):
            if (wanted >= 0 and len(links) != wanted) or (wanted < 0 and not 2 <= len(links) <= MOST_BRANCHES):
                text = f"{wanted}" if wanted >= 0 else f"2 to {MOST_BRANCHES}"
                problems.append(f"{placed.name}: {len(links)} {what}, it has {text}")
    return problems


def _link_problems(blocks: Sequence[Placed], sources: Sequence[Traffic], sinks: Sequence[Traffic]) -> list[str]:
    written = Counter([link for placed in blocks for link in placed.outs] + [traffic.link for traffic in sources])
    read = Counter([link for placed in blocks for link in placed.ins] + [traffic.link for traffic in sinks])
    problems = []
    for link in dict.fromkeys((*written, *read)):
        for count, verb in ((written[link], "gives words to"), (read[link], "takes words from")):
            if count != 1:
                problems.append(
                    f"link {link}: {'nothing' if count == 0 else f'more than one block ({count})'} {verb} it"
                )
    return problems


def _ordered(blocks: Sequence[Placed], words: dict[str, int]) -> list[Placed]:
    """Blocks in the direction of the data; fills in the words of all links."""
    waiting, ordered = list(blocks), []
    while waiting:
        ready = [placed for placed in waiting if all(link in words for link in placed.ins)]
        if not ready:
            raise InputError(f"words go in a circle through {', '.join(placed.name for placed in waiting)}")
        for placed in ready:
            words |= dict.fromkeys(placed.outs, _words_out(placed, words))
        ordered += ready
        taken = {placed.name for placed in ready}
        waiting = [placed for placed in waiting if placed.name not in taken]
    return ordered


def _words_out(placed: Placed, words: Mapping[str, int]) -> int:
    arriving = {words[link] for link in placed.ins}
    if len(arriving) > 1:
        counts = ", ".join(f"{words[link]:,} on {link}" for link in placed.ins)
        raise InputError(f"{placed.name}: the words a frame of its inputs differ ({counts})")
    try:
        return placed.block.words(arriving.pop())
    except InputError as error:
        raise InputError(f"{placed.name}: {error}") from None
