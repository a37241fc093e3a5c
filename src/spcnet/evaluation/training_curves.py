"""The held-out scores of training runs over their epochs, from the logs that they wrote."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from spcnet.data.yaml_files import load_yaml
from spcnet.errors import UserError
from spcnet.geometry import Array
from spcnet.viz.curves import draw_epoch_curves

WANTED = "name a folder that spcnet train wrote, or its log.jsonl"


def draw_runs(runs: Sequence[Path]) -> Figure:
    """The held-out scores of training runs over the epochs; of one protocol, else a `UserError`."""
    logs = [read_run(path) for path in runs]
    protocols = sorted(set().union(*(log.protocols for log in logs)))
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
    have_limbs = all(np.isfinite(log.limbs).any() for log in logs)
    curves = {
        name: (log.epochs, log.limbs if have_limbs else log.means)
        for name, log in zip(names, logs, strict=True)
    }
    joints = "limb joints" if have_limbs else "all joints"
    return draw_epoch_curves(curves, ylabel=f"mean of {joints} (%)", title=title)


@dataclass(frozen=True)
class RunLog:
    """The evaluations of one run."""

    protocols: set[str]  # by which it was scored
    epochs: Array  # (E,) after which it was
    means: Array  # (E,) over all joints, percent; NaN where nothing counted
    limbs: Array  # (E,) over the limb joints; NaN, too, where the protocol has no such mean
    held_out: str  # what was scored, in words


def read_run(path: Path) -> RunLog:
    """Read the evaluations of a run folder, or of its ``log.jsonl``; without any a `UserError`."""
    log = path / "log.jsonl" if path.is_dir() else path
    try:
        lines = log.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a text file"
        raise UserError(f"{log}: cannot read the log ({reason}); {WANTED}") from None
    protocols, persons, rows = set(), 0, []
    for number, line in enumerate(lines, start=1):
        try:
            entry = json.loads(line)
            if (score := entry.get("score")) is not None:
                rows.append((entry["epoch"], score["mean"], score.get("mean_limbs")))
                protocols.add(score["protocol"])
                persons = score["persons"]
        except (ValueError, AttributeError, KeyError) as error:
            if number == len(lines) and isinstance(error, ValueError):
                break  # a running training is writing it
            raise UserError(
                f"{log}: line {number} is not one of a training log; {WANTED}"
            ) from None
    epochs, means, limbs = np.array(rows, dtype=float).reshape(-1, 3).T  # None becomes NaN
    if not np.isfinite(means).any():
        raise UserError(
            f"{log}: holds no evaluation; a run is scored where its recipe names data.holdout, "
            "every training.evaluate_every epochs"
        )
    return RunLog(protocols, epochs, means, limbs, _held_out(log.with_name("recipe.yaml"), persons))


def _held_out(recipe: Path, persons: int) -> str:
    """What a run was scored on, as far as the recipe beside its log tells."""
    try:
        data = load_yaml(recipe)["data"]
        dataset, part = data["dataset"], str(data["holdout"])
        others = [more for more in data.get("more") or [] if more.get("holdout")]
    except (UserError, ValueError, TypeError, KeyError, AttributeError):
        return f"{persons} persons"
    also = f" and parts of {len(others)} others" if others else ""
    return f"{dataset} {Path(part).name}{also} ({persons} persons)"


def short_names(paths: Sequence[str]) -> list[str]:
    """Names of models or runs in a figure: the folder of a usual file; paths where names recur."""
    names = []
    for path in paths:
        whole = Path(path).resolve()
        usual = whole.name in ("model.safetensors", "log.jsonl")
        name = whole.parent.name if usual else whole.name
        names.append(name.removesuffix(".safetensors").removesuffix(".jsonl"))
    return names if len(set(names)) == len(names) else list(paths)
