"""What a run reports while it goes on: to whoever looks on, and to trackers."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from spcnet.codec import denormalise
from spcnet.data.augmentation import make_batch
from spcnet.data.store import Store
from spcnet.metrics.protocols import Score
from spcnet.models.network import PoseNetwork
from spcnet.training.recipe import Recipe
from spcnet.training.trackers import TRACKERS

SAMPLES = 4  # held-out persons that are drawn
SHOWN = 256  # side of a drawn crop, pixels


@dataclass(frozen=True)
class Progress:
    """Where a run stands."""

    step: int  # of the optimiser, done
    steps: int  # of the whole run
    epoch: int  # from 1
    loss: float  # mean over the last steps
    losses: list[float]  # of each supervised output, likewise
    lr: float  # of the last step
    images_per_second: float
    seconds_left: float
    nothing: float | None = None  # the loss of maps that are flat, whatever the crop shows
    score: Score | None = None  # of the held-out persons, where this follows an evaluation
    sources: Mapping[str, Score] = field(default_factory=dict)  # of each data set, where several


class Board:
    """A run's curves and pictures for its recipe's trackers; steps beyond `after` come again."""

    def __init__(self, run_dir: Path, recipe: Recipe, *, after: int = 0) -> None:
        self.trackers = [TRACKERS[name]() for name in recipe.training.trackers]
        for tracker in self.trackers:
            tracker.begin(run_dir, recipe.model_dump(mode="json"), after=after)

    def finish(self) -> None:
        """Write what is left."""
        for tracker in self.trackers:
            tracker.finish()

    def add_losses(self, now: Progress) -> None:
        """The loss of every output, the learning rate and the speed."""
        outputs = {f"loss/output{n}": loss for n, loss in enumerate(now.losses, start=1)}
        speed = {"speed/lr": now.lr, "speed/images_per_second": now.images_per_second}
        self._add({**outputs, "loss/all": now.loss, **speed}, now.step)

    def add_score(self, step: int, score: Score) -> None:
        """A score and that of each joint."""
        name = score.protocol
        limbs = {} if score.mean_limbs is None else {f"{name}/mean_limbs": score.mean_limbs}
        joints = {f"{name} by joint/{joint}": value for joint, value in score.joints.items()}
        self._add({f"{name}/mean": score.mean, **limbs, **joints}, step)

    def _add(self, values: Mapping[str, float], step: int) -> None:
        for tracker in self.trackers:
            tracker.add_values(values, step)

    @torch.no_grad()
    def add_pictures(self, step: int, network: PoseNetwork, store: Store, recipe: Recipe) -> None:
        """Predictions on some persons, and the level that each pixel takes most of."""
        # Drawing needs OpenCV, which training itself does without.
        from PIL import Image

        from spcnet.viz.panels import overlay_heatmaps, overlay_levels
        from spcnet.viz.skeletons import draw_skeleton

        codec = recipe.codec
        rows = np.arange(min(SAMPLES, len(store)))
        like = next(network.parameters())
        batch = make_batch(store, rows, size=codec.input_size, device=like.device)
        was_training = network.training
        outputs = network.eval().forward_all(batch.images.to(like.dtype))
        network.train(was_training)
        heatmaps = codec.activate(outputs.heatmaps[-1]).float()
        points, scores = codec.decode(heatmaps)
        points = (points + 0.5) * (SHOWN / codec.input_size) - 0.5
        shown = denormalise(batch.images)
        lines = []
        for n in range(len(rows)):
            small = Image.fromarray(shown[n].cpu().numpy())
            crop = np.asarray(small.resize((SHOWN, SHOWN), Image.Resampling.BICUBIC))
            found, sure = points[n].cpu().numpy(), scores[n].clamp(0, 1).cpu().numpy()
            panels = [draw_skeleton(crop, found, sure, store.skeleton)]
            panels.append(overlay_heatmaps(crop, heatmaps[n].cpu().numpy()))
            if outputs.attention is not None:
                panels.append(overlay_levels(crop, outputs.attention[n].float().cpu().numpy()))
            lines.append(np.concatenate(panels, axis=1))
        for tracker in self.trackers:
            tracker.add_picture("skeleton, heatmaps, level", np.concatenate(lines), step)
