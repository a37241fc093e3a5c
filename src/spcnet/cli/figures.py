"""Figures as commands write them, and the curves of runs."""

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spcnet.cli.console import prepare_output, replacing
from spcnet.errors import UserError
from spcnet.files import picture_bytes

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from spcnet.geometry import Array

SUFFIXES = (".png", ".pdf", ".svg")


def prepare_figure(output: Path, *, force: bool) -> None:
    """Check that a figure can be written before anything is computed for it.

    Raises:
        UserError: the suffix names no format, the file exists and `force` is off, or the folder
            cannot be written to.
    """
    if output.suffix.lower() not in SUFFIXES:
        raise UserError(
            f"{output}: {output.suffix or 'no suffix'} is no format for a figure; "
            f"let the name end in {', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}"
        )
    prepare_output([output], force=force)


def save_figure(figure: "Figure", output: Path, *, say: Callable[[str], None] = print) -> None:
    """Write a figure in the format of its suffix, and tell where it lies.

    Raises:
        UserError: it cannot be written.
    """
    with replacing(output) as partial:
        partial.write_bytes(picture_bytes(figure, output.suffix[1:].lower()))
    say(str(output))


def draw_runs(runs: Sequence[Path]) -> "Figure":
    """The held-out scores of training runs over the epochs.

    Raises:
        UserError: one of them holds no evaluation, or they follow different protocols.
    """
    logs = [read_run(path) for path in runs]
    protocols = sorted({score["protocol"] for log in logs for score in log.scores})
    if len(protocols) > 1:
        raise UserError(
            f"the runs were scored by different protocols ({', '.join(protocols)}); "
            "draw one figure for each"
        )
    names = short_names([str(path) for path in runs])
    title = f"{protocols[0]}, held out: {logs[0].held_out}"
    if len({log.held_out for log in logs}) > 1:
        title = f"{protocols[0]}, each run's own held-out data"
        names = [f"{name}, {log.held_out}" for name, log in zip(names, logs, strict=True)]
    # The limb joints' mean is a protocol's headline where it has one, as lspet-pck does.
    mean = "mean_limbs" if all(log.has("mean_limbs") for log in logs) else "mean"

    from spcnet.viz.curves import draw_epoch_curves

    curves = {name: log.curve(mean) for name, log in zip(names, logs, strict=True)}
    joints = "limb joints" if mean == "mean_limbs" else "all joints"
    return draw_epoch_curves(curves, ylabel=f"mean of {joints} (%)", title=title)


@dataclass(frozen=True)
class RunLog:
    """The evaluations of one run.

    Attributes:
        epochs: after which the run was scored.
        scores: what was said then: protocol, mean, mean_limbs (None where the protocol has none
            or nothing counted), persons.
        held_out: what was scored, in words.
    """

    epochs: list[int]
    scores: list[dict[str, Any]]
    held_out: str

    def has(self, mean: str) -> bool:
        """Whether one of the means was ever given."""
        return any(score[mean] is not None for score in self.scores)

    def curve(self, mean: str) -> "tuple[Array, Array]":
        """Epochs (E,) and one mean (E,) of the scores in percent, NaN where nothing counted."""
        import numpy as np

        values = [math.nan if score[mean] is None else score[mean] for score in self.scores]
        return np.array(self.epochs), np.array(values)


def read_run(path: Path) -> RunLog:
    """Read the evaluations of a run folder, or of its ``log.jsonl``.

    Raises:
        UserError: there is no log, it is of another form, or it holds no evaluation.
    """
    log = path / "log.jsonl" if path.is_dir() else path
    try:
        lines = log.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a text file"
        raise UserError(
            f"{log}: cannot read the log ({reason}); name a folder that spcnet train wrote, "
            "or its log.jsonl"
        ) from None
    epochs: list[int] = []
    scores: list[dict[str, Any]] = []
    for number, line in enumerate(lines, start=1):
        try:
            entry = json.loads(line)
            if (score := entry.get("score")) is not None:
                limbs = {"mean_limbs": score.get("mean_limbs")}
                scores.append({key: score[key] for key in ("protocol", "mean", "persons")} | limbs)
                epochs.append(entry["epoch"])
        except (ValueError, AttributeError, KeyError) as error:
            if number == len(lines) and isinstance(error, ValueError):
                break  # a running training is writing it
            raise UserError(
                f"{log}: line {number} is not one of a training log; name a folder that "
                "spcnet train wrote, or its log.jsonl"
            ) from None
    found = RunLog(epochs, scores, _held_out(log.parent / "recipe.yaml", scores))
    if not found.has("mean"):
        raise UserError(
            f"{log}: holds no evaluation; a run is scored where its recipe names data.holdout, "
            "every training.evaluate_every epochs"
        )
    return found


def _held_out(recipe: Path, scores: Sequence[dict[str, Any]]) -> str:
    """What a run was scored on, as far as the recipe beside its log tells."""
    import yaml

    persons = f"{scores[-1]['persons'] if scores else 0} persons"
    try:
        data = yaml.safe_load(recipe.read_text())["data"]
        dataset, part = data["dataset"], str(data["holdout"])
        others = [more for more in data.get("more") or [] if more.get("holdout")]
    except (OSError, ValueError, TypeError, KeyError, yaml.YAMLError):
        return persons
    also = f" and parts of {len(others)} others" if others else ""
    return f"{dataset} {Path(part).name if dataset == 'store' else part}{also} ({persons})"


def short_names(paths: Sequence[str]) -> list[str]:
    """What models or runs are called in a figure: by their folder, where the file's name is usual.

    Where two would be called the same, their paths as they were given.
    """
    names = []
    for path in paths:
        whole = Path(path).resolve()
        usual = whole.name in ("model.safetensors", "log.jsonl")
        name = whole.parent.name if usual else whole.name
        names.append(name.removesuffix(".safetensors").removesuffix(".jsonl"))
    return names if len(set(names)) == len(names) else list(paths)
