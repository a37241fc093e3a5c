"""Experiment trackers: where a run's curves go beside its own ``log.jsonl``.

A tracker has four methods. Those here write into the run's directory, and send nothing anywhere:
TensorBoard's files, W&B's offline ones (``wandb sync`` sends them later), MLflow's folder.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from spcnet.errors import needs_extra
from spcnet.geometry import Array
from spcnet.registries import Registry


class Tracker(Protocol):
    """Keeps the values and pictures of one run."""

    def begin(self, run_dir: Path, recipe: Mapping[str, Any], *, after: int) -> None:
        """Open the record of a run, whose steps beyond `after` were lost and come again."""

    def add_values(self, values: Mapping[str, float], step: int) -> None:
        """Losses, rates and scores after a step."""

    def add_picture(self, name: str, picture: Array, step: int) -> None:
        """An RGB picture (H, W, 3), uint8."""

    def finish(self) -> None:
        """Write what is left."""


class TensorBoard:
    """``tensorboard --logdir RUN/tensorboard``."""

    def __init__(self) -> None:
        with needs_extra("train", "training.trackers: tensorboard"):
            from torch.utils.tensorboard import SummaryWriter
        self._open: Any = SummaryWriter

    def begin(self, run_dir: Path, recipe: Mapping[str, Any], *, after: int) -> None:
        self._writer = self._open(str(run_dir / "tensorboard"), purge_step=after + 1)

    def add_values(self, values: Mapping[str, float], step: int) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def add_picture(self, name: str, picture: Array, step: int) -> None:
        self._writer.add_image(name, picture, step, dataformats="HWC")

    def finish(self) -> None:
        self._writer.close()


class WandB:
    """Weights and Biases without a network: ``wandb sync RUN/wandb/offline-run-*`` sends it."""

    def __init__(self) -> None:
        with needs_extra("trackers", "training.trackers: wandb"):
            import wandb
        self._wandb: Any = wandb

    def begin(self, run_dir: Path, recipe: Mapping[str, Any], *, after: int) -> None:
        self._run = self._wandb.init(
            project="spcnet", name=recipe["name"], dir=str(run_dir), config=dict(recipe),
            mode="offline", settings=self._wandb.Settings(silent=True),
        )  # fmt: skip

    def add_values(self, values: Mapping[str, float], step: int) -> None:
        self._run.log(dict(values), step=step)

    def add_picture(self, name: str, picture: Array, step: int) -> None:
        self._run.log({name: self._wandb.Image(picture)}, step=step)

    def finish(self) -> None:
        self._run.finish()


class MLflow:
    """MLflow's folder: ``mlflow ui --backend-store-uri RUN/mlflow``, with the variable below."""

    def __init__(self) -> None:
        with needs_extra("trackers", "training.trackers: mlflow"):
            from mlflow import MlflowClient
        self._open: Any = MlflowClient

    def begin(self, run_dir: Path, recipe: Mapping[str, Any], *, after: int) -> None:
        folder = (run_dir / "mlflow").resolve()
        folder.mkdir(exist_ok=True)
        # Folders are out of fashion there, and what a run on a cluster can carry home.
        os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
        self._client = self._open(tracking_uri=folder.as_uri())
        found = self._client.get_experiment_by_name("spcnet")
        self._id = self._client.create_run(
            found.experiment_id if found else self._client.create_experiment("spcnet"),
            run_name=recipe["name"],
        ).info.run_id
        for section, fields in recipe.items():
            values = fields if isinstance(fields, Mapping) else {"": fields}
            for field, value in values.items():
                self._client.log_param(self._id, f"{section}.{field}".rstrip("."), str(value)[:500])

    def add_values(self, values: Mapping[str, float], step: int) -> None:
        for name, value in values.items():
            self._client.log_metric(self._id, name, value, step=step)

    def add_picture(self, name: str, picture: Array, step: int) -> None:
        self._client.log_image(self._id, picture, key=name.replace(", ", "_"), step=step)

    def finish(self) -> None:
        self._client.set_terminated(self._id)


TRACKERS: Registry[type[Tracker]] = Registry(
    "tracker", {"tensorboard": TensorBoard, "wandb": WandB, "mlflow": MLflow}
)
