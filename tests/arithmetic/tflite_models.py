"""TensorFlow Lite files of one operator, written with the schema's own builders."""

from __future__ import annotations

from dataclasses import dataclass, field

import flatbuffers
import numpy as np
import tflite

TYPES = {"float32": 0, "int32": 2, "uint8": 3, "int64": 4, "int16": 7, "int8": 9}


@dataclass
class Entry:
    """A tensor; `data` makes it a constant."""

    name: str
    shape: tuple
    type: str = "int8"
    scales: tuple = ()
    zeros: tuple = ()
    axis: int = 0
    data: np.ndarray | None = None


@dataclass
class Step:
    """An operator: `options` are its table's name and fields."""

    kind: str
    inputs: list
    outputs: list
    options: tuple = ()
    fields: dict = field(default_factory=dict)


def _vector(builder, values, kind):
    return builder.CreateNumpyVector(np.array(values, kind))


def _quantisation(builder, entry):
    if not entry.scales:
        return None
    scales, zeros = _vector(builder, entry.scales, np.float32), _vector(builder, entry.zeros, np.int64)
    tflite.QuantizationParametersStart(builder)
    tflite.QuantizationParametersAddScale(builder, scales)
    tflite.QuantizationParametersAddZeroPoint(builder, zeros)
    tflite.QuantizationParametersAddQuantizedDimension(builder, entry.axis)
    return tflite.QuantizationParametersEnd(builder)


def _tensor(builder, entry, buffer):
    name, shape = builder.CreateString(entry.name), _vector(builder, entry.shape, np.int32)
    quantisation = _quantisation(builder, entry)
    tflite.TensorStart(builder)
    tflite.TensorAddName(builder, name)
    tflite.TensorAddShape(builder, shape)
    tflite.TensorAddType(builder, TYPES[entry.type])
    tflite.TensorAddBuffer(builder, buffer)
    if quantisation is not None:
        tflite.TensorAddQuantization(builder, quantisation)
    return tflite.TensorEnd(builder)


def _options(builder, step):
    if not step.options:
        return None
    getattr(tflite, f"{step.options}Start")(builder)
    for name, value in step.fields.items():
        getattr(tflite, f"{step.options}Add{name}")(builder, value)
    return getattr(tflite, f"{step.options}End")(builder)


def _offsets(builder, start, offsets):
    start(builder, len(offsets))
    for offset in reversed(offsets):
        builder.PrependUOffsetTRelative(offset)
    return builder.EndVector()


def model(entries, steps, inputs, outputs):
    """A file's bytes; `inputs` and `outputs` are indices of entries."""
    builder = flatbuffers.Builder(1024)
    raw = [np.zeros(0, np.uint8)] + [
        np.zeros(0, np.uint8) if e.data is None else np.frombuffer(np.ascontiguousarray(e.data).tobytes(), np.uint8)
        for e in entries
    ]
    buffers = []
    for content in raw:
        data = builder.CreateNumpyVector(content) if content.size else None
        tflite.BufferStart(builder)
        if data is not None:
            tflite.BufferAddData(builder, data)
        buffers.append(tflite.BufferEnd(builder))
    tensors = [_tensor(builder, entry, k + 1) for k, entry in enumerate(entries)]
    operators = []
    for index, step in enumerate(steps):
        options = _options(builder, step)
        ins, outs = _vector(builder, step.inputs, np.int32), _vector(builder, step.outputs, np.int32)
        tflite.OperatorStart(builder)
        tflite.OperatorAddOpcodeIndex(builder, index)
        tflite.OperatorAddInputs(builder, ins)
        tflite.OperatorAddOutputs(builder, outs)
        if options is not None:
            tflite.OperatorAddBuiltinOptionsType(builder, getattr(tflite.BuiltinOptions, step.options))
            tflite.OperatorAddBuiltinOptions(builder, options)
        operators.append(tflite.OperatorEnd(builder))
    codes = []
    for step in steps:
        number = getattr(tflite.BuiltinOperator, step.kind)
        tflite.OperatorCodeStart(builder)
        tflite.OperatorCodeAddDeprecatedBuiltinCode(builder, min(number, 127))
        tflite.OperatorCodeAddBuiltinCode(builder, number)
        tflite.OperatorCodeAddVersion(builder, VERSIONS.get(step.kind, 2))
        codes.append(tflite.OperatorCodeEnd(builder))
    parts = {
        "Tensors": _offsets(builder, tflite.SubGraphStartTensorsVector, tensors),
        "Inputs": _vector(builder, inputs, np.int32),
        "Outputs": _vector(builder, outputs, np.int32),
        "Operators": _offsets(builder, tflite.SubGraphStartOperatorsVector, operators),
    }
    tflite.SubGraphStart(builder)
    for name, offset in parts.items():
        getattr(tflite, f"SubGraphAdd{name}")(builder, offset)
    graphs = _offsets(builder, tflite.ModelStartSubgraphsVector, [tflite.SubGraphEnd(builder)])
    stored = _offsets(builder, tflite.ModelStartBuffersVector, buffers)
    known = _offsets(builder, tflite.ModelStartOperatorCodesVector, codes)
    tflite.ModelStart(builder)
    tflite.ModelAddVersion(builder, 3)
    tflite.ModelAddOperatorCodes(builder, known)
    tflite.ModelAddSubgraphs(builder, graphs)
    tflite.ModelAddBuffers(builder, stored)
    builder.Finish(tflite.ModelEnd(builder), b"TFL3")
    return bytes(builder.Output())


#: Versions of operators that take int8, where it is not 2.
VERSIONS = {
    "CONV_2D": 3, "DEPTHWISE_CONV_2D": 3, "FULLY_CONNECTED": 4, "TRANSPOSE_CONV": 3,
    **dict.fromkeys(("ELU", "EXP", "GELU", "HARD_SWISH", "MIRROR_PAD", "PRELU", "RESHAPE", "SQUEEZE"), 1),
}  # fmt: skip
