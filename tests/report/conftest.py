import pytest

from accelsim import load_accelerator, load_network, map_network, simulate, size_buffers, tile_attention


@pytest.fixture(scope="session")
def design():
    """A small network with squeeze-excite on the default machine."""
    net = load_network("efficientnet_b0", input_shape=(1, 3, 64, 64))
    return map_network(net, load_accelerator("streaming-asic"))


@pytest.fixture(scope="session")
def report(design):
    return simulate(design)


@pytest.fixture(scope="session")
def tiled(design):
    return simulate(map_network(tile_attention(design.network, 2), design.accelerator, like=design))


@pytest.fixture(scope="session")
def sized(design):
    """The same design with the smallest buffers."""
    return size_buffers(design)


@pytest.fixture(scope="session")
def turns_design():
    """A small network whose segments take turns on a machine with memories, several frames a visit."""
    net = load_network("mobilenet_v3_small", input_shape=(1, 3, 64, 64))
    machine = load_accelerator("feature-map-npu", {"memories.buffer.size": "640 KiB"})
    return map_network(net, machine, mapping="layer-by-layer", frames_per_visit=2)


@pytest.fixture(scope="session")
def turns(turns_design):
    return simulate(turns_design)


@pytest.fixture(scope="session")
def streamed_design(design):
    """A pipeline whose weights and maps come through a port that its stages share."""
    settings = {"weights": "frame", "interface": "memory"}
    return map_network(design.network, load_accelerator("streaming-asic", settings))


@pytest.fixture(scope="session")
def streamed(streamed_design):
    return simulate(streamed_design)


@pytest.fixture(scope="session")
def bare(design):
    """The same on a machine of which no memories are known."""
    return simulate(map_network(design.network, design.accelerator.model_copy(update={"memories": {}})))
