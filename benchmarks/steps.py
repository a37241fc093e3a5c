"""Where the time goes from a picture's file to its keypoints; the first pose; memory.

    python benchmarks/steps.py default [--precision bf16] [--batch 1 8]

The steps take turns in one run, with one person in a picture of a megapixel. A model is trained, or
a variant's name. Leave the machine alone meanwhile.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import cast, get_args

import torch
from networks import milliseconds

from spcnet.checkpoints import ModelCard, list_models, save_checkpoint
from spcnet.cli.console import progress, say, table
from spcnet.codec import Codec, square_of_box
from spcnet.errors import UserError
from spcnet.evaluation.speed import MEGAPIXEL, interleave, picture_file
from spcnet.inference.estimator import PoseEstimator
from spcnet.models.registry import create_model
from spcnet.runtime.contract import Precision
from spcnet.runtime.plain import TorchBackend
from spcnet.skeletons import MPII16

READ = "read a JPEG of 1 megapixel"
NETWORK = "network"
WHOLE = "all of it in one"
PREDICTION = Path(__file__).with_name("one_prediction.py")
FIRST_POSES = 3  # of fresh processes


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
    command = [sys.executable, str(PREDICTION), model, precision]
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


def main() -> None:
    """Time the steps and print them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", nargs="?", default="default")
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--precision", choices=get_args(Precision), default="fp32")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, help="by default one per core")
    parser.add_argument("--turns", type=int, default=20)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    model, device, turns = arguments.model, arguments.device, arguments.turns
    if arguments.threads is not None:
        torch.set_num_threads(arguments.threads)
    with tempfile.TemporaryDirectory() as folder:
        if model in list_models() and model not in list_models(pretrained=True):
            model = str(save_untrained(model, Path(folder)))
        try:
            estimator = PoseEstimator(model, device=device, precision=arguments.precision)
        except UserError as error:
            parser.error(str(error))
        chosen = cast(Precision, estimator.backend.precision)
        spent = {}
        for size in arguments.batch:
            with progress(f"turns, batch {size}", turns + 1) as report:
                spent[size] = steps(estimator, batch=size, turns=turns, report=report)
        first = first_pose(model, device=device, precision=chosen, times=FIRST_POSES)
        held = memory(model, precision=chosen)
    setting = {
        "model": estimator.describe(), "threads": torch.get_num_threads(), "turns": turns,
        "torch": torch.__version__,
    }  # fmt: skip
    if arguments.json:
        content = {"setting": setting, "milliseconds": spent, "first_pose": first, "memory": held}
        print(json.dumps(content))
        return
    rows = []
    for step in next(iter(spent.values())):
        times = {f"batch {size}, ms/picture": f"{of[step]:.2f}" for size, of in spent.items()}
        rows.append({"Step": step, **times})
    print(table(rows, right=list(rows[0])[1:]))
    for size, of in spent.items():
        crops = sum(of.values()) - of[READ] - of[WHOLE]
        outside = 1 - of[NETWORK] / crops
        say(f"batch {size}: {outside:.1%} of the time from crop to keypoints is not the network's")
    say(f"first pose {first:.2f} s after the command (median of {FIRST_POSES})")
    say(f"{held / 1e6:.0f} MB at most in a process that predicts one picture")
    say(", ".join(f"{name} {value}" for name, value in setting.items()))


if __name__ == "__main__":
    main()
