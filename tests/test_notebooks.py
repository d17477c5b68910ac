"""Every notebook runs from a clean kernel without an error, and gives the text that it is kept with."""

import pytest

from tests.materials import material
from tests.notebooks import FOLDER, NOTEBOOKS, code_cells, executed, read, texts

#: What a notebook needs besides the package.
NEEDS = {"integer_accuracy": "ch_ppocr_mobile_v2.0_cls_infer.onnx"}
LARGEST_BYTES = 400_000


def test_there_is_a_notebook_for_each_promise():
    assert NOTEBOOKS == (
        "first_run", "integer_accuracy", "own_network_and_machine", "squeeze_excite", "sweep_and_pareto",
        "virtual_maps",
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_gives_what_it_is_kept_with(name):
    if name in NEEDS:
        material(NEEDS[name])
    kept = list(texts(read(name)))
    assert kept, f"{name} has no outputs: python -m tests.notebooks {name}"
    assert "stderr" not in dict(kept)
    assert list(texts(executed(name))) == kept


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_is_small_and_was_run_in_order(name):
    assert (FOLDER / f"{name}.ipynb").stat().st_size < LARGEST_BYTES
    cells = code_cells(read(name))
    assert [cell.execution_count for cell in cells] == [*range(1, len(cells) + 1)]
    assert max(cell.source.count("\n") for cell in cells) < 20
