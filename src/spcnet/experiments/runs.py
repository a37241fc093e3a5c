"""The runs of an ablation: what they cost, their trainings, their scores on unseen persons."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from spcnet.codec import Refinement
from spcnet.data.datasets import (
    dataset_info,
    default_crop,
    default_protocol,
    default_split,
    open_dataset,
)
from spcnet.data.label_files import load_json
from spcnet.errors import UserError, counted
from spcnet.evaluation.evaluate import evaluate
from spcnet.evaluation.overlap import shared_pictures
from spcnet.files import whole_file
from spcnet.inference.estimator import PoseEstimator
from spcnet.metrics.protocols import Score
from spcnet.training.checks import steps_per_epoch
from spcnet.training.data import count_persons
from spcnet.training.distributed import ProcessGroup
from spcnet.training.plan import make_plan
from spcnet.training.recipe import Recipe, differences, parse_recipe
from spcnet.training.run_dir import MODEL, RECIPE, RunDirectory, RunInUseError

SCORE = "score.json"
REFINEMENT: Refinement = "dark"  # of every arm, whatever its loss

Run = tuple[str, int]  # an arm and a seed
Train = Callable[[Recipe, Path, Callable[[Path], None]], object]  # in a directory


class AblationRuns:
    """Run directories ``ARM-seedN`` of one folder, with a ``score.json`` in those that are done.

    The recipes of the runs are `plans`; the persons of `split` are scored, by default the data
    set's val or test. A packed store has no pictures to score, and is a `UserError`.
    """

    def __init__(self, plans: Mapping[Run, Recipe], folder: Path, split: str | None) -> None:
        self.plans, self.folder = plans, folder
        self.data = next(iter(plans.values())).data
        name = self.data.dataset
        if dataset_info(name).packed:
            raise UserError(
                "data.dataset: an ablation is scored on the data set's own pictures; name the data "
                "set and its folder in place of a store"
            )
        self.how: dict[str, Any] = {
            "dataset": name,
            "split": split or default_split(name, self.data.root),
            "protocol": default_protocol(name),
            "crop": self.data.crop or default_crop(name),
        }
        self.title = "{dataset} {split} by {protocol}".format(**self.how)

    def check_unseen(self) -> None:
        """Raise a `UserError` where a scored picture is learned from."""
        split = self.how["split"]
        scored = open_dataset(self.data.dataset, self.data.root, split)
        if shared := shared_pictures(self.data, scored):
            raise UserError(
                f"--split {split}: the recipe learns from {len(shared)} of its pictures, such "
                f"as {shared[0]}; name another split, or another data.train"
            )

    def directory(self, run: Run) -> Path:
        """Where a run is trained."""
        return self.folder / "{}-seed{}".format(*run)

    def score(self, run: Run) -> Score | None:
        """The score of a run, None where it is not done; of another recipe it is a `UserError`."""
        path = self.directory(run) / SCORE
        if not path.is_file():
            return None
        content = load_json(path, wanted="the score of a run")
        there = content["how"]
        if any(there[name] != wanted for name, wanted in self.how.items()):
            raise UserError(
                f"{path}: this run was scored on {there['dataset']} {there['split']} by "
                f"{there['protocol']} with crop {there['crop']}, not on {self.title}; name the "
                "same persons, or another --out"
            )
        recipe = parse_recipe(there["recipe"], source=str(path)).identity()
        wanted = self.plans[run].identity()
        if recipe != wanted:
            raise UserError(
                f"{path}: this run was trained by another recipe: {differences(recipe, wanted)}; "
                f"go on with {path.with_name(RECIPE)}, or name another --out"
            )
        return Score(**content["score"])

    def scores(self) -> dict[Run, Score]:
        """The scores of the runs that are done; raises as `score`."""
        return {run: score for run in self.plans if (score := self.score(run))}

    def _write_score(self, run: Run, device: torch.device) -> Score:
        folder = self.directory(run)
        score = evaluate(
            PoseEstimator(str(folder / MODEL), device=str(device), refinement=REFINEMENT),
            open_dataset(self.data.dataset, self.data.root, self.how["split"]),
            protocol=self.how["protocol"],
            crop=self.how["crop"],
        ).score
        how = {**self.how, "recipe": self.plans[run].identity()}
        with RunDirectory(folder).writing(), whole_file(folder / SCORE) as partial:
            partial.write_text(json.dumps({"how": how, "score": score.to_dict()}), encoding="utf-8")
        return score

    def train(
        self,
        train: Train,
        processes: ProcessGroup,
        *,
        stop: Callable[[], bool],
        say: Callable[[str], None],
    ) -> list[str]:
        """Train and score every run that is neither done nor held by another process.

        `train` calls its last argument when it is done, `stop` is asked before every run, and `say`
        takes lines on how it goes. Gives what went wrong, a line for each run.
        """

        def is_done(run: Run) -> bool:
            return bool(processes.of_first(self.score(run) is not None))

        left = [run for run in self.plans if not is_done(run)]
        if processes.first:
            say(f"{len(left)} of {counted(len(self.plans), 'run')} to do, in {self.folder}")
        failed: list[str] = []
        for run in left:
            if processes.any(stop()):
                break
            if is_done(run):
                continue  # another process was quicker
            path = self.directory(run)

            def finish(checkpoint: Path, run: Run = run, name: str = path.name) -> None:
                score = self._write_score(run, processes.device)
                say(f"{name}: {score.headline:.2f} %")

            try:
                train(self.plans[run], path, finish)
            except RunInUseError as error:
                if processes.first:
                    say(str(error))
            except UserError as error:
                # Where a process is gone, the others cannot go on with the next run.
                if processes.count > 1:
                    raise
                failed.append(f"{path.name}: {error}")
                say(failed[-1])
        return failed


def cost_of_runs(plans: Mapping[Run, Recipe], base: Recipe, device: torch.device) -> dict[str, Any]:
    """What the runs of a recipe's arms would take: of every arm, and the sums."""
    persons, joints = count_persons(base)
    steps = base.training.epochs * steps_per_epoch(base, persons)
    arms: dict[str, dict[str, Any]] = {}
    for (arm, _), plan in plans.items():
        if arm not in arms:
            costs = make_plan(plan, joints=joints, steps=steps, processes=1, device=device)
            arms[arm] = {
                "arm": arm, "runs": 0, "parameters": costs.parameters, "gmac": costs.gmac,
                "seconds_a_run": costs.seconds,
            }  # fmt: skip
        arms[arm]["runs"] += 1
    return {
        "arms": list(arms.values()),
        "runs": len(plans),
        "epochs": base.training.epochs,
        "steps_a_run": steps,
        "steps": steps * len(plans),
        "seconds": sum(arm["runs"] * arm["seconds_a_run"] for arm in arms.values()),
    }
