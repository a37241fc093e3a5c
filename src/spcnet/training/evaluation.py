"""Scores of held-out persons while training."""

import warnings
from typing import Any

import numpy as np
import torch

from spcnet.data.augmentation import make_batch
from spcnet.data.datasets import default_protocol
from spcnet.data.store import JoinedStores, Store
from spcnet.heatmaps import HeatmapKind, Refinement, activate, cells_to_pixels, decode
from spcnet.metrics.protocols import GroundTruth, Score, score
from spcnet.models.network import PoseNetwork
from spcnet.training.precision import autocast
from spcnet.training.recipe import Recipe
from spcnet.training.workers import Workers

SEVERAL = "torso-pck"  # the protocol that persons of several data sets are scored by


def refinement_of(kind: HeatmapKind) -> Refinement:
    """How held-out persons are decoded, and what the trained model does by default.

    Where heatmaps are probabilities, the mass about a point says more than the highest cell.
    """
    return "dark" if kind == "gaussian" else "mass"


@torch.no_grad()
def score_store(
    network: PoseNetwork,
    store: Store,
    recipe: Recipe,
    *,
    workers: Workers,
    batch_size: int = 32,
) -> tuple[Score, dict[str, Score]]:
    """Score of a network over the plain crops of a store, and of each source where it has several.

    One data set is scored by its own protocol, several by `SEVERAL`. Every process takes every
    n-th person, so that each is predicted once however many there are; all of them get the scores.
    """
    was_training = network.training
    network.eval()
    size = recipe.model.input_size
    mine = np.arange(workers.rank, len(store), workers.count)
    parts: list[tuple[Any, ...]] = []
    for begin in range(0, len(mine), batch_size):
        rows = mine[begin : begin + batch_size]
        batch = make_batch(store, rows, size=size, device=workers.device)
        images = batch.images.to(next(network.parameters()).dtype)
        with autocast(recipe, workers.device):
            raw = network(images.contiguous(memory_format=torch.channels_last))
        heatmaps = activate(raw, kind=recipe.loss.kind, sigma=recipe.loss.sigma)
        cells, _ = decode(
            heatmaps, refinement=refinement_of(recipe.loss.kind), sigma=recipe.loss.sigma
        )
        found = cells_to_pixels(cells, PoseNetwork.stride)
        parts.append(
            (
                rows,
                *(
                    t.cpu().numpy()
                    for t in (
                        found,
                        batch.points,
                        batch.annotated & ~batch.absent & (batch.trust == 1),
                    )
                ),
            )
        )
    network.train(was_training)
    everyone: list[tuple[Any, ...]] = [
        part for of_worker in workers.gather(parts) for part in of_worker
    ]
    order, predicted, points, annotated = (
        np.concatenate(column) for column in zip(*everyone, strict=True)
    )
    rank = np.argsort(order)
    predicted, points, annotated = predicted[rank], points[rank], annotated[rank]
    references = store.persons.references * size / store.persons.sides
    boxes = _tight_boxes(points, annotated)

    def scored(protocol: str, rows: slice) -> Score:
        labels = GroundTruth(
            points=points[rows],
            annotated=annotated[rows],
            skeleton=store.skeleton,
            boxes=boxes[rows],
            references=references[rows],
        )
        return score(protocol, predicted[rows], labels)

    if not isinstance(store, JoinedStores):
        return scored(default_protocol(store.dataset), slice(None)), {}
    sources = {title: scored(SEVERAL, rows) for title, rows in store.sources.items()}
    return scored(SEVERAL, slice(None)), sources


def _tight_boxes(points: np.ndarray[Any, Any], known: np.ndarray[Any, Any]) -> Any:
    """Boxes (N, 4) of the annotated joints; NaN for a person without any."""
    held = np.where(known[..., None], points, np.nan)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of a person without joints
        return np.concatenate([np.nanmin(held, axis=1), np.nanmax(held, axis=1)], axis=1)
