"""The graph of an ONNX file: a network, and all that stands before and after it."""

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from spcnet.calibration import Calibration
from spcnet.checkpoints import ModelCard
from spcnet.codec import Codec, normalise
from spcnet.errors import needs_extra
from spcnet.models.network import PoseNetwork
from spcnet.runtime.onnx_files import CROPS, HEATMAPS, KEYPOINTS, SCORES

if TYPE_CHECKING:
    from onnx import ModelProto

OPSET = 18  # onnxruntime 1.14 of 2023 and later
PURPOSE = "spcnet export"


class Curve(nn.Module):
    """A calibration, or without one the limits 0 and 1, as a sum of ramps. Shape: any."""

    begin: Tensor
    end: Tensor
    slopes: Tensor

    def __init__(self, calibration: Calibration | None) -> None:
        super().__init__()
        curve = calibration or Calibration((0.0, 1.0), (0.0, 1.0))
        slopes = np.diff(curve.shares) / np.diff(curve.peaks)
        self.register_buffer("begin", torch.tensor(curve.peaks[:-1]))
        self.register_buffer("end", torch.tensor(curve.peaks[1:]))
        self.register_buffer("slopes", torch.tensor(slopes, dtype=torch.float32))
        self.first = float(curve.shares[0])

    def forward(self, peaks: Tensor) -> Tensor:
        if len(self.slopes) == 0:
            return torch.full_like(peaks, self.first)
        climbed = torch.minimum(peaks.unsqueeze(-1).maximum(self.begin), self.end) - self.begin
        return (climbed * self.slopes).sum(-1) + self.first


class CropsToKeypoints(nn.Module):
    """A network on the CPU in float32, with what its codec does before and after it.

    Shape: crops (N, S, S, 3) uint8 RGB -> keypoints (N, K, 2) in crop pixels, scores (N, K) in
    [0, 1] and heatmaps (N, K, h, w) whose ideal peak is 1.
    """

    def __init__(self, network: PoseNetwork, codec: Codec) -> None:
        super().__init__()
        self.network = network
        self.codec = codec
        self.score = Curve(codec.calibration)

    def forward(self, crops: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        heatmaps = self.codec.activate(self.network.forward_all(normalise(crops)).heatmaps[-1])
        points, peaks = self.codec.decode(heatmaps)
        return points, self.score(peaks), heatmaps


def trace(network: PoseNetwork, card: ModelCard) -> "ModelProto":
    """The ONNX graph of `CropsToKeypoints`, with all three outputs and batches of any size."""
    with needs_extra("onnx", PURPOSE):
        for package in ("onnx", "onnxscript"):
            import_module(package)
    size = card.codec.input_size
    with quiet():
        program = torch.onnx.export(
            CropsToKeypoints(network, card.codec).eval(),
            (torch.zeros(2, size, size, 3, dtype=torch.uint8),),
            dynamo=True,
            opset_version=OPSET,
            input_names=[CROPS],
            output_names=[KEYPOINTS, SCORES, HEATMAPS],
            dynamic_shapes=({0: torch.export.Dim("N")},),
            verbose=False,
        )
        assert program is not None
        model: ModelProto = program.model_proto
    _forget_the_tracing(model)
    _split_kernels(model)
    return with_outputs(model, [KEYPOINTS, SCORES, HEATMAPS])


def with_outputs(model: "ModelProto", names: Sequence[str]) -> "ModelProto":
    """A copy that computes values of these names, and nothing that they do not need.

    They are outputs of the model, or have a shape in its graph.
    """
    cut = type(model)()
    cut.CopyFrom(model)
    graph = cut.graph
    shapes = {value.name: value for value in [*model.graph.output, *model.graph.value_info]}
    needed = set(names)
    kept = []
    for node in reversed(graph.node):
        if needed & set(node.output):
            kept.append(node)
            needed.update(node.input)
    inner = {name for node in kept for name in node.output} - set(names)
    for field, values in (
        (graph.node, kept[::-1]),
        (graph.output, [shapes[name] for name in names]),
        (graph.initializer, [tensor for tensor in graph.initializer if tensor.name in needed]),
        (graph.value_info, [value for name, value in shapes.items() if name in inner]),
    ):
        copies = [type(value).FromString(value.SerializeToString()) for value in values]
        field.clear()
        field.extend(copies)
    return cut


@contextmanager
def quiet() -> Iterator[None]:
    """Keep what exporters tell their developers from the user's screen."""
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    finally:
        logging.disable(before)


def _forget_the_tracing(model: "ModelProto") -> None:
    """Remove where in which source file each node comes from: of no use, and of this machine."""
    graph = model.graph
    values = *graph.value_info, *graph.input, *graph.output, *graph.initializer
    for part in (graph, *graph.node, *values):
        part.ClearField("metadata_props")
        part.ClearField("doc_string")


def _split_kernels(model: "ModelProto") -> None:
    """Store the kernels that `InformationCollection` slices, as many runtimes want constants."""
    from onnx import numpy_helper

    graph = model.graph
    stored = {tensor.name: tensor for tensor in graph.initializer}
    for node in list(graph.node):
        if node.op_type != "Split" or node.input[0] not in stored:
            continue
        kernel = numpy_helper.to_array(stored[node.input[0]])  # (C, S * C, 1, 1)
        slices = np.split(kernel, len(node.output), axis=1)
        for name, part in zip(node.output, slices, strict=True):
            graph.initializer.append(numpy_helper.from_array(part, name))
        graph.node.remove(node)
