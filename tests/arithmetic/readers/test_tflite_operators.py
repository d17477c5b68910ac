"""One operator at a time against TensorFlow Lite's reference kernels, with random scales, zero points and shapes."""

import numpy as np
import pytest

import accelsim as acs

pytest.importorskip("ai_edge_litert.interpreter", reason="ai-edge-litert is not installed")

from ai_edge_litert.interpreter import Interpreter, OpResolverType

from tests.arithmetic.tflite_models import Entry, Step, model


def reference(content, xs):
    runtime = Interpreter(
        model_content=content, experimental_op_resolver_type=OpResolverType.BUILTIN_REF, num_threads=1
    )
    runtime.allocate_tensors()
    for entry, x in zip(runtime.get_input_details(), xs, strict=True):
        runtime.set_tensor(entry["index"], x)
    runtime.invoke()
    return [runtime.get_tensor(entry["index"]).copy() for entry in runtime.get_output_details()]


pytestmark = pytest.mark.slow


class Case:
    """Random formats for one operator with maps of 1x7x6x5."""

    def __init__(self, seed):
        self.rng = np.random.default_rng(seed)
        self.entries = []

    def tensor(self, shape, scale=None, zero=None, kind="int8", data=None):
        scale = float(self.rng.uniform(0.005, 0.1)) if scale is None else scale
        zero = int(self.rng.integers(-40, 40)) if zero is None else zero
        self.entries.append(Entry(f"t{len(self.entries)}", shape, kind, (scale,), (zero,), 0, data))
        return len(self.entries) - 1

    def plain(self, data, kind="int32"):
        array = np.asarray(data, kind)
        self.entries.append(Entry(f"t{len(self.entries)}", array.shape, kind, data=array))
        return len(self.entries) - 1

    def weights(self, shape, axis, channels, per_channel=True):
        data = self.rng.integers(-127, 128, shape).astype(np.int8)
        count = channels if per_channel else 1
        scales = tuple(float(s) for s in self.rng.uniform(0.001, 0.02, count))
        self.entries.append(Entry(f"t{len(self.entries)}", shape, "int8", scales, (0,) * count, axis, data))
        return len(self.entries) - 1

    def bias(self, source, weights, count):
        own = self.entries[weights]
        scales = tuple(self.entries[source].scales[0] * s for s in own.scales)
        data = self.rng.integers(-3000, 3000, count).astype(np.int32)
        self.entries.append(Entry(f"t{len(self.entries)}", (count,), "int32", scales, (0,) * len(scales), 0, data))
        return len(self.entries) - 1

    def check(self, step, inputs, tmp_path, apart=0):
        content = model(self.entries, [step], inputs, step.outputs)
        path = tmp_path / "case.tflite"
        path.write_bytes(content)
        xs = [self.rng.integers(-128, 128, self.entries[k].shape).astype(np.int8) for k in inputs]
        expected = reference(content, xs)
        inet = acs.load_integer_network(path)
        feeds = {inet.network.inputs[k].name: x for k, x in enumerate(xs)}
        made = list(acs.execute(inet, feeds).values())
        assert len(made) == len(expected)
        for own, other in zip(made, expected, strict=True):
            assert own.shape == other.shape
            assert np.abs(own.astype(int) - other).max() <= apart


MAP = (1, 7, 6, 5)
SEEDS = range(4)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("act", [0, 1, 2, 3])
@pytest.mark.parametrize(("stride", "dilation", "same"), [(1, 1, 1), (2, 1, 0), (1, 2, 0), (2, 1, 1)])
def test_convolution(seed, act, stride, dilation, same, tmp_path):
    case = Case(seed)
    x, w = case.tensor(MAP), case.weights((8, 3, 2, 5), 0, 8, per_channel=seed % 2 == 0)
    b = case.bias(x, w, 8)
    rows, columns = spatial(MAP, (3, 2), stride, dilation, same)
    y = case.tensor((1, rows, columns, 8))
    fields = {"Padding": 1 - same, "StrideW": stride, "StrideH": stride, "DilationWFactor": dilation,
              "DilationHFactor": dilation, "FusedActivationFunction": act}  # fmt: skip
    case.check(Step("CONV_2D", [x, w, b], [y], "Conv2DOptions", fields), [x], tmp_path)


def spatial(shape, kernel, stride, dilation, same):
    if same:
        return tuple(-(-n // stride) for n in shape[1:3])
    return tuple(-(-(n - dilation * (k - 1)) // stride) for n, k in zip(shape[1:3], kernel, strict=True))


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("multiplier", [1, 2])
def test_depthwise(seed, multiplier, tmp_path):
    case = Case(seed)
    channels = 5 * multiplier
    x, w = case.tensor(MAP), case.weights((1, 3, 3, channels), 3, channels)
    b = case.bias(x, w, channels)
    y = case.tensor((1, 4, 3, channels))
    fields = {"Padding": 0, "StrideW": 2, "StrideH": 2, "DepthMultiplier": multiplier, "DilationWFactor": 1,
              "DilationHFactor": 1, "FusedActivationFunction": seed % 4}  # fmt: skip
    case.check(Step("DEPTHWISE_CONV_2D", [x, w, b], [y], "DepthwiseConv2DOptions", fields), [x], tmp_path)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("same", [0, 1])
def test_transposed_convolution(seed, same, tmp_path):
    case = Case(seed)
    size = (14, 12) if same else (15, 13)
    shape = case.plain([1, *size, 4])
    w, x = case.weights((4, 3, 3, 5), 0, 4), case.tensor(MAP)
    y = case.tensor((1, *size, 4))
    fields = {"Padding": 1 - same, "StrideW": 2, "StrideH": 2}
    case.check(Step("TRANSPOSE_CONV", [shape, w, x], [y], "TransposeConvOptions", fields), [x], tmp_path)


@pytest.mark.parametrize("seed", range(12))
def test_fully_connected(seed, tmp_path):
    case = Case(seed)
    x, w = case.tensor((1, 40)), case.weights((10, 40), 0, 10, per_channel=False)
    b, y = case.bias(x, w, 10), case.tensor((1, 10))
    fields = {"FusedActivationFunction": seed % 4}
    case.check(Step("FULLY_CONNECTED", [x, w, b], [y], "FullyConnectedOptions", fields), [x], tmp_path)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("other", [MAP, (1, 1, 1, 5), (1, 7, 1, 5)])
@pytest.mark.parametrize("kind", ["ADD", "SUB", "MUL"])
def test_combinations(seed, other, kind, tmp_path):
    case = Case(seed)
    a, b = case.tensor(MAP), case.tensor(other)
    y = case.tensor(MAP)
    options = f"{kind.capitalize()}Options"
    case.check(Step(kind, [a, b], [y], options, {"FusedActivationFunction": seed % 4}), [a, b], tmp_path)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("kind", ["AVERAGE_POOL_2D", "MAX_POOL_2D"])
@pytest.mark.parametrize(("kernel", "stride", "same"), [((3, 3), 1, 1), ((2, 2), 2, 0), ((7, 6), 1, 0), ((3, 2), 2, 1)])
def test_pools(seed, kind, kernel, stride, same, tmp_path):
    case = Case(seed)
    x = case.tensor(MAP, 0.05, 3)
    y = case.tensor((1, *spatial(MAP, kernel, stride, 1, same), 5), 0.05, 3)
    fields = {"Padding": 1 - same, "StrideW": stride, "StrideH": stride, "FilterHeight": kernel[0],
              "FilterWidth": kernel[1], "FusedActivationFunction": 0}  # fmt: skip
    case.check(Step(kind, [x], [y], "Pool2DOptions", fields), [x], tmp_path)


@pytest.mark.parametrize("seed", range(30))
@pytest.mark.parametrize("keep", [True, False])
@pytest.mark.parametrize("alike", [True, False])
def test_mean(seed, keep, alike, tmp_path):
    case = Case(seed)
    x = case.tensor(MAP, 0.05, 3)
    axes = case.plain([1, 2])
    y = case.tensor((1, 1, 1, 5) if keep else (1, 5), *((0.05, 3) if alike else ()))
    case.check(Step("MEAN", [x, axes], [y], "ReducerOptions", {"KeepDims": keep}), [x], tmp_path)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("sizes", [(10,), (3, 4)])
def test_softmax(seed, sizes, tmp_path):
    case = Case(seed)
    x, y = case.tensor((1, *sizes)), case.tensor((1, *sizes), 1 / 256, -128)
    case.check(Step("SOFTMAX", [x], [y], "SoftmaxOptions", {"Beta": 1.0}), [x], tmp_path)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(
    ("kind", "scale", "zero"),
    [("LOGISTIC", 1 / 256, -128), ("TANH", 1 / 128, 0), ("HARD_SWISH", None, None), ("RELU", None, None),
     ("RELU6", None, None), ("QUANTIZE", None, None)],
)  # fmt: skip
def test_activations(seed, kind, scale, zero, tmp_path):
    case = Case(seed)
    x, y = case.tensor(MAP), case.tensor(MAP, scale, zero)
    options = {"HARD_SWISH": "HardSwishOptions", "QUANTIZE": "QuantizeOptions"}.get(kind, "")
    case.check(Step(kind, [x], [y], options), [x], tmp_path)


@pytest.mark.parametrize("seed", SEEDS)
def test_leaky_relu(seed, tmp_path):
    case = Case(seed)
    x, y = case.tensor(MAP), case.tensor(MAP)
    case.check(Step("LEAKY_RELU", [x], [y], "LeakyReluOptions", {"Alpha": 0.1}), [x], tmp_path)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("kind", ["RESIZE_NEAREST_NEIGHBOR", "RESIZE_BILINEAR"])
@pytest.mark.parametrize("centred", [True, False])
@pytest.mark.parametrize("size", [(14, 12), (10, 4)])
def test_resize(seed, kind, centred, size, tmp_path):
    case = Case(seed)
    x = case.tensor(MAP, 0.05, 3)
    shape = case.plain(size)
    y = case.tensor((1, *size, 5), 0.05, 3)
    options = "ResizeBilinearOptions" if kind == "RESIZE_BILINEAR" else "ResizeNearestNeighborOptions"
    case.check(Step(kind, [x, shape], [y], options, {"HalfPixelCenters": centred}), [x], tmp_path)


@pytest.mark.parametrize("seed", SEEDS)
def test_moves(seed, tmp_path):
    for kind, options, fields, extra, size in [
        ("RESHAPE", "ReshapeOptions", {}, [[1, 42, 5]], (1, 42, 5)),
        ("TRANSPOSE", "TransposeOptions", {}, [[0, 3, 1, 2]], (1, 5, 7, 6)),
        ("PAD", "PadOptions", {}, [[[0, 0], [1, 2], [0, 1], [0, 0]]], (1, 10, 7, 5)),
        ("STRIDED_SLICE", "StridedSliceOptions", {}, [[0, 1, 0, 2], [1, 7, 6, 5], [1, 2, 1, 1]], (1, 3, 6, 3)),
    ]:
        case = Case(seed)
        x = case.tensor(MAP, 0.05, 3)
        more = [case.plain(values) for values in extra]
        y = case.tensor(size, 0.05, 3)
        case.check(Step(kind, [x, *more], [y], options, fields), [x], tmp_path)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("axis", [1, 2, 3])
def test_concatenation(seed, axis, tmp_path):
    case = Case(seed)
    a, b = case.tensor(MAP, 0.05, 3), case.tensor(MAP, 0.05, 3)
    y = case.tensor(tuple(n * 2 if k == axis else n for k, n in enumerate(MAP)), 0.05, 3)
    fields = {"Axis": axis, "FusedActivationFunction": 0}
    case.check(Step("CONCATENATION", [a, b], [y], "ConcatenationOptions", fields), [a, b], tmp_path)
