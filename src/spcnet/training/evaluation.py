"""Scores of held-out persons while training."""

import warnings
from typing import Any

import numpy as np
import torch

from spcnet.data.annotations import has_place
from spcnet.data.augmentation import make_batch
from spcnet.data.datasets import default_protocol
from spcnet.data.store import JoinedStores, Store
from spcnet.errors import UserError
from spcnet.metrics.protocols import LEFT_RIGHT, GroundTruth, Score, score
from spcnet.models.network import PoseNetwork
from spcnet.skeletons import Skeleton
from spcnet.training.distributed import ProcessGroup
from spcnet.training.precision import autocast
from spcnet.training.recipe import Recipe

# The protocols that persons of several data sets are scored by.
SEVERAL = "torso-pck"
OF_ANY_JOINTS = "pck-box"


@torch.no_grad()
def score_store(
    network: PoseNetwork,
    store: Store,
    recipe: Recipe,
    *,
    processes: ProcessGroup,
    batch_size: int = 32,
) -> tuple[Score, dict[str, Score]]:
    """Score of a network over the plain crops of a store, and of each source where it has several.

    One data set is scored by its own protocol, several by `SEVERAL`, or by `OF_ANY_JOINTS` where
    their skeleton lacks what that needs. Every process takes every n-th person, so that each is
    predicted once however many there are; all of them get the scores.
    """
    was_training = network.training
    network.eval()
    codec = recipe.codec
    size = codec.input_size
    mine = np.arange(processes.rank, len(store), processes.count)
    parts: list[tuple[Any, ...]] = []
    for begin in range(0, len(mine), batch_size):
        rows = mine[begin : begin + batch_size]
        batch = make_batch(store, rows, size=size, device=processes.device)
        images = batch.images.to(next(network.parameters()).dtype)
        with autocast(recipe, processes.device):
            raw = network(images.contiguous(memory_format=torch.channels_last))
        found, _ = codec.decode(codec.activate(raw))
        parts.append((rows, *(t.cpu().numpy() for t in (found, batch.points))))
    network.train(was_training)
    everyone: list[tuple[Any, ...]] = [
        part for of_process in processes.gather(parts) for part in of_process
    ]
    order, predicted, points = (np.concatenate(column) for column in zip(*everyone, strict=True))
    rank = np.argsort(order)
    return _scores(store, predicted[rank], points[rank], scale=size / store.persons.sides)


def check_holdout(store: Store) -> None:
    """Find out before a run begins whether its held-out persons can be scored.

    Raises:
        UserError: those of a data set have no label that their protocol needs.
    """
    points = store.persons.points
    _scores(store, points, points, scale=np.ones(len(store)))


def _scores(
    store: Store,
    predicted: np.ndarray[Any, Any],
    points: np.ndarray[Any, Any],
    *,
    scale: np.ndarray[Any, Any],
) -> tuple[Score, dict[str, Score]]:
    """Scores of predictions and labels (N, K, 2) in crops, `scale` (N,) times the regions' size."""
    # Whatever the crop holds: a label outside the picture is one that cannot be found.
    annotated = has_place(store.persons.states)
    references = store.persons.references * scale
    boxes = _tight_boxes(points, annotated)

    def scored(protocol: str, rows: slice, title: str) -> Score:
        labels = GroundTruth(
            points=points[rows],
            annotated=annotated[rows],
            skeleton=store.skeleton,
            boxes=boxes[rows],
            references=references[rows],
        )
        try:
            return score(protocol, predicted[rows], labels)
        except UserError as error:
            raise UserError(f"the held-out persons of {title} cannot be scored: {error}") from None

    everyone = slice(None)
    if not isinstance(store, JoinedStores):
        return scored(default_protocol(store.dataset), everyone, store.dataset), {}
    protocol = _of_several(store.skeleton)
    sources = {title: scored(protocol, rows, title) for title, rows in store.sources.items()}
    return scored(protocol, everyone, "all data sets"), sources


def _of_several(skeleton: Skeleton) -> str:
    """The protocol that persons of several data sets are scored by."""
    limbs = {joint for part in LEFT_RIGHT.values() for joint in part}
    fits = skeleton.torso is not None and limbs <= set(skeleton.joints)
    return SEVERAL if fits else OF_ANY_JOINTS


def _tight_boxes(points: np.ndarray[Any, Any], known: np.ndarray[Any, Any]) -> Any:
    """Boxes (N, 4) of the annotated joints; NaN for a person without any."""
    held = np.where(known[..., None], points, np.nan)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of a person without joints
        return np.concatenate([np.nanmin(held, axis=1), np.nanmax(held, axis=1)], axis=1)
