"""Segments are chosen as well as can be: against all cuts and homes, bounds, and what the turns then move."""

from __future__ import annotations

from itertools import product

import pytest

from accelsim.errors import InfeasibleError, InputError
from accelsim.hardware.accelerator import Accelerator, load_accelerator
from accelsim.mapping.buffers import segment_bounds
from accelsim.mapping.design import Design
from accelsim.mapping.mapper import map_network
from accelsim.mapping.mapping import mapping_text
from accelsim.mapping.movers import weight_bytes
from accelsim.mapping.search.cuts import Search
from accelsim.mapping.search.downsets import all_downsets, bits
from accelsim.mapping.search.objective import OBJECTIVES, objective_of
from accelsim.mapping.search.parts import Part, Parts
from accelsim.mapping.search.segmenting import _draft
from accelsim.mapping.segments.visits import visits
from accelsim.mapping.streams import streamed
from accelsim.network.graph import Network, Node, network
from accelsim.network.layers import Combine, Convolution, Dense, Input, Product, Reduce
from accelsim.network.load import load_network
from accelsim.timing.turns import take_turns
from tests.mapping.small_networks import FORMS, small_machine, small_network


def off_chip_bytes(design: Design) -> float:
    """Bytes a frame that pass the last memory's port, as the turns say."""
    frames, away = design.mapping.frames_per_visit, design.accelerator.off_chip_memory
    if not design.mapping.segments:
        moves = [stage.transfer for stage in streamed(design, "row").stages if stage.transfer]
        return sum(move.moved_bytes for move in moves if move.memory == away)
    total = 0
    for turn in visits(design).turns:
        for step in turn.steps:
            moves = [s.transfer for s in step.design.stages if s.transfer and s.transfer.kind != "weight"]
            total += sum(frames * step.times * move.moved_bytes for move in moves if move.memory == away)
        total += turn.weight_loads * sum(weight_bytes(design, stage) for stage in turn.stages)
    return total / frames


def least_bytes(net: Network, accelerator: Accelerator, frames: int = 1) -> float:
    """Inputs, outputs, and weights that do not stay."""
    design = _draft(net, accelerator, frames, frozenset())
    names = {stage.name for stage in design.stages if stage.is_source} | set(design.output_stages)
    bits_each = accelerator.activation_bits
    maps = sum(-(-design.stage_by_name[name].tensor.elements * bits_each // 8) for name in names)
    stays = accelerator.weights == "resident"
    return maps + (0 if stays else sum(weight_bytes(design, stage) for stage in design.stages) / frames)


class EverySegmentation:
    """All partitions into convex segments in all orders, with all homes: no pruning, no memory of states."""

    def __init__(self, net: Network, accelerator: Accelerator, objective: str) -> None:
        self.parts = Parts(_draft(net, accelerator, 1, frozenset()), objective == "cycles")
        self.graph = self.parts.graph
        self.aim = objective_of(objective, accelerator, 1)
        self.names = tuple(accelerator.memories)
        self.sizes = [level.size for level in accelerator.memories.values()]
        self.sizes[0] -= self.parts.resident_bytes

    def least(self, done: int = 0, homes: tuple[tuple[int, int], ...] = ()) -> float | None:
        """The cheapest way on from a set of stages, with the memory of every map that is still needed."""
        if done == self.graph.everything:
            return 0
        best: float | None = None
        for part in self._next(done):
            for written in product(range(len(self.names)), repeat=len(part.writes)):
                now = dict(homes) | dict(zip(part.writes, written, strict=True))
                cost = self._cost(part, now, written)
                if cost is None:
                    continue
                kept = tuple((p, m) for p, m in sorted(now.items()) if self.graph.readers[p] & ~part.after)
                rest = self.least(part.after, kept)
                if rest is not None and (best is None or cost + rest < best):
                    best = cost + rest
        return best

    def _next(self, done: int) -> list[Part]:
        found = {}
        waiting = [self.parts.empty(done)]
        while waiting:
            part = waiting.pop()
            for k in range(self.graph.count):
                if not part.after >> k & 1 and not self.graph.needs[k] & ~part.after:
                    larger = self.parts.grown(part, k)
                    if larger.members not in found:
                        found[larger.members] = larger
                        waiting.append(larger)
        return list(found.values())

    def _cost(self, part: Part, homes: dict[int, int], written: tuple[int, ...]) -> float | None:
        away = len(self.names) - 1
        if any(self.graph.leaves[p] and m != away for p, m in zip(part.writes, written, strict=True)):
            return None
        held = [sum(self.graph.map_bytes[p] for p, m in homes.items() if m == level) for level in range(away)]
        if any(n > size for n, size in zip(held, self.sizes, strict=False)):
            return None
        room = self.sizes[0] - held[0]
        reads = [self.names[homes.get(p, away)] for p in part.reads]
        writes = [self.names[m] for m in written]
        tiled = self.parts.tiled(part, room)
        options = [self.parts.whole(part), *([] if tiled is None else [tiled[k] for k in range(len(tiled))])]
        costs = [self.aim.of(o, reads, writes)[0] for o in options if o.demand_bytes <= room]
        return min(costs, default=None)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("seed", range(5))
def test_no_segmentation_moves_fewer_bytes(form, seed):
    net, machine = small_network(seed, form, 6), small_machine(seed)
    least = EverySegmentation(net, machine, "bytes").least()
    if least is None:
        with pytest.raises(InfeasibleError):
            map_network(net, machine, mapping="fused")
        return
    design = map_network(net, machine, mapping="fused")
    assert design.mapping.choice.exact
    assert design.mapping.choice.value == least == off_chip_bytes(design)


@pytest.mark.parametrize("seed", range(4))
def test_no_segmentation_takes_less_energy(seed):
    net, machine = small_network(seed, "series-parallel", 6), small_machine(seed)
    least = EverySegmentation(net, machine, "energy").least()
    choice = map_network(net, machine, mapping="fused", objective="energy").mapping.choice
    assert choice.exact
    assert choice.value == pytest.approx(least)


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("seed", range(10))
def test_what_is_chosen_is_what_the_turns_do(objective, seed):
    net = small_network(seed, FORMS[seed % 3], 12)
    for kind in ("layer-by-layer", "fused"):
        design = map_network(net, small_machine(seed, (700,)), mapping=kind, objective=objective, frames_per_visit=2)
        moved, choice = off_chip_bytes(design), design.mapping.choice
        assert choice.bound <= choice.value
        assert moved >= least_bytes(net, design.accelerator, 2)
        assert objective != "bytes" or moved == choice.value


@pytest.mark.parametrize("seed", range(12))
def test_fused_segments_move_no_more_than_one_layer_after_the_other(seed):
    net, machine = small_network(seed, FORMS[seed % 3], 12), small_machine(seed, (600, 900))
    apart, fused = (off_chip_bytes(map_network(net, machine, mapping=kind)) for kind in ("layer-by-layer", "fused"))
    assert fused <= apart


@pytest.mark.parametrize("kind", ["layer-by-layer", "fused"])
@pytest.mark.parametrize("seed", range(8))
def test_more_memory_never_moves_more(kind, seed):
    net = small_network(seed, FORMS[seed % 3], 9)
    for level in (0, 1):
        before = float("inf")
        for size in (500, 520, 600, 777, 1000, 1700, 4000, 20000):
            sizes = (size, 300) if level == 0 else (500, size)
            choice = map_network(net, small_machine(seed, sizes), mapping=kind).mapping.choice
            assert choice.exact
            assert choice.value <= before
            before = choice.value


@pytest.mark.parametrize("name", ["mobilenet_v2", "resnet50"])
def test_more_memory_never_moves_more_of_a_network(name):
    net = load_network(name)
    before = float("inf")
    for size in ("512 KiB", "3 MiB", "64 MiB"):
        machine = load_accelerator("feature-map-npu", {"memories.buffer.size": size})
        design = map_network(net, machine, mapping="fused")
        assert design.mapping.choice.exact
        assert least_bytes(net, machine) <= design.mapping.choice.value == off_chip_bytes(design) <= before
        before = design.mapping.choice.value
    assert before == least_bytes(net, machine)


def test_a_mapping_that_was_chosen_is_read_back(tmp_path):
    design = map_network(small_network(5, "general", 10), small_machine(5, (500, 600)), mapping="fused")
    path = tmp_path / "mapping.yaml"
    path.write_text(mapping_text(design.mapping))
    again = map_network(design.network, design.accelerator, mapping=str(path))
    assert again.mapping == design.mapping
    assert off_chip_bytes(again) == off_chip_bytes(design)


def squeeze_excite() -> Network:
    convolution = Convolution(8, (3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1))
    nodes = [
        Node("x", Input(4, (16, 16))), Node("conv", convolution, ("x",)), Node("squeeze", Reduce("mean"), ("conv",)),
        Node("gate", Dense(8), ("squeeze",)), Node("scale", Combine("multiply"), ("conv", "gate")),
    ]  # fmt: skip
    return network("squeeze-excite", nodes, ["scale"])


def test_a_map_waits_for_its_gate_in_the_segment_or_in_memory():
    net, whole_map = squeeze_excite(), 8 * 16 * 16
    roomy = map_network(net, small_machine(0, (whole_map + 1600,), weights="tile"), mapping="fused")
    assert len(roomy.mapping.segments) < 2
    whole = Parts(_draft(net, roomy.accelerator, 1, frozenset()), False)
    part = whole.empty(0)
    for k in range(whole.graph.count):
        part = whole.grown(part, k)
    assert part.buffer_bytes > whole_map
    tight = map_network(net, small_machine(0, (whole_map - 100,), weights="tile"), mapping="fused")
    assert tight.mapping.homes["conv"] == "dram"
    assert all(not {"conv", "scale"} <= set(segment.layers) for segment in tight.mapping.segments)
    assert off_chip_bytes(tight) == off_chip_bytes(roomy) + 2 * whole_map
    assert max(turn.demand.buffers for turn in visits(tight).turns) < whole_map / 2


def test_every_layer_that_does_not_fit_is_named():
    machine = small_machine(0, (20,), weights="tile")
    with pytest.raises(InfeasibleError) as raised:
        map_network(squeeze_excite(), machine, mapping="layer-by-layer")
    lines = str(raised.value).splitlines()
    assert [line.split()[0] for line in lines] == ["conv", "squeeze", "scale"]
    assert all("B of level0" in line and "short by" in line and "raise memories.level0.size" in line for line in lines)


def test_resident_weights_fit_together_or_not_at_all():
    net = squeeze_excite()
    weights = sum(weight_bytes(d, s) for d in [_draft(net, small_machine(0), 1, frozenset())] for s in d.stages)
    with pytest.raises(InfeasibleError, match=f"take {weights:,} B, it has {weights - 50:,} B.*short by 50 B"):
        map_network(net, small_machine(0, (weights - 50,), weights="resident"), mapping="fused")
    design = map_network(net, small_machine(0, (weights + 900,), weights="resident"), mapping="fused")
    assert sum(turn.weight_loads for turn in visits(design).turns) == 0


def test_maps_too_large_for_any_memory_are_refused():
    machine = small_machine(0, (600,))
    dram = machine.memories["dram"].model_copy(update={"size": 2500})
    small = machine.model_copy(update={"memories": machine.memories | {"dram": dram}})
    with pytest.raises(InfeasibleError, match=r"are alive while .* raise memories\.dram\.size"):
        map_network(squeeze_excite(), small, mapping="layer-by-layer")


@pytest.mark.parametrize("kind", ["layer-by-layer", "fused"])
def test_a_network_without_layers_has_no_segments(kind):
    net = network("net", (Node("x", Input(4, (4, 4))),), ("x",))
    with pytest.raises(InputError, match="net: has no layer to put into a segment"):
        map_network(net, load_accelerator("systolic-npu"), mapping=kind)


def test_energies_that_are_not_given_are_named():
    with pytest.raises(InputError, match=r"memories\.bram\.energy_pj_per_byte, memories\.dram\.energy_pj_per_byte"):
        map_network(squeeze_excite(), load_accelerator("fpga-stream"), mapping="fused", objective="energy")


def test_objectives_and_targets_that_make_no_sense_are_refused():
    machine = load_accelerator("feature-map-npu")
    with pytest.raises(InputError, match="bytes, cycles, energy"):
        map_network(squeeze_excite(), machine, mapping="fused", objective="area")
    with pytest.raises(InputError, match="target_fps = 30"):
        map_network(squeeze_excite(), machine, mapping="fused", target_fps=30)


def test_layers_take_turns_on_a_systolic_array_unless_one_pipeline_is_asked_for():
    machine, net = load_accelerator("systolic-npu"), squeeze_excite()
    assert len(map_network(net, machine).mapping.segments) == 4
    shared = map_network(net, machine, mapping="pipeline")
    assert not shared.mapping.segments
    assert [stage.port for stage in shared.stages if stage.macs] == ["array", "array"]
    with pytest.raises(InfeasibleError, match="the array is busy"):
        map_network(net, machine, mapping="pipeline", target_fps=10**8)


def test_a_search_along_few_orders_tells_how_far_off_it_may_be(monkeypatch):
    nets = [small_network(seed, "general", 12) for seed in range(8)]
    exact = [map_network(net, small_machine(1, (260,)), mapping="fused").mapping.choice for net in nets]
    monkeypatch.setattr("accelsim.mapping.search.segmenting.MOST_DOWNSETS", 3)
    rough = [map_network(net, small_machine(1, (260,)), mapping="fused") for net in nets]
    assert not all(design.mapping.choice.exact for design in rough)
    for known, design in zip(exact, rough, strict=True):
        choice = design.mapping.choice
        assert choice.bound <= known.value <= choice.value == off_chip_bytes(design)
        assert not choice.exact or choice.value == known.value


def test_downsets_hold_all_that_their_stages_read():
    parts = Parts(_draft(small_network(3, "general", 8), small_machine(3), 1, frozenset()), False)
    downsets = all_downsets(parts.graph, 10**6)
    every = [
        members
        for members in range(parts.graph.everything + 1)
        if all(not parts.graph.needs[k] & ~members for k in bits(members))
    ]
    assert sorted(downsets) == every
    assert isinstance(
        Search(parts, objective_of("bytes", parts.design.accelerator, 1), downsets, False, 9).least(), int
    )


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("seed", range(12))
def test_no_segment_that_is_chosen_gets_stuck(form, seed):
    design = map_network(small_network(seed, form, 14), small_machine(seed, (900,)), mapping="fused")
    for turn in take_turns(design).turns if design.mapping.segments else ():
        for run in turn.runs:
            given, held = ([edge.capacity for edge in d.edges] for d in (run.step.design, run.trace.design))
            assert held == given


def test_what_feeds_both_operands_of_a_product_waits_for_the_slower_one():
    nodes = [
        Node("x", Input(8, (12,))), Node("embed", Dense(8), ("x",)), Node("query", Dense(8), ("embed",)),
        Node("key", Dense(8), ("embed",)), Node("scores", Product(transposed=True), ("query", "key")),
    ]  # fmt: skip
    net = network("attention", nodes, ["scores"])
    bounds = segment_bounds(_draft(net, small_machine(0, (9000,)), 1, frozenset()), {"embed", "query", "key", "scores"})
    assert bounds["key -> scores"] == 12
    assert bounds["embed -> query"] == 12
    assert bounds["embed -> key"] == 1
