"""Convolutions in eight bits (post-training, static); everything else stays float."""

import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

from spcnet.errors import needs_extra
from spcnet.export.graph import PURPOSE, quiet, with_outputs
from spcnet.geometry import Array
from spcnet.runtime.onnx_files import CROPS, HEATMAPS

if TYPE_CHECKING:
    from onnx import ModelProto

BATCH = 8


def quantise(model: "ModelProto", crops: Array) -> "ModelProto":
    """A copy whose network's convolutions have int8 weights and take and give uint8.

    Weights have a scale for each channel, activations one each, by their range on crops
    (N, S, S, 3) uint8. The first and the last convolution stay float, which costs little and
    matters most, and so do those whose output is added to other features, which may be a hundred
    times as large in one place as in the next, and what follows the heatmaps.
    """
    with needs_extra("onnx", f"{PURPOSE} --int8"):
        import onnx
        from onnxruntime import quantization
    network = with_outputs(model, [HEATMAPS]).graph
    convolutions = [node for node in network.node if node.op_type == "Conv"]
    summed = {name for node in network.node if node.op_type == "Add" for name in node.input}
    chosen = [node.name for node in convolutions[1:-1] if summed.isdisjoint(node.output)]
    batches = ({CROPS: crops[begin : begin + BATCH]} for begin in range(0, len(crops), BATCH))
    with tempfile.TemporaryDirectory() as folder, quiet():
        source, target = (Path(folder) / name for name in ("float.onnx", "int8.onnx"))
        onnx.save(model, source)  # of a model in memory it would move the weights elsewhere
        quantization.quantize_static(
            source,
            target,
            SimpleNamespace(get_next=lambda: next(batches, None)),
            per_channel=True,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
            nodes_to_quantize=chosen,
            op_types_to_quantize=["Conv"],
        )
        return onnx.load(target)
