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
