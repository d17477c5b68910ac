"""The operators that can be read, each with the function that reads it."""

from __future__ import annotations

from collections.abc import Callable

from accelsim.network.readers.onnx import elementwise, norms, products, reductions, shapes, windows
from accelsim.network.readers.onnx.builder import Builder, Value
from accelsim.network.readers.onnx.operator import Operator
from accelsim.network.readers.onnx.values import Values

Reader = Callable[[Operator, Values, Builder], list[Value]]

#: Standard operators by name; whatever is not here, or has another domain, is refused by name.
OPERATORS: dict[str, Reader] = {
    **dict.fromkeys(elementwise.FUNCTIONS, elementwise.unary),
    **dict.fromkeys(elementwise.ARITHMETIC, elementwise.arithmetic),
    **dict.fromkeys(reductions.REDUCTIONS, reductions.reduction),
    **dict.fromkeys(windows.POOLS, windows.pool),
    **dict.fromkeys(windows.GLOBAL_POOLS, windows.global_pool),
    **dict.fromkeys(("Cast", "CastLike", "Dropout", "Identity"), shapes.identity),
    **dict.fromkeys(("Shape", "Size"), shapes.shape),
    **dict.fromkeys(("Softmax", "LogSoftmax"), norms.softmax),
    "BatchNormalization": norms.batch_norm,
    "Celu": elementwise.celu,
    "Clip": elementwise.clip,
    "Concat": shapes.concat,
    "Conv": windows.convolution,
    "ConvTranspose": windows.transposed_convolution,
    "DepthToSpace": shapes.depth_to_space,
    "Einsum": products.einsum,
    "Expand": shapes.expand,
    "Flatten": shapes.flatten,
    "Gather": shapes.gather,
    "Gelu": elementwise.gelu,
    "Gemm": products.gemm,
    "GroupNormalization": norms.group_norm,
    "InstanceNormalization": norms.instance_norm,
    "LRN": norms.local_norm,
    "LayerNormalization": norms.layer_norm,
    "MatMul": products.matmul,
    "PRelu": elementwise.prelu,
    "Pad": shapes.pad,
    "RMSNormalization": norms.rms_norm,
    "Reshape": shapes.reshape,
    "Resize": shapes.resize,
    "Slice": shapes.slice_,
    "SpaceToDepth": shapes.space_to_depth,
    "Split": shapes.split,
    "Squeeze": shapes.squeeze,
    "Swish": elementwise.swish,
    "Tile": shapes.tile,
    "Transpose": shapes.transpose,
    "Unsqueeze": shapes.unsqueeze,
    "Upsample": shapes.upsample,
    "Where": elementwise.where,
}
