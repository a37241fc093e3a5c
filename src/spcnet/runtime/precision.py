"""The precision that a network runs in: whether the device has it, and whether it does."""

from collections.abc import Callable
from typing import get_args

import numpy as np
import torch

from spcnet.devices import has_bfloat16
from spcnet.errors import UserError
from spcnet.geometry import Array, crop_affine
from spcnet.media.crops import extract_crop
from spcnet.runtime.contract import Backend, Precision
from spcnet.synthetic.figure import render_figure

# "auto" takes bf16 where so many of the keypoints of some rendered figures move by no more.
FIGURES = 8
TRUSTED_SHARE = 0.75
TRUSTED_DISTANCE = 0.01  # of the crop's side


def choose_precision(
    wanted: Precision, device: torch.device, run_in: Callable[[str], Backend]
) -> tuple[str, str]:
    """``"fp32"`` or ``"bf16"``, and how that came about, in words.

    `run_in` gives the backend in one of the two, of which ``"auto"`` compares the answers.
    """
    if wanted not in (known := get_args(Precision)):
        raise UserError(f"precision must be one of {', '.join(known)}, got {wanted!r}")
    if wanted == "fp32":
        return "fp32", ""
    if wanted == "int8":
        raise UserError(
            "precision 'int8': networks run in fp32 or bf16; `spcnet export --int8` writes an "
            ".onnx file that onnxruntime and OpenVINO run in int8"
        )
    able = has_bfloat16(device)
    if wanted == "bf16" and not able:
        raise UserError(
            f"precision 'bf16': {device} does not multiply bfloat16 in hardware, so that it "
            "would be slower; use 'fp32' or 'auto'"
        )
    if wanted == "bf16":
        return "bf16", " in bf16"
    if not able:
        return "fp32", " in fp32, as bf16 is no faster here"
    distances = np.linalg.norm(_keypoints(run_in("bf16")) - _keypoints(run_in("fp32")), axis=-1)
    moved = float(np.quantile(distances, TRUSTED_SHARE))
    text = (
        f"{TRUSTED_SHARE:.0%} of {FIGURES} figures' keypoints move by up to {moved:.1%} of the crop"
    )
    if moved > TRUSTED_DISTANCE:
        return "fp32", f" in fp32, as in bf16 {text}"
    return "bf16", f" in bf16 ({text})"


def _keypoints(backend: Backend) -> Array:
    """Keypoints (N, K, 2) of rendered figures in sides of the crop."""
    codec = backend.card.codec
    figures = [render_figure(number).image for number in range(FIGURES)]
    side = len(figures[0])
    affine = crop_affine((side / 2, side / 2), side, codec.input_size)
    crops = [extract_crop(figure, affine, codec.input_size) for figure in figures]
    points: Array = backend(np.stack(crops)).decode(codec)[0]
    return points / codec.input_size
