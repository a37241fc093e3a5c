"""What a run learns, apart from how: its batches, its losses, its scores and its card."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from spcnet.checkpoints import ModelCard
from spcnet.data.augmentation import Batch, make_batch
from spcnet.data.datasets import epoch_order
from spcnet.data.store import JoinedStores, Store
from spcnet.geometry import Array
from spcnet.metrics.protocols import Score
from spcnet.models.network import PoseNetwork
from spcnet.training.distributed import ProcessGroup
from spcnet.training.evaluation import score_store
from spcnet.training.losses import Doubts, Taught, heatmap_loss
from spcnet.training.precision import autocast
from spcnet.training.recipe import Recipe
from spcnet.training.teacher import Teacher
from spcnet.training.weights import begin_with

LICENCE = (
    "MIT for the package; the weights were trained on third-party annotations for research: "
    "see NOTICE"
)


class Task:
    """What the tasks share.

    Args:
        recipe: of the run.
        store: to learn from.
        holdout: scored while training and never learned from, or None.
        processes: this one among those of the run; by default it is alone.
    """

    make_batch: Callable[..., Any] = staticmethod(make_batch)

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

    @property
    def channels(self) -> int:
        """Maps that the network predicts."""
        raise NotImplementedError

    def begin_with_weights(self, network: PoseNetwork) -> dict[str, Any]:
        """Take over the recipe's weights; give what their card says of their own training."""
        raise NotImplementedError

    def order(self, epoch: int) -> Array:
        """What is learned from in an epoch, from 1, in order."""
        raise NotImplementedError

    def losses(self, forward: nn.Module, batch: Any) -> Tensor:
        """The losses (O,) of a batch, of each supervised output of a network."""
        raise NotImplementedError

    def score(self, network: PoseNetwork) -> tuple[Score, dict[str, Score]]:
        """Of what is held out, all and by source."""
        raise NotImplementedError

    def card(self, training: dict[str, Any], scores: list[dict[str, Any]]) -> Any:
        """What a checkpoint says of itself.

        Args:
            training: how it was trained.
            scores: of the last evaluation, each with its data.
        """
        raise NotImplementedError

    def facts(self) -> dict[str, Any]:
        """What makes two runs by one recipe learn from the same."""
        opinions = [n for n, p in enumerate(self.recipe.data.parts) if p.opinions is not None]
        return {"persons": len(self.store), "joints": [], "opinions": opinions}

    def batch(self, epoch: int, rows: Array) -> Any:
        """Some of the store as it is drawn in an epoch."""
        return self.make_batch(
            self.store,
            rows,
            size=self.recipe.model.input_size,
            augmentation=self.recipe.augmentation.build(),
            seed=self.recipe.seed,
            epoch=epoch,
            device=self.processes.device,
        )

    def images(self, batch: Any) -> Tensor:
        """The images (B, 3, S, S) of a batch as the network takes them."""
        images: Tensor = batch.images.contiguous(memory_format=torch.channels_last)
        return images.double() if self.recipe.training.precision == "fp64" else images

    def tensors_of(self, batch: Any) -> dict[str, Tensor]:
        """What is kept of a batch that went wrong."""
        return {"images": batch.images}

    def random_images(self, number: int, size: int) -> Tensor:
        """Images (B, 3, S, S) of a batch that is none of the run's, the same at any time."""
        random = np.random.default_rng([self.recipe.seed, number])
        if isinstance(self.store, JoinedStores):  # in the shares that the network learned from
            rows = self.store.drawn(random)[:size]
        else:
            rows = random.choice(len(self.store), size, replace=False)
        # Pictures are made in full precision, also within what the network runs in.
        with torch.autocast(self.processes.device.type, enabled=False):
            return self.images(self.batch(number, rows))


class PoseTask(Task):
    """Joints in crops of persons."""

    store: Store
    holdout: Store | None

    def __init__(self, recipe: Recipe, store: Store, **others: Any) -> None:
        super().__init__(recipe, store, **others)
        self.teacher: Teacher | None = None
        if recipe.loss.teacher is not None:
            device = self.processes.device
            self.teacher = Teacher(recipe.loss.teacher, skeleton=store.skeleton, device=device)

    @property
    def channels(self) -> int:
        """One map a joint."""
        return len(self.store.skeleton)

    def begin_with_weights(self, network: PoseNetwork) -> dict[str, Any]:
        """See `Task`."""
        return begin_with(network, self.recipe, self.store.skeleton)

    def order(self, epoch: int) -> Array:
        """See `Task`."""
        return epoch_order(self.store, seed=self.recipe.seed, epoch=epoch)

    def losses(self, forward: nn.Module, batch: Batch) -> Tensor:
        """See `Task`."""
        recipe = self.recipe
        double = recipe.training.precision == "fp64"
        images = self.images(batch)
        taught = None
        with autocast(recipe, self.processes.device):
            if self.teacher is not None:
                cells = images.shape[-1] // PoseNetwork.stride
                share = batch.taught.nan_to_num(recipe.loss.teacher_share)
                taught = Taught(self.teacher.look(images, cells=cells), share, self.teacher.joints)
            outputs = forward(images)
        doubts = None
        if recipe.data.believes_opinions:
            doubts = Doubts(batch.trust, batch.seconds[..., :2], batch.seconds[..., 2])
        return heatmap_loss(
            outputs,
            batch.points.double() if double else batch.points,
            batch.annotated,
            kind=recipe.loss.kind,
            sigma=recipe.loss.sigma,
            stride=PoseNetwork.stride,
            absent=batch.absent,
            noise=recipe.loss.noise(self.store.skeleton),
            doubts=doubts,
            taught=taught,
        )

    def tensors_of(self, batch: Batch) -> dict[str, Tensor]:
        """See `Task`."""
        return {"images": batch.images, "points": batch.points, "annotated": batch.annotated}

    def score(self, network: PoseNetwork) -> tuple[Score, dict[str, Score]]:
        """See `Task`."""
        assert self.holdout is not None
        return score_store(network, self.holdout, self.recipe, processes=self.processes)

    def card(self, training: dict[str, Any], scores: list[dict[str, Any]]) -> ModelCard:
        """See `Task`."""
        from spcnet import __version__

        taught = {"teacher": self.teacher.card.training} if self.teacher else {}
        return ModelCard(
            variant=self.recipe.model.variant,
            arguments=dict(self.recipe.model.arguments),
            skeleton=self.store.skeleton,
            codec=self.recipe.codec,
            training={**training, "persons": len(self.store), **taught},
            scores=scores,
            version=__version__,
            licence=LICENCE,
        )

    def facts(self) -> dict[str, Any]:
        """See `Task`."""
        return super().facts() | {"joints": list(self.store.skeleton.joints)}
