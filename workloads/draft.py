"""A network while it is being put together."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Integral

from accelsim.errors import InputError
from accelsim.network.graph import Network, Node, network
from accelsim.network.layers import KIND_NAMES, Input, Layer, Padding
from accelsim.network.tensor import Tensor
from accelsim.units import ceil_div

#: Sizes asked for: (channels, *spatial), with or without a leading 1, or that by the input's name; None: as published.
Shape = tuple[int, ...] | Mapping[str, tuple[int, ...]] | None


class Draft:
    """Layers added one after another; `add` returns the new layer's name for the next to read.

    `same` pads windows as TensorFlow's SAME does: the output has ceil(size / stride) points and an odd
    zero lies at the far end. Otherwise both ends get (kernel - 1) // 2. `epsilon` is that of the batch norms.
    """

    def __init__(self, name: str, *, same: bool = False, epsilon: float = 1e-5) -> None:
        self.name = name
        self.same = same
        self.epsilon = epsilon
        self._nodes: list[Node] = []
        self._tensors: dict[str, Tensor] = {}

    def add(self, name: str, layer: Layer, *sources: str, shares: str | None = None) -> str:
        try:
            self._tensors[name] = layer.output(tuple(self._tensors[source] for source in sources))
        except InputError as error:
            raise InputError(f"{self.name}{self._resolution}: {name} ({KIND_NAMES[type(layer)]}): {error}") from None
        self._nodes.append(Node(name, layer, sources, shares))
        return name

    def offer(self, name: str, input_shape: Shape, published: tuple[int, ...]) -> str:
        """Adds the input with the shape asked for, else the `published` one.

        Raises `InputError` where that has not as many axes as `published`, sizes below 1, or another input's name.
        """
        given = input_shape
        if isinstance(given, Mapping):
            given = given.get(name) if set(given) <= {name} else ()
        given = published if given is None else given
        shape = tuple(given) if isinstance(given, tuple | list) else ()
        if len(shape) == len(published) + 1 and shape[0] == 1:
            shape = shape[1:]
        if len(shape) != len(published) or not all(isinstance(size, Integral) and size > 0 for size in shape):
            raise InputError(
                f"{self.name}: input_shape = {input_shape} is not {len(published)} positive integers, channels first, "
                f"with or without a leading 1 (for input '{name}'); the published shape is {published}"
            )
        return self.add(name, Input(int(shape[0]), tuple(int(size) for size in shape[1:])))

    def tensor(self, name: str) -> Tensor:
        """Shape of a layer already added."""
        return self._tensors[name]

    def channels(self, name: str) -> int:
        return self._tensors[name].channels

    def padding(self, source: str, kernel: int, stride: int) -> Padding:
        """Zeros before and after each axis of `source` for a window."""
        if self.same:
            return tuple(_same(size, kernel, stride) for size in self._tensors[source].spatial)
        return tuple(((kernel - 1) // 2, (kernel - 1) // 2) for _ in self._tensors[source].spatial)

    def finished(self, *outputs: str) -> Network:
        """The network whose results are the layers `outputs`."""
        return network(self.name, self._nodes, outputs)

    @property
    def _resolution(self) -> str:
        return f" at {self._tensors[self._nodes[0].name].label}" if self._nodes else ""


def _same(size: int, kernel: int, stride: int) -> tuple[int, int]:
    total = max((ceil_div(size, stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2
