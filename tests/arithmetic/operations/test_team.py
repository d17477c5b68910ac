"""Layers on several threads: the same bits, whoever helps and whoever does not."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from threading import Barrier, Thread

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim.arithmetic.execute import execute
from accelsim.arithmetic.kernels.team import APART, AWAKE, INSIDE, TAKEN, UP, new_board
from accelsim.arithmetic.operations import fast, squares, team
from accelsim.arithmetic.operations.processor import AVX2, AVX512_VNNI, PORTABLE, instructions
from accelsim.arithmetic.operations.team import Team
from accelsim.network.layers import Convolution
from tests.arithmetic.layers import one_layer, plain

pytestmark = pytest.mark.skipif(
    instructions() is PORTABLE, reason="kernels are interpreted, or this processor has no instructions for products"
)
HELD = (AVX512_VNNI, AVX2) if instructions() is AVX512_VNNI else (instructions(),)
SECONDS = 60
ROOT = Path(__file__).parents[3]


@pytest.fixture
def helpers(monkeypatch):
    """A team of four, however many processors there are, for layers however small."""
    own = Team(4)
    for module in (fast, squares):
        monkeypatch.setattr(module, "TEAM", own)
        monkeypatch.setattr(module, "LEAST_PRODUCTS", 1)
    monkeypatch.setattr(fast, "LEAST_CHANNEL_PRODUCTS", 1)
    yield own
    own.end()


def network(size, inputs, outputs, kernel, groups=1, seed=0):
    rng = np.random.default_rng(seed)
    weight = rng.integers(-128, 128, (outputs, inputs // groups, *kernel)).astype(np.int8)
    layer = Convolution(outputs, kernel, (1, 1), tuple((k // 2, k // 2) for k in kernel), (1, 1), groups)
    inet = one_layer(layer, [(plain(8), *size, inputs)], plain(32), {"weight": weight}, {"weight": plain(8)})
    return inet, rng.integers(-128, 128, (1, inputs, *size)).astype(np.int8)


def made(inet, x, threads):
    return execute(inet, x, threads=threads)["y"]


@pytest.mark.slow
@pytest.mark.parametrize("held", HELD, ids=lambda own: own.name)
def test_threads_change_no_bit(held, helpers, monkeypatch):
    monkeypatch.setattr(fast, "instructions", lambda: held)

    @settings(max_examples=30, deadline=None)
    @given(
        size=st.tuples(st.integers(1, 15), st.integers(1, 15)), inputs=st.sampled_from([3, 20, 32, 64, 80]),
        outputs=st.sampled_from([1, 16, 70, 160]), kernel=st.sampled_from([(1, 1), (3, 3), (3, 2)]),
        depthwise=st.booleans(), seed=st.integers(0, 99),
    )  # fmt: skip
    def change_nothing(size, inputs, outputs, kernel, depthwise, seed):
        inet, x = network(size, inputs, inputs if depthwise else outputs, kernel, inputs if depthwise else 1, seed)
        one = made(inet, x, 1)
        for threads in (2, 3, 4):
            assert np.array_equal(one, made(inet, x, threads))
            assert np.array_equal(made(inet, x[..., ::-1], threads), made(inet, x[..., ::-1], 1))

    change_nothing()


def test_all_seats_do_parts(helpers):
    """Parts are shared out: none is left for the caller alone."""
    inet, x = network((40, 40), 64, 64, (3, 3))
    one = made(inet, x, 1)
    for _ in range(50):
        assert np.array_equal(one, made(inet, x, 4))
    words = helpers.board
    assert [words[place // 8] for place in (TAKEN, UP, INSIDE)] == [0, 0, 0]
    assert len(helpers._helpers) == 3


def test_a_board_in_use_is_left_alone(helpers):
    inet, x = network((9, 9), 32, 64, (3, 3))
    one = made(inet, x, 1)
    helpers.board[TAKEN // 8] = 1
    assert np.array_equal(one, made(inet, x, 3))
    assert helpers.board[TAKEN // 8] == 1
    helpers.board[TAKEN // 8] = 0


def test_helpers_that_do_not_come_are_not_waited_for(helpers, monkeypatch):
    monkeypatch.setattr(team.Helper, "_serve", lambda self: None)
    for kernel, groups in (((3, 3), 1), ((1, 1), 1), ((3, 3), 64)):
        inet, x = network((9, 9), 64, 64, kernel, groups)
        assert np.array_equal(made(inet, x, 1), made(inet, x, 4))


def test_several_callers_at_once(helpers):
    inet, x = network((14, 14), 64, 128, (3, 3))
    one, start, wrong = made(inet, x, 1), Barrier(3), []
    made(inet, x, 2)

    def call():
        start.wait()
        wrong.extend(k for k in range(200) if not np.array_equal(made(inet, x, 2), one))

    callers = [Thread(target=call) for _ in range(3)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(SECONDS)
    assert not wrong
    assert not any(caller.is_alive() for caller in callers)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are not copied here")
@pytest.mark.filterwarnings("ignore:This process.*is multi-threaded:DeprecationWarning")
def test_a_copy_of_the_process_has_a_team_of_its_own():
    """Of the process's own team, helpers of which are watching or at work as it is copied."""
    inet, x = network((28, 28), 64, 128, (3, 3))
    one = made(inet, x, 1)
    made(inet, x, 2)
    busy = Thread(target=lambda: [made(inet, x, 2) for _ in range(100)])
    busy.start()
    for _ in range(5):
        child = os.fork()
        if child == 0:
            signal.alarm(SECONDS)
            right = not team.TEAM._helpers and all(np.array_equal(made(inet, x, 2), one) for _ in range(5))
            os._exit(0 if right else 1)
        assert os.waitpid(child, 0)[1] == 0
    busy.join(SECONDS)
    assert not busy.is_alive()


def test_helpers_sleep_when_nothing_comes(helpers):
    inet, x = network((14, 14), 64, 128, (3, 3))
    made(inet, x, 2)
    (helper,) = helpers._helpers
    for _ in range(1000):
        if not helper.watches():
            break
        helper.thread.join(0.01)
    assert not helper.watches()
    assert helper.thread.is_alive()
    helpers.end()
    assert not helper.thread.is_alive()


@pytest.mark.skipif(len(team.allowed()) < 2 or team.processor() < 0, reason="nowhere else to go, or no way to tell")
def test_a_helper_keeps_off_its_callers_processor(helpers):
    inet, x = network((14, 14), 64, 128, (3, 3))
    before = os.sched_getaffinity(0)
    made(inet, x, 2)
    (helper,) = helpers._helpers
    try:
        for own in sorted(before)[:2]:
            helper._elsewhere = before - {own}
            helper.wanted.set()
            for _ in range(1000):
                if os.sched_getaffinity(helper.thread.native_id) == before - {own}:
                    break
                helper.thread.join(0.01)
            assert os.sched_getaffinity(helper.thread.native_id) == before - {own}
        helper.wake()
        assert len(helper._elsewhere) == len(before) - 1
        os.sched_setaffinity(0, {own})
        helper.wake()
        assert helper._elsewhere == set()
        team.move_to({max(before) + 10_000})
        assert os.sched_getaffinity(0) == {own}
    finally:
        os.sched_setaffinity(0, before)


ENDS_AT_WORK = """
from threading import Thread
from tests.arithmetic.operations.test_team import made, network
inet, x = network((28, 28), 64, 128, (3, 3))
made(inet, x, 2)
Thread(target=lambda: [made(inet, x, 2) for _ in range(10**6)], daemon=True).start()
"""


def test_a_process_ends_while_helpers_work():
    subprocess.run([sys.executable, "-c", ENDS_AT_WORK], check=True, timeout=2 * SECONDS, cwd=ROOT)


def test_a_team_has_the_seats_there_are():
    own = Team(1)
    assert own.seats(8) == 1
    assert own._helpers == []
    assert new_board()[(AWAKE + APART) // 8] == 0
