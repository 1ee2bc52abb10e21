"""Graphs are read as onnx reads them, or refused: whatever the bytes, quickly and in one line."""

from __future__ import annotations

import functools
import time
import tracemalloc
from collections.abc import Iterator
from importlib import resources
from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fakes.tiny_describer import GOLDEN
from kinpack.errors import CodecError
from kinpack.networks.container import CODEC_FILE, DESCRIBER_FILE, read_container
from kinpack.networks.graphs import onnx_reader, protobuf
from kinpack.networks.graphs.network_graph import OPERATORS, Graph
from kinpack.networks.graphs.onnx_reader import read_graph
from kinpack.networks.networks import OnnxNetwork
from tests.handmade_graphs import (
    FUNCTIONS,
    IR_VERSION,
    Steps,
    attribute,
    field,
    graph,
    model,
    node,
    opset,
    tensor,
    value,
    varint,
)

Y = node("Identity", ["x"], "y")


@functools.cache
def shipped() -> dict[str, bytes]:
    """Graphs of the files that come with the package, and of the golden one."""
    package = resources.files("kinpack")
    found: dict[str, bytes] = {}
    for name, data, kind in (
        ("default", (package / "codecs" / "default.kinc").read_bytes(), CODEC_FILE),
        ("photo", (package / "describers" / "photo.kine").read_bytes(), DESCRIBER_FILE),
        ("tiny", GOLDEN.read_bytes(), DESCRIBER_FILE),
    ):
        blobs = read_container(data, where=name, kind=kind).blobs
        plain = {"words", "notices"}  # texts
        found |= {f"{name} {one}": blobs[one] for one in blobs if one not in plain}
    return found


@functools.cache
def example() -> bytes:
    """A small network with attributes of all sorts, and constants of several types."""
    rng = np.random.default_rng(0)
    steps = Steps()
    weight = steps.add("Cast", steps.constant(rng.integers(-9, 9, (4, 2, 3, 3)), np.int8), to=1)
    bias = steps.add("Cast", steps.constant([1.5, 2, 3, 4], np.float16), to=1)
    at = steps.add("Conv", "x", weight, bias, pads=[1, 1, 1, 1], strides=[1, 1], group=1)
    at = steps.add("Clip", at, steps.constant(-9), steps.constant(99))
    at = steps.add("DepthToSpace", at, blocksize=2, mode="CRD")
    rows = [steps.constant([v], np.int64) for v in (-1, -(1 << 31), 3, -1)]
    at = steps.add("Slice", at, *rows)
    at = steps.add("Concat", at, at, axis=-3)
    return steps.to_bytes(at, inputs=["n", 2, "h", "w"])


def as_onnx_reads_it(data: bytes, read: Graph) -> None:
    """The graph that the package onnx makes of the same bytes is the same."""
    if find_spec("onnx") is None:  # a part of the extra learn
        return
    import onnx

    found = onnx.load_from_string(data)
    assert [
        (n.op_type, tuple(n.input), n.output[0], attributes_of(onnx, n)) for n in found.graph.node
    ] == [(n.op, n.inputs, n.output, dict(n.attributes)) for n in read.nodes]
    assert {o.domain: o.version for o in found.opset_import} == {"": read.opset}
    arrays = {t.name: onnx.numpy_helper.to_array(t) for t in found.graph.initializer}
    assert list(arrays) == list(read.constants)
    for name, array in arrays.items():
        ours = read.constants[name]
        assert (ours.dtype, ours.shape) == (array.dtype, array.shape)
        assert ours.tobytes() == array.tobytes()
        assert not ours.flags.writeable
    for theirs, mine in ((found.graph.input, read.input), (found.graph.output, read.output)):
        (one,) = theirs
        sides = one.type.tensor_type.shape.dim
        shape = tuple(
            s.dim_value if s.HasField("dim_value") else s.dim_param or None for s in sides
        )
        assert (one.name, shape) == (mine.name, tuple(v or None for v in mine.shape))


def attributes_of(onnx: Any, found: Any) -> dict[str, Any]:
    values = {a.name: onnx.helper.get_attribute_value(a) for a in found.attribute}
    return {
        name: v.decode() if isinstance(v, bytes) else tuple(v) if isinstance(v, list) else v
        for name, v in values.items()
    }


@pytest.mark.parametrize("name", sorted(shipped()))
def test_shipped_graphs(name: str) -> None:
    read = read_graph(shipped()[name], name=name)
    assert {n.op for n in read.nodes} <= set(OPERATORS)
    assert read.opset == 17
    as_onnx_reads_it(shipped()[name], read)


def test_a_handmade_graph() -> None:
    read = read_graph(example())
    assert [n.op for n in read.nodes[-3:]] == ["Slice", "Concat", "Identity"]
    conv = read.nodes[2]
    assert conv.integers("pads", ()) == (1, 1, 1, 1)
    assert conv.integer("group", 7) == 1
    assert conv.integer("missing", 7) == 7
    assert read.nodes[-2].integer("axis", 0) == -3
    assert read.constants["w1"].tolist() == [1.5, 2, 3, 4]
    as_onnx_reads_it(example(), read)


@pytest.mark.learn
def test_what_the_writers_write() -> None:
    pytest.importorskip("onnx")
    torch = pytest.importorskip("torch")
    from kinpack.learn.freezing.onnx_graph import float_graph
    from kinpack.learn.freezing.traced_graph import traced_graph
    from tests.write_tiny_describer import TinyNetwork

    nn = torch.nn
    layers = nn.Sequential(
        nn.Conv2d(3, 8, 4, 2, 1),
        nn.ReLU(),
        nn.PixelShuffle(2),
        nn.Flatten(),
        nn.Linear(2 * 16 * 16, 5),
    )
    for data in (
        float_graph(layers, inputs=["n", 3, 16, 16], outputs=["n", 5]),
        traced_graph(TinyNetwork(), side=32, exact_below=100),
    ):
        as_onnx_reads_it(data, read_graph(data))
        x = np.ones((2, 3, 32 if b"Erf" in data else 16, 32 if b"Erf" in data else 16), np.float32)
        assert np.isfinite(OnnxNetwork(data, name="net", threads=1)(x)).all()


def typed(dtype: str) -> tuple[int, str]:
    return {"float32": (4, "f"), "int64": (7, "i")}.get(dtype, (5, "i"))


@settings(deadline=None, max_examples=60)
@given(
    dtype=st.sampled_from(["float32", "float16", "uint8", "int8", "int16", "int32", "int64"]),
    count=st.integers(1, 5),
    seed=st.integers(0, 99),
    packed=st.booleans(),
)
def test_typed_fields_hold_what_raw_ones_hold(
    dtype: str, count: int, seed: int, packed: bool
) -> None:
    rng = np.random.default_rng(seed)
    size = np.dtype(dtype).itemsize
    values = np.frombuffer(rng.bytes(count * size), dtype)
    if dtype.startswith("float"):
        values = rng.normal(size=count).astype(dtype)
    number, kind = typed(dtype)
    bits = values.view(np.uint16) if dtype == "float16" else values
    if kind == "f":
        parts = [bits[i : i + 1].tobytes() for i in range(count)]
        loose = b"".join(varint(number << 3 | 5) + part for part in parts)
    else:
        parts = [varint(int(v)) for v in bits]
        loose = b"".join(field(number, int(v)) for v in bits)
    rows = field(number, b"".join(parts)) if packed else loose
    whole = tensor("w", values[:0], dims=[count])
    without_raw = whole[: -len(field(9, b""))] + rows
    data = model(graph([Y], [without_raw]))
    read = read_graph(data)
    assert read.constants["w"].dtype == np.dtype(dtype)
    assert read.constants["w"].tobytes() == values.tobytes()
    as_onnx_reads_it(data, read)


def refusal(data: bytes) -> str:
    """What is said of a model by the reader, and by the network, which onnxruntime never sees."""
    with pytest.raises(CodecError) as caught:
        read_graph(data, name="net", owner="describer")
    message = str(caught.value)
    assert message.startswith("network 'net' of the describer does not load (")
    assert message.endswith("): the describer file is faulty; make it anew")
    assert "\n" not in message
    assert len(message) < 700
    return message


W = tensor("w", np.ones((2, 2), np.float32))
BODY = graph([Y])


def hostile() -> Iterator[tuple[str, bytes, str]]:
    """Models that are refused: name, bytes, and a part of what is said."""
    external = field(13, field(1, "location") + field(2, "../../etc/passwd"))
    empty = W[: -len(field(9, np.ones((2, 2), np.float32).tobytes()))]
    yield "external data", model(graph([Y], [empty + external + field(14, 1)])), "other files"
    yield "external place", model(graph([Y], [W + field(14, 1)])), "another file"
    yield "operator", model(graph([node("Loop", ["x"], "y")])), "operator 'Loop'"
    yield "operator If", model(graph([node("If", ["x"], "y")])), "operator 'If'"
    yield "strange operator", model(graph([node("a\nb" * 9, ["x"], "y")])), r"'a\nba\nb"
    yield "no operator", model(graph([field(1, "x") + field(2, "y")])), "no operator"
    sub = field(1, "then_branch") + field(6, graph([Y])) + field(20, 5)
    yield "subgraph", model(graph([Y + field(5, sub)])), "graphs within"
    subs = field(1, "body") + field(11, graph([Y])) + field(20, 10)
    yield "subgraphs", model(graph([Y + field(5, subs)])), "graphs within"
    yield "domain", model(graph([Y + field(7, "com.microsoft")])), "domain 'com.microsoft'"
    two = [opset(17), opset(1, "com.microsoft")]
    yield "domain of operators", model(BODY, opsets=two), "domain 'com.microsoft'"
    yield "domain ai.onnx", model(BODY, opsets=[opset(17, "ai.onnx")]), "domain 'ai.onnx'"
    yield "function", model(BODY, more=field(FUNCTIONS, field(1, "F"))), "functions"
    yield "metadata", model(BODY, more=field(14, field(1, "k") + field(2, "v"))), "metadata"
    yield "training", model(BODY, more=field(20, b"")), "training"
    yield "opset 18", model(BODY, opsets=[opset(18)]), "operator set 18"
    yield "opset 12", model(BODY, opsets=[opset(12)]), "operator set 12"
    yield "opset -1", model(BODY, opsets=[opset(-1)]), "operator set -1"
    yield "no opset", model(BODY, opsets=[]), "0 operator sets"
    yield "two opsets", model(BODY, opsets=[opset(17), opset(16)]), "2 operator sets"
    yield "no version", field(7, BODY) + field(8, opset(17)), "no format version"
    yield "format 11", field(IR_VERSION, 11) + field(7, BODY) + field(8, opset(17)), "format 11"
    yield "no graph", model([]), "no graph"
    yield "two graphs", model([BODY, BODY]), "two graph"
    yield "nothing", b"", "no format version"
    yield "unknown field", model(BODY) + field(99, 1), "field 99"
    yield "field 0", model(BODY) + b"\x00\x00", "field 0"
    yield "group", model(BODY) + varint(99 << 3 | 3), "field 99"
    yield "sort", model(BODY) + varint(7 << 3 | 3), "two graph"
    yield "fixed", varint(1 << 3 | 1) + bytes(8) + model(BODY), "sort 1"
    yield "string as number", varint(1 << 3 | 5) + bytes(4), "sort 5"
    cycle = [node("Relu", ["b"], "a"), node("Relu", ["a"], "b"), node("Add", ["a", "x"], "y")]
    yield "cycle", model(graph(cycle)), "before it is there"
    yield "itself", model(graph([node("Add", ["x", "y"], "y")])), "before it is there"
    yield "nameless", model(graph([node("Relu", [""], "y")])), "before it is there"
    yield "twice", model(graph([node("Relu", ["x"], "y"), Y])), "two values are named 'y'"
    yield "over the input", model(graph([node("Relu", ["x"], "x"), Y])), "two values are named 'x'"
    twin = tensor("x", np.ones(3, np.float32))
    yield "constant over the input", model(graph([Y], [twin])), "two values are named 'x'"
    yield "constants of one name", model(graph([Y], [W, W])), "two values are named 'w'"
    two_given = node("Relu", ["x"], "y") + field(2, "z")
    yield "two outputs of a node", model(graph([two_given])), "gives 2"
    yield "no output of a node", model(graph([field(1, "x") + field(4, "Relu")])), "gives 0"
    yield "no such output", model(graph([node("Relu", ["x"], "z")])), "no node gives"
    not_made = graph([Y], outputs=[value("x", ["n"])])
    yield "output that is the input", model(not_made), "no node gives"
    xs = [value("x", ["n"]), value("z", ["n"])]
    yield "two inputs", model(graph([Y], inputs=xs)), "takes something else than one"
    yield "no inputs", model(graph([Y], inputs=[])), "takes something else than one"
    ys = [value("y", ["n"]), value("z", ["n"])]
    yield "two outputs", model(graph([Y], outputs=ys)), "gives something else than one"
    double = graph([Y], outputs=[value("y", ["n"], kind=11)])
    yield "double", model(double), "gives something else than one float32 array"
    sequence = field(1, "x") + field(2, field(4, b""))
    yield "sequence", model(graph([Y], inputs=[sequence])), "field 4"
    yield "sides", model(graph([Y], inputs=[value("x", [1] * 9)])), "more than 8 sides"
    for side in (0, -1, 1 << 40):
        yield f"side {side}", model(graph([Y], inputs=[value("x", [side])])), "make no sense"
    yield "inner types", model(graph([Y], more=field(13, value("v", ["n"])))), "inner values"
    yield "sparse", model(graph([Y], more=field(15, b""))), "sparse"
    yield "quantisation", model(graph([Y], more=field(14, b""))), "quantisation"
    for dims in ([1 << 40], [1 << 30, 1 << 30, 1 << 30], [-1, -1], [0], [1] * 9, [1 << 63]):
        big = tensor("w", np.ones((2, 2), np.float32), dims=dims)
        yield f"sides {dims}", model(graph([Y], [big])), "'w' has sides|more than|'w' has 16 bytes"
    for dims in ([3], [2, 3], []):
        wrong = tensor("w", np.ones((2, 2), np.float32), dims=dims)
        yield f"wrong sides {dims}", model(graph([Y], [wrong])), "16 bytes for"
    for kind in (0, 8, 9, 11, 16, 22, 99):
        bad = b"".join([field(1, 1), field(2, kind), field(8, "w"), field(9, bytes(8))])
        yield f"type {kind}", model(graph([Y], [bad])), f"type {kind}, which"
    yield "texts", model(graph([Y], [W + field(6, b"a")])), "texts"
    yield "segment", model(graph([Y], [W + field(3, b"")])), "segments"
    yield "numbers twice", model(graph([Y], [W + field(4, 1.0)])), "twice"
    yield "as another type", model(graph([Y], [empty + field(7, 1)])), "as another type"
    few = empty + field(4, 1.0) + field(4, 1.0)
    yield "too few", model(graph([Y], [few])), "2 numbers, 4 expected"
    bare = field(1, 2) + field(2, 3) + field(8, "w")
    yield "int8", model(graph([Y], [bare + field(5, 1) + field(5, 128)])), "out of range"
    yield "nameless constant", model(graph([Y], [field(1, 1) + field(2, 1)])), "no name"
    yield "no type", model(graph([Y], [field(8, "w")])), "no type"
    half = tensor("w", np.ones(3, np.float16))
    added = node("Add", ["x", "w"], "y")
    yield "float16 in arithmetic", model(graph([added], [half])), "of float16, float32 expected"
    shape = tensor("w", np.array([1, 2], np.float32))
    reshaped = node("Reshape", ["x", "w"], "y")
    yield "shape of reals", model(graph([reshaped], [shape])), "int64 expected"
    computed = [node("Cast", ["w"], "v", to=7), node("Reshape", ["x", "v"], "y")]
    yield "computed shape", model(graph(computed, [shape])), "'to' of Cast is 7"
    yield "cast to text", model(graph([node("Cast", ["x"], "y", to=8)])), "'to' of Cast is 8"
    shuffle = node("DepthToSpace", ["x"], "y", blocksize=2, mode="DCR")
    yield "shuffle", model(graph([shuffle])), "'DCR', not 'CRD'"
    yield "few inputs", model(graph([node("Add", ["x"], "y")])), "Add takes 1 values"
    yield "many inputs", model(graph([node("Relu", ["x"] * 2, "y")])), "Relu takes 2 values"
    yield "many to join", model(graph([node("Max", ["x"] * 65, "y")])), "Max takes 65 values"
    yield "lacking", model(graph([node("Concat", ["x"], "y")])), "lacks an attribute"
    doubled = node("Concat", ["x"], "y", axis=1) + field(5, attribute("axis", 2))
    yield "attribute twice", model(graph([doubled])), "has one twice"
    padded = node("Conv", ["x", "w"], "y", auto_pad="SAME_UPPER")
    yield "attribute", model(graph([padded], [W])), "'auto_pad' of Conv is not allowed"
    for other in ("SAME_UPPER", 3):
        wrongly = node("Conv", ["x", "w"], "y", pads=other)
        yield f"type {other}", model(graph([wrongly], [W])), "of another type"
    mixed = field(1, "axis") + field(3, 1) + field(8, 1) + field(20, 2)
    yield "two values", model(graph([node("Concat", ["x"], "y") + field(5, mixed)])), "several"
    huge = node("Concat", ["x"], "y", axis=1 << 31)
    yield "large attribute", model(graph([huge])), "out of range"
    yield "long row", model(graph([node("Conv", ["x", "w"], "y", pads=[0] * 99)], [W])), "several"
    reference = field(1, "axis") + field(20, 2) + field(21, "other")
    with_reference = node("Concat", ["x"], "y") + field(5, reference)
    yield "reference", model(graph([with_reference])), "references"
    for number, data in ((2, 1.0), (5, b""), (7, 1.0), (9, b""), (10, b""), (14, b""), (22, b"")):
        odd = field(5, field(1, "axis") + field(number, data))
        yield f"attribute {number}", model(graph([node("Concat", ["x"], "y") + odd])), "not allowed"
    yield "overload", model(graph([Y + field(8, "v")])), "field 8"
    name = "n" * 300
    yield "long name", model(graph([node("Relu", ["x"], name)])), "more than 256 bytes"
    yield "no text", model(graph([node("Relu", ["x"], "y") + field(3, b"\xff\xfe")])), "no text"
    many = [node("Relu", ["x"], f"v{i}") for i in range(1025)]
    yield "nodes", model(graph(many)), "more than 1024 nodes"
    yield "constants", model(graph([Y], [W] * 1025)), "1024 constants"


CASES = list(hostile())


@pytest.mark.parametrize(("data", "said"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_hostile_graphs(monkeypatch: pytest.MonkeyPatch, data: bytes, said: str) -> None:
    import onnxruntime

    assert any(part in refusal(data) for part in said.split("|"))
    monkeypatch.delattr(onnxruntime, "InferenceSession")
    with pytest.raises(CodecError, match=r"'net' .*does not load"):
        OnnxNetwork(data, name="net")(np.zeros((1, 1, 1, 1), np.float32))


def test_good_ones_are_not_refused() -> None:
    """What the hostile ones are changed from."""
    read_graph(model(BODY))
    read_graph(model(graph([Y], [W])))
    read_graph(model(BODY, opsets=[opset(13, None)]))
    read_graph(model(graph([Y], [W + field(14, 0)])))
    bare = field(1, 2) + field(2, 3) + field(8, "w")
    read_graph(model(graph([Y], [bare + field(5, 1) + field(5, 127)])))
    read_graph(model(graph([node("Max", ["x"] * 64, "y")])))


@pytest.mark.parametrize(
    ("key", "said"),
    [
        (b"\x80" * 9 + b"\x02", "longer than it should"),
        (b"\x80" * 10 + b"\x01", "does not end"),
        (b"\xff" * 10, "does not end"),
        (b"\x88\x00", "longer than it should"),
        (b"\x80", "does not end"),
    ],
)
def test_overlong_numbers(key: bytes, said: str) -> None:
    assert said in refusal(key)
    assert said in refusal(b"\x08" + key)
    row = field(1, "pads") + field(8, key) + field(20, 7)
    message = refusal(model(graph([node("Conv", ["x", "w"], "y") + field(5, row)], [W])))
    assert "longer than it should" in message or "end within a number" in message


def test_lengths_beyond_the_end() -> None:
    for length in (1, 1 << 31, (1 << 64) - 1):
        assert "ends too early" in refusal(varint(7 << 3 | 2) + varint(length))
    assert "end within a number" in refusal(
        model(graph([Y], [field(1, 1) + field(2, 1) + field(8, "w") + field(4, b"abc")]))
    )


@pytest.mark.parametrize("cut", ["example", "tiny network"])
def test_truncated_at_every_length(cut: str) -> None:
    data = shipped()[cut] if cut in shipped() else example()
    for length in range(len(data)):
        with pytest.raises(CodecError):
            read_graph(data[:length])


def harmless(data: bytes, *, run: bool = True) -> None:
    """Bytes are refused, or mean what onnx takes them for, and run or do not."""
    try:
        read = read_graph(data)
    except CodecError as error:
        check_line(error)
        return
    as_onnx_reads_it(data, read)
    shape = [side if isinstance(side, int) and side < 99 else 4 for side in read.input.shape]
    if run:
        try:
            OnnxNetwork(data, name="n", threads=1)(np.ones(shape, np.float32))
        except CodecError as error:
            check_line(error)


def check_line(error: CodecError) -> None:
    assert "\n" not in str(error)


@pytest.mark.slow
def test_flipped_bits_of_every_byte() -> None:
    data = example()
    for place in range(len(data)):
        for bit in (place % 8, (place + 3) % 8):
            broken = bytearray(data)
            broken[place] ^= 1 << bit
            harmless(bytes(broken), run=place % 3 == 0)


@settings(deadline=None, max_examples=100)
@given(
    st.sampled_from(["default analysis", "tiny network"]),
    st.lists(st.tuples(st.integers(0, 1 << 30), st.integers(0, 255)), min_size=1, max_size=3),
)
def test_flipped_bytes(name: str, changes: list[tuple[int, int]]) -> None:
    broken = bytearray(shipped()[name])
    for place, byte in changes:
        broken[place % len(broken)] = byte
    harmless(bytes(broken))


@settings(deadline=None, max_examples=60)
@given(st.binary(max_size=200))
def test_any_bytes(data: bytes) -> None:
    with pytest.raises(CodecError):
        read_graph(data)
    harmless(field(IR_VERSION, 8) + field(7, data) + field(8, opset(17)))


def test_nothing_is_allocated_for_what_is_stated() -> None:
    """Neither memory nor time beyond the bytes that are there."""
    small = tensor("w", np.ones(1, np.float32), dims=[1 << 20])
    nested = varint(7 << 3 | 2) + varint((1 << 63) - 1)
    several = [tensor(f"w{i}", np.ones(1, np.int8), dims=[1 << 25]) for i in range(4)]
    for data in (model(graph([Y], [small])), nested, model(graph([Y], several))):
        tracemalloc.start()
        refusal(data)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 1_000_000


@pytest.mark.slow
@pytest.mark.parametrize(
    "data",
    [
        field(6, b"") * 1000 + bytes(10_000),
        model(graph([Y], [field(1, 1) * (1 << 20)])),
        model(graph([Y + field(5, b"") * 1_000_000])),
        model(graph([Y], [field(1, 1) + field(2, 7) + field(8, "w") + field(7, bytes(1 << 21))])),
        model(graph([node("Relu", ["x"], "y") + field(1, "x") * 300_000])),
    ],
    ids=["fields", "sides", "attributes", "packed", "inputs"],
)
def test_many_small_things_are_refused_in_time(data: bytes) -> None:
    start = time.process_time()
    refusal(data)
    assert time.process_time() - start < 5


def test_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    data = example()
    for name, least in (("MAX_BYTES", len(data)), ("MAX_NODES", 8), ("MAX_WEIGHTS", 82)):
        monkeypatch.setattr(onnx_reader, name, least)
        read_graph(data)
        monkeypatch.setattr(onnx_reader, name, least - 1)
        assert "more than" in refusal(data)
        monkeypatch.undo()
    monkeypatch.setattr(protobuf, "MAX_FIELDS", 100)
    assert "more than 100 fields" in refusal(data)


def test_a_graph_is_checked_once_and_before_onnxruntime_sees_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from kinpack.networks import networks

    read: list[bytes] = []

    def spy(data: bytes, **names: Any) -> Graph:
        read.append(data)
        return read_graph(data, **names)

    monkeypatch.setattr(networks, "read_graph", spy)
    network = OnnxNetwork(example(), name="net")
    assert not read
    x = np.ones((1, 2, 4, 4), np.float32)
    assert np.array_equal(network(x), network(x))
    assert read == [example()]
