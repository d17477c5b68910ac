"""Every operator as files of all opsets write it computes what onnxruntime computes of it."""

import numpy as np
import pytest
from onnx import helper

from accelsim.network.layers import Convolution, Pool, Reduce
from accelsim.network.window import sliding
from tests.network.readers.onnx_models import check_against_onnx, kinds, model, reference, single, weight

ints = lambda *values: np.array(values, np.int64)  # noqa: E731
floats = lambda *values: np.array(values, np.float32)  # noqa: E731
MAP = (1, 6, 7, 9)

CASES = {
    "conv": single("Conv", MAP, [weight(4, 6, 3, 3), weight(4)], pads=[1, 1, 1, 1]),
    "conv asymmetric": single("Conv", MAP, [weight(4, 6, 3, 2)], pads=[0, 1, 2, 0], strides=[2, 1]),
    "conv dilated": single("Conv", MAP, [weight(4, 6, 3, 3)], dilations=[2, 3], pads=[2, 3, 2, 3]),
    "conv grouped": single("Conv", MAP, [weight(4, 3, 3, 3)], group=2),
    "conv depthwise": single("Conv", MAP, [weight(6, 1, 3, 3)], group=6, auto_pad="SAME_UPPER", strides=[2, 2]),
    "conv same lower": single("Conv", MAP, [weight(4, 6, 4, 2)], auto_pad="SAME_LOWER", strides=[2, 2]),
    "conv valid": single("Conv", MAP, [weight(4, 6, 2, 2)], auto_pad="VALID"),
    "conv opset 7": single("Conv", MAP, [weight(4, 6, 1, 1)], opset=7),
    "conv 1-D": single("Conv", (1, 3, 20), [weight(5, 3, 4)], strides=[3], pads=[1, 2]),
    "conv 3-D": single("Conv", (1, 2, 5, 6, 7), [weight(3, 2, 3, 2, 1)], strides=[2, 1, 1]),
    "deconv": single("ConvTranspose", MAP, [weight(6, 4, 3, 3), weight(4)], strides=[2, 2], pads=[1, 1, 1, 1]),
    "deconv grouped": single("ConvTranspose", MAP, [weight(6, 2, 2, 2)], strides=[2, 2], group=3),
    "deconv output padding": single(
        "ConvTranspose", MAP, [weight(6, 4, 3, 3)], strides=[2, 2], output_padding=[1, 1], pads=[1, 0, 1, 0]
    ),
    "deconv output shape": single("ConvTranspose", MAP, [weight(6, 4, 3, 3)], strides=[2, 2], output_shape=[14, 17]),
    "deconv same": single("ConvTranspose", MAP, [weight(6, 4, 3, 3)], strides=[2, 2], auto_pad="SAME_UPPER"),
    "deconv dilated": single("ConvTranspose", MAP, [weight(6, 4, 3, 3)], dilations=[2, 1]),
    "max pool": single("MaxPool", MAP, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]),
    "max pool ceil": single("MaxPool", MAP, kernel_shape=[3, 2], strides=[2, 2], ceil_mode=1),
    "max pool dilated": single("MaxPool", MAP, kernel_shape=[2, 2], dilations=[2, 2]),
    "average pool": single("AveragePool", MAP, kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
    "average pool counted": single("AveragePool", MAP, kernel_shape=[3, 3], pads=[1, 0, 1, 0], count_include_pad=1),
    "average pool same": single("AveragePool", MAP, kernel_shape=[3, 3], strides=[2, 2], auto_pad="SAME_UPPER"),
    "global average": single("GlobalAveragePool", MAP),
    "global max 3-D": single("GlobalMaxPool", (1, 2, 3, 4, 5)),
    "batch norm": single("BatchNormalization", MAP, [weight(6), weight(6), weight(6), np.abs(weight(6)) + 1]),
    "instance norm": single("InstanceNormalization", MAP, [weight(6), weight(6, seed=2)]),
    "layer norm": single("LayerNormalization", (1, 5, 8), [weight(8), weight(8, seed=2)], epsilon=1e-3),
    "layer norm over all": single("LayerNormalization", (1, 5, 8), [weight(5, 8), weight(5, 8, seed=2)], axis=1),
    "lrn": single("LRN", MAP, size=3, alpha=0.1),
    "softmax channels": single("Softmax", MAP, axis=1),
    "softmax rows": single("Softmax", MAP, axis=-1),
    "softmax opset 11": single("Softmax", (1, 4, 5), opset=11),
    "log softmax": single("LogSoftmax", (1, 12)),
    "gemm": single("Gemm", (1, 8), [weight(8, 5), weight(5)]),
    "gemm transposed": single("Gemm", (1, 8), [weight(5, 8), weight(1, 5)], transB=1, alpha=0.5, beta=2.0),
    "matmul": single("MatMul", (1, 5, 8), [weight(8, 3)]),
    "matmul on a map": single("MatMul", MAP, [weight(9, 4)]),
    "matmul batched weights": single("MatMul", (1, 4, 5, 8), [weight(4, 8, 3)]),
    "add channel vector": single("Add", MAP, [weight(6, 1, 1)]),
    "subtract map": single("Sub", MAP, [weight(1, 1, 7, 9)]),
    "multiply row": single("Mul", MAP, [weight(9)]),
    "outer add": single("Add", (1, 6, 1, 1), [weight(1, 1, 3, 4)]),
    "prelu": single("PRelu", MAP, [weight(6, 1, 1)]),
    "prelu shared": single("PRelu", MAP, [weight(1)]),
    "prelu per column": single("PRelu", MAP, [weight(9)]),
    "celu": single("Celu", MAP, alpha=2.0),
    "clip inputs": single("Clip", MAP, [floats(-0.5).reshape(()), floats(0.5).reshape(())]),
    "clip attributes": single("Clip", MAP, opset=7, min=-0.25, max=0.75),
    "clip above": single("Clip", MAP, [None, floats(0.5).reshape(())]),
    "pad inputs": single("Pad", MAP, [ints(0, 1, 2, 0, 0, 0, 1, 3), floats(0.5).reshape(())]),
    "pad attributes": single("Pad", MAP, opset=10, pads=[0, 0, 1, 1, 0, 0, 2, 2], value=1.5),
    "pad axes": single("Pad", MAP, [ints(1, 2, 3, 4), None, ints(-1, 2)], opset=18),
    "pad negative": single("Pad", MAP, [ints(0, 0, -1, 0, 0, 0, 0, -2)]),
    "pad reflect": single("Pad", MAP, [ints(0, 0, 2, 1, 0, 0, 1, 3)], mode="reflect"),
    "pad edge": single("Pad", MAP, [ints(0, 0, 2, 1, 0, 0, 1, 3)], mode="edge"),
    "slice attributes": single("Slice", MAP, opset=9, starts=[1, -3], ends=[4, 2**31], axes=[1, 2]),
    "slice inputs": single("Slice", MAP, [ints(-1, 0), ints(-(2**31), 9), ints(2, 3), ints(-2, 2)]),
    "slice channels by 2": single("Slice", MAP, [ints(1), ints(6), ints(1), ints(2)]),
    "split attribute": single("Split", MAP, opset=11, outputs=("y", "z"), axis=1, split=[2, 4]),
    "split input": single("Split", MAP, [ints(3, 6)], outputs=("y", "z"), axis=3),
    "split evenly": single("Split", MAP, opset=18, outputs=("y", "z", "u"), axis=1, num_outputs=3),
    "gather one": single("Gather", MAP, [ints(2).reshape(())], axis=1),
    "gather some": single("Gather", MAP, [ints(5, 0, -2, 3, 4)], axis=1),
    "gather table": single("Gather", MAP, [ints(0, 1, 1, 2, 3, 3).reshape(2, 3)], axis=2),
    "squeeze attribute": single("Squeeze", (1, 6, 1, 5), opset=11, axes=[2]),
    "squeeze all": single("Squeeze", (1, 6, 1, 5)),
    "unsqueeze input": single("Unsqueeze", (1, 6, 5), [ints(0, -1)]),
    "flatten": single("Flatten", MAP),
    "reshape": single("Reshape", MAP, [ints(0, 2, -1, 9)]),
    "reshape across": single("Reshape", MAP, [ints(1, 9, 42)]),
    "transpose": single("Transpose", MAP, perm=[0, 3, 1, 2]),
    "expand": single("Expand", (1, 6, 1, 1), [ints(1, 1, 4, 5)]),
    "tile": single("Tile", MAP, [ints(1, 2, 1, 3)]),
    "depth to space": single("DepthToSpace", (1, 8, 3, 5), blocksize=2),
    "depth to space CRD": single("DepthToSpace", (1, 8, 3, 5), blocksize=2, mode="CRD"),
    "space to depth": single("SpaceToDepth", (1, 3, 4, 6), blocksize=2),
    "mean of space": single("ReduceMean", MAP, axes=[2, 3], keepdims=0),
    "mean of rows": single("ReduceMean", MAP, [ints(3)], opset=18),
    "max of channels": single("ReduceMax", MAP, axes=[1]),
    "sum of all": single("ReduceSum", MAP),
    "sum of channels and rows": single("ReduceSum", MAP, [ints(1, 3)], keepdims=0),
    "log sum exp": single("ReduceLogSumExp", MAP, axes=[1]),
    "l2 of space": single("ReduceL2", MAP, axes=[2, 3]),
    "nearest": single(
        "Resize", MAP, [None, floats(1, 1, 2, 3)], nearest_mode="floor", coordinate_transformation_mode="asymmetric"
    ),
    "nearest to sizes": single(
        "Resize", MAP, [None, None, ints(1, 6, 14, 18)], nearest_mode="floor",
        coordinate_transformation_mode="asymmetric",
    ),
    "upsample": single("Upsample", MAP, [floats(1, 1, 2, 2)], opset=9),
    "upsample attribute": single("Upsample", MAP, opset=7, scales=[1.0, 1.0, 2.0, 2.0]),
    "dropout": single("Dropout", MAP, opset=11),
    "where": model(
        [helper.make_node("Where", ["mask", "x", "low"], ["y"])], {"x": (1, 4, 4)}, ["y"],
        {"mask": np.tril(np.ones((4, 4), bool)), "low": floats(-3.4e38)},
    ),
    "where else": model(
        [helper.make_node("Where", ["mask", "zero", "x"], ["y"])], {"x": (1, 4, 4)}, ["y"],
        {"mask": np.tril(np.ones((4, 4), bool)), "zero": floats(0.5)},
    ),
    "einsum transposition": model(
        [helper.make_node("Einsum", ["x"], ["y"], equation="bchw->bhwc")], {"x": MAP}, ["y"]
    ),
    "einsum product": model(
        [helper.make_node("Einsum", ["x", "z"], ["y"], equation="bhid,bhjd->bhij")],
        {"x": (1, 2, 5, 4), "z": (1, 2, 6, 4)}, ["y"],
    ),
    "einsum weights": model(
        [helper.make_node("Einsum", ["x", "w"], ["y"], equation="...td,dhe->...the")], {"x": (1, 5, 4)}, ["y"],
        {"w": weight(4, 2, 3)},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_operator_computes_what_onnxruntime_computes(tmp_path, name):
    check_against_onnx(tmp_path, CASES[name])


@pytest.mark.parametrize("rank", [3, 4])
@pytest.mark.parametrize("seed", range(40))
def test_operators_after_any_transposition_and_reshape(tmp_path, seed, rank):
    """Chains of moves between operators that mind, each compared with onnxruntime."""
    rng = np.random.default_rng(seed)
    shape = [1, *(int(n) for n in rng.choice((2, 3, 4, 6), rank - 1))]
    nodes, weights, value, first = [], {}, "x", tuple(shape)
    for step in range(6):
        kind = rng.choice(("Transpose", "Reshape", "Softmax", "MatMul", "Mul", "Concat", "Slice", "Mean", "Product"))
        out, w = f"v{step}", f"w{step}"
        rank_now = len(shape)
        axis = int(rng.integers(rank_now))
        if kind == "Transpose":
            order = rng.permutation(rank_now)
            nodes.append(helper.make_node("Transpose", [value], [out], perm=order.tolist()))
            shape = [shape[a] for a in order]
        elif kind == "Reshape":
            sizes = list(shape)
            cut = [a for a in range(rank_now) if sizes[a] % 2 == 0]
            if rank_now < 6 and cut and rng.random() < 0.5:
                a = int(rng.choice(cut))
                sizes[a : a + 1] = [2, sizes[a] // 2] if rng.random() < 0.5 else [sizes[a] // 2, 2]
            elif rank_now > 2:
                a = int(rng.integers(rank_now - 1))
                sizes[a : a + 2] = [sizes[a] * sizes[a + 1]]
            weights[w] = np.array(sizes, np.int64)
            nodes.append(helper.make_node("Reshape", [value, w], [out]))
            shape = sizes
        elif kind == "Softmax":
            nodes.append(helper.make_node("Softmax", [value], [out], axis=axis))
        elif kind == "MatMul":
            weights[w] = weight(shape[-1], 4, seed=step)
            nodes.append(helper.make_node("MatMul", [value, w], [out]))
            shape[-1] = 4
        elif kind == "Mul":
            some = [n if rng.random() < 0.6 else 1 for n in shape]
            weights[w] = weight(*some, seed=step)
            nodes.append(helper.make_node("Mul", [value, w], [out]))
        elif kind == "Concat":
            part = [3 if a == axis else n for a, n in enumerate(shape)]
            weights[w] = weight(*part, seed=step)
            nodes.append(helper.make_node("Concat", [value, w, value], [out], axis=axis))
            shape[axis] = 2 * shape[axis] + 3
        elif kind == "Slice":
            start = int(rng.integers(shape[axis]))
            weights |= {f"{w}{k}": np.array([n], np.int64) for k, n in enumerate((start, shape[axis], axis, 2))}
            nodes.append(helper.make_node("Slice", [value, *(f"{w}{k}" for k in range(4))], [out]))
            shape[axis] = -(-(shape[axis] - start) // 2)
        elif kind == "Mean":
            weights[w] = np.array([axis], np.int64)
            nodes.append(helper.make_node("ReduceMean", [value], [f"{out}m"], axes=[axis]))
            nodes.append(helper.make_node("Sub", [value, f"{out}m"], [out]))
        else:
            order = [*range(rank_now - 2), rank_now - 1, rank_now - 2]
            nodes.append(helper.make_node("Transpose", [value], [f"{out}t"], perm=order))
            nodes.append(helper.make_node("MatMul", [value, f"{out}t"], [out]))
            shape = [*shape[:-1], shape[-2]]
        value = out
    check_against_onnx(tmp_path, model(nodes, {"x": first}, [value], weights), tolerance=2e-3)


def layer_of(tmp_path, made):
    net = check_against_onnx(tmp_path, made)
    return next(node.layer for node in net.nodes if node.kind not in ("input", "constant"))


def pool(kind="AveragePool", shape=MAP, **attributes):
    return single(kind, shape, **attributes)


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (pool(kernel_shape=[7, 9]), Reduce("mean")),
        (pool("MaxPool", kernel_shape=[7, 3], strides=[1, 3]), Reduce("maximum", (7, 3))),
        (pool("MaxPool", (1, 2, 8, 6), kernel_shape=[2, 2], strides=[2, 2]), Reduce("maximum", (2, 2))),
        (pool(kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1), Reduce("mean", (2, 2))),
    ],
)
def test_windows_that_do_not_overlap_accumulate(tmp_path, made, expected):
    assert layer_of(tmp_path, made) == expected


@pytest.mark.parametrize(
    "made",
    [
        pool("MaxPool", kernel_shape=[2, 2], strides=[2, 2]),
        pool(kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]),
        pool(kernel_shape=[1, 1], strides=[2, 2]),
        pool("MaxPool", kernel_shape=[2, 2], strides=[2, 2], pads=[1, 1, 1, 1]),
    ],
)
def test_windows_that_overlap_or_leave_a_rest_stay_windows(tmp_path, made):
    assert isinstance(layer_of(tmp_path, made), Pool)


@pytest.mark.parametrize("auto_pad", ["SAME_UPPER", "SAME_LOWER", "VALID"])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("kernel", [1, 2, 4, 5])
def test_auto_pad_reads_the_inputs_that_onnxruntime_reads(tmp_path, auto_pad, stride, kernel):
    """An impulse at each position reaches the outputs whose windows hold it."""
    taps = (2.0 ** np.arange(kernel)).astype(np.float32).reshape(1, 1, kernel)
    made = single("Conv", (1, 1, 11), [taps], auto_pad=auto_pad, strides=[stride])
    layer = layer_of(tmp_path, made)
    for position in range(11):
        (expected,) = reference(made, {"x": np.eye(11, dtype=np.float32)[position].reshape(1, 1, 11)})
        reached = sliding(11, expected.shape[-1], kernel, stride, 1, layer.padding[0][0])
        inside = (reached.first <= position) & (position <= reached.last)
        np.testing.assert_array_equal(inside, expected.ravel() != 0)


def test_a_zero_pad_before_a_convolution_is_its_padding(tmp_path):
    pads = helper.make_node("Pad", ["x", "pads"], ["p"])
    conv = helper.make_node("Conv", ["p", "w"], ["y"], strides=[2, 2], pads=[1, 0, 0, 0])
    weights = {"pads": ints(0, 0, 0, 1, 0, 0, 1, 2), "w": weight(4, 6, 3, 3)}
    layer = layer_of(tmp_path, model([pads, conv], {"x": MAP}, ["y"], weights))
    assert isinstance(layer, Convolution)
    assert layer.padding == ((1, 1), (1, 2))


@pytest.mark.parametrize(
    ("value", "pool_kind", "folded"),
    [(-np.inf, "MaxPool", True), (0.0, "MaxPool", False), (0.0, "AveragePool", True), (1.0, "AveragePool", False)],
)
def test_a_pad_before_a_pooling_is_its_padding_only_where_equal(tmp_path, value, pool_kind, folded):
    pads = helper.make_node("Pad", ["x", "pads", "value"], ["p"])
    pooling = helper.make_node(pool_kind, ["p"], ["y"], kernel_shape=[3, 3], strides=[2, 2])
    weights = {"pads": ints(0, 0, 0, 1, 0, 0, 1, 1), "value": np.array(value, np.float32)}
    net = check_against_onnx(tmp_path, model([pads, pooling], {"x": MAP}, ["y"], weights))
    assert ("pad" not in kinds(net)) == folded
