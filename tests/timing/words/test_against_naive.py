"""Every transfer of every link, beside the clock-stepped model in plain Python."""

import json
from importlib import resources

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from accelsim.hardware.accelerator import load_accelerator
from accelsim.timing.words.run import run
from tests.timing.words.naive import clocked
from tests.timing.words.specs import read, specs

BLOCKS = load_accelerator("fpga-stream").blocks
LINES = (resources.files("accelsim.validation") / "data" / "rtl" / "specs.jsonl").read_text().splitlines()
GIVEN = {spec["key"]: spec for spec in map(json.loads, LINES)}

#: Cycles of the given runs that plain Python has the time for.
FIRST_CYCLES = 600


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(spec=specs())
def test_random_chains_move_every_word_in_the_same_cycle(spec, tmp_path):
    read_in = read(spec, tmp_path)
    found = run(read_in.chain, BLOCKS.model_copy(update={"idle_cycles": 2_000}), spec["frames"], traced=True)
    expected = clocked(spec, most_cycles=200_000, idle_cycles=2_000)
    assert found.deadlock is not expected.complete
    for link, cycles in expected.transfers.items():
        assert found.trace[link].tolist() == cycles, link
    assert {name: found.peaks[name] for name in expected.peaks} == expected.peaks


@pytest.mark.slow
@pytest.mark.parametrize("key", GIVEN)
def test_given_runs_begin_alike(key, tmp_path):
    spec = GIVEN[key]
    found = run(read(spec, tmp_path).chain, BLOCKS, spec["frames"], traced=True)
    expected = clocked(spec, FIRST_CYCLES)
    for link, cycles in expected.transfers.items():
        transfers = found.trace[link]
        assert transfers[transfers < FIRST_CYCLES].tolist() == cycles, link


def compare_whole_runs() -> None:
    """Every given run to its end: `python -m tests.timing.words.test_against_naive`, about a minute."""
    from pathlib import Path
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as folder:
        for key, spec in GIVEN.items():
            found = run(read(spec, Path(folder)).chain, BLOCKS, spec["frames"], traced=True)
            expected = clocked(spec, 2**62)
            alike = all(np.array_equal(found.trace[link], cycles) for link, cycles in expected.transfers.items())
            print("same" if alike and found.deadlock is not expected.complete else "DIFFERENT", key, flush=True)


if __name__ == "__main__":
    compare_whole_runs()
