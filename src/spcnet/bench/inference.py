"""Speed of inference from pictures to keypoints: a whole model, and each step of the way."""

import io
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from spcnet.bench.interleaved import interleave
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
CROP = "cut the crop"
NORMALISE = "to normalised floats"
NETWORK = "network"
PLACE = "heatmaps to keypoints"
WHOLE = "all of it in one"
MEGAPIXEL = (816, 1224)  # rows and columns


def latency(
    estimator: PoseEstimator,
    *,
    turns: int = 50,
    report: Callable[[int], None] = lambda done: None,
) -> dict[str, float]:
    """Milliseconds an image at batch 1, medians of interleaved turns.

    Args:
        estimator: from a picture and a square to keypoints in the picture; `OURS`.
        turns: that count.
        report: called with the number of turns done.

    Returns:
        `OURS`; the network alone in its `PLAIN` form; the `REFERENCE` network alone.
    """
    figure = render_figure(0).image
    side = float(max(figure.shape[:2]))
    square = (np.array([side / 2, side / 2]), side)
    device, size = estimator.device, estimator.codec.input_size
    plain = estimator.card.build().eval().to(device)
    usual = ReferenceNetwork(joints=len(estimator.skeleton)).eval().to(device)
    small, large = (torch.rand(1, 3, side, side, device=device) for side in (size, 256))
    return _milliseconds(
        {
            OURS: partial(estimator.look, [figure], [square]),
            PLAIN: partial(plain, small),
            REFERENCE: partial(usual, large),
        },
        device=device,
        turns=turns,
        report=report,
    )


def steps(
    estimator: PoseEstimator,
    *,
    batch: int,
    turns: int = 20,
    report: Callable[[int], None] = lambda done: None,
) -> dict[str, float]:
    """Where the time goes between a picture's file and its keypoints, one person a picture.

    Args:
        estimator: of a model that torch runs.
        batch: pictures at a time.
        turns: that count.
        report: called with the number of turns done.

    Returns:
        Milliseconds a picture of each step by its name, medians of interleaved turns, and last of
        `WHOLE`: the same by `PoseEstimator.predict_many`.

    Raises:
        UserError: onnxruntime runs the model, in one step.
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

        def read() -> None:
            for _ in range(batch):
                estimator.reader.read(path, boxes)

        def place() -> None:
            estimator.codec.decode(estimator.codec.activate(raw))[0].cpu().numpy()

        def whole() -> None:
            for _ in estimator.predict_many([path] * batch, [boxes] * batch):
                pass

        taken = _milliseconds(
            {
                READ: read,
                CROP: partial(estimator.crops.cut, pictures, squares),
                NORMALISE: partial(backend.normalise, crops),
                NETWORK: partial(backend.run, images),
                PLACE: place,
                WHOLE: whole,
            },
            device=estimator.device,
            turns=turns,
            report=report,
        )
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
    content, _ = picture_file(MEGAPIXEL)
    seconds = []
    with tempfile.TemporaryDirectory() as folder:
        photo = Path(folder) / "photo.jpg"
        photo.write_bytes(content)
        for n in range(times):
            command = [
                *(sys.executable, "-m", "spcnet", "predict", str(photo)),
                *("--output", str(Path(folder) / str(n)), "--model", model),
                *("--device", device, "--precision", precision),
            ]
            began = time.perf_counter()
            subprocess.run(command, check=True, capture_output=True)
            seconds.append(time.perf_counter() - began)
            report(n + 1)
    return statistics.median(seconds)


def memory(model: str, *, precision: Precision = "fp32") -> int:
    """Bytes that a fresh process holds at most that predicts one picture with its box."""
    command = [sys.executable, "-m", "spcnet.bench.prediction", model, precision]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def save_untrained(variant: str, folder: Path, **arguments: int) -> Path:
    """A model that nobody trained, for 256 px: as fast and as large as one that somebody did.

    Args:
        variant: registered.
        folder: where it is written.
        arguments: of the network, other than the variant's.
    """
    torch.manual_seed(0)
    network = create_model(variant, num_joints=len(MPII16), **arguments)
    card = ModelCard(
        variant=variant,
        arguments=dict(arguments),
        skeleton=MPII16,
        codec=Codec(input_size=256, heatmap="gaussian", sigma=1.0),
    )
    name = "-".join([variant, *(f"{key}{value}" for key, value in arguments.items())])
    path = folder / f"{name}.safetensors"
    save_checkpoint(path, network.state_dict(), card)
    return path


def picture_file(shape: tuple[int, int], *, quality: int = 90) -> tuple[bytes, Array]:
    """A JPEG of so many rows and columns, a figure as high as it in its middle; the figure's box.

    Returns:
        The file's content, and x0, y0, x1, y1 in pixels.
    """
    height, width = shape
    noise = np.random.default_rng(0).integers(90, 130, (height, width, 3), dtype=np.uint8)
    picture, side = Image.fromarray(noise), min(shape)
    left, top = (width - side) // 2, (height - side) // 2
    picture.paste(Image.fromarray(render_figure(0).image).resize((side, side)), (left, top))
    content = io.BytesIO()
    picture.save(content, "JPEG", quality=quality)
    return content.getvalue(), np.array([left, top, left + side, top + side], dtype=float)


def _milliseconds(
    contenders: dict[str, Callable[[], object]],
    *,
    device: torch.device,
    turns: int,
    report: Callable[[int], None],
) -> dict[str, float]:
    """Of each contender's turns, the median, until the device has finished."""

    def finished(work: Callable[[], object]) -> Callable[[], None]:
        @torch.inference_mode()
        def call() -> None:
            work()
            if device.type == "cuda":
                torch.cuda.synchronize(device)

        return call

    calls = {name: finished(work) for name, work in contenders.items()}
    taken = interleave(calls, turns=turns, report=report)
    return {
        name: 1000 * statistics.median(turn.seconds for turn in each)
        for name, each in taken.items()
    }
