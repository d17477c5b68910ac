"""Threads that help with layers: started when first wanted, watchful for a moment after each, then asleep."""

from __future__ import annotations

import atexit
import ctypes
import os
from contextlib import suppress
from threading import Event, Lock, Thread
from typing import Any

import numpy as np
from numpy.typing import NDArray

from accelsim.arithmetic.kernels.team import APART, AWAKE, MOST_SEATS, OVER, help_out, new_board

#: Functions of the system that Python does not have.
SYSTEM: Any = ctypes.CDLL(None) if os.name == "posix" else None
#: Ticks of the clock, about a millisecond, for which a helper watches: to wake it takes tens of microseconds.
PATIENCE = 3_000_000


class Helper:
    """A thread with a seat at a board."""

    def __init__(self, board: NDArray[np.int64], seat: int) -> None:
        self.board, self.seat, self.wanted = board, seat, Event()
        self._elsewhere: set[int] = set()
        # One that does not end by itself does not keep the process from ending.
        self.thread = Thread(target=self._serve, name=f"accelsim-{seat}", daemon=True)
        self.thread.start()

    def watches(self) -> bool:
        return bool(self.board[(AWAKE + self.seat * APART) // 8])

    def wake(self) -> None:
        self._elsewhere = allowed() - {processor()}
        self.wanted.set()

    def _serve(self) -> None:
        while not self.board[OVER // 8]:
            self.wanted.wait()
            self.wanted.clear()
            move_to(self._elsewhere)
            help_out(self.board, self.seat, PATIENCE)


class Team:
    """Helpers of a process, `most` threads with the one that calls; the board belongs to one caller at a time."""

    def __init__(self, most: int) -> None:
        self.most = min(most, MOST_SEATS)
        self.forget()

    def forget(self) -> None:
        """Starts anew: a copy of the process has none of its threads, and a board as it was in the midst of things."""
        self.board = new_board()
        self._helpers: list[Helper] = []
        self._starting = Lock()

    def seats(self, threads: int) -> int:
        """Seats for so many threads, or as many as there can be, whose helpers are there or on their way."""
        if threads == 1:
            return 1
        seats = min(threads, self.most)
        if len(self._helpers) < seats - 1:
            self._start(seats - 1)
        for helper in self._helpers[: seats - 1]:
            if not helper.watches():
                helper.wake()
        return seats

    def _start(self, number: int) -> None:
        with self._starting:
            # Compiled by one thread, before several want it.
            help_out(self.board, 0, 0)
            while len(self._helpers) < number:
                self._helpers.append(Helper(self.board, len(self._helpers) + 1))

    def end(self) -> None:
        """Sends all helpers home."""
        self.board[OVER // 8] = 1
        for helper in self._helpers:
            helper.wanted.set()
            helper.thread.join()


def allowed() -> set[int]:
    """Processors that this thread may use."""
    return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set(range(os.cpu_count() or 1))


def processor() -> int:
    """The processor that runs this thread; -1 where the system does not say."""
    return int(SYSTEM.sched_getcpu()) if hasattr(SYSTEM, "sched_getcpu") else -1


def move_to(processors: set[int]) -> None:
    """Moves this thread, if anywhere: where its caller computes, a helper would only take time from it."""
    if processors and hasattr(os, "sched_setaffinity"):
        # What was allowed a moment ago may not be now; then it stays where it is.
        with suppress(OSError):
            os.sched_setaffinity(0, processors)


TEAM = Team(len(allowed()))
atexit.register(TEAM.end)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=TEAM.forget)
