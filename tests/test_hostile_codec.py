"""Codec files of senseless content whose checksum holds: refused in one line, never a crash."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

pytest.importorskip("onnx")

from kinpack.codec.codec import Codec
from kinpack.codec.learned.latent_format import LatentFormat
from kinpack.errors import CodecError
from kinpack.networks.container import Container, read_container
from kinpack.networks.onnx_writer import PlainGraph
from tests.tiny_codec import NETWORK, picture, tiny_codec

pytestmark = pytest.mark.learn

Content = tuple[dict[str, Any], dict[str, bytes], dict[str, Any]]


def content() -> Content:
    found = read_container(tiny_codec().to_bytes(), where="tiny")
    return copy.deepcopy(dict(found.header)), dict(found.blobs), dict(found.arrays)


def refusal(change: Callable[[Content], None]) -> str:
    """What is said of a file that was changed, by loading it or else by its first use."""
    parts = content()
    change(parts)
    data = Container(*parts).to_bytes()
    with pytest.raises(CodecError) as caught:
        use(data)
    message = str(caught.value)
    assert "\n" not in message
    return message


def use(data: bytes) -> None:
    codec = Codec.from_bytes(data, where="some.kinc")
    codec.decode(codec.encode([picture(16, 16)], quality=50, classic="never", threads=1))


@pytest.mark.slow
@pytest.mark.parametrize(
    "array",
    [
        "codebooks",
        "code_context",
        "step_units",
        "table_shift",
        "table_counts",
        "table_starts",
        "table_lows",
        "inward_shifts",
    ],
)
def test_arrays_of_a_wrong_sort_are_refused(array: str) -> None:
    def change(to: Callable[[Any], Any]) -> str:
        def apply(parts: Content) -> None:
            parts[2][array] = to(parts[2][array])

        return refusal(apply)

    def drop(parts: Content) -> None:
        del parts[2][array]

    assert f"lacks the array '{array}'" in refusal(drop)
    change(lambda a: a[:0])
    change(lambda a: a[:-1])
    change(lambda a: a.reshape(-1)[0].reshape(()))
    change(lambda a: np.stack([a, a], axis=-1))
    if array == "codebooks":
        change(lambda a: np.full_like(a, np.nan))
    else:
        change(lambda a: a.astype(np.float32))
        change(lambda a: np.full(a.shape, np.iinfo(np.int64).min))
        change(lambda a: np.full(a.shape, np.iinfo(np.int64).max))


@pytest.mark.slow
def test_table_starts_that_wrap_around_are_refused() -> None:
    """Differences of any two int64 may wrap: these rise, it seems, by at least 2 each."""

    def change(parts: Content) -> None:
        top = np.iinfo(np.int64).max
        n = len(parts[2]["table_counts"])
        parts[2]["table_starts"] = np.array([0, top, -top, 0, n], dtype=np.int64)
        parts[2]["table_lows"] = np.zeros(4, dtype=np.int64)

    assert "frequency tables" in refusal(change)


def test_steps_of_0_are_refused() -> None:
    def change(parts: Content) -> None:
        parts[2]["step_units"] = np.zeros(101, dtype=np.int32)

    assert "quality tables" in refusal(change)


def test_a_code_of_another_size_is_refused() -> None:
    def change(parts: Content) -> None:
        parts[2]["code_context"] = parts[2]["code_context"][:, :-1]

    assert "does not fit its payloads" in refusal(change)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["analysis", "code"])
def test_networks_of_a_wrong_sort_are_refused(name: str) -> None:
    def change(graph: bytes | None) -> str:
        def apply(parts: Content) -> None:
            if graph is None:
                del parts[1][name]
            else:
                parts[1][name] = graph

        return refusal(apply)

    blobs = content()[1]
    assert f"lacks the network '{name}'" in change(None)
    assert "does not load" in change(b"")
    assert "does not load" in change(b"no graph at all")
    assert "does not load" in change(blobs[name][: len(blobs[name]) // 2])
    for other in ("analysis", "code"):
        if other != name:
            assert f"network '{name}'" in change(blobs[other])
    any_shape = ["n", "c", "h", "w"]
    writer = PlainGraph([("x", any_shape)])
    at = writer.node("Concat", "x", "x", axis=1)
    assert f"network '{name}'" in change(writer.to_bytes(at, any_shape))


def graph_of(name: str, op: str, *stored: float, **attributes: Any) -> bytes:
    """The codec's own network, its output changed by one more operator."""
    import onnx

    model = onnx.load_from_string(content()[1][name])
    last = model.graph.node[-1]
    inputs = [last.input[0]]
    for i, number in enumerate(stored):
        array = np.array([number], dtype=np.float32)
        model.graph.initializer.append(onnx.numpy_helper.from_array(array, f"more{i}"))
        inputs.append(f"more{i}")
    del model.graph.node[-1]
    model.graph.node.append(onnx.helper.make_node(op, inputs, ["y"], **attributes))
    return bytes(model.SerializeToString())


@pytest.mark.parametrize("factor", [float("nan"), float("inf")])
def test_numbers_that_are_not_finite_are_refused(factor: float) -> None:
    def change(parts: Content) -> None:
        parts[1]["analysis"] = graph_of("analysis", "Mul", factor)

    assert "numbers that are not finite" in refusal(change)


INTEGER_NETWORKS = ["synthesis", "context0", "context1", "context2"]


def of(name: str, change: Callable[[dict[str, Any], dict[str, Any]], Any]) -> str:
    """What is said of a file in which one network of integers was changed."""

    def apply(parts: Content) -> None:
        change(parts[0]["integer_networks"][name], parts[2])

    return refusal(apply)


@pytest.mark.slow
@pytest.mark.parametrize("name", INTEGER_NETWORKS)
def test_networks_of_integers_of_a_wrong_sort_are_refused(name: str) -> None:
    def drop(parts: Content) -> None:
        del parts[0]["integer_networks"][name]

    def forget(parts: Content) -> None:
        del parts[0]["integer_networks"]

    assert f"lacks the network '{name}'" in refusal(drop)
    assert "lacks the network" in refusal(forget)
    others: list[Any] = [None, 7, [], "text", {}, {"layers": [{}]}, {"layers": None}]
    for value in others:

        def put(parts: Content, value: Any = value) -> None:
            parts[0]["integer_networks"][name] = value

        assert f"network '{name}' of the codec" in refusal(put)
    for array in ("weight0", "bias0", "shift0", "read0"):

        def cut(values: Any, arrays: Any, array: str = array) -> None:
            arrays[f"{name}_{array}"] = arrays[f"{name}_{array}"][:-1]

        assert f"network '{name}' of the codec" in of(name, cut)

        def drop_one(values: Any, arrays: Any, array: str = array) -> None:
            del arrays[f"{name}_{array}"]

        lacks = of(name, drop_one)
        assert f"network '{name}' of the codec lacks the array '{name}_{array}'" in lacks
    assert "has 0 layers" in of(name, lambda values, arrays: values["layers"].clear())
    assert "not" in of(name, lambda values, arrays: values["layers"].pop())


@pytest.mark.parametrize("name", INTEGER_NETWORKS)
def test_networks_that_leave_exact_arithmetic_are_refused(name: str) -> None:
    """No result that depends on an engine may choose a table, or be drawn."""

    def change(values: Any, arrays: Any) -> None:
        arrays[f"{name}_bias0"] = np.full_like(arrays[f"{name}_bias0"], (1 << 24) - 1)

    said = of(name, change)
    assert f"network '{name}' of the codec has a layer 0 that leaves exact arithmetic" in said


@pytest.mark.parametrize("name", ["synthesis", "context1"])
def test_networks_that_see_beyond_a_halo_are_refused(name: str) -> None:
    def change(values: Any, arrays: Any) -> None:
        weight = arrays[f"{name}_weight0"]
        arrays[f"{name}_weight0"] = np.zeros((*weight.shape[:2], 7, 7), np.int8)
        if name == "synthesis":  # what sees far are many layers
            for i in range(1, len(values["layers"])):
                weight = arrays[f"{name}_weight{i}"]
                arrays[f"{name}_weight{i}"] = np.zeros((*weight.shape[:2], 7, 7), np.int8)

    assert f"network '{name}' of the codec cannot be run in tiles: it sees" in of(name, change)


def test_a_synthesis_that_gives_other_levels_is_refused() -> None:
    for bounds in ({"high": 256}, {"low": -1}):

        def change(values: Any, arrays: Any, bounds: Any = bounds) -> None:
            values["whole"].update(bounds)

        assert "gives levels beyond 0 to 255" in of("synthesis", change)


def test_huge_numbers_do_no_harm() -> None:
    parts = content()
    parts[1]["analysis"] = graph_of("analysis", "Mul", 1e38)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        use(Container(*parts).to_bytes())


def test_a_synthesis_that_draws_other_pixels_is_refused() -> None:
    def change(values: Any, arrays: Any) -> None:
        arrays["synthesis_whole_bias"] = arrays["synthesis_whole_bias"] + np.int32(16)

    assert "test packets" in of("synthesis", change)


@pytest.mark.parametrize(
    "values",
    [
        {"payloads": []},
        {"payloads": ["zz"]},
        {"payloads": None},
        {"payloads": ["ff" * 50] * 4},  # no book has a word 15
        {"payloads": ["00" * (NETWORK.M // 2 - 1)] * 4},  # shorter than a code
        {"qualities": [0, 1, 2, 3]},
        {"sizes": [[4096, 4096]] * 4},
        {"sizes": [[0, 1]] * 4},
        {"sha256": "0" * 64},
    ],
)
def test_senseless_test_packets_are_refused(values: dict[str, Any]) -> None:
    def change(parts: Content) -> None:
        parts[0]["test"] = {**parts[0]["test"], **values}

    assert "test packets" in refusal(change)


def test_missing_test_packets_are_refused() -> None:
    def change(parts: Content) -> None:
        del parts[0]["test"]

    assert "test packets" in refusal(change)


@pytest.mark.parametrize("value", [7, {}, {"weights": [1], "threshold": 0}, {"weights": "no"}])
def test_senseless_rules_for_classic_payloads_are_refused(value: Any) -> None:
    parts = content()
    parts[0]["classic_rule"] = value
    codec = Codec.from_container(Container(*parts))
    with pytest.raises(CodecError, match="rule for classic payloads"):
        codec.encode([picture(16, 16)], quality=50)


def test_several_or_other_outputs_are_refused() -> None:
    def change(parts: Content) -> None:
        import onnx

        model = onnx.load_from_string(graph_of("analysis", "Cast", to=11))  # float64
        model.graph.output[0].type.tensor_type.elem_type = 11
        parts[1]["analysis"] = bytes(model.SerializeToString())

    assert "something else than one float32 array" in refusal(change)


GOOD = LatentFormat(channels=4, unit=64, limit=99, gain=8.0, steps=((0, 4, 0), (0, 4, 1)))


@pytest.mark.parametrize(
    "values",
    [
        {"channels": 0, "steps": []},
        {"channels": 10**12, "steps": [[0, 10**12, -1]]},
        {"channels": 4.5e300},
        {"channels": float("inf")},
        {"channels": "many"},
        {"channels": None},
        {"unit": 0},
        {"unit": 1 << 40},
        {"limit": 0},
        {"limit": 1 << 20},
        {"gain": 0},
        {"gain": -1},
        {"gain": float("inf")},
        {"gain": float("nan")},
        {"gain": [1]},
        {"steps": []},
        {"steps": None},
        {"steps": 7},
        {"steps": [[0, 4]]},
        {"steps": [[0, 4, -1], [0, 4, -1]]},
        {"steps": [[0, 4, 0]]},
        {"steps": [[0, 4, 0], [0, 4, 2]]},
        {"steps": [[0, 4, -2]]},
        {"steps": [[0, 5, -1]]},
        {"steps": [[-1, 4, -1]]},
        {"steps": [[4, 0, -1], [0, 4, -1]]},
        {"steps": [[0, 10**12, -1]]},
        {"steps": [[i % 4, i % 4 + 1, -1] for i in range(10_000)]},
    ],
)
def test_senseless_latent_formats_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises(CodecError, match="make it anew") as caught:
        LatentFormat.from_dict({**GOOD.to_dict(), **values})
    assert "\n" not in str(caught.value)


def test_missing_latent_formats_are_refused() -> None:
    assert LatentFormat.from_dict(GOOD.to_dict()) == GOOD
    for key in GOOD.to_dict():
        with pytest.raises(CodecError, match=key):
            LatentFormat.from_dict({k: v for k, v in GOOD.to_dict().items() if k != key})


@pytest.mark.parametrize("value", [None, 7, "text", [], {}])
def test_another_sort_of_latent_format_is_refused(value: Any) -> None:
    def change(parts: Content) -> None:
        parts[0]["latent"] = value

    assert "latent format is unreadable" in refusal(change)


@pytest.mark.parametrize("value", ["classic", None, 7, ["learned"]])
def test_another_sort_is_no_learned_codec(value: Any) -> None:
    def change(parts: Content) -> None:
        parts[0]["sort"] = value

    parts = content()
    change(parts)
    codec = Codec.from_container(Container(*parts))
    assert not codec.is_learned
    with pytest.raises(CodecError, match="no learned payloads"):
        codec.learned_coder()
