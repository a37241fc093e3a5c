"""What a run learns, apart from how: its batches, its losses, its scores and its card."""

import warnings
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from spcnet.checkpoints import FinderCard, ModelCard
from spcnet.data.annotations import has_place
from spcnet.data.augmentation import Batch, make_batch
from spcnet.data.datasets import default_protocol
from spcnet.data.store import JoinedStores, PackedStore, Store
from spcnet.errors import UserError
from spcnet.geometry import Array
from spcnet.metrics.protocols import GroundTruth, Score, common_protocol, score
from spcnet.models.network import PoseNetwork
from spcnet.skeletons import Skeleton
from spcnet.training.distributed import ProcessGroup
from spcnet.training.losses import Doubts, LabelNoise, Taught, heatmap_loss
from spcnet.training.optimisation import autocast
from spcnet.training.recipe import Recipe
from spcnet.training.weights import Teacher

Card: TypeAlias = ModelCard | FinderCard


class Task:
    """What the tasks share; what is held out is scored while training and never learned from."""

    make_batch: Callable[..., Any] = staticmethod(make_batch)
    channels: int  # maps that the network predicts
    skeleton: Skeleton | None = None  # of the maps, where they are of joints

    def __init__(
        self,
        recipe: Recipe,
        store: Any,
        *,
        holdout: Any = None,
        processes: ProcessGroup | None = None,
    ) -> None:
        self.recipe, self.store, self.holdout = recipe, store, holdout
        self.processes = processes or ProcessGroup()

    def losses(self, forward: Callable[[Tensor], Any], batch: Any) -> Tensor:
        """The losses (O,) of a batch, of each supervised output of a network."""
        raise NotImplementedError

    def loss_of_nothing(self, epoch: int, rows: Array, *, outputs: int) -> float | None:
        """The loss of a network of so many outputs that says nothing; None where that has none."""
        return None

    def score(self, network: PoseNetwork) -> tuple[Score, dict[str, Score]]:
        """Of what is held out, all and by source."""
        raise NotImplementedError

    def card(self, training: dict[str, Any], scores: list[Any], **others: Any) -> Card:
        """What a checkpoint says of itself: how it was trained, the last scores, and the rest."""
        raise NotImplementedError

    def batch(self, epoch: int, rows: Array) -> Any:
        """Some of the store as it is drawn in an epoch."""
        size, augmentation = self.recipe.model.input_size, self.recipe.augmentation
        drawn = {"augmentation": augmentation, "seed": self.recipe.seed, "epoch": epoch}
        return self.make_batch(self.store, rows, size=size, device=self.processes.device, **drawn)

    def images(self, batch: Any) -> Tensor:
        """The images (B, 3, S, S) of a batch as the network takes them."""
        images: Tensor = batch.images.contiguous(memory_format=torch.channels_last)
        return images.double() if self.recipe.training.precision == "fp64" else images

    def random_images(self, number: int, size: int) -> Tensor:
        """Images (B, 3, S, S) of a batch that is none of the run's, the same at any time."""
        random = np.random.default_rng([self.recipe.seed, number])
        if isinstance(self.store, PackedStore):
            rows = random.choice(len(self.store), size, replace=False)
        else:  # in the shares that the network learned from
            rows = self.store.drawn(random)[:size]
        # Pictures are made in full precision, also within what the network runs in.
        with torch.autocast(self.processes.device.type, enabled=False):
            return self.images(self.batch(number, rows))


class PoseTask(Task):
    """Joints in crops of persons."""

    store: Store
    holdout: Store | None

    def __init__(self, recipe: Recipe, store: Store, **others: Any) -> None:
        super().__init__(recipe, store, **others)
        self.skeleton = store.skeleton
        self.channels = len(store.skeleton)
        self.teacher: Teacher | None = None
        if (name := recipe.loss.teacher) is not None:
            self.teacher = Teacher(name, skeleton=store.skeleton, device=self.processes.device)

    def losses(self, forward: Callable[[Tensor], Any], batch: Batch) -> Tensor:
        recipe = self.recipe
        images = self.images(batch)
        taught = None
        with autocast(recipe, self.processes.device):
            if self.teacher is not None:
                cells = images.shape[-1] // PoseNetwork.stride
                share = batch.taught.nan_to_num(recipe.loss.teacher_share)
                taught = Taught(self.teacher.look(images, cells=cells), share, self.teacher.joints)
            outputs = forward(images)
        plan, doubts, noise = recipe.loss, None, None
        if recipe.data.believes_opinions:
            doubts = Doubts(batch.trust, batch.seconds[..., :2], batch.seconds[..., 2])
        if plan.astray or plan.swapped:
            noise = LabelNoise(plan.astray, plan.swapped, self.store.skeleton.flip_permutation)
        return heatmap_loss(
            outputs,
            batch.points.to(images.dtype),
            batch.annotated,
            kind=plan.kind,
            sigma=plan.sigma,
            stride=PoseNetwork.stride,
            absent=batch.absent,
            noise=noise,
            doubts=doubts,
            taught=taught,
        )

    @torch.no_grad()
    def loss_of_nothing(self, epoch: int, rows: Array, *, outputs: int) -> float | None:
        """Of maps that are zero everywhere: no joint anywhere, or one anywhere alike."""

        def flat(images: Tensor) -> list[Tensor]:
            cells = images.shape[-1] // PoseNetwork.stride
            return [images.new_zeros(len(images), self.channels, cells, cells)] * outputs

        return float(self.losses(flat, self.batch(epoch, rows)).sum())

    def score(self, network: PoseNetwork) -> tuple[Score, dict[str, Score]]:
        assert self.holdout is not None
        return score_store(network, self.holdout, self.recipe, processes=self.processes)

    def card(self, training: dict[str, Any], scores: list[Any], **others: Any) -> Card:
        taught = {"teacher": self.teacher.card.training} if self.teacher else {}
        training = {**training, "persons": len(self.store), **taught}
        others |= {"skeleton": self.store.skeleton, "codec": self.recipe.codec}
        return ModelCard(training=training, scores=scores, **others)


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

    One data set is scored by its own protocol, several by `common_protocol`. Every
    process takes every n-th person, so that each is predicted once; all of them get the scores.
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
        parts.append((rows, found.cpu().numpy(), batch.points.cpu().numpy()))
    network.train(was_training)
    everyone = [part for of_process in processes.gather(parts) for part in of_process]
    order, predicted, points = (np.concatenate(column) for column in zip(*everyone, strict=True))
    rank = np.argsort(order)
    return _scores(store, predicted[rank], points[rank], scale=size / store.persons.sides)


def check_holdout(store: Store) -> None:
    """Find out before a run begins whether its held-out persons have the labels to be scored by."""
    points = store.persons.points
    _scores(store, points, points, scale=np.ones(len(store)))


def _scores(
    store: Store, predicted: Array, points: Array, *, scale: Array
) -> tuple[Score, dict[str, Score]]:
    """Scores of predictions and labels (N, K, 2) in crops, `scale` (N,) times the regions' size."""
    # Whatever the crop holds: a label outside the picture is one that cannot be found.
    annotated, skeleton = has_place(store.persons.states), store.skeleton
    references = store.persons.references * scale
    held = np.where(annotated[..., None], points, np.nan)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of a person without joints: NaN
        boxes = np.concatenate([np.nanmin(held, axis=1), np.nanmax(held, axis=1)], axis=1)

    def scored(protocol: str, rows: slice, title: str) -> Score:
        of_each = boxes[rows], references[rows]
        labels = GroundTruth(points[rows], annotated[rows], skeleton, *of_each)
        try:
            return score(protocol, predicted[rows], labels)
        except UserError as error:
            raise UserError(f"the held-out persons of {title} cannot be scored: {error}") from None

    everyone = slice(None)
    if not isinstance(store, JoinedStores):
        return scored(default_protocol(store.dataset), everyone, store.dataset), {}
    protocol = common_protocol(skeleton)
    sources = {title: scored(protocol, rows, title) for title, rows in store.sources.items()}
    return scored(protocol, everyone, "all data sets"), sources
