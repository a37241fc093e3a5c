"""Small ONNX detectors whose answers are known."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def save_model(
    path: Path,
    nodes: list[onnx.NodeProto],
    constants: dict[str, np.ndarray],
    *,
    size: tuple[int | str, int | str] = (64, 64),
    channels: int = 3,
    names: str | None = None,
) -> Path:
    """A model from ``images`` (1, 3, H, W) to ``output``."""
    images = helper.make_tensor_value_info(
        "images", TensorProto.FLOAT, ["batch" if size[0] == "h" else 1, channels, *size]
    )
    output = helper.make_tensor_value_info("output", TensorProto.FLOAT, None)
    held = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "detector", [images], [output], held)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    if names is not None:
        helper.set_model_props(model, {"names": names})
    onnx.save(model, str(path))
    return path


def constant_detector(path: Path, output: np.ndarray, **how: object) -> Path:
    """A detector that says the same of every picture."""
    nodes = [helper.make_node("Identity", ["said"], ["output"])]
    return save_model(path, nodes, {"said": output.astype(np.float32)}, **how)  # type: ignore[arg-type]


def bright_detector(path: Path, *, size: tuple[int | str, int | str] = (64, 64)) -> Path:
    """Finds the one bright rectangle: (1, 1, 6), with score 0 where nothing is bright."""
    node = helper.make_node
    nodes = [
        node("ReduceMin", ["images"], ["grey"], axes=[1], keepdims=0),  # (1, H, W)
        node("Greater", ["grey", "limit"], ["is_bright"]),
        node("Cast", ["is_bright"], ["bright"], to=TensorProto.FLOAT),
        node("ReduceMax", ["bright"], ["score"], axes=[1, 2], keepdims=0),
    ]
    for axis, across in (("x", 1), ("y", 2)):
        nodes += [
            node("ReduceMax", ["bright"], [axis], axes=[across], keepdims=0),
            node("ArgMax", [axis], [f"{axis}_first"], axis=1, keepdims=0),
            node("ArgMax", [axis], [f"{axis}_last"], axis=1, keepdims=0, select_last_index=1),
            node("Cast", [f"{axis}_first"], [f"{axis}0"], to=TensorProto.FLOAT),
            node("Cast", [f"{axis}_last"], [f"{axis}_end"], to=TensorProto.FLOAT),
            node("Add", [f"{axis}_end", "one"], [f"{axis}1"]),
        ]
    nodes += [
        node("Concat", ["x0", "y0", "x1", "y1", "score", "person"], ["row"], axis=0),
        node("Reshape", ["row", "shape"], ["output"]),
    ]
    constants = {
        "limit": np.array(0.8, np.float32),
        "one": np.array([1], np.float32),
        "person": np.array([0], np.float32),
        "shape": np.array([1, 1, 6]),
    }
    return save_model(path, nodes, constants, size=size)


def red_detector(path: Path, *, rows: int, first: list[float]) -> Path:
    """One column or row of a box, then as its score the mean of the input's first channel.

    Args:
        path: of the file.
        rows: how often the box is said.
        first: what stands before the score.
    """
    node = helper.make_node
    nodes = [
        node("Gather", ["images", "zero"], ["channel"], axis=1),
        node("ReduceMean", ["channel"], ["mean"], axes=[1, 2], keepdims=0),
        node("Concat", ["first", "mean"], ["values"], axis=0),
        node("Expand", ["values", "shape"], ["output"]),
    ]
    constants = {
        "zero": np.array(0),
        "first": np.array(first, np.float32),
        "shape": np.array([1, rows, len(first) + 1]),
    }
    return save_model(path, nodes, constants)
