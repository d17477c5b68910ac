"""Window arithmetic against taps laid out one by one."""

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from accelsim.network.window import (
    CENTRES,
    ROUNDED_DOWN,
    identity,
    interpolated,
    output_size,
    repeated,
    shifted,
    sliding,
    transposed,
    whole,
)

small = st.integers(1, 9)
windows = {"kernel": st.integers(1, 5), "stride": st.integers(1, 5), "dilation": st.integers(1, 4)}


def assert_spans(span, reads):
    """`reads`: for every output coordinate the set of inputs it reads; empty where nothing is."""
    assert len(span.first) == len(span.last) == len(reads)
    for first, last, read in zip(span.first, span.last, reads, strict=True):
        if read:
            assert (first, last) == (min(read), max(read))
        else:
            assert last < first


@given(size=small, before=st.integers(0, 6), after=st.integers(0, 6), **windows)
@settings(max_examples=300, deadline=None)
def test_sliding_windows(size, before, after, kernel, stride, dilation):
    starts = [y for y in range(-before, size + after, stride) if y + dilation * (kernel - 1) < size + after]
    outputs = output_size(size, kernel, stride, dilation, before + after)
    assert max(outputs, 0) == len(starts)
    reads = [{y + k * dilation for k in range(kernel)} & set(range(size)) for y in starts]
    assert_spans(sliding(size, len(starts), kernel, stride, dilation, before), reads)


@given(size=small, padding=st.integers(0, 6), **windows)
@settings(max_examples=200, deadline=None)
def test_ceil_mode_counts_a_partial_window_too(size, padding, kernel, stride, dilation):
    extent, padded = dilation * (kernel - 1) + 1, size + padding
    if extent <= padded:
        outputs = output_size(size, kernel, stride, dilation, padding, ceil_mode=True)
        ends = [y * stride + extent for y in range(outputs)]
        assert ends[-1] >= padded
        assert all(end < padded for end in ends[:-1])


@given(size=small, before=st.integers(0, 6), extra=st.integers(0, 3), **windows)
@settings(max_examples=300, deadline=None)
def test_transposed_windows(size, before, extra, kernel, stride, dilation):
    outputs = max((size - 1) * stride + dilation * (kernel - 1) + 1 - before + extra, 1)
    reads = [set() for _ in range(outputs)]
    for x in range(size):
        for k in range(kernel):
            y = x * stride + k * dilation - before
            if 0 <= y < outputs:
                reads[y].add(x)
    assert_spans(transposed(size, outputs, kernel, stride, dilation, before), reads)


@given(size=small, times=st.integers(1, 4), offset=st.integers(-4, 4), step=st.sampled_from([-2, -1, 1, 2, 3]))
def test_points_read_one_by_one(size, times, offset, step):
    everything = np.arange(size)
    assert_spans(identity(size), [{y} for y in range(size)])
    assert_spans(whole(size, 3), [set(range(size))] * 3)
    assert_spans(repeated(size, size * times, times), [{int(x)} for x in np.repeat(everything, times)])
    reads = [{offset + y * step} & set(range(size)) for y in range(6)]
    assert_spans(shifted(size, 6, offset, step), reads)


def resize_model(size, outputs, mode, coordinates):
    nearest = "floor" if coordinates in ROUNDED_DOWN else "round_prefer_floor"
    extra = {"nearest_mode": nearest} if mode == "nearest" else {}
    node = helper.make_node(
        "Resize", ["x", "", "", "sizes"], ["y"], mode=mode, coordinate_transformation_mode=coordinates, **extra
    )
    sizes = helper.make_tensor("sizes", TensorProto.INT64, [4], [size, 1, 1, outputs])
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [size, 1, 1, size])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [size, 1, 1, outputs])
    graph = helper.make_graph([node], "resize", [x], [y], [sizes])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=onnx.IR_VERSION_2023_5_5)


@pytest.mark.parametrize(
    ("mode", "taps", "coordinates"),
    [
        (mode, taps, coordinates)
        for mode, taps in (("nearest", 1), ("linear", 2), ("cubic", 4))
        for coordinates in CENTRES
        if mode == "nearest" or coordinates != "tf_half_pixel_for_nn"  # defined for nearest neighbours only
    ],
)
def test_resampling_reads_what_onnxruntime_reads(mode, taps, coordinates):
    for size in (1, 2, 3, 4, 5, 8):
        for outputs in (1, 2, 3, 4, 5, 6, 8, 10, 16):
            model = resize_model(size, outputs, mode, coordinates)
            session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
            (seen,) = session.run(None, {"x": np.eye(size, dtype=np.float32).reshape(size, 1, 1, size)})
            weighs = np.abs(seen.reshape(size, outputs)) > 1e-5
            reads = [set(np.flatnonzero(weighs[:, y]).tolist()) for y in range(outputs)]
            assert_spans(interpolated(size, outputs, taps, coordinates), reads)
