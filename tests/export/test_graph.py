import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import OnnxModels

from spcnet.calibration import Calibration
from spcnet.checkpoints import METADATA_KEY, ModelCard, load_checkpoint
from spcnet.codec import Codec
from spcnet.export.graph import OPSET, Curve, with_outputs
from spcnet.heatmaps import HeatmapKind, Refinement
from spcnet.models.registry import create_model
from spcnet.models.variants import variant_names
from spcnet.skeletons import LSP14

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")


@pytest.mark.parametrize(
    "curve",
    [
        Calibration((0.1, 0.2, 0.9), (0.0, 0.5, 0.95)),
        Calibration((0.0, 0.3, 0.31), (0.2, 0.2, 1.0)),
        Calibration((0.4,), (0.7,)),
    ],
    ids=["rising", "flat-and-steep", "one-knot"],
)
def test_the_graph_calibrates_as_the_curve_does(curve: Calibration) -> None:
    peaks = np.array([[-0.5, 0.0, 0.1, 0.15, 0.2], [0.3, 0.305, 0.5, 0.9, 6.0]], np.float32)
    scores = Curve(curve)(torch.from_numpy(peaks)).numpy()
    assert scores == pytest.approx(curve(peaks), abs=1e-5)
    assert scores.dtype == np.float32


def test_without_a_calibration_scores_are_peaks_within_0_and_1() -> None:
    peaks = torch.tensor([-0.2, 0.0, 0.25, 1.0, 3.0])
    assert Curve(None)(peaks).tolist() == [0.0, 0.0, 0.25, 1.0, 1.0]


FAMILIES: dict[str, tuple[str, dict[str, Any], HeatmapKind, Refinement]] = {
    "hourglass": ("hourglass_s2_w96", {"depth": 1}, "gaussian", "quarter"),
    "dhm": ("dhm_s8_w256", {"depth": 1}, "softmax_absent", "mass"),
    "hourglass_sim": ("hourglass_sim_s8_w256", {"depth": 2}, "softmax", "dark"),
}


def test_all_families_are_tried() -> None:
    tried = {*FAMILIES, "spcnet"}  # the last one in all other tests
    assert {name.rsplit("_s", 1)[0] for name in variant_names()} == tried


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_exports_and_agrees(family: str) -> None:
    from spcnet.export.agreement import agreement
    from spcnet.export.graph import trace
    from spcnet.export.onnx_file import finish
    from spcnet.export.samples import check_crops

    variant, arguments, kind, refinement = FAMILIES[family]
    arguments = {"stacks": 1, "channels": 8, **arguments}
    torch.manual_seed(0)
    network = create_model(variant, num_joints=14, **arguments).eval()
    card = ModelCard(
        variant=variant, arguments=arguments, skeleton=LSP14,
        codec=Codec(input_size=32, heatmap=kind, sigma=1.0, refinement=refinement),
    )  # fmt: skip
    found = agreement(
        finish(trace(network, card), card, "keypoints"),
        network,
        card.codec,
        check_crops(card.codec),
    )
    found.check()


def test_a_file_stands_alone(onnx_models: OnnxModels) -> None:
    network, card = load_checkpoint(onnx_models.checkpoint)
    for path, outputs in (
        (onnx_models.keypoints, {"keypoints": ["N", 14, 2], "scores": ["N", 14]}),
        (onnx_models.heatmaps, {"heatmaps": ["N", 14, 16, 16]}),
    ):
        model = onnx.load(path, load_external_data=False)
        onnx.checker.check_model(model, full_check=True)
        assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", OPSET)]
        (crops,) = model.graph.input
        assert (crops.name, shape(crops)) == ("crops", ["N", 64, 64, 3])
        assert {value.name: shape(value) for value in model.graph.output} == outputs
        metadata = {entry.key: entry.value for entry in model.metadata_props}
        assert ModelCard.from_json(metadata[METADATA_KEY]) == card
        assert json.loads(metadata[METADATA_KEY])["skeleton"]["joints"][12] == "neck"
        assert metadata["precision"] == "float32"
        assert all(tensor.data_location == 0 for tensor in model.graph.initializer)
        stored = sum(np.prod(tensor.dims) for tensor in model.graph.initializer)
        assert stored < 1.1 * sum(p.numel() for p in network.parameters()) + 500


def test_a_file_tells_nothing_of_the_machine_that_made_it(onnx_models: OnnxModels) -> None:
    for path in (onnx_models.keypoints, onnx_models.heatmaps):
        content = path.read_bytes()
        for trace in (b".py", b"site-packages", str(Path.home()).encode(), b"torch.nn"):
            assert trace not in content


def test_every_convolution_has_constant_weights(onnx_models: OnnxModels) -> None:
    graph = onnx.load(onnx_models.heatmaps).graph
    stored = {tensor.name for tensor in graph.initializer}
    kernels = [node.input[1] for node in graph.node if node.op_type == "Conv"]
    assert set(kernels) <= stored
    assert not {"Split", "If", "Loop"} & {node.op_type for node in graph.node}


def test_heatmaps_alone_need_no_decoding(onnx_models: OnnxModels) -> None:
    whole = {node.op_type for node in onnx_models.traced.graph.node}
    cut = with_outputs(onnx_models.traced, ["heatmaps"]).graph
    assert {"ArgMax", "Log"} <= whole - {node.op_type for node in cut.node}
    assert [value.name for value in cut.output] == ["heatmaps"]
    used = {name for node in cut.node for name in node.input}
    assert {tensor.name for tensor in cut.initializer} <= used


def shape(value: Any) -> list[str | int]:
    return [side.dim_param or side.dim_value for side in value.type.tensor_type.shape.dim]
