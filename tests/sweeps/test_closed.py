"""Closed forms over arrays are the single design's, figure for figure, and no simulation falls below them."""

from random import Random

import numpy as np
import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import accelsim as acs
from accelsim.errors import AccelsimError
from accelsim.mapping.pace import moving_work_cycles
from accelsim.mapping.stages import group_layers
from accelsim.mapping.unrolling import Folded, allotments, fewest_multipliers
from accelsim.mapping.work import LoopNest, loop_nest
from accelsim.network.graph import Node, network
from accelsim.network.layers import Activation, Input
from accelsim.network.writers.yaml import write_yaml_network
from accelsim.sweeps.closed import closed_forms
from accelsim.sweeps.family import family_of
from accelsim.sweeps.kernels.moving import slowest_moving
from accelsim.sweeps.metrics import BOUNDS
from accelsim.sweeps.point import design_of
from tests.random_networks import random_network

EXACT = {
    "bounds.interval_cycles": lambda report: report.throughput.interval_bound_cycles,
    "bounds.window_elements": lambda report: report.buffering["window"].bound_elements,
    "bounds.gate_elements": lambda report: report.buffering["gate"].bound_elements,
    "bounds.skip_elements": lambda report: report.buffering["skip"].bound_elements,
    "bounds.pyramid_elements": lambda report: report.buffering["pyramid"].bound_elements,
    "bounds.stationary_elements": lambda report: report.buffering["stationary"].bound_elements,
}


def off_chip_bytes(report):
    rows = [row for row in report.body.memories.values() if row.off_chip]
    return rows[0].read_bytes + rows[0].written_bytes


def values_of(rng, network):
    """A random point: any budget, width, rate, bits, interface and place for weights."""
    values = {
        "network": str(network),
        "accelerator": "streaming-asic",
        "engine.multipliers": rng.choice((1, 3, 10, 40, 200, 5000)),
        "engine.lanes": rng.choice((1, 2, 3, 7, 16, 64)),
        "clock": rng.choice((10**6, 10**9)),
        "target_fps": rng.choice((None, None, 100.0, 3000.0, 1e5)),
        "activation_bits": rng.choice((1, 4, 8, 11)),
        "weight_bits": rng.choice((2, 8)),
        "source": rng.choice(("paced", "greedy")),
        "interface": rng.choice(("stream", "memory")),
        "weights": rng.choice(("resident", "frame")),
        "channel_pooling": rng.choice((True, False)),
        "fork": rng.choice(("shared", "copy")),
        "memories.dram.port.read_bits": rng.choice((8, 68)),
        "memories.dram.latency_cycles": rng.choice((0, 100)),
        "memories.dram.arbitration": rng.choice(("first-come", "slots")),
    }
    return values if rng.random() < 0.8 else values | {"engine.lanes": 10**6, "engine.multipliers": 10**6}


def columns_of(points):
    return {path: pl.Series(path, [p[path] for p in points], strict=False).to_numpy() for path in points[0]}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("networks")


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_forms_are_those_of_the_design_and_never_above_its_simulation(folder, seed):
    rng = Random(seed)
    path = folder / f"{seed}.yaml"
    write_yaml_network(random_network(rng), path)
    points = [values_of(rng, path) for _ in range(3)]
    columns = {name: np.array([p[name] for p in points], object) for name in points[0]}
    found = closed_forms({}, columns, len(points))
    for k, values in enumerate(points):
        forms = {name: column[k] for name, column in found.columns.items()}
        try:
            design = design_of(values)
        except AccelsimError as error:
            told = type(error).__name__
            assert str(found.errors[k]).startswith(told)
            assert all(np.isnan(value) for value in forms.values())
            continue
        assert found.errors[k] is None
        report = acs.simulate(design)  # a design that this refuses is for other tests
        if values["interface"] == "stream":
            assert {name: forms[name] for name in EXACT} == {name: figure(report) for name, figure in EXACT.items()}
        assert forms["bounds.interval_cycles"] <= report.throughput.interval_bound_cycles
        assert not report.throughput.steady or forms["bounds.interval_cycles"] <= report.throughput.interval_cycles
        assert forms["bounds.multipliers"] <= design.multipliers
        assert values["target_fps"] is None or forms["bounds.multipliers"] == design.multipliers
        assert forms["bounds.off_chip_bytes"] == off_chip_bytes(report)
        assert 0 <= forms["bounds.energy_pj"] <= report.body.energy.total_pj
        for name, figure in EXACT.items():
            assert name == "bounds.interval_cycles" or forms[name] <= figure(report)
        for role in report.buffering:
            assert forms[f"bounds.{role}_elements"] <= report.buffering[role].peak_elements


@settings(max_examples=25, deadline=None)
@example(3820)  # nothing multiplies and nothing passes a port
@given(seed=st.integers(0, 10**6))
def test_no_segments_fall_below_their_forms(folder, seed):
    rng = Random(seed)
    path = folder / f"{seed}.yaml"
    write_yaml_network(random_network(rng), path)
    machine = rng.choice(("streaming-asic", "fpga-stream", "systolic-npu", "feature-map-npu"))
    memory = "dram"
    wide = {} if machine == "systolic-npu" else {"engine.lanes": rng.choice((1, 16, 10**6))}
    values = wide | {
        "network": str(path),
        "accelerator": machine,
        "mapping": rng.choice(("layer-by-layer", "fused")),
        "interface": rng.choice(("stream", "memory")),
        "weights": rng.choice(("resident", "frame", "tile")),
        "frames_per_visit": rng.choice((1, 3)),
        f"memories.{memory}.port.read_bits": rng.choice((1, 8, 68)),
        "activation_bits": rng.choice((1, 8)),
    }
    found = closed_forms({}, {name: np.array([value], object) for name, value in values.items()}, 1)
    try:
        report = acs.simulate(design_of(values))
    except AccelsimError:
        return
    assert found.errors[0] is None
    assert found.columns["bounds.interval_cycles"][0] <= report.throughput.interval_cycles + 1e-9
    assert found.columns["bounds.off_chip_bytes"][0] <= off_chip_bytes(report) + 1e-9
    assert found.columns["bounds.off_chip_bytes"][0] > 0
    if report.body.energy is not None:
        assert found.columns["bounds.energy_pj"][0] <= report.body.energy.total_pj


@pytest.mark.parametrize("interface", ["stream", "memory"])
def test_maps_of_one_segment_may_pass_over_links_of_their_own(folder, interface):
    """A segment that is all there is needs the port off chip for its weights alone, or for its maps too."""
    nodes = (Node("x", Input(8, (4, 4))), Node("y", Activation("relu"), ("x",)))
    write_yaml_network(network("net", nodes, ("y",)), folder / "net.yaml")
    values = {
        "network": str(folder / "net.yaml"),
        "accelerator": "streaming-asic",
        "mapping": "fused",
        "interface": interface,
        "engine.lanes": 1000,
        "memories.dram.port.read_bits": 8,
        "memories.dram.port.write_bits": 8,
        "memories.dram.banks": 1,
        "memories.dram.efficiency": 1.0,
    }
    bound = closed_forms(values, {}, 1).columns["bounds.interval_cycles"][0]
    found = acs.simulate(design_of(values)).throughput.interval_cycles
    assert bound <= found
    assert bound == (1 if interface == "stream" else 128 * 2)  # a byte a cycle in and out, over one port


LOOPS = st.builds(LoopNest, *[st.integers(1, 12)] * 4)
NESTS = st.builds(lambda nest, rows: Folded(nest, nest.pixels * rows), LOOPS, st.integers(1, 30))


@given(st.lists(NESTS, min_size=1, max_size=5), st.integers(1, 4000))
def test_allotments_are_the_mappers(layers, interval):
    intervals, multipliers = allotments(tuple(layers))
    named = {str(k): layer for k, layer in enumerate(layers)}
    place = np.searchsorted(intervals, interval, side="right") - 1
    if place < 0:
        with pytest.raises(acs.InfeasibleError):
            fewest_multipliers(named, interval)
    else:
        assert multipliers[place] == sum(fewest_multipliers(named, interval).values())


@pytest.mark.parametrize("network", ["resnet18", "se_resnet50", "efficientdet_d2", "mobilenet_v2"])
def test_what_moves_takes_what_the_mapper_says(network):
    net, machine = acs.load_network(network), acs.load_accelerator("streaming-asic")
    lanes = np.array([1, 2, 3, 5, 16, 33, 64, 1000, 10**6])
    found = slowest_moving(family_of(net, machine).moving, lanes)
    stages = [group for group in group_layers(net) if loop_nest(net, group.node) is None]
    for k, width in enumerate(lanes.tolist()):
        cycles = [moving_work_cycles(net, s.node, tuple(o for o, _ in s.operands), width) for s in stages]
        assert found[0, k] == max(cycles)


def test_a_study_of_closed_forms_simulates_nothing(study, monkeypatch):
    monkeypatch.setattr("accelsim.sweeps.point.simulated_parts", None)
    table = acs.sweep(study | {"speed": "bounds"}, workers=1)
    assert set(BOUNDS) <= set(table.columns)
    assert table["speed"].unique().to_list() == ["bounds"]
    assert table["error"].null_count() == 8


def test_a_screen_simulates_what_passes_and_says_which(study):
    keep = {"keep": ["bounds.frames_per_second > 100000", "engine.lanes == 64"]}
    table = acs.sweep(study | {"screen": keep}, workers=1)
    fast = (pl.col("bounds.frames_per_second") > 100000) & (pl.col("engine.lanes") == 64)
    simulated = table.filter(pl.col("speed") == "row")
    assert simulated["point"].to_list() == table.filter(fast)["point"].to_list() != []
    assert table.filter(pl.col("speed") == "bounds")["throughput.interval_cycles"].null_count() == 12 - simulated.height
    assert (simulated["bounds.interval_cycles"] <= simulated["throughput.interval_cycles"]).all()
    alone = acs.sweep(study, workers=1).filter(pl.col("point").is_in(simulated["point"].to_list()))
    assert simulated.select(alone.columns).equals(alone)


def test_a_screen_keeps_a_front(study):
    front = {"bounds.multipliers": "minimise", "bounds.interval_cycles": "minimise"}
    table = acs.sweep(study | {"screen": {"front": front}}, workers=1)
    bounds = table.filter(pl.col("bounds.interval_cycles").is_not_null())
    rows = bounds.select("point", *front).rows()
    best = [p for p, m, i in rows if not any(a <= m and b <= i and (a, b) != (m, i) for _, a, b in rows)]
    assert table.filter(pl.col("speed") == "row")["point"].to_list() == best
