"""A network made ready to run, and the precision that it is run in."""

from collections.abc import Callable
from typing import TypeAlias, get_args

import numpy as np
import torch
from torch import Tensor

from spcnet.devices import give_back_memory, has_bfloat16
from spcnet.errors import UserError
from spcnet.geometry import Array, crop_affine
from spcnet.media.crops import extract_crop
from spcnet.models.network import PoseNetwork
from spcnet.runtime.fused import DTYPES, FusedNetwork, can_fuse
from spcnet.runtime.precision import Precision
from spcnet.synthetic.figure import render_figure

# "auto" takes bf16 where so many of the keypoints of some rendered figures move by no more.
FIGURES = 8
TRUSTED_SHARE = 0.75
TRUSTED_DISTANCE = 0.01  # of the crop's side

# Normalised images to the last raw heatmaps and the attention, as of `FusedNetwork`.
Forward: TypeAlias = Callable[[Tensor], tuple[Tensor, Tensor | None]]


def make_forward(network: PoseNetwork, precision: str, *, consume: bool = False) -> Forward:
    """The fastest form of a network on the device where it is.

    Args:
        network: in evaluation mode.
        precision: of `DTYPES`.
        consume: the network is of no use afterwards, if a `FusedNetwork` comes of it.
    """
    dtype = DTYPES[precision]
    if can_fuse(network):
        fused = FusedNetwork(network, dtype=dtype, consume=consume)
        if consume:
            give_back_memory()
        return fused

    def run(images: Tensor) -> tuple[Tensor, Tensor | None]:
        with torch.autocast(images.device.type, dtype=dtype, enabled=dtype != torch.float32):
            outputs = network.forward_all(images)
        return outputs.heatmaps[-1].float(), outputs.attention

    return run


def choose_precision(
    wanted: Precision, device: torch.device, keypoints: Callable[[str], Array]
) -> tuple[str, str]:
    """The precision to run in, of `DTYPES`, and how that came about, in words.

    Args:
        wanted: by the user.
        device: that runs the network.
        keypoints: finds those of `check_figures` in one precision: (N, K, 2) in sides of the crop.

    Raises:
        UserError: there is no such precision, or the device does not have it.
    """
    if wanted not in get_args(Precision):
        raise UserError(
            f"precision must be one of {', '.join(get_args(Precision))}, got {wanted!r}"
        )
    if wanted == "fp32":
        return "fp32", ""
    if wanted == "int8":
        raise UserError(
            "precision 'int8': torch runs networks in fp32 or bf16; `spcnet export --int8` writes "
            "an .onnx file that onnxruntime and OpenVINO run in int8"
        )
    able = has_bfloat16(device)
    if wanted == "bf16":
        if not able:
            raise UserError(
                f"precision 'bf16': {device} does not multiply bfloat16 in hardware, so that it "
                "would be slower; use 'fp32' or 'auto'"
            )
        return "bf16", " in bf16"
    if not able:
        return "fp32", " in fp32, as bf16 is no faster here"
    distances = np.linalg.norm(keypoints("bf16") - keypoints("fp32"), axis=-1)
    moved = float(np.quantile(distances, TRUSTED_SHARE))
    text = (
        f"{TRUSTED_SHARE:.0%} of {FIGURES} figures' keypoints move by up to {moved:.1%} of the crop"
    )
    if moved > TRUSTED_DISTANCE:
        return "fp32", f" in fp32, as in bf16 {text}"
    return "bf16", f" in bf16 ({text})"


def check_figures(size: int) -> Array:
    """Crops (N, S, S, 3) of rendered figures, by which precision are compared."""
    crops = []
    for number in range(FIGURES):
        figure = render_figure(number).image
        height, width = figure.shape[:2]
        affine = crop_affine(np.array([width, height]) / 2, max(height, width), size)
        crops.append(extract_crop(figure, affine, size))
    return np.stack(crops)
