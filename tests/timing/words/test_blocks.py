"""Single blocks against closed forms, and what each constant of a library does."""

from math import ceil

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from accelsim.errors import InputError
from accelsim.hardware.streaming import FifoBlock, MatrixBlock, PaddingBlock, StreamBlocks, ThresholdBlock, WindowBlock
from accelsim.timing.words.blocks import Converter, Fifo, Fork, Join, Matrix, Padding, Tap, Threshold, Window
from accelsim.timing.words.chain import Placed, Traffic, chain, with_depths
from accelsim.timing.words.run import run

LIBRARY = StreamBlocks()


def alone(block, words, frames=4, library=LIBRARY, **sink):
    """A block by itself, its source always ready and its sink too unless told otherwise."""
    made = chain([Placed("block", block, ("in",), ("out",))], {"in": words}, [Traffic("in")], [Traffic("out", **sink)])
    return run(made, library, frames, traced=True)


def window(size, kernel, fold, stride=1, **kind):
    return Window(size[0], size[1], fold, (kernel[0], kernel[1]), (stride, stride), 1, **kind)


sizes = st.tuples(st.integers(2, 9), st.integers(2, 9))
kernels = st.tuples(st.integers(1, 4), st.integers(1, 4))


@given(size=sizes, kernel=kernels, fold=st.integers(1, 3))
def test_a_serial_window_is_as_slow_as_its_output(size, kernel, fold):
    (height, width), (high, wide) = size, kernel
    assume(high <= height and wide <= width and high * wide > 1)
    block = window(size, kernel, fold)
    down, across = block.outputs
    found = alone(block, height * width * fold)
    first = down * across * high * wide * fold
    # a later input is never awaited where each window sends more words than the next one needs
    assume(min(down, across) > 1 and high * wide >= wide + fold)
    assert found.intervals[-1] == 2 + (high - 1) * fold * (width - wide) + first


@given(size=sizes, kernel=kernels, fold=st.integers(1, 3), stride=st.integers(1, 3))
def test_a_parallel_window_takes_a_word_a_cycle(size, kernel, fold, stride):
    (height, width), (high, wide) = size, kernel
    assume(high <= height and wide <= width)
    block = window(size, kernel, fold, stride, parallel=True)
    found = alone(block, height * width * fold)
    (down, across), last_word = block.outputs, height * width * fold - 1
    ends = (((down - 1) * stride + high - 1) * width + (across - 1) * stride + wide - 1) * fold + fold - 1
    assert found.first_output_cycle == ((high - 1) * width + wide - 1) * fold + 1
    assert found.intervals[-1] == height * width * fold + (ends == last_word)


@given(
    fold=st.integers(1, 9),
    groups=st.integers(1, 5),
    vectors=st.integers(1, 9),
    core=st.sampled_from(["dsp48", "dsp58"]),
)
def test_a_matrix_unit_takes_a_vector_after_the_other(fold, groups, vectors, core):
    block = Matrix(fold * 4, groups * 2, 4, 2, vectors, core, segment_inputs=1)
    found = alone(block, vectors * fold)
    latency = 5 if core == "dsp48" else 2 + ceil(ceil(4 / 3) / 1)
    assert found.first_output_cycle == fold - 1 + 2 * (groups > 1) + latency + 1
    assert found.intervals[-1] == vectors * fold * groups
    spread = found.trace["out"][1:] - found.trace["out"][:-1]
    assert set(spread.tolist()) <= {fold}


@given(bits=st.integers(1, 12), words=st.integers(1, 30))
def test_thresholds_delay_by_their_stages(bits, words):
    found = alone(Threshold(words, bits), words)
    assert found.trace["out"].tolist() == (found.trace["in"] + bits + 2).tolist()


@given(bits=st.integers(1, 12), depth=st.integers(1, 12))
def test_what_can_be_inside_a_block_that_is_held_up(bits, depth):
    for block, room in ((Threshold(100, bits), bits + 3), (Fifo(depth), depth)):
        made = chain([Placed("block", block, ("in",), ("out",))], {"in": 100}, [Traffic("in")], [Traffic("out", 0)])
        found = run(made, LIBRARY.model_copy(update={"idle_cycles": 200}), 1, traced=True)
        assert found.deadlock
        assert found.trace["in"].size == room
        assert found.peaks.get("block", room) == room


@given(size=sizes, fold=st.integers(1, 3), pads=st.tuples(*[st.integers(0, 2)] * 4))
def test_padding_sends_a_word_a_cycle(size, fold, pads):
    height, width = size
    top, left, bottom, right = pads
    found = alone(Padding(height, width, fold, pads), height * width * fold)
    words = (height + top + bottom) * (width + left + right) * fold
    assert found.first_output_cycle == 1
    assert found.intervals.tolist() == [words] * 3


@given(ratio=st.integers(2, 6), words=st.integers(1, 9))
def test_converters_move_a_narrow_word_a_cycle(ratio, words):
    wider, narrower = alone(Converter(8, 8 * ratio), words * ratio), alone(Converter(8 * ratio, 8), words)
    assert wider.first_output_cycle == ratio
    assert narrower.first_output_cycle == 2
    assert wider.intervals[-1] == narrower.intervals[-1] == words * ratio
    assert alone(Converter(8, 8), words).trace["out"].tolist() == list(range(4 * words))


def test_a_full_queue_takes_nothing_in_the_cycle_it_gives():
    found = alone(Fifo(1), 8)
    assert found.trace["in"].tolist()[:4] == [0, 2, 4, 6]
    assert alone(Fifo(2), 8).trace["in"].tolist()[:4] == [0, 1, 2, 3]


@pytest.mark.parametrize(("fork", "more"), [(Fork(), 0), (Tap(), 3)])
def test_how_far_a_fork_lets_one_branch_run_ahead(fork, more):
    """The second branch stands still behind a queue of two words; a tap keeps three more, and both one of their own."""
    blocks = [Placed("fork", fork, ("in",), ("main", "skip")), Placed("queue", Fifo(2), ("skip",), ("late",))]
    made = chain(blocks, {"in": 50}, [Traffic("in")], [Traffic("main"), Traffic("late", 0)])
    found = run(made, LIBRARY.model_copy(update={"idle_cycles": 200}), 1, traced=True)
    assert found.trace["main"].size == 2 + more + 1


def test_a_join_waits_for_both():
    blocks = [
        Placed("fork", Fork(), ("in",), ("a", "b")),
        Placed("slow", Threshold(9, 8), ("a",), ("c",)),
        Placed("queue", Fifo(20), ("b",), ("d",)),
        Placed("join", Join(), ("c", "d"), ("out",)),
    ]
    found = run(chain(blocks, {"in": 9}, [Traffic("in")], [Traffic("out")]), LIBRARY, 1, traced=True)
    assert found.trace["out"].tolist() == list(range(10, 19))


def later(block, words, library):
    """By how many cycles a frame alone is later than with the measured constants."""
    return int(alone(block, words, 1, library).completions[0] - alone(block, words, 1).completions[0])


def test_latencies_are_the_librarys():
    serial, vector = window((4, 4), (2, 2), 1), Matrix(8, 8, 2, 2, 1)
    assert later(serial, 16, StreamBlocks(window=WindowBlock(store_cycles=4))) == 3
    assert later(vector, 4, StreamBlocks(matrix=MatrixBlock(dsp48_latency_cycles=9))) == 4
    assert later(vector, 4, StreamBlocks(matrix=MatrixBlock(replay_latency_cycles=5))) == 3
    assert later(Threshold(5, 4), 5, StreamBlocks(threshold=ThresholdBlock(latency_cycles=6))) == 4
    assert later(Fifo(9), 5, StreamBlocks(fifo=FifoBlock(latency_cycles=3))) == 2
    assert later(Padding(2, 2, 1, (1, 1, 1, 1)), 4, StreamBlocks(padding=PaddingBlock(ahead=False))) == 0
    chained = Matrix(27, 1, 27, 1, 3, "dsp58", segment_inputs=2)
    assert later(chained, 3, StreamBlocks(matrix=MatrixBlock(dsp58_latency_cycles=4))) == 2
    assert later(chained, 3, StreamBlocks(matrix=MatrixBlock(dsp58_inputs=1))) == ceil(27 / 2) - ceil(9 / 2)


def test_padding_ahead_of_its_frame_fills_the_wait_for_it():
    late = Traffic("in", chance=8, seed=3)
    made = chain(
        [Placed("block", Padding(3, 3, 1, (2, 2, 2, 2)), ("in",), ("out",))], {"in": 9}, [late], [Traffic("out")]
    )
    ahead = run(made, LIBRARY, 3)
    behind = run(made, StreamBlocks(padding=PaddingBlock(ahead=False)), 3)
    assert ahead.first_output_cycle == 1
    assert behind.first_output_cycle > 1
    assert (ahead.completions <= behind.completions).all()


def test_room_for_what_a_stride_skips_lets_pixels_in_earlier():
    block = window((16, 16), (3, 3), 2, stride=2)
    with_room, without = (alone(block, 512, 3, StreamBlocks(window=WindowBlock(stride_room=r))) for r in (True, False))
    assert block.buffer(LIBRARY) == (2 * 16 + 3) * 2 + (16 - 9) * 2
    assert with_room.intervals[-1] < without.intervals[-1]


@given(depth=st.integers(1, 20), more=st.integers(0, 20), chance=st.integers(30, 256), seed=st.integers(0, 2**32 - 1))
def test_a_deeper_queue_is_never_slower(depth, more, chance, seed):
    blocks = [Placed("a", Threshold(30, 3), ("in",), ("x",)), Placed("queue", Fifo(depth), ("x",), ("out",))]
    made = chain(blocks, {"in": 30}, [Traffic("in", chance, seed)], [Traffic("out", 256 - chance // 2, seed ^ 5)])
    shallow, deep = run(made, LIBRARY, 3), run(with_depths(made, {"queue": depth + more}), LIBRARY, 3)
    assert (deep.completions <= shallow.completions).all()


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: window((4, 4), (5, 1), 1), "a window of 5x1 does not fit 4x4"),
        (lambda: Window(4, 4, 3, (1, 1), (1, 1), 2), "SIMD into C: 2 does not divide 3"),
        (lambda: Matrix(8, 8, 3, 2, 3), "SIMD into MW: 3 does not divide 8"),
        (lambda: Matrix(8, 8, 2, 3, 3), "PE into MH: 3 does not divide 8"),
        (lambda: Converter(8, 12), "8 does not divide 12"),
        (lambda: Converter(8, 16).words(3), "3 words of 8 bits are no whole words of 16 bits"),
    ],
)
def test_blocks_that_cannot_be(make, said):
    with pytest.raises(InputError, match=said):
        make()
