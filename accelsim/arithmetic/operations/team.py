"""Threads that help with layers: started when first asked for, watchful for a moment after, then asleep."""

from __future__ import annotations

import atexit
import os
from threading import Event, Lock, Thread

import numpy as np
from numpy.typing import NDArray

from accelsim.arithmetic.kernels.team import APART, AWAKE, MOST_SEATS, OVER, help_out, new_board

#: Ticks of the processor's clock, about a millisecond, that a helper watches for more to do.
PATIENCE = 3_000_000


class Helper:
    """A thread with a seat at a board."""

    def __init__(self, board: NDArray[np.int64], seat: int) -> None:
        self.wanted = Event()
        self.board, self.seat = board, seat
        self.thread = Thread(target=self._serve, daemon=True)
        self.thread.start()

    def _serve(self) -> None:
        while not self.board[OVER // 8]:
            self.wanted.wait()
            self.wanted.clear()
            help_out(self.board, self.seat, PATIENCE)


class Team:
    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """As if no helper had been there, which is so in a copy of the process."""
        self.board = new_board()
        self.helpers: list[Helper] = []
        self._lock = Lock()

    def seats(self, threads: int) -> int:
        """Seats for so many threads or the processors there are; helpers that sleep are woken."""
        if threads == 1:
            return 1
        seats = min(threads, MOST, MOST_SEATS)
        for seat in range(1, seats):
            if not self.board[(AWAKE + seat * APART) // 8]:
                self._wake(seat)
        return seats

    def _wake(self, seat: int) -> None:
        if seat > len(self.helpers):
            with self._lock:
                help_out(self.board, 0, 0)
                while seat > len(self.helpers):
                    self.helpers.append(Helper(self.board, len(self.helpers) + 1))
        self.helpers[seat - 1].wanted.set()

    def end(self) -> None:
        self.board[OVER // 8] = 1
        for helper in self.helpers:
            helper.wanted.set()
            helper.thread.join()


MOST = os.cpu_count() or 1
TEAM = Team()
atexit.register(TEAM.end)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=TEAM.forget)
