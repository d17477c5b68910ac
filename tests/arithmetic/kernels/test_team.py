"""Boards: what is put up is done once, part by part."""

from threading import Thread

import numpy as np
import pytest
from numba import njit, typeof

from accelsim.arithmetic.kernels import parts, team
from accelsim.arithmetic.operations.processor import PORTABLE, instructions

pytestmark = pytest.mark.skipif(
    instructions() is PORTABLE, reason="boards are words of memory, written by instructions"
)


@njit
def open_(words, seats, parts):
    team.open_work(words.ctypes.data, seats, parts)


@njit
def take_part(words, stage, seat, parts):
    return team.next_part(words.ctypes.data, stage, seat, parts)


@pytest.mark.parametrize(("seats", "parts"), [(1, 5), (2, 7), (3, 2), (4, 16), (2, 0)])
def test_every_part_is_taken_once(seats, parts):
    rng = np.random.default_rng(parts)
    words = team.new_board()
    for _ in range(3):
        assert team.taken(words) is words
        open_(words, seats, (0, parts))
        given = [take_part(words, 1, int(rng.integers(seats)), parts) for _ in range(parts)]
        assert sorted(given) == list(range(parts))
        assert all(take_part(words, 1, seat, parts) == parts for seat in range(seats))
        team.close_work(words)


def test_own_parts_come_first():
    words = team.new_board()
    open_(words, 2, (6, 0))
    assert [take_part(words, 0, 1, 6) for _ in range(6)] == [3, 4, 5, 0, 1, 2]


def test_a_board_is_one_callers_at_a_time():
    words = team.new_board()
    assert team.taken(words) is words
    words[team.LAST // 8] = 5
    other = team.taken(words)
    assert other is not words
    assert not other.any()
    team.close_work(words)
    assert team.taken(words) is words


def test_a_helper_leaves_when_nothing_comes_and_when_all_is_over():
    words = team.new_board()
    team.help_out(words, 1, 1000)
    assert words[(team.AWAKE + team.APART) // 8] == 0
    words[team.OVER // 8] = 1
    team.help_out(words, 1, 2**60)


#: Ticks of the clock, some seconds.
LONG = 30_000_000_000


@njit
def meet(board, seat, marks):
    """Takes one part and waits for the other, which is somebody else's."""
    part = team.next_part(board, 0, seat, 2)
    marks[seat, part] = 1
    team.part_done(board, 0)
    since = team.ticks()
    while team.seen(board + team.DONE) < 2 and team.ticks() - since < LONG:
        team.pause()


@njit
def fail(board, seat, marks):
    if marks[0, 0] == 0:
        raise MemoryError


def called_together(work):
    @njit(nogil=True)
    def call(words, marks):
        board = words.ctypes.data
        team.put_up(board, work, team.lent(marks))
        team.open_work(board, 2, (2, 0))
        team.join_in(board, 0)
        return team.close_work(words)

    return call


def test_a_helper_does_a_part_of_what_is_put_up():
    words, marks = team.new_board(), np.zeros((2, 2), np.int64)
    call = called_together(meet)
    call.compile((typeof(words), typeof(marks)))
    team.help_out(words, 1, 0)
    helper = Thread(target=team.help_out, args=(words, 1, LONG), daemon=True)
    helper.start()
    for _ in range(100):
        marks[:] = 0
        assert call(words, marks)
        assert marks.tolist() == [[1, 0], [0, 1]]
    words[team.OVER // 8] = 1
    helper.join()


@njit
def count(board, seat, times):
    """Takes parts until there are none, and counts how often each is done."""
    part = team.next_part(board, 0, seat, times.size)
    while part < times.size:
        times[part] += 1
        part = team.next_part(board, 0, seat, times.size)


def test_two_threads_do_every_part_once():
    @njit(nogil=True)
    def call(words, times):
        board = words.ctypes.data
        team.put_up(board, count, team.lent(times))
        team.open_work(board, 6, (times.size, 0))
        team.join_in(board, 0)
        return team.close_work(words)

    words, times = team.new_board(), np.zeros(12, np.int64)
    call.compile((typeof(words), typeof(times)))
    team.help_out(words, 1, 0)
    helper = Thread(target=team.help_out, args=(words, 1, LONG), daemon=True)
    helper.start()
    for _ in range(100_000):
        times[:] = 0
        call(words, times)
        assert times.tolist() == [1] * 12
    words[team.OVER // 8] = 1
    helper.join()


def test_a_caller_waits_for_those_inside():
    words = team.new_board()
    assert team.taken(words) is words
    team.close_work(words)
    assert team.taken(words) is words
    words[team.INSIDE // 8] = 1
    closing = Thread(target=team.close_work, args=(words,), daemon=True)
    closing.start()
    closing.join(0.1)
    assert closing.is_alive()
    assert words[team.TAKEN // 8] == 1
    words[team.INSIDE // 8] = 0
    closing.join()
    assert words[team.TAKEN // 8] == 0


def test_a_failure_is_noted():
    words, call = team.new_board(), called_together(fail)
    assert not call(words, np.zeros((2, 2), np.int64))
    assert call(words, np.ones((2, 2), np.int64))
    with pytest.raises(MemoryError, match="a thread had no memory"):
        parts.served(False)
