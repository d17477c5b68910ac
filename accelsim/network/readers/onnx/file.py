"""From a path to a model whose graph can be walked: sizes, syntax, names and order are checked here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path

from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from onnx import AttributeProto, FunctionProto, GraphProto, ModelProto, NodeProto, inliner

from accelsim.errors import InputError, collected

#: What a protobuf message can hold; larger models keep their weights in external files.
LARGEST_FILE_BYTES = 2**31 - 1
#: Nodes after functions are written out; real exports have thousands.
MOST_NODES = 2**20
OLDEST_OPSET = 7


def load_model(path: Path) -> ModelProto:
    """Parse a file, with local functions written out. Raises `InputError` where it is no readable model."""
    model = _parsed(path)
    if not model.HasField("graph") or not model.graph.node:
        raise InputError(f"{path}: no graph of nodes in it; is this an ONNX model?")
    _check_names(path, model)
    opset = opsets(model).get("", OLDEST_OPSET)
    if opset < OLDEST_OPSET:
        raise InputError(f"{path}: opset {opset} is older than {OLDEST_OPSET}; convert it with onnx.version_converter")
    if model.functions:
        _check_functions(path, model)
        try:
            model = inliner.inline_local_functions(model)
        except (RuntimeError, ValueError, DecodeError) as error:
            raise InputError(f"{path}: its functions cannot be written out: {_one_line(error)}") from None
    if len(model.graph.node) > MOST_NODES:
        raise InputError(f"{path}: {len(model.graph.node):,} nodes; the most is {MOST_NODES:,}")
    return model


def opsets(model: ModelProto) -> dict[str, int]:
    """Version of every imported domain, the standard one as ''."""
    return {_domain(entry.domain): entry.version for entry in model.opset_import}


def _domain(name: str) -> str:
    return "" if name == "ai.onnx" else name


def _parsed(path: Path) -> ModelProto:
    try:
        if not path.is_file():
            raise InputError(f"{path}: no such file")
        size = path.stat().st_size
        if size > LARGEST_FILE_BYTES:
            raise InputError(f"{path}: {size:,} bytes; an ONNX file has at most 2 GiB, keep weights in external data")
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    if not content:
        raise InputError(f"{path}: the file is empty")
    model = ModelProto()
    try:
        model.ParseFromString(content)
    except (DecodeError, RuntimeError) as error:
        raise InputError(f"{path}: not an ONNX model, or cut short: {_one_line(error)}") from None
    return model


def _check_names(path: Path, model: ModelProto) -> None:
    # The parser hands out text that is not UTF-8 as bytes.
    domains = (entry.domain for entry in model.opset_import)
    texts = chain(_texts(model.graph), domains, *(_function_texts(function) for function in model.functions))
    wrong = next((text for text in texts if not isinstance(text, str)), None)
    if wrong is not None:
        raise InputError(f"{path}: the name {wrong!r} is not valid UTF-8")


def _texts(graph: GraphProto) -> Iterator[str | bytes]:
    """Every name in a graph and the graphs inside it."""
    for entry in (*graph.input, *graph.output, *graph.initializer):
        yield entry.name
    for node in graph.node:
        yield from _node_texts(node)


def _node_texts(node: NodeProto) -> Iterator[str | bytes]:
    yield from (node.name, node.op_type, node.domain, *node.input, *node.output)
    yield from (attribute.name for attribute in node.attribute)
    for graph in subgraphs(node):
        yield from _texts(graph)


def _function_texts(function: FunctionProto) -> Iterator[str | bytes]:
    yield from (function.name, function.domain, *function.input, *function.output)
    for node in function.node:
        yield from _node_texts(node)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


def _check_functions(path: Path, model: ModelProto) -> None:
    """Refuses functions that call themselves or write out to too many nodes."""
    bodies = {(_domain(f.domain), f.name): f.node for f in model.functions}
    sizes: dict[tuple[str, str], int] = {}

    def size(calls: tuple[tuple[str, str], ...], nodes: Iterable[NodeProto]) -> int:
        total = 0
        for node in nodes:
            key = (_domain(node.domain), node.op_type)
            total += 1 + sum(size(calls, graph.node) for graph in subgraphs(node))
            if key not in bodies:
                continue
            if key in calls or len(calls) > 64:
                raise InputError(f"{path}: function {key[1]} calls itself, or is nested too deeply")
            if key not in sizes:
                sizes[key] = size((*calls, key), bodies[key])
            total += sizes[key]
        return total

    if size((), model.graph.node) > MOST_NODES:
        raise InputError(f"{path}: more than {MOST_NODES:,} nodes once its functions are written out")


def subgraphs(node: NodeProto) -> Iterator[GraphProto]:
    """Graphs in the attributes of a node: the branches of an If, the body of a Loop."""
    for attribute in node.attribute:
        if attribute.type == AttributeProto.GRAPH:
            yield attribute.g
        yield from attribute.graphs


def ordered(place: str, graph: GraphProto, known: Iterable[str]) -> list[NodeProto]:
    """Nodes of a graph, each after those it reads; `known` are the values that exist before the first.

    Raises `InputError` with every value made twice, every input that nothing makes, or a cycle.
    """
    makers = {output: index for index, node in enumerate(graph.node) for output in node.output if output}
    before = set(known)
    reads = [_reads(node) for node in graph.node]
    problems = _twice(place, graph.node, before)
    for node, names in zip(graph.node, reads, strict=True):
        dangling = sorted(name for name in names if name not in makers and name not in before)
        problems += [f"{place}: {_title(node)}: reads '{name}', which nothing makes" for name in dangling]
    problems += [
        f"{place}: output '{output.name}' is made by no node"
        for output in graph.output
        if output.name not in makers and output.name not in before
    ]
    if problems:
        raise collected(problems)
    order = _sorted([{makers[name] for name in names if name in makers} for names in reads])
    if len(order) < len(graph.node):
        stuck = sorted(set(range(len(graph.node))) - set(order))
        titles = ", ".join(_title(graph.node[index]) for index in stuck[:8])
        raise InputError(f"{place}: nodes form a cycle: {titles}{' ...' if len(stuck) > 8 else ''}")
    return [graph.node[index] for index in order]


def _title(node: NodeProto) -> str:
    return f"{node.name or next(iter(node.output), '')} ({node.op_type})"


def _reads(node: NodeProto) -> list[str]:
    """Values a node needs, those its subgraphs take from outside included."""
    names = [name for name in node.input if name]
    for graph in subgraphs(node):
        names += _captured(graph)
    return list(dict.fromkeys(names))


def _captured(graph: GraphProto) -> list[str]:
    made = {output for node in graph.node for output in node.output}
    made |= {entry.name for entry in (*graph.initializer, *graph.input)}
    needed = [name for node in graph.node for name in _reads(node)] + [output.name for output in graph.output]
    return [name for name in needed if name not in made]


def _twice(place: str, nodes: Sequence[NodeProto], before: set[str]) -> list[str]:
    counts = Counter(output for node in nodes for output in node.output if output)
    counts.update(name for name in counts if name in before)
    return [f"{place}: '{name}' is made {count} times" for name, count in counts.items() if count > 1]


def _sorted(needs: list[set[int]]) -> list[int]:
    """Kahn's order, keeping the given one where it can; nodes on a cycle are left out."""
    readers: list[list[int]] = [[] for _ in needs]
    for index, own in enumerate(needs):
        for maker in own:
            readers[maker].append(index)
    if all(maker < index for index, own in enumerate(needs) for maker in own):
        return list(range(len(needs)))
    waiting = [len(own) for own in needs]
    ready = [index for index in range(len(needs) - 1, -1, -1) if not waiting[index]]
    order = []
    while ready:
        index = ready.pop()
        order.append(index)
        for reader in reversed(readers[index]):
            waiting[reader] -= 1
            if not waiting[reader]:
                ready.append(reader)
    return order
