"""ONNX files that are damaged, hostile, or hold what is not covered: a clear error, whoever wrote them."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import snncc
from snncc.errors import BadFile, BadInput, CannotTrace, SnnccError
from tests.frontends.onnx_networks import random_net, saved, session
from tests.mutations import in_a_process, limits, mutated

Change = Callable[[Any], None]


def small(*nodes: Any, tensors: dict[str, Any] | None = None, shape: tuple[Any, ...] = ("N", 2, 4, 4)) -> Any:
    """A model of *nodes* from x to y."""
    info = helper.make_tensor_value_info
    made = [numpy_helper.from_array(np.asarray(values), name) for name, values in (tensors or {}).items()]
    graph = helper.make_graph(
        list(nodes),
        "small",
        [info("x", TensorProto.FLOAT, shape)],
        [info("y", TensorProto.FLOAT, [None])],
        made,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


def node(operator: str, inputs: str, output: str = "y", **attributes: Any) -> Any:
    return helper.make_node(operator, inputs.split(), [output], name=f"the_{operator}", **attributes)


F = np.float32
REFUSED: dict[str, tuple[Any, str]] = {
    "softmax": (small(node("Softmax", "x")), r"node 'the_Softmax' \(Softmax\): is not covered"),
    "product": (small(node("Mul", "x x")), r"node 'the_Mul' \(Mul\): multiplies two signals"),
    "batch": (
        small(node("Concat", "x x", axis=0)),
        r"node 'the_Concat' \(Concat\): works along the batch axis",
    ),
    "between samples": (
        small(node("Reshape", "x s"), tensors={"s": np.array([4, -1])}),
        "moves numbers between samples",
    ),
    "clip": (
        small(node("Clip", "x a b"), tensors={"a": F(0), "b": F(6)}),
        r"output 'y': reads a signal between 0 and 6 that no QuantizeLinear follows",
    ),
    "scale": (
        small(
            node("QuantizeLinear", "x a b", "q"),
            node("DequantizeLinear", "q a b"),
            tensors={"a": F(-1), "b": np.uint8(0)},
        ),
        r"node 'the_QuantizeLinear' \(QuantizeLinear\): has a scale that is not between",
    ),
    "wide": (
        small(
            node("QuantizeLinear", "x a b", "q"),
            node("DequantizeLinear", "q a b"),
            tensors={"a": F(1), "b": np.uint16(0)},
        ),
        "has 65536 codes; activations of at most 256 are read",
    ),
    "ceil": (
        small(node("MaxPool", "x", kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1)),
        "has ceil_mode, and windows that leave the map",
    ),
    "broken weight": (
        small(node("Conv", "x w"), tensors={"w": np.ones((3, 5, 1, 1), F)}),
        "cannot become a Conv",
    ),
    "huge pad": (
        small(node("Pad", "x p"), tensors={"p": np.array([0, 0, 1 << 19, 0, 0, 0, 1 << 19, 0])}),
        "",
    ),
    "huge pads": (
        small(
            node("Pad", "x p", "z"),
            node("Pad", "z q"),
            tensors={"p": np.array([0, 0, 1 << 19, 0] * 2), "q": np.array([0, 0, 0, 1 << 19] * 2)},
        ),
        r"node 'the_Pad' \(Pad\): yields \d+ numbers; snncc reads at most",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refusals_name_the_node(name: str, tmp_path: Path) -> None:
    model, text = REFUSED[name]
    path = saved(model, tmp_path / "net.onnx")
    if not text:
        snncc.load(path)
        return
    with pytest.raises(CannotTrace, match=text):
        snncc.load(path)


def external(model: Any) -> None:
    tensor = model.graph.initializer[0]
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="/etc/hostname")


def claims(model: Any) -> None:
    model.graph.initializer[0].dims[:] = [1 << 20, 1 << 20]


def claims_more(model: Any) -> None:
    model.graph.initializer[0].dims[:] = [1 << 12, 1 << 12]


def old(model: Any) -> None:
    model.opset_import[0].version = 7


def cycle(model: Any) -> None:
    model.graph.node[0].input[0] = model.graph.node[-1].output[0]


def foreign(model: Any) -> None:
    model.graph.node[0].domain = "com.microsoft"
    model.opset_import.add(domain="com.microsoft", version=1)


DAMAGES: dict[str, tuple[Change, type[SnnccError], str]] = {
    "external": (external, CannotTrace, "in another file, which snncc does not open"),
    "claims": (claims, BadFile, r"claims the shape \(1048576, 1048576\)"),
    "claims more": (claims_more, BadFile, "more than its data holds"),
    "old": (old, CannotTrace, "is written in opset 7; snncc reads 13 to 25"),
    "cycle": (cycle, BadFile, "is no valid ONNX model"),
    "foreign": (foreign, CannotTrace, "belongs to the operators 'com.microsoft'"),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_damage(name: str, tmp_path: Path) -> None:
    model, _ = random_net(3)
    change, error, text = DAMAGES[name]
    change(model)
    with pytest.raises(error, match=text):
        snncc.load(saved(model, tmp_path / "net.onnx"))


def test_other_files(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    with pytest.raises(BadFile, match="cannot be read"):
        snncc.load(path)
    for text in (b"hello", b"\x00" * 64, b"PK\x03\x04"):
        path.write_bytes(text)
        with pytest.raises((BadFile, CannotTrace)):
            snncc.load(path)
    path.write_bytes(b"")
    with pytest.raises(BadFile, match="is empty"):
        snncc.load(path)


def test_open_sizes_need_a_shape(tmp_path: Path) -> None:
    model = small(node("Flatten", "x"), shape=("N", 2, "H", "W"))
    path = saved(model, tmp_path / "net.onnx")
    with pytest.raises(BadInput, match=r"needs the shape of one sample; its input 'x' says \(2, \?, \?\)"):
        snncc.load(path)
    assert snncc.load(path, input_shape=(2, 3, 5)).edges["output"].shape == (30,)
    with pytest.raises(BadInput, match=r"takes samples of shape \(2, \?, \?\), not \(3, 3, 5\)"):
        snncc.load(path, input_shape=(3, 3, 5))
    with pytest.raises(BadInput, match="is one timestep of layout B"):
        snncc.load(path, input_shape=(2, 3, 5), timesteps=4)


def check_mutations(tmp_path: Path, count: int, first: int) -> None:
    """A mutated file is refused with an error of ours, or computes what onnxruntime computes."""
    model, net = random_net(5, has_sums=False)
    while len(model.graph.output) > 1:
        model.graph.output.pop()
    data = model.SerializeToString()
    x = np.random.default_rng(0).integers(0, 256, (2, *net.shapes["x"])).astype(np.float32) / 256
    path = tmp_path / "net.onnx"
    read = unnamed = 0
    for seed in range(first, first + count):
        changed = mutated(random.Random(seed), data)
        path.write_bytes(changed)
        try:
            with limits():
                graph = snncc.load(path)
        except SnnccError as error:
            unnamed += not str(error).startswith(str(path))
            continue
        read += 1
        if read % 5:
            continue
        ours = snncc.compile(graph, precision="float").run(x).outputs["output"]
        try:
            (theirs,) = session(onnx.load_model_from_string(changed)).run(None, {"x": x})
        except Exception:  # the runtime is stricter in places, and has many errors
            continue
        assert np.allclose(ours, theirs, rtol=1e-3, atol=0.5), seed
    assert 0 < read < count
    assert not unnamed


def test_mutated_files(tmp_path: Path) -> None:
    check_mutations(tmp_path, 80, 0)


@pytest.mark.slow
def test_many_mutated_files(tmp_path: Path) -> None:
    in_a_process(check_mutations, (tmp_path, 2000, 1000), (tmp_path, 80, 0))


def test_documentation_lists_every_operator() -> None:
    from snncc.frontends.from_onnx import RULES
    from snncc.frontends.onnx_file import OPSETS

    text = (Path(__file__).parents[2] / "docs" / "onnx.md").read_text()
    assert f"Opset {OPSETS[0]} to {OPSETS[1]}" in text
    assert set(RULES) <= set(text.replace("`", " ").replace(",", " ").split())
