from typing import Any

import numpy as np
import pytest
from conftest import OnnxModels

from spcnet.checkpoints import load_checkpoint
from spcnet.export.samples import check_crops

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")


def test_the_network_is_quantised_and_the_decoding_is_not(onnx_models: OnnxModels) -> None:
    from spcnet.export.agreement import agreement
    from spcnet.export.graph import with_outputs
    from spcnet.export.onnx_file import finish
    from spcnet.export.quantise import quantise

    network, card = load_checkpoint(onnx_models.checkpoint)
    quantised = quantise(onnx_models.traced, check_crops(card.codec))
    finished = finish(quantised, card, "keypoints", int8="5 persons of somewhere")
    kernels = {tensor.name: tensor.data_type for tensor in finished.graph.initializer}
    made_by = {name: node for node in finished.graph.node for name in node.output}
    float_convolutions = []
    quantised_convolutions = 0
    for node in finished.graph.node:
        if node.op_type != "Conv":
            continue
        source = made_by.get(node.input[1])
        if source is None:
            float_convolutions.append(node)
        else:
            quantised_convolutions += 1
            assert source.op_type == "DequantizeLinear"
            assert kernels[source.input[0]] == onnx.TensorProto.INT8
    # The first, those that are summed, the last, and DARK's smoothing along each axis.
    first, *summed, last, across, down = float_convolutions
    assert [kernel_shape(finished, node) for node in (first, last, across, down)] == [
        [8, 3, 7, 7], [14, 8, 1, 1], [1, 1, 1, 5], [1, 1, 5, 1]
    ]  # fmt: skip
    added = {name for node in finished.graph.node if node.op_type == "Add" for name in node.input}
    assert summed
    assert all(added & set(node.output) for node in summed)
    assert quantised_convolutions > len(float_convolutions)
    of_heatmaps = {node.name for node in with_outputs(quantised, ["heatmaps"]).graph.node}
    after = {node.op_type for node in finished.graph.node if node.name not in of_heatmaps}
    assert not {"QuantizeLinear", "DequantizeLinear"} & after
    metadata = {entry.key: entry.value for entry in finished.metadata_props}
    assert metadata["precision"] == "int8"
    assert metadata["int8_ranges"] == "5 persons of somewhere"
    found = agreement(finished, network, card.codec, check_crops(card.codec), batches=[1])
    assert 1e-4 < found.heatmaps < 0.5
    assert np.median(found.moved) < 8  # of 64 pixels; an untrained network is no better


def kernel_shape(model: Any, node: Any) -> list[int]:
    (kernel,) = (tensor for tensor in model.graph.initializer if tensor.name == node.input[1])
    return list(kernel.dims)
