"""Boards: what is put up is done once, part by part."""

import numpy as np
import pytest
from numba import njit

from accelsim.arithmetic.kernels import team
from accelsim.arithmetic.operations.processor import PORTABLE, instructions

pytestmark = pytest.mark.skipif(
    instructions() is PORTABLE, reason="boards are words of memory, written by instructions"
)


@njit
def open_(words, seats, parts):
    team.open_work(words.ctypes.data, seats, parts)


@njit
def take_part(words, stage, seat, parts, done):
    return team.next_part(words.ctypes.data, stage, seat, parts, done)


@njit
def close(words):
    team.close_work(words.ctypes.data)


@pytest.mark.parametrize(("seats", "parts"), [(1, 5), (2, 7), (3, 2), (4, 16), (2, 0)])
def test_every_part_is_taken_once(seats, parts):
    rng = np.random.default_rng(parts)
    words = team.new_board()
    for _ in range(3):
        assert team.taken(words)
        open_(words, seats, (0, parts))
        last, given = [-1] * seats, []
        while len(given) < parts:
            seat = int(rng.integers(seats))
            last[seat] = take_part(words, 1, seat, parts, last[seat])
            given.append(last[seat])
        assert sorted(given) == list(range(parts))
        assert all(take_part(words, 1, seat, parts, -1) == parts for seat in range(seats))
        close(words)


def test_own_parts_come_first():
    words = team.new_board()
    team.taken(words)
    open_(words, 2, (6, 0))
    assert [take_part(words, 0, 1, 6, -1) for _ in range(6)] == [3, 4, 5, 0, 1, 2]


def test_a_board_is_one_callers_at_a_time():
    words = team.new_board()
    assert team.taken(words) == words.ctypes.data
    assert team.taken(words) == 0
    close(words)
    assert team.taken(words) == words.ctypes.data


def test_without_a_board_parts_follow_each_other():
    @njit
    def alone(done):
        return team.next_part(0, 1, 0, 9, done)

    assert [alone(done) for done in (-1, 0, 7)] == [0, 1, 8]


def test_a_helper_leaves_when_nothing_comes_and_when_all_is_over():
    words = team.new_board()
    team.help_out(words, 1, 1000)
    assert words[(team.AWAKE + team.APART) // 8] == 0
    words[team.OVER // 8] = 1
    team.help_out(words, 1, 2**60)
