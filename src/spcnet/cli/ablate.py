"""``spcnet ablate``: the paper's ablations with one recipe, one budget and several seeds."""

import json
from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, BadParameter, Option

from spcnet.cli.console import say, table
from spcnet.cli.options import AS_JSON, DEVICE
from spcnet.cli.scoring import PERSONS, STYLE, check_style
from spcnet.cli.training_runs import MAX_MINUTES, OVERRIDES, train_by, training_processes
from spcnet.errors import UserError, counted

if TYPE_CHECKING:
    from spcnet.experiments.ablation import Scores, Spread, Study

STUDY = Argument(help="dhm, sim or modules (Tables 1 to 3 of the paper), all, or a YAML of arms.")
OUT = Option("--out", "-o", help="By default runs/NAME of the recipe.")
DRY_RUN = Option("--dry-run", help="Print what the runs would take, by a few steps.")
REPORT = Option("--report", help="Train nothing; print what is done so far.")


def ablate(
    study: Annotated[str, STUDY],
    recipe: Annotated[Path, Argument(help="A YAML file; it says all but the modules.")],
    out: Annotated[Path | None, OUT] = None,
    seeds: Annotated[str, Option(help="Such as 0,1,2.")] = "0,1,2",
    overrides: Annotated[list[str] | None, OVERRIDES] = None,
    split: Annotated[str | None, PERSONS] = None,
    max_minutes: Annotated[float | None, MAX_MINUTES] = None,
    device: Annotated[str, DEVICE] = "auto",
    dry_run: Annotated[bool, DRY_RUN] = False,
    report: Annotated[bool, REPORT] = False,
    style: Annotated[str | None, STYLE] = None,
    as_json: Annotated[bool, AS_JSON] = False,
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
    from spcnet.experiments.ablation import arm_recipe, runs_of
    from spcnet.experiments.runs import AblationRuns, cost_of_runs
    from spcnet.training.checks import check_recipe
    from spcnet.training.recipe import load_recipe

    studies = _studies(study)
    base = load_recipe(recipe, overrides or [])
    numbers = _parse_seeds(seeds)
    plans = {
        (arm, seed): arm_recipe(base, arm, arguments, seed)
        for (arm, seed), arguments in runs_of(list(studies.values()), numbers).items()
    }
    for plan in plans.values():
        check_recipe(plan)
    found = find_device(device)
    if dry_run:
        costs = cost_of_runs(plans, base, found)
        print(json.dumps(costs) if as_json else _describe_costs(costs, str(found)))
        return
    runs = AblationRuns(plans, out or Path("runs") / base.name, split)
    failed: list[str] = []
    if not report:
        runs.check_unseen()
        with training_processes(found, max_minutes) as (processes, stop):
            by = partial(train_by, processes=processes, resume=None, stop=stop)
            failed = runs.train(by, processes, stop=stop, say=say)
            if not processes.first:
                return
    if not (scores := runs.scores()):
        goes_on = f"the same command {'without --report ' * report}goes on"
        raise UserError(f"{runs.folder}: no run is done yet; {goes_on}")
    if as_json:
        print(json.dumps({name: _as_dict(of, scores, numbers) for name, of in studies.items()}))
    else:
        head = f"{base.name}: {runs.title}"
        print("\n\n".join(_describe(of, scores, numbers, head, style) for of in studies.values()))
    if missing := len(plans) - len(scores):
        say(f"still to do: {missing} of {counted(len(plans), 'run')}; the same command goes on")
    if failed:
        raise UserError(f"{counted(len(failed), 'run')} failed: {'; '.join(failed)}")


def _studies(wanted: str) -> "dict[str, Study]":
    from spcnet.experiments.ablation import STUDIES, read_study

    if wanted.endswith((".yaml", ".yml")):
        return {Path(wanted).stem: read_study(Path(wanted))}
    if wanted not in (*STUDIES, "all"):
        raise BadParameter(f"{wanted!r} is none of {', '.join(STUDIES)}, all, or a .yaml")
    return dict(STUDIES) if wanted == "all" else {wanted: STUDIES[wanted]}


def _parse_seeds(text: str) -> list[int]:
    parts = [part.strip() for part in text.split(",")]
    seeds = [int(part) for part in parts if part.isdecimal()]
    if len(set(seeds)) < len(parts):
        raise BadParameter(f"{text}: write different whole numbers, such as 0,1,2")
    return seeds


def _describe_costs(costs: dict[str, Any], device: str) -> str:
    rows = [
        {
            "Arm": arm["arm"],
            "Runs": arm["runs"],
            "Parameters": f"{arm['parameters'] / 1e6:.2f} M",
            "GMAC": f"{arm['gmac']:.2f}",
            "Time a run": timedelta(seconds=round(arm["seconds_a_run"])),
        }
        for arm in costs["arms"]
    ]
    return (
        f"{table(rows, right=list(rows[0])[1:])}\n\n{counted(costs['runs'], 'run')} of "
        f"{counted(costs['epochs'], 'epoch')}, {counted(costs['steps_a_run'], 'step')} each, "
        f"{costs['steps']} in all; about {timedelta(seconds=round(costs['seconds']))} in one "
        f"process on {device}, data and scoring not counted"
    )


def _describe(study: "Study", scores: "Scores", seeds: Sequence[int], head: str, style: str) -> str:
    """The paper's table with ours beside it, and what the seeds say of its claims."""
    from spcnet.experiments.ablation import differences, spread_of
    from spcnet.metrics.paper import TABLES

    paper = TABLES[study.table] if study.table else None
    ours = {arm: spread_of(scores, arm, seeds) for arm in study.arms}
    columns = next(filter(None, ours.values()), None) or (paper.columns if paper else ())
    called = {arm: study.rows[arm].method if paper else arm for arm in study.arms}
    rows: list[dict[str, str]] = []
    for arm, spreads in ours.items():
        done = max((len(spread.values) for spread in spreads.values()), default=0)
        values = {name: _cell(spreads[name]) if name in spreads else "" for name in columns}
        rows.append({"Method": called[arm], "Of": f"here, {done} seed{'s'[: done != 1]}", **values})
        if paper:
            published = dict(zip(paper.columns, study.rows[arm].values, strict=True))
            texts = {name: f"{published[name]:.1f}" for name in columns if name in published}
            rows.append({"Method": "", "Of": "the paper", **dict.fromkeys(columns, ""), **texts})
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
    if paper:
        head = f"Table {paper.number} of the paper, {paper.title}; here {head}; there {paper.data}"
    second = f"Differences, {'limbs' if 'Limbs' in columns else 'total'}, seed by seed"
    mark = "% " if style == "latex" else ""
    scored = table(rows, right=list(rows[0])[2:], style=style)
    compared = table(claims, right=list(claims[0])[1:-1], style=style)
    return f"{mark}{head}\n\n{scored}\n\n{mark}{second}\n\n{compared}"


def _cell(spread: "Spread", sign: str = "") -> str:
    if len(spread.values) < 2:
        return "".join(f"{value:{sign}.2f}" for value in spread.values)
    return f"{spread.mean:{sign}.2f} ± {spread.sd:.2f}"


def _as_dict(study: "Study", scores: "Scores", seeds: Sequence[int]) -> dict[str, Any]:
    from spcnet.experiments.ablation import differences

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
