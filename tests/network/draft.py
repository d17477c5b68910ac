"""Squeeze-excite blocks in many dialects, for the tests of what finds and rewrites them."""

import numpy as np

from accelsim.network.graph import Node, network
from accelsim.network.layers import (
    Activation,
    BatchNorm,
    Combine,
    Constant,
    Convolution,
    Dense,
    Input,
    Pool,
    Rearrange,
    Reduce,
)
from tests.network.naive_layers import random_weights

HARD_SIGMOID = Activation("hard_sigmoid", (1 / 6, 0.5))
SIGMOID = Activation("sigmoid")


class Draft:
    """Nodes one after another; every method adds some and returns the last one's name."""

    def __init__(self, channels, spatial, name="draft"):
        self.name = name
        self.channels, self.spatial = channels, spatial
        self.nodes = []
        self.image = self.add("image", Input(channels, spatial))

    @property
    def axes(self):
        return len(self.spatial)

    def add(self, name, layer, *sources, shares=None):
        self.nodes.append(Node(name, layer, sources, shares))
        return name

    def conv(self, name, source, channels, kernel=1, axes=None, **more):
        n = self.axes if axes is None else axes
        side = (kernel - 1) // 2
        layer = Convolution(channels, (kernel,) * n, (1,) * n, ((side, kernel - 1 - side),) * n, (1,) * n, **more)
        return self.add(name, layer, source)

    def scale(self, name, map_, gate, swapped=False):
        return self.add(name, Combine("multiply"), *((gate, map_) if swapped else (map_, gate)))

    def finished(self, *outputs, parameters=None):
        return network(self.name, self.nodes, outputs, parameters=parameters)


def _global_pool(draft, source):
    return draft.add("squeeze", Reduce("mean"), source)


def _full_size_pool(draft, source):
    n = draft.axes
    layer = Pool("average", draft.spatial, (1,) * n, ((0, 0),) * n, (1,) * n, count_include_pad=True)
    return draft.add("squeeze", layer, source)


def _axis_by_axis(draft, source):
    """x.mean(-1).mean(-1)..., each axis by itself."""
    for axis in reversed(range(draft.axes)):
        tile = tuple(n if a == axis else 1 for a, n in enumerate(draft.spatial))
        source = draft.add(f"squeeze{axis}", Reduce("mean", tile), source)
    return source


def _flat_map(draft, source):
    """x.view(channels, -1).mean(-1)."""
    pixels = draft.finished(source).tensors[source].pixels
    layer = Rearrange((pixels, draft.channels), (0, 1), (pixels,), draft.channels)
    flat = draft.add("flat", layer, source)
    return draft.add("squeeze", Reduce("mean"), flat)


SQUEEZES = {
    "global pool": _global_pool,
    "full-size pool": _full_size_pool,
    "axis by axis": _axis_by_axis,
    "flat map": _flat_map,
}


def _convolutions(draft, source):
    axes = len(draft.finished(source).tensors[source].spatial)
    x = draft.conv("reduce", source, 3, axes=axes, bias=True)
    return draft.conv("expand", draft.add("relu", Activation("relu"), x), draft.channels, axes=axes, bias=True)


def _normed(draft, source):
    axes = len(draft.finished(source).tensors[source].spatial)
    x = draft.add("norm", BatchNorm(), draft.conv("reduce", source, 3, axes=axes))
    return draft.conv("expand", draft.add("relu", Activation("relu"), x), draft.channels, axes=axes)


def _written_out_silu(draft, source):
    x = draft.add("reduce", Dense(3, bias=True), source)
    x = draft.add("silu", Combine("multiply"), x, draft.add("silu.sigmoid", SIGMOID, x))
    return draft.add("expand", Dense(draft.channels, bias=True), x)


def _vectors(draft, source):
    """Flattened to a vector for fully connected layers, and back to a map of one point."""
    n = draft.axes
    x = draft.add("flatten", Rearrange((1,) * n + (draft.channels,), (n, *range(n)), (), draft.channels), source)
    x = draft.add("relu", Activation("relu"), draft.add("reduce", Dense(3, bias=True), x))
    x = draft.add("expand", Dense(draft.channels), x)
    return draft.add("unflatten", Rearrange((draft.channels,), (0,), (1,) * n, draft.channels), x)


def _single(draft, source):
    return draft.add("expand", Dense(draft.channels), source)


EXCITATIONS = {
    "convolutions": _convolutions,
    "with batch norm": _normed,
    "written-out SiLU": _written_out_silu,
    "vectors": _vectors,
    "single layer": _single,
}


def _constant(draft, name):
    return draft.add(name, Constant(1))


def _sigmoid(draft, source):
    return draft.add("gate", SIGMOID, source)


def _hard_sigmoid(draft, source):
    return draft.add("gate", HARD_SIGMOID, source)


def _clipped(draft, source):
    """clip(x + 3, 0, 6) / 6."""
    x = draft.add("plus", Combine("add"), source, _constant(draft, "three"))
    x = draft.add("clip", Activation("clip", (0.0, 6.0)), x)
    return draft.add("gate", Combine("divide"), x, _constant(draft, "six"))


def _logistic(draft, source):
    """1 / (1 + exp(-x))."""
    x = draft.add("exp", Activation("exp"), draft.add("neg", Activation("neg"), source))
    x = draft.add("plus", Combine("add"), _constant(draft, "one"), x)
    return draft.add("gate", Combine("divide"), "one", x)


def _minimum(draft, source):
    x = draft.add("least", Combine("maximum"), source, _constant(draft, "zero"))
    return draft.add("gate", Combine("minimum"), x, _constant(draft, "one"))


GATES = {
    "sigmoid": _sigmoid,
    "hard sigmoid": _hard_sigmoid,
    "add, clip, divide": _clipped,
    "written-out logistic": _logistic,
    "minimum and maximum": _minimum,
}

#: Values of the constants above.
CONSTANTS = {"three": 3.0, "six": 6.0, "one": 1.0, "zero": 0.0}


def block(spatial=(9, 6), squeeze="global pool", excitation="convolutions", gate="sigmoid", swapped=False):
    """A convolution, a squeeze-excite block on it, a projection, and the skip round them."""
    draft = Draft(4, spatial, f"{squeeze}, {excitation}, {gate}")
    wide = draft.add("act", Activation("relu"), draft.conv("wide", draft.image, 4, 3))
    mean = SQUEEZES[squeeze](draft, wide)
    chain = EXCITATIONS[excitation](draft, mean)
    scaled = draft.scale("scale", wide, GATES[gate](draft, chain), swapped)
    projected = draft.add("project.bn", BatchNorm(), draft.conv("project", scaled, 4))
    return draft, draft.add("add", Combine("add"), projected, draft.image)


def bare(spatial, squeeze, excitation, gate):
    """A squeeze-excite block on the input itself."""
    draft = Draft(4, spatial)
    chain = EXCITATIONS[excitation](draft, SQUEEZES[squeeze](draft, draft.image))
    draft.scale("scale", draft.image, GATES[gate](draft, chain))
    return draft


def weighted(draft, *outputs, seed=0):
    """The finished network with random weights, the constants having the values they are named for."""
    shapes = draft.finished(*outputs)
    arrays = random_weights(shapes, seed)
    arrays |= {f"{name}.value": np.array([value], np.float32) for name, value in CONSTANTS.items()}
    return draft.finished(*outputs, parameters=arrays)
