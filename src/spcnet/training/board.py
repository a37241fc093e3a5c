"""TensorBoard's view of a run: ``tensorboard --logdir RUN``."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from spcnet.codec import denormalise
from spcnet.data.augmentation import make_batch
from spcnet.data.store import Store
from spcnet.errors import needs_extra
from spcnet.metrics.protocols import Score
from spcnet.models.network import PoseNetwork
from spcnet.training.recipe import Recipe

FOLDER = "tensorboard"
SAMPLES = 4  # held-out persons that are drawn
SHOWN = 256  # side of a drawn crop, pixels


def writer_class() -> Any:
    """What writes TensorBoard's files.

    Raises:
        UserError: tensorboard is not installed.
    """
    with needs_extra("train", "training.tensorboard"):
        from torch.utils.tensorboard import SummaryWriter
    return SummaryWriter


class Board:
    """Writes TensorBoard's files into a run directory.

    Args:
        run_dir: the run's directory.
        after: steps that the run has taken; what was written of later ones is forgotten.

    Raises:
        UserError: tensorboard is not installed.
    """

    def __init__(self, run_dir: Path, *, after: int = 0) -> None:
        self.writer: Any = writer_class()(str(run_dir / FOLDER), purge_step=after + 1)

    def add_losses(self, step: int, losses: Sequence[float], others: Mapping[str, float]) -> None:
        """The loss of every output, and other numbers of a step."""
        for n, value in enumerate(losses, start=1):
            self.writer.add_scalar(f"loss/output{n}", value, step)
        self.writer.add_scalar("loss/all", sum(losses), step)
        for name, value in others.items():
            self.writer.add_scalar(f"speed/{name}", value, step)

    def add_score(self, step: int, score: Score) -> None:
        """A score and that of each part and joint."""
        name = score.protocol
        self.writer.add_scalar(f"{name}/mean", score.mean, step)
        if score.mean_limbs is not None:
            self.writer.add_scalar(f"{name}/mean_limbs", score.mean_limbs, step)
        for joint, value in score.joints.items():
            self.writer.add_scalar(f"{name} by joint/{joint}", value, step)

    @torch.no_grad()
    def add_pictures(self, step: int, network: PoseNetwork, store: Store, recipe: Recipe) -> None:
        """Predictions on some persons, and the level that each pixel takes most of."""
        # Drawing needs OpenCV, which training itself does without.
        from PIL import Image

        from spcnet.viz.panels import overlay_heatmaps, overlay_levels
        from spcnet.viz.skeletons import draw_skeleton

        codec = recipe.codec
        rows = np.arange(min(SAMPLES, len(store)))
        device = next(network.parameters()).device
        batch = make_batch(store, rows, size=codec.input_size, device=device)
        was_training = network.training
        outputs = network.eval().forward_all(batch.images.to(next(network.parameters()).dtype))
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
            panels = [
                draw_skeleton(crop, found, sure, store.skeleton),
                overlay_heatmaps(crop, heatmaps[n].cpu().numpy()),
            ]
            if outputs.attention is not None:
                panels.append(overlay_levels(crop, outputs.attention[n].float().cpu().numpy()))
            lines.append(np.concatenate(panels, axis=1))
        self.writer.add_image(
            "skeleton, heatmaps, level", np.concatenate(lines), step, dataformats="HWC"
        )

    def close(self) -> None:
        """Write what is left."""
        self.writer.close()
