"""Training speed: our loop beside the usual one, taking turns in one run.

    python benchmarks/training_loop.py [--stacks 8 --width 256 --size 256 --batch 4 --json]

The usual one is an eager fp32 hourglass: every sample is a JPEG that a worker decodes, turns and
crops, with its Gaussian heatmaps drawn joint by joint; mean squared error, RMSProp. What counts is
the ratio of the medians. Leave the machine alone meanwhile.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from reference import ReferenceNetwork
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from spcnet.codec import MEAN, STD
from spcnet.data.annotations import AnnotatedPictures, Annotation
from spcnet.data.augmentation import Batch
from spcnet.data.packing import pack
from spcnet.data.regions import region_rule
from spcnet.data.store import PackedStore
from spcnet.devices import find_device
from spcnet.evaluation.speed import interleave
from spcnet.geometry import Array, apply_affine, crop_affine
from spcnet.skeletons import LSP14
from spcnet.synthetic.figure import render_figure
from spcnet.training.checks import check_recipe
from spcnet.training.distributed import ProcessGroup
from spcnet.training.loop import Run
from spcnet.training.recipe import Recipe, parse_recipe
from spcnet.training.run_dir import RunDirectory
from spcnet.training.task import PoseTask

SIGMA = 1.0
REACH = 3  # of a drawn Gaussian, in standard deviations
PHASES = ("data", "forward", "backward", "optimizer")
PICTURE = (1280, 720)  # width and height of a frame, as MPII's mostly are
FIGURE = 640  # side of the figure in it


class UsualSamples(Dataset[tuple[Tensor, Tensor]]):
    """One person a sample: decode the picture, turn and crop it, draw the heatmaps.

    Args:
        pictures: annotated persons whose pictures are on the disk.
        size: side of the crops in pixels.
        count: samples; persons are taken again and again.
    """

    def __init__(self, pictures: AnnotatedPictures, *, size: int, count: int) -> None:
        rule = region_rule("box", pictures)
        self.size, self.count = size, count
        self.permutation = list(pictures.skeleton.flip_permutation)
        self.samples: list[tuple[Path, Array, Array, float]] = []
        for person in pictures.annotations:
            centre, side = rule(person, (0, 0))
            self.samples.append((pictures.picture(person), person.points, centre, side))

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        import cv2

        path, points, centre, side = self.samples[index % len(self.samples)]
        random = np.random.default_rng(index)
        with Image.open(path) as opened:
            image = np.asarray(opened.convert("RGB"))
        flip = bool(random.random() < 0.5)
        rotation = float(np.clip(random.normal() * 30, -60, 60)) * (random.random() < 0.6)
        scale = float(np.clip(1 + 0.25 * random.normal(), 0.75, 1.25))
        affine = crop_affine(centre, side * scale, self.size, rotation=rotation, flip=flip)
        crop = cv2.warpAffine(image, affine, (self.size, self.size), flags=cv2.INTER_LINEAR)
        pixels = torch.from_numpy(crop).permute(2, 0, 1).float() / 255
        pixels = (pixels * torch.empty(3, 1, 1).uniform_(0.8, 1.2)).clamp_(0, 1)
        mean, std = torch.tensor(MEAN), torch.tensor(STD)
        pixels = (pixels - mean[:, None, None]) / std[:, None, None]
        moved = apply_affine(affine, points)
        if flip:
            moved = moved[self.permutation]
        cells = (moved + 0.5) / 4 - 0.5
        side_of_map = self.size // 4
        heatmaps = torch.from_numpy(np.stack([_draw(cell, side_of_map) for cell in cells]))
        return pixels, heatmaps


def _draw(cell: Array, size: int) -> Array:
    """A Gaussian patch on an empty map."""
    heatmap = np.zeros((size, size), dtype=np.float32)
    x, y = np.rint(cell).astype(int)
    reach = round(REACH * SIGMA)
    if not (-reach <= x < size + reach and -reach <= y < size + reach):
        return heatmap
    steps = np.arange(-reach, reach + 1)
    patch = np.exp(-(steps**2 + steps[:, None] ** 2) / (2 * SIGMA**2))
    left, top = max(0, x - reach), max(0, y - reach)
    right, bottom = min(size, x + reach + 1), min(size, y + reach + 1)
    heatmap[top:bottom, left:right] = patch[
        top - y + reach : bottom - y + reach, left - x + reach : right - x + reach
    ]
    return heatmap


def usual_loss(outputs: Sequence[Tensor], target: Tensor) -> Tensor:
    """Mean squared error, summed over the stacks."""
    return torch.stack([F.mse_loss(output, target) for output in outputs]).sum()


@dataclass(frozen=True)
class Contender:
    """One way to train.

    Attributes:
        name: what it is called.
        step: takes one step and gives the seconds of each of `PHASES`.
    """

    name: str
    step: Callable[[], dict[str, float]]


@dataclass
class Pace:
    """What was measured of a contender.

    Attributes:
        name: of the contender.
        images_per_second: of every turn.
        phases: seconds a step of `PHASES`, of every turn.
    """

    name: str
    images_per_second: list[float] = field(default_factory=list)
    phases: list[dict[str, float]] = field(default_factory=list)

    @property
    def speed(self) -> float:
        """The median over the turns, images/s."""
        return median(self.images_per_second)

    def share(self, phase: str) -> float:
        """Of the time of a step; median over the turns."""
        return median(phases[phase] / sum(phases.values()) for phases in self.phases)


def pace_of(
    contenders: Sequence[Contender],
    *,
    batch: int,
    steps: int,
    turns: int,
    report: Callable[[int], None] = lambda done: None,
) -> list[Pace]:
    """Let every contender take some steps a turn; the first turn warms up.

    Args:
        contenders: at least one.
        batch: images a step.
        steps: of a turn.
        turns: that count.
        report: called with the number of turns done, the first one included.
    """
    phases: dict[str, list[dict[str, float]]] = {contender.name: [] for contender in contenders}

    def turn(contender: Contender) -> None:
        taken = [contender.step() for _ in range(steps)]
        mean = {name: sum(each[name] for each in taken) / steps for name in PHASES}
        phases[contender.name].append(mean)

    calls = {contender.name: partial(turn, contender) for contender in contenders}
    return [
        Pace(
            name=name,
            images_per_second=[batch * steps / each for each in seconds],
            phases=phases[name][-turns:],
        )
        for name, seconds in interleave(calls, turns=turns, report=report).items()
    ]


def draw_pictures(
    folder: Path, count: int, *, size: tuple[int, int] = PICTURE
) -> AnnotatedPictures:
    """Figures in frames of a film's size, as JPEG files: what has to be decoded.

    Args:
        folder: where to; is made.
        count: pictures.
        size: width and height in pixels.
    """
    folder.mkdir(parents=True)
    width, height = size
    side = min(FIGURE, width, height)
    left, top = (width - side) // 2, (height - side) // 2
    annotations = []
    for index in range(count):
        figure = render_figure(index)
        scale = side / figure.image.shape[0]
        person = Image.fromarray(figure.image).resize((side, side), Image.Resampling.BICUBIC)
        around = ((top, height - side - top), (left, width - side - left), (0, 0))
        frame = np.pad(np.asarray(person), around, mode="symmetric" if side > left else "edge")
        name = f"frame{index:03d}.jpg"
        Image.fromarray(frame).save(folder / name, quality=90)
        points = (figure.points + 0.5) * scale - 0.5 + [left, top]
        annotations.append(Annotation(image=name, points=points, states=figure.states))
    return AnnotatedPictures(
        name="frames", split="all", skeleton=LSP14, annotations=annotations, images=folder
    )


def our_recipe(
    *,
    variant: str,
    stacks: int,
    width: int,
    size: int,
    batch: int,
    precision: str,
    checkpointing: bool = False,
) -> Recipe:
    """The paper's recipe at the sizes of a comparison."""
    values: dict[str, Any] = {
        "name": "bench",
        "model": {
            "variant": variant,
            "arguments": {"stacks": stacks, "channels": width},
            "input_size": size,
        },
        "data": {"dataset": "store"},
        "training": {
            "batch_size": batch,
            "precision": precision,
            "checkpointing": checkpointing,
            "epochs": 10_000,
        },
    }
    recipe = parse_recipe(values, source="bench")
    check_recipe(recipe)
    return recipe


class _TimedTask(PoseTask):
    """One that keeps the seconds of its phases."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.clock = _Clock(self.processes.device)

    def batch(self, epoch: int, rows: Array) -> Any:
        with self.clock.phase("data"):
            return super().batch(epoch, rows)

    def losses(self, forward: nn.Module, batch: Batch) -> Tensor:
        with self.clock.phase("forward"):
            return super().losses(forward, batch)


class _Clock:
    """Seconds of the phases of a step; what is not timed itself is the backward pass."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.seconds = dict.fromkeys(PHASES, 0.0)

    def now(self) -> float:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter()

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        began = self.now()
        yield
        self.seconds[name] += self.now() - began

    def watch(self, optimizer: torch.optim.Optimizer) -> None:
        began = [0.0]

        def before(*_: Any) -> None:
            began[0] = self.now()

        def after(*_: Any) -> None:
            self.seconds["optimizer"] += self.now() - began[0]

        optimizer.register_step_pre_hook(before)
        optimizer.register_step_post_hook(after)

    def step(self, work: Callable[[], object]) -> dict[str, float]:
        self.seconds = dict.fromkeys(PHASES, 0.0)
        began = self.now()
        work()
        total = self.now() - began
        return {**self.seconds, "backward": total - sum(self.seconds.values())}


def our_loop(
    name: str, recipe: Recipe, store: PackedStore, folder: Path, device: torch.device
) -> Contender:
    """Our training loop on a packed store."""
    processes = ProcessGroup(device=device)
    task = _TimedTask(recipe, store, processes=processes)
    run = Run(recipe, task, RunDirectory(folder), processes)
    task.clock.watch(run.optimizer)
    batches = run.batches()

    def work() -> None:
        epoch, indices = next(batches)
        run.take_step(epoch, indices)

    return Contender(name, lambda: task.clock.step(work))


def usual_loop(
    name: str,
    pictures: AnnotatedPictures,
    *,
    stacks: int,
    width: int,
    size: int,
    batch: int,
    loaders: int,
    device: torch.device,
) -> Contender:
    """The usual loop on the pictures themselves.

    Args:
        name: what to call it.
        pictures: to learn from.
        stacks: of the hourglass.
        width: its channels.
        size: side of the crops in pixels.
        batch: images a step.
        loaders: processes that decode; 0 decodes between the steps.
        device: where to train.
    """
    torch.manual_seed(0)
    network = ReferenceNetwork(joints=len(pictures.skeleton), stacks=stacks, width=width)
    network = network.to(device).train()
    optimizer = torch.optim.RMSprop(network.parameters(), lr=2.5e-4)
    samples = UsualSamples(pictures, size=size, count=1_000_000)
    batches = iter(DataLoader(samples, batch_size=batch, num_workers=loaders))
    clock = _Clock(device)
    clock.watch(optimizer)

    def work() -> None:
        with clock.phase("data"):
            images, target = (tensor.to(device) for tensor in next(batches))
        with clock.phase("forward"):
            loss = usual_loss(network(images), target)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        loss.item()

    return Contender(name, lambda: clock.step(work))


def compare_training(
    folder: Path,
    *,
    stacks: int = 8,
    width: int = 256,
    size: int = 256,
    batch: int = 4,
    steps: int = 1,
    turns: int = 5,
    loaders: int = 2,
    pictures: int = 48,
    device: torch.device | None = None,
    report: Callable[[int], None] = lambda done: None,
) -> list[Pace]:
    """The usual loop and ours, the latter on the same hourglass and on SPCNet, fp32 and bf16.

    Args:
        folder: for the pictures and the store; should be empty.
        stacks: of every network.
        width: of every network.
        size: side of the crops in pixels.
        batch: images a step.
        steps: of a turn.
        turns: that count.
        loaders: processes that decode for the usual loop.
        pictures: drawn to learn from.
        device: by default the CPU.
        report: called with the number of turns done.

    Returns:
        The usual loop first.

    Raises:
        UserError: the networks do not take these sizes.
    """
    device = device or torch.device("cpu")
    recipes = {
        f"our loop, {variant.partition('_')[0]}, {precision}": our_recipe(
            variant=variant, stacks=stacks, width=width, size=size, batch=batch, precision=precision
        )
        for variant in ("hourglass_s8_w256", "spcnet_s8_w256")
        for precision in ("fp32", "bf16")
    }
    drawn = draw_pictures(folder / "pictures", max(pictures, batch))
    pack(drawn, folder / "store", side=size)
    store = PackedStore(folder / "store")
    contenders = [
        usual_loop(
            "usual loop, hourglass, fp32", drawn, stacks=stacks, width=width, size=size,
            batch=batch, loaders=loaders, device=device,
        )
    ]  # fmt: skip
    for name, recipe in recipes.items():
        contenders.append(our_loop(name, recipe, store, folder / "run", device))
    return pace_of(contenders, batch=batch, steps=steps, turns=turns, report=report)


def main() -> None:
    """Read the arguments, measure, and print a line for each loop, or one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, value in (("stacks", 8), ("width", 256), ("size", 256), ("batch", 4), ("turns", 5),
                        ("loaders", 2), ("pictures", 48), ("steps", 0)):  # fmt: skip
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--json", action="store_true")
    setting = vars(parser.parse_args())
    as_json, device = setting.pop("json"), find_device(setting.pop("device"))
    setting["steps"] = setting["steps"] or (50 if device.type == "cuda" else 1)
    with tempfile.TemporaryDirectory() as folder:
        paces = compare_training(Path(folder), device=device, **setting)
    setting |= {
        "device": str(device), "threads": torch.get_num_threads(), "torch": torch.__version__
    }  # fmt: skip
    usual = paces[0]
    contenders = [
        {"name": p.name, "images_per_second": p.images_per_second, "phases": p.phases,
         "ratio": p.speed / usual.speed}
        for p in paces
    ]  # fmt: skip
    if as_json:
        print(json.dumps({"setting": setting, "contenders": contenders}))
        return
    for pace in paces:
        phases = ", ".join(f"{phase} {pace.share(phase):.0%}" for phase in PHASES)
        print(f"{pace.name}: {pace.speed:.2f} images/s, {pace.speed / usual.speed:.2f} ({phases})")
    print(", ".join(f"{name} {value}" for name, value in setting.items()))


if __name__ == "__main__":
    main()
