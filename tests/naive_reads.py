"""Which input pixels every output pixel reads, tap by tap, from the fields of a layer alone."""

from __future__ import annotations

from fractions import Fraction
from itertools import product
from math import ceil, floor, prod

from accelsim.network import layers as kinds

#: For every output position of one axis, the input positions it reads.
Axis = list[list[int]]


def pixel_reads(layer, operand, inputs, output) -> list[set[int]]:
    """For every output pixel in raster order, the pixels of input `operand` it reads."""
    source = inputs[operand].spatial
    if isinstance(layer, kinds.Rearrange):
        return _rearranged(layer, inputs[0], output)
    axes = _axes(layer, operand, inputs, output)
    assert len(axes) == len(source)
    shape = output.spatial
    lead = len(axes) - len(shape)
    reads = []
    for point in product(*(range(n) for n in shape)):
        # axes are aligned at the innermost; an operand with more of them than the output has ones in front
        own = ((0,) * lead + point)[-len(axes) :] if axes else ()
        taps = [axis[at] for axis, at in zip(axes, own, strict=True)]
        reads.append({_raster(source, tap) for tap in product(*taps)})
    return reads


def _raster(shape, point) -> int:
    index = 0
    for size, at in zip(shape, point, strict=True):
        index = index * size + at
    return index


def _axes(layer, operand, inputs, output) -> list[Axis]:
    source = inputs[operand].spatial
    outer = ((1,) * len(source) + output.spatial)[-len(source) :] if source else ()
    if isinstance(layer, kinds.Convolution | kinds.Pool):
        fields = zip(source, outer, layer.kernel, layer.stride, layer.padding, layer.dilation, strict=True)
        return [_window(*field) for field in fields]
    if isinstance(layer, kinds.TransposedConvolution):
        fields = zip(source, outer, layer.kernel, layer.stride, layer.padding, layer.dilation, strict=True)
        return [_scattered(*field) for field in fields]
    if isinstance(layer, kinds.Reduce):
        tile = source if layer.tile is None else layer.tile
        return [
            [list(range(y * t, min((y + 1) * t, n))) for y in range(o)]
            for n, o, t in zip(source, outer, tile, strict=True)
        ]
    if isinstance(layer, kinds.Product) and operand == 1:
        # the rows of the second operand lie across, so its products are aligned one axis further out
        leading = ((1,) * len(source) + output.spatial[:-1])[-(len(source) - 1) :] if len(source) > 1 else ()
        columns = output.spatial[-1] if output.spatial else 1
        return [_stretched(n, o) for n, o in zip(source[:-1], leading, strict=True)] + [
            [list(range(source[-1]))] * columns
        ]
    if isinstance(layer, kinds.Combine) and layer.repeat and layer.repeat[operand]:
        return [[[y // r] for y in range(o)] for o, r in zip(outer, layer.repeat[operand], strict=True)]
    if isinstance(layer, kinds.Combine | kinds.Product):
        return [_stretched(n, o) for n, o in zip(source, outer, strict=True)]
    if isinstance(layer, kinds.Concat):
        before = [sum(t.spatial[a] for t in inputs[:operand]) if a == layer.axis else 0 for a in range(len(source))]
        return [
            [[y - b] if 0 <= y - b < n else [] for y in range(o)] for n, o, b in zip(source, outer, before, strict=True)
        ]
    if isinstance(layer, kinds.Slice):
        return [
            [[layer.start + y * layer.step] if a == layer.axis else [y] for y in range(o)] for a, o in enumerate(outer)
        ]
    if isinstance(layer, kinds.Pad):
        fields = zip(source, outer, layer.padding, strict=True)
        return [[_padded(y - p[0], n, layer.mode) for y in range(o)] for n, o, p in fields]
    if isinstance(layer, kinds.Resize):
        return [
            [_resampled(y, n, o, layer.mode, layer.coordinates) for y in range(o)]
            for n, o in zip(source, outer, strict=True)
        ]
    if isinstance(layer, kinds.Normalise | kinds.Softmax) and layer.over != "channels":
        return [[list(range(n))] * n for n in source]
    return [[[y] for y in range(n)] for n in source]


def _window(size, outputs, kernel, stride, padding, dilation) -> Axis:
    taps = [[y * stride - padding[0] + k * dilation for k in range(kernel)] for y in range(outputs)]
    return [[x for x in row if 0 <= x < size] for row in taps]


def _scattered(size, outputs, kernel, stride, padding, dilation) -> Axis:
    axis: Axis = [[] for _ in range(outputs)]
    for x in range(size):
        for k in range(kernel):
            y = x * stride + k * dilation - padding[0]
            if 0 <= y < outputs:
                axis[y].append(x)
    return axis


def _stretched(size, outputs) -> Axis:
    return [[y if size > 1 else 0] for y in range(outputs)]


def _padded(position, size, mode) -> list[int]:
    if 0 <= position < size:
        return [position]
    if mode == "constant":
        return []
    if mode == "edge":
        return [0 if position < 0 else size - 1]
    if mode == "wrap":
        return [position % size]
    while size > 1 and not 0 <= position < size:
        position = -position if position < 0 else 2 * (size - 1) - position
    return [position if size > 1 else 0]


def _resampled(position, size, outputs, mode, coordinates) -> list[int]:
    """Neighbours of a sample that weigh something."""
    half_pixel = Fraction((2 * position + 1) * size, 2 * outputs) - Fraction(1, 2)
    first = outputs == 1 and coordinates in ("align_corners", "pytorch_half_pixel")
    centre = {
        "asymmetric": Fraction(position * size, outputs),
        "align_corners": 0 if first else Fraction(position * (size - 1), max(outputs - 1, 1)),
        "pytorch_half_pixel": Fraction(0) if first else half_pixel,
    }.get(coordinates, half_pixel)
    if mode == "nearest":
        taps = [floor(centre) if coordinates == "asymmetric" else ceil(centre - Fraction(1, 2))]
    elif centre == floor(centre):
        taps = [floor(centre)]
    else:
        around = 1 if mode == "linear" else 2
        taps = range(floor(centre) - around + 1, floor(centre) + around + 1)
    return sorted({min(max(x, 0), size - 1) for x in taps})


def _rearranged(layer, source, output) -> list[set[int]]:
    reads: list[set[int]] = [set() for _ in range(output.pixels)]
    shape = [layer.split[axis] for axis in layer.order]
    for position, moved in enumerate(product(*(range(n) for n in shape))):
        point = [0] * len(shape)
        for axis, at in zip(layer.order, moved, strict=True):
            point[axis] = at
        reads[position // output.channels].add(_raster(layer.split, point) // source.channels)
    assert prod(shape) == source.elements
    return reads
