"""How often a classifier is right."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from accelsim.arithmetic.agreement import Estimate, share
from accelsim.arithmetic.execute import execute
from accelsim.arithmetic.formats import Array
from accelsim.arithmetic.network import IntegerNetwork
from accelsim.errors import InputError

#: Frames executed at once, so that a data set need not have all its outputs in memory.
CHUNK = 32


class Accuracy(NamedTuple):
    """Frames whose highest score, the first of several, is at the label."""

    right: int
    frames: int

    @property
    def top1(self) -> float:
        return self.right / self.frames

    @property
    def interval(self) -> Estimate:
        """Top-1 with its 95 % confidence interval."""
        return share(self.right, self.frames)


def accuracy(
    inet: IntegerNetwork, x: Array, labels: Array, threads: int = 1, progress: Callable[[int], object] | None = None
) -> Accuracy:
    """Top-1 accuracy of a network with one input and one output. Raises `InputError` where data do not fit.

    `progress` is told how many more frames are done.
    """
    if len(inet.network.outputs) != 1 or len(inet.network.inputs) != 1:
        raise InputError(f"{inet.name}: accuracy is of one output for one input")
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        raise InputError(
            f"labels of shape {labels.shape} and type {labels.dtype}; one whole number a frame is expected"
        )
    if not len(labels) or len(x) != len(labels):
        raise InputError(f"{len(x):,} frames with {len(labels):,} labels")
    right = 0
    for start in range(0, len(labels), CHUNK):
        (scores,) = execute(inet, x[start : start + CHUNK], threads=threads).values()
        own = labels[start : start + CHUNK]
        if len(scores) != len(own):
            raise InputError(f"{inet.name}: {len(scores)} outputs for {len(own)} frames")
        right += int((scores.reshape(len(own), -1).argmax(axis=1) == own).sum())
        if progress is not None:
            progress(len(own))
    return Accuracy(right, len(labels))
