"""Speed of inference from pictures to keypoints: a whole model, and each step of the way."""

import io
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from spcnet.bench.interleaved import interleave, milliseconds
from spcnet.bench.reference import ReferenceNetwork
from spcnet.checkpoints import ModelCard, save_checkpoint
from spcnet.codec import Codec, square_of_box
from spcnet.errors import UserError
from spcnet.geometry import Array
from spcnet.inference.estimator import PoseEstimator
from spcnet.models.registry import create_model
from spcnet.runtime.contract import Precision
from spcnet.runtime.plain import TorchBackend
from spcnet.skeletons import MPII16
from spcnet.synthetic.figure import render_figure

OURS = "crop to keypoints"
PLAIN = "its network, eager NCHW fp32"
REFERENCE = "8-stack hourglass of the usual kind, 256 px, eager NCHW fp32"

READ = "read a JPEG of 1 megapixel"
NETWORK = "network"
WHOLE = "all of it in one"
MEGAPIXEL = (816, 1224)  # rows and columns


def latency(
    estimator: PoseEstimator,
    *,
    turns: int = 50,
    report: Callable[[int], None] = lambda done: None,
) -> dict[str, float]:
    """Milliseconds an image at batch 1: `OURS`, the `PLAIN` network, and the `REFERENCE`."""
    figure = render_figure(0).image
    side = float(len(figure))
    square = (np.array([side / 2, side / 2]), side)
    device, size = estimator.device, estimator.codec.input_size
    plain = estimator.card.build().eval().to(device)
    usual = ReferenceNetwork(joints=len(estimator.skeleton)).eval().to(device)
    small, large = (torch.rand(1, 3, side, side, device=device) for side in (size, 256))
    calls = {
        OURS: partial(estimator.look, [figure], [square]),
        PLAIN: partial(plain, small),
        REFERENCE: partial(usual, large),
    }
    return milliseconds(calls, turns=turns, device=device, report=report)


def steps(
    estimator: PoseEstimator,
    *,
    batch: int,
    turns: int = 20,
    report: Callable[[int], None] = lambda done: None,
) -> dict[str, float]:
    """Where the time goes between a picture's file and its keypoints, one person a picture.

    Milliseconds a picture of each step by its name, and last of `WHOLE`, the same by
    `PoseEstimator.predict_many`.
    """
    backend = estimator.backend
    if not isinstance(backend, TorchBackend):
        raise UserError(f"{estimator.path}: an .onnx file has its steps in it; name a .safetensors")
    content, box = picture_file(MEGAPIXEL)
    boxes = box[None]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "figure.jpg"
        path.write_bytes(content)
        pictures = [estimator.reader.read(path, boxes)] * batch
        squares = [square_of_box(box)] * batch
        crops = estimator.crops.cut(pictures, squares)
        images = backend.normalise(crops)
        raw, _ = backend.run(images)
        codec, many = estimator.codec, ([path] * batch, [boxes] * batch)
        calls: dict[str, Callable[[], object]] = {
            READ: lambda: list(map(estimator.reader.read, *many)),
            "cut the crop": partial(estimator.crops.cut, pictures, squares),
            "to normalised floats": partial(backend.normalise, crops),
            NETWORK: partial(backend.run, images),
            "heatmaps to keypoints": lambda: codec.decode(codec.activate(raw))[0].cpu().numpy(),
            WHOLE: lambda: list(estimator.predict_many(*many)),
        }
        taken = milliseconds(calls, turns=turns, device=estimator.device, report=report)
    return {name: spent / batch for name, spent in taken.items()}


def first_pose(
    model: str,
    *,
    device: str = "auto",
    precision: Precision = "fp32",
    times: int = 3,
    report: Callable[[int], None] = lambda done: None,
) -> float:
    """Seconds from typing ``spcnet predict photo.jpg`` to its result, median of fresh processes."""
    with tempfile.TemporaryDirectory() as folder:
        photo = Path(folder) / "photo.jpg"
        photo.write_bytes(picture_file(MEGAPIXEL)[0])
        command = [
            *(sys.executable, "-m", "spcnet", "predict", str(photo), "--force"),
            *("--output", str(Path(folder) / "poses"), "--model", model),
            *("--device", device, "--precision", precision),
        ]
        call = partial(subprocess.run, command, check=True, capture_output=True)
        (seconds,) = interleave({"": call}, turns=times, warmups=0, report=report).values()
    return statistics.median(seconds)


def memory(model: str, *, precision: Precision = "fp32") -> int:
    """Bytes that a fresh process holds at most that predicts one picture with its box."""
    command = [sys.executable, "-m", "spcnet.bench.prediction", model, precision]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def save_untrained(variant: str, folder: Path, **arguments: int) -> Path:
    """A model that nobody trained, for 256 px: as fast and as large as one that somebody did.

    The arguments are those of the network that differ from the variant's.
    """
    torch.manual_seed(0)
    network = create_model(variant, num_joints=len(MPII16), **arguments)
    codec = Codec(input_size=256, heatmap="gaussian", sigma=1.0)
    card = ModelCard(variant=variant, arguments=dict(arguments), skeleton=MPII16, codec=codec)
    name = "-".join([variant, *(f"{key}{value}" for key, value in arguments.items())])
    path = folder / f"{name}.safetensors"
    save_checkpoint(path, network.state_dict(), card)
    return path


def picture_file(shape: tuple[int, int]) -> tuple[bytes, Array]:
    """A JPEG of so many rows and columns, a figure in its middle; x0, y0, x1, y1 of the figure."""
    height, width = shape
    noise = np.random.default_rng(0).integers(90, 130, (height, width, 3), dtype=np.uint8)
    picture, side = Image.fromarray(noise), min(shape)
    left, top = (width - side) // 2, (height - side) // 2
    picture.paste(Image.fromarray(render_figure(0).image).resize((side, side)), (left, top))
    content = io.BytesIO()
    picture.save(content, "JPEG", quality=90)
    return content.getvalue(), np.array([left, top, left + side, top + side], dtype=float)
