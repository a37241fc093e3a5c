"""``spcnet ablate``: the paper's ablations with one recipe, one budget and several seeds."""

import json
import logging
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spcnet.cli.console import StopWish, check_style, replacing, say, stop_wish, table
from spcnet.cli.estimator_options import DEVICE
from spcnet.cli.training_runs import MAX_MINUTES, OVERRIDES, STOPPING, train_by
from spcnet.errors import UserError
from spcnet.evaluation.overlap import shared_pictures

if TYPE_CHECKING:
    from spcnet.codec import Refinement
    from spcnet.metrics.protocols import Score
    from spcnet.training.ablation import Scores, Spread, Study
    from spcnet.training.distributed import ProcessGroup
    from spcnet.training.recipe import Recipe

SCORE = "score.json"
REFINEMENT: "Refinement" = "dark"  # of every arm, whatever its loss


def ablate(
    study: Annotated[
        str,
        typer.Argument(
            help="dhm, sim or modules (Table 1, 2 or 3 of the paper), all, or a YAML of your arms."
        ),
    ],
    recipe: Annotated[Path, typer.Argument(help="A YAML file; it says all but the modules.")],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="By default runs/NAME of the recipe.")
    ] = None,
    seeds: Annotated[str, typer.Option(help="Such as 0,1,2.")] = "0,1,2",
    overrides: Annotated[list[str] | None, OVERRIDES] = None,
    split: Annotated[
        str | None,
        typer.Option(help="Which persons are scored; by default the data set's val or test."),
    ] = None,
    max_minutes: Annotated[float | None, MAX_MINUTES] = None,
    device: Annotated[str, DEVICE] = "auto",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what the runs would take, by a few steps.")
    ] = False,
    report: Annotated[
        bool, typer.Option("--report", help="Train nothing; print what is done so far.")
    ] = False,
    style: Annotated[
        str | None, typer.Option("--format", help="text, markdown or latex; by default text.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one object for scripts.")] = False,
) -> None:
    """Train the arms of a comparison, such as the paper's, and print tables with error bars.

    Every arm is trained once a seed, however many tables it is in, in a run directory of its own
    (OUT/ARM-seedN), and scored on persons that no run learns from or chooses by. The same command
    goes on where it was stopped. Several may share one OUT, each on a GPU of its own: a run that
    another holds is left to it.

    Example: spcnet ablate dhm recipes/ablation_cpu.yaml --set data.root=PATH/lspet
    """
    style = check_style(style, compare=True, as_json=as_json)

    from spcnet.devices import find_device
    from spcnet.training.ablation import arm_recipe, runs_of
    from spcnet.training.checks import check_recipe
    from spcnet.training.distributed import join_processes
    from spcnet.training.recipe import load_recipe

    studies = _studies(study)
    base = load_recipe(recipe, overrides or [])
    numbers = _parse_seeds(seeds)
    runs = {
        (arm, seed): arm_recipe(base, arm, arguments, seed)
        for (arm, seed), arguments in runs_of(list(studies.values()), numbers).items()
    }
    for plan in runs.values():
        check_recipe(plan)
    folder = out or Path("runs") / base.name
    found = find_device(device)
    if dry_run:
        plan_of_all = _plan_runs(list(runs.values()), base, found)
        print(json.dumps(plan_of_all) if as_json else _describe_runs(plan_of_all, found))
        return
    scored = _ScoredPersons(base, split)
    failed: list[str] = []
    if not report:
        scored.check_unseen()
        with (
            join_processes(found) as processes,
            stop_wish(STOPPING if processes.first else None, max_minutes=max_minutes) as stop,
        ):
            level = logging.INFO if processes.first else logging.WARNING
            logging.basicConfig(level=level, format="%(message)s")
            failed = _train_runs(runs, folder, scored, processes, stop)
            if not processes.first:
                return
    scores = {
        run: score
        for run, plan in runs.items()
        if (score := scored.read(_run_dir(folder, *run), plan))
    }
    if not scores:
        raise UserError(
            f"{folder}: no run is done yet; the same command {'without --report ' * report}goes on"
        )
    if as_json:
        print(json.dumps({name: _as_dict(of, scores, numbers) for name, of in studies.items()}))
    else:
        head = f"{base.name}: {scored.title}"
        tables = [_describe(of, scores, numbers, head, style) for of in studies.values()]
        print("\n\n".join(tables))
    if missing := len(runs) - len(scores):
        say(f"{missing} of {len(runs)} runs are not done yet; the same command goes on")
    if failed:
        raise UserError(f"{len(failed)} runs failed: {'; '.join(failed)}")


def _studies(wanted: str) -> "dict[str, Study]":
    """The comparisons of a name or a file."""
    from spcnet.training.ablation import STUDIES, read_study

    if wanted.endswith((".yaml", ".yml")):
        return {Path(wanted).stem: read_study(Path(wanted))}
    if wanted not in (*STUDIES, "all"):
        raise typer.BadParameter(f"{wanted!r} is none of {', '.join(STUDIES)}, all, or a .yaml")
    return dict(STUDIES) if wanted == "all" else {wanted: STUDIES[wanted]}


def _run_dir(folder: Path, arm: str, seed: int) -> Path:
    return folder / f"{arm}-seed{seed}"


def _parse_seeds(text: str) -> list[int]:
    parts = [part.strip() for part in text.split(",")]
    seeds = [int(part) for part in parts if part.isdecimal()]
    if len(set(seeds)) < len(parts):
        raise typer.BadParameter(f"{text}: write different whole numbers, such as 0,1,2")
    return seeds


class _ScoredPersons:
    """The persons that every run is scored on, and the scores' files.

    Raises:
        UserError: the recipe learns from a packed store, which has no pictures to score.
    """

    def __init__(self, recipe: "Recipe", split: str | None) -> None:
        from spcnet.data.datasets import default_crop, default_protocol, default_split

        self.data = recipe.data
        if self.data.dataset == "store":
            raise UserError(
                "data.dataset: an ablation is scored on the data set's own pictures; name the data "
                "set and its folder in place of a store"
            )
        self.split = split or default_split(self.data.dataset, self.data.root)
        self.protocol = default_protocol(self.data.dataset)
        self.crop = self.data.crop or default_crop(self.data.dataset)

    @property
    def title(self) -> str:
        return f"{self.data.dataset} {self.split} by {self.protocol}"

    def check_unseen(self) -> None:
        """Check that no scored picture is learned from.

        Raises:
            UserError: some are.
        """
        from spcnet.data.datasets import open_dataset

        scored = open_dataset(self.data.dataset, self.data.root, self.split)
        if shared := shared_pictures(self.data, scored):
            raise UserError(
                f"--split {self.split}: the recipe learns from {len(shared)} of its pictures, such "
                f"as {shared[0]}; name another split, or another data.train"
            )

    def _how(self, plan: "Recipe") -> dict[str, Any]:
        """What a score is of: these persons, and a network trained so."""
        return {
            "dataset": self.data.dataset,
            "split": self.split,
            "protocol": self.protocol,
            "crop": self.crop,
            "recipe": plan.identity(),
        }

    def read(self, run_dir: Path, plan: "Recipe") -> "Score | None":
        """The score of a run that is done.

        Raises:
            UserError: it is of other persons, or of another recipe.
        """
        from spcnet.metrics.protocols import Score
        from spcnet.training.recipe import differences, parse_recipe
        from spcnet.training.run_dir import RECIPE

        path = run_dir / SCORE
        if not path.is_file():
            return None
        content = json.loads(path.read_text())
        there, wanted = content["how"], self._how(plan)
        there["recipe"] = parse_recipe(there["recipe"], source=str(path)).identity()
        differing = [name for name in wanted if there[name] != wanted[name]]
        if differing == ["recipe"]:
            how = differences(there["recipe"], wanted["recipe"])
            raise UserError(
                f"{path}: this run was trained by another recipe: {how}; go on with "
                f"{run_dir / RECIPE}, or name another --out"
            )
        if differing:
            raise UserError(
                f"{path}: this run was scored on {there['dataset']} {there['split']} by "
                f"{there['protocol']} with crop {there['crop']}, not on {self.title}; name the "
                "same persons, or another --out"
            )
        return Score(**content["score"])

    def write(self, run_dir: Path, plan: "Recipe", device: str) -> "Score":
        """Score a trained run."""
        from spcnet.data.datasets import open_dataset
        from spcnet.evaluation.evaluate import evaluate
        from spcnet.inference.estimator import PoseEstimator
        from spcnet.training.run_dir import MODEL

        score = evaluate(
            PoseEstimator(str(run_dir / MODEL), device=device, refinement=REFINEMENT),
            open_dataset(self.data.dataset, self.data.root, self.split),
            protocol=self.protocol,
            crop=self.crop,
        ).score
        with replacing(run_dir / SCORE) as partial:
            partial.write_text(json.dumps({"how": self._how(plan), "score": score.to_dict()}))
        return score


def _train_runs(
    runs: "dict[tuple[str, int], Recipe]",
    folder: Path,
    scored: _ScoredPersons,
    processes: "ProcessGroup",
    stop: StopWish,
) -> list[str]:
    """Train and score every run that is neither done nor held by another process.

    Returns:
        What went wrong, a line a run.
    """
    from spcnet.training.run_dir import RunInUseError

    def is_done(run: tuple[str, int]) -> bool:
        done = scored.read(_run_dir(folder, *run), runs[run]) is not None
        answer: bool = processes.of_first(done)
        return answer

    left = [run for run in runs if not is_done(run)]
    if processes.first:
        say(f"{len(left)} of {len(runs)} runs to do, in {folder}")
    failed = []
    for run in left:
        if processes.any(stop()):
            break
        if is_done(run):
            continue  # another process was quicker
        path, plan = _run_dir(folder, *run), runs[run]

        def finish(checkpoint: Path, path: Path = path, plan: "Recipe" = plan) -> None:
            score = scored.write(path, plan, str(processes.device))
            say(f"{path.name}: {score.headline:.2f} %")

        try:
            train_by(plan, path, processes, resume=None, stop=stop, finish=finish)
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


def _plan_runs(runs: "Sequence[Recipe]", base: "Recipe", device: Any) -> dict[str, Any]:
    """What all the runs would take: of every arm, and the sums."""
    from spcnet.training.checks import steps_per_epoch
    from spcnet.training.data import count_persons
    from spcnet.training.plan import make_plan

    persons, joints = count_persons(base)
    steps = base.training.epochs * steps_per_epoch(base, persons)
    arms: list[dict[str, Any]] = []
    for plan in {json.dumps(plan.model.arguments): plan for plan in runs}.values():
        costs = make_plan(plan, joints=joints, steps=steps, processes=1, device=device)
        arms.append(
            {
                "arm": plan.name.removeprefix(f"{base.name}-").rpartition("-")[0],
                "runs": sum(other.model.arguments == plan.model.arguments for other in runs),
                "parameters": costs.parameters,
                "gmac": costs.gmac,
                "seconds_a_run": costs.seconds,
            }
        )
    return {
        "arms": arms,
        "runs": len(runs),
        "epochs": base.training.epochs,
        "steps_a_run": steps,
        "steps": steps * len(runs),
        "seconds": sum(arm["runs"] * arm["seconds_a_run"] for arm in arms),
    }


def _describe_runs(plan: dict[str, Any], device: Any) -> str:
    """One line an arm, and the sums."""
    rows = [
        {
            "Arm": arm["arm"],
            "Runs": arm["runs"],
            "Parameters": f"{arm['parameters'] / 1e6:.2f} M",
            "GMAC": f"{arm['gmac']:.2f}",
            "Time a run": timedelta(seconds=round(arm["seconds_a_run"])),
        }
        for arm in plan["arms"]
    ]
    return (
        f"{table(rows, right=list(rows[0])[1:])}\n\n{plan['runs']} runs of {plan['epochs']} "
        f"epochs, {plan['steps_a_run']} steps each, {plan['steps']} in all; about "
        f"{timedelta(seconds=round(plan['seconds']))} in one process on {device}, data and "
        "scoring not counted"
    )


def _describe(study: "Study", scores: "Scores", seeds: Sequence[int], head: str, style: str) -> str:
    """The paper's table with ours beside it, and what the seeds say of its claims."""
    from spcnet.metrics.paper import TABLES
    from spcnet.training.ablation import differences, spread_of

    paper = None if study.table is None else TABLES[study.table]
    ours = {arm: spread_of(scores, arm, seeds) for arm in study.arms}
    columns = next(spreads for spreads in ours.values() if spreads) if any(ours.values()) else {}
    rows: list[dict[str, str]] = []
    called = {arm: study.rows[arm].method if paper else arm for arm in study.arms}
    for arm in study.arms:
        published = dict(zip(paper.columns, study.rows[arm].values, strict=True)) if paper else {}
        names = list(columns) or list(published)
        mine = {name: _cell(ours[arm].get(name)) for name in names}
        done = len(next(iter(ours[arm].values())).values) if ours[arm] else 0
        rows.append({"Method": called[arm], "Of": f"here, {done} seed{'s'[: done != 1]}", **mine})
        if paper:
            rows.append(
                {"Method": "", "Of": "the paper"}
                | {name: f"{published[name]:.1f}" if name in published else "" for name in names}
            )
    claims = [
        {
            "Claim": f"{called[d.arm]} over {called[d.other]}",
            "By seed": " ".join(f"{value:+.2f}" for value in d.spread.values),
            "Mean": _cell(d.spread, sign="+"),
            "95 % interval": "{:+.2f} to {:+.2f}".format(*d.spread.interval)
            if len(d.spread.values) > 1
            else "",
            **({} if d.paper is None else {"The paper": f"{d.paper:+.1f}"}),
            "So": d.verdict,
        }
        for d in differences(study, scores, seeds)
    ]
    titles = [
        f"Table {paper.number} of the paper, {paper.title}; here {head}; there {paper.data}"
        if paper
        else head,
        f"Differences, {'limbs' if 'Limbs' in columns else 'total'}, seed by seed",
    ]
    if style == "latex":
        titles = [f"% {title}" for title in titles]
    figures = ["By seed", "Mean", "95 % interval", *["The paper"] * (paper is not None)]
    tables = [
        table(rows, right=list(rows[0])[2:], style=style),
        table(claims, right=figures, style=style),
    ]
    return "\n\n".join(part for pair in zip(titles, tables, strict=True) for part in pair)


def _cell(spread: "Spread | None", sign: str = "") -> str:
    """Mean and standard deviation."""
    if spread is None or not spread.values:
        return ""
    if len(spread.values) == 1:
        return f"{spread.mean:{sign}.2f}"
    return f"{spread.mean:{sign}.2f} ± {spread.sd:.2f}"


def _as_dict(study: "Study", scores: "Scores", seeds: Sequence[int]) -> dict[str, Any]:
    from spcnet.training.ablation import differences

    return {
        "table": study.table,
        "scores": {
            arm: {str(seed): scores[arm, seed].to_dict() for seed in seeds if (arm, seed) in scores}
            for arm in study.arms
        },
        "differences": [
            {
                "arm": d.arm,
                "other": d.other,
                "by_seed": d.spread.values,
                "interval": d.spread.interval if len(d.spread.values) > 1 else None,
                "paper": None if d.paper is None else round(d.paper, 2),
                "verdict": d.verdict,
            }
            for d in differences(study, scores, seeds)
        ],
    }
