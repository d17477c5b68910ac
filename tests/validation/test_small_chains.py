"""Pixels beside words on small chains, in each of which one thing that blocks do decides; the key says which."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from accelsim.errors import InputError
from accelsim.hardware.accelerator import load_accelerator
from accelsim.mapping.design import bind
from accelsim.timing.causes import Causes
from accelsim.timing.critical import critical_cycle
from accelsim.timing.simulate import schedule
from accelsim.timing.sizing.pacing import Pacing
from accelsim.validation.rtl.network import raised
from accelsim.validation.rtl.outcome import ByTokens, ByWords
from accelsim.validation.rtl.specs import read_specs

MACHINE = load_accelerator("fpga-stream")
BY_PIXELS = ByTokens(MACHINE, MACHINE.blocks, "pixel")
SPECS = read_specs(Path(__file__).parent.parent / "fixtures" / "rtl" / "pixels" / "specs.jsonl")
GAPS = ("a window's gap between frames", "a window of one pixel")


def design_of(spec):
    return raised(spec.chain, BY_PIXELS.machine, BY_PIXELS.constants, "pixel")


@pytest.mark.parametrize("key", SPECS)
def test_pixels_end_frames_when_words_do(key):
    spec = SPECS[key]
    words, pixels = (by(spec.chain, spec.frames).timed() for by in (ByWords(MACHINE.blocks), BY_PIXELS))
    np.testing.assert_array_equal(pixels.ends, words.ends)


@pytest.mark.parametrize("key", GAPS)
def test_a_gap_between_frames_is_on_the_critical_cycle(key):
    trace = schedule(design_of(SPECS[key]), "pixel", "greedy")
    cycle = critical_cycle(trace)
    assert cycle.weight_cycles == trace.interval_cycles * cycle.frames
    assert any("waits for the frame before to leave" in step for step in cycle.steps)


@pytest.mark.parametrize("key", GAPS)
def test_a_gap_between_frames_is_waited_for(key):
    trace = schedule(design_of(SPECS[key]), "pixel", "greedy")
    stages = range(len(trace.design.stages))
    firings = [Causes(trace).of(stage) for stage in stages]
    waits = [int((f.start - f.free).sum() + (f.after.until - f.start).sum()) for f in firings]
    works = [int(trace.pipeline.firings[k] * trace.pipeline.interval[k]) * trace.period_frames for k in stages]
    assert [wait - work for wait, work in zip(waits, works, strict=True)] == trace.waited.sum(axis=1).tolist()


@pytest.mark.parametrize("key", GAPS)
def test_no_schedule_leaves_a_gap_out(key):
    trace = schedule(design_of(SPECS[key]), "pixel", "greedy")
    interval = int(trace.interval_cycles)
    assert Pacing(trace.pipeline, interval).blockage is None
    assert Pacing(trace.pipeline, interval - 1).blockage is not None


def test_a_queue_of_more_frames_than_can_be_followed_is_named():
    design = design_of(SPECS["a converter's registers"])
    mapping = replace(design.mapping, capacities={**design.mapping.capacities, "mvu1 -> dwc3": 100_000})
    with pytest.raises(InputError, match=r"capacity of 'mvu1 -> dwc3' = 100,000 holds .* more than can be followed"):
        schedule(bind(design.network, design.accelerator, mapping), "pixel", "greedy")
