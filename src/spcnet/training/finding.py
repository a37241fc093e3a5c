"""Training a finder: whole pictures in, person boxes out (see `spcnet.boxmaps`)."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from spcnet.boxmaps import CHANNELS, boxes_of, find_peaks, target_maps
from spcnet.checkpoints import FinderCard
from spcnet.data.scenes import SceneBatch, Scenes, make_scene_batch
from spcnet.metrics.boxes import FoundPersons, score_boxes
from spcnet.metrics.protocols import Score
from spcnet.models.network import PoseNetwork
from spcnet.training.task import Card, Task

MOST = 50  # persons of a picture that are scored
LEAST = 0.05
AT_ONCE = 16  # pictures
SURE = 0.3  # of an output: in a picture that may hold persons without a box it may be right
BOX_WEIGHT = 1.0  # of the boxes' loss beside that of the middles


def finder_losses(outputs: list[Tensor], batch: SceneBatch) -> Tensor:
    """Loss (O,) of each supervised output (B, 5, H, W).

    The focal loss of CornerNet (Law and Deng, ECCV 2018) for the middles, over the number of
    persons, and the logarithm of the boxes' intersection over union, weighted by the target's
    Gaussian. Nothing is asked where a person may be that has no box.
    """
    stride = PoseNetwork.stride
    raw = torch.stack([output.float() for output in outputs])  # (O, B, 5, H, W)
    size = (raw.shape[-2], raw.shape[-1])
    heats, counted, crowds, wanted, weights = [], [], [], [], []
    for boxes, passed, known in zip(batch.boxes, batch.passed, batch.known, strict=True):
        heat, asked = target_maps(boxes, size, stride=stride)
        there = asked >= 0
        box = boxes.new_zeros(*size, 4)
        box[there] = boxes[asked[there]]
        heats.append(heat)
        wanted.append(box)
        weights.append(heat * there)
        crowds.append(_covered(passed, size))
        complete = known[stride // 2 :: stride, stride // 2 :: stride]
        counted.append((complete & ~crowds[-1]) | there)
    heat, weight = torch.stack(heats), torch.stack(weights)  # (B, H, W)
    target = torch.stack(wanted).permute(0, 3, 1, 2)  # (B, 4, H, W)
    sure, crowd = torch.stack(counted), torch.stack(crowds)
    logits = raw[:, :, 0]
    chance = logits.sigmoid()
    # In crowds nothing is asked; in other pictures that are not complete, no firm sighting counts.
    quiet = sure | ((chance.detach() < SURE) & ~crowd)
    peak = heat >= 1 - 1e-4
    right = -((1 - chance) ** 2) * F.logsigmoid(logits) * peak
    wrong = -((1 - heat) ** 4) * chance**2 * F.logsigmoid(-logits) * ~peak * quiet
    persons = max(1, int(peak.sum()))
    middles = (right + wrong).sum((-1, -2, -3)) / persons
    found = boxes_of(raw[:, :, 1:], stride=stride)
    overlap = intersection_over_union(found, target.expand_as(found))
    sides = (-(overlap.clamp_min(1e-3).log()) * weight).sum((-1, -2, -3))
    return middles + BOX_WEIGHT * sides / weight.sum().clamp_min(1.0)


def _covered(regions: Tensor, size: tuple[int, int]) -> Tensor:
    """Cells (H, W) that lie in some region (N, 4) of pixels."""
    covered = torch.zeros(size, dtype=torch.bool, device=regions.device)
    for x0, y0, x1, y1 in (regions / PoseNetwork.stride).round().int().tolist():
        covered[max(0, y0) : y1 + 1, max(0, x0) : x1 + 1] = True
    return covered


def intersection_over_union(one: Tensor, other: Tensor) -> Tensor:
    """Of boxes (..., 4, H, W) x0, y0, x1, y1, cell by cell: (..., H, W)."""
    low = torch.maximum(one[..., :2, :, :], other[..., :2, :, :])
    high = torch.minimum(one[..., 2:, :, :], other[..., 2:, :, :])
    shared = (high - low).clamp_min(0).prod(-3)
    areas = [(box[..., 2:, :, :] - box[..., :2, :, :]).prod(-3) for box in (one, other)]
    union: Tensor = shared / (areas[0] + areas[1] - shared).clamp_min(1e-6)
    return union


class FinderTask(Task):
    """Persons' boxes in whole pictures."""

    store: Scenes
    holdout: Scenes | None
    make_batch = staticmethod(make_scene_batch)
    channels = CHANNELS

    def losses(self, forward: Callable[[Tensor], Any], batch: SceneBatch) -> Tensor:
        return finder_losses(forward(self.images(batch)), batch)

    @torch.no_grad()
    def score(self, network: PoseNetwork) -> tuple[Score, dict[str, Score]]:
        scenes, size = self.holdout, self.recipe.model.input_size
        assert scenes is not None
        was_training = network.training
        network.eval()
        found = []
        for begin in range(0, len(scenes), AT_ONCE):
            rows = np.arange(begin, min(begin + AT_ONCE, len(scenes)))
            batch = make_scene_batch(scenes, rows, size=size)
            maps = network(batch.images.contiguous(memory_format=torch.channels_last))
            pictures = zip(maps, batch.boxes, batch.passed, rows, strict=True)
            for of_picture, boxes, passed, row in pictures:
                seen = find_peaks(of_picture, stride=PoseNetwork.stride, most=MOST, least=LEAST)
                at, scores, truth, hidden = (t.numpy() for t in (*seen, boxes, passed))
                height = float(size * scenes.sizes[row][0] / scenes.sizes[row].max())
                complete = scenes.pictures[row].complete
                found.append(FoundPersons(at, scores, truth, hidden, complete, height))
        network.train(was_training)
        return score_boxes(found), {}

    def card(self, training: dict[str, Any], scores: list[Any], **others: Any) -> Card:
        return FinderCard(
            input_size=self.recipe.model.input_size,
            threshold=scores[-1]["score"]["threshold"] if scores else 0.3,
            training={**training, "pictures": len(self.store)},
            scores=scores,
            **others,
        )
