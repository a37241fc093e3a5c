"""Many trainings compared: the paper's ablations, a recipe's ingredients, or arms of your own.

    python benchmarks/ablate.py dhm recipes/ablation_cpu.yaml --set data.root=PATH/lspet
    python benchmarks/ablate.py ingredients recipes/people_cpu.yaml --seeds 0,1 \
        --set data.root=PATH/lspet --set data.more.0.root=PATH/mpii ...

STUDY is dhm, sim or modules (Tables 1 to 3 of Xiao et al., SPCNet, ECAI 2020, Section 4.2), all
three, a YAML of arms, or ingredients: what each ingredient of a recipe of many sources gives, one
left out at a time, on a small network, scored on the held-out persons of every source.

Every arm is trained once per seed, however many tables it is in, in a run directory of its own
(OUT/ARM-seedN), and but for the ingredients scored on persons that no run learns from or chooses
by. The same command goes on where it was stopped. Several may share one OUT, each on a GPU of its
own: a run that another holds is left to it. Arms are compared seed by seed: networks that start
from one seed see the same crops in the same order, so the difference of their scores varies less
than the scores do.
"""

import json
import math
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from statistics import mean, stdev
from typing import Annotated, Any

import torch
import typer
from scipy import stats
from typer import Argument, Option

from spcnet.cli.console import say, table
from spcnet.cli.options import AS_JSON, DEVICE
from spcnet.cli.scoring import PERSONS, STYLE, check_style
from spcnet.cli.train import MAX_MINUTES, OVERRIDES, train_by, training_processes
from spcnet.codec import Refinement
from spcnet.data.datasets import (
    dataset_info,
    default_crop,
    default_protocol,
    default_split,
    open_dataset,
)
from spcnet.data.label_files import load_json
from spcnet.data.yaml_files import load_yaml
from spcnet.devices import find_device
from spcnet.errors import UserError, counted
from spcnet.evaluation.evaluate import evaluate
from spcnet.evaluation.overlap import shared_pictures
from spcnet.files import whole_file
from spcnet.inference.estimator import PoseEstimator
from spcnet.metrics.paper import TABLES, Row
from spcnet.metrics.protocols import Score
from spcnet.registries import import_extension
from spcnet.training.checks import check_recipe, steps_per_epoch
from spcnet.training.data import count_persons
from spcnet.training.distributed import ProcessGroup
from spcnet.training.plan import make_plan
from spcnet.training.recipe import Recipe, differences, load_recipe, parse_recipe
from spcnet.training.run_dir import LOG, MODEL, RECIPE, RunDirectory, RunInUseError

CONFIDENCE = 0.95
SCORE = "score.json"
REFINEMENT: Refinement = "dark"  # of every arm, whatever its loss
# Of the ingredients: a network that learns in minutes, the same for all arms.
SMALL = [
    "model.variant=spcnet_s2_w96", "model.input_size=96", "model.weights=null", "model.anew=[]",
    "optimizer.lr=5.0e-3", "training.epochs=2", "training.evaluate_every=2",
]  # fmt: skip

# What an arm makes of the recipe of all: arguments of the network, or the fields of the recipe.
Arm = Mapping[str, Any] | Callable[[dict[str, Any]], None]
Run = tuple[str, int]  # an arm and a seed
Scores = Mapping[Run, Score]


# The arms of the paper; stacks and channels are the recipe's.
ARMS: Mapping[str, Mapping[str, Any]] = {
    "baseline": {"module": "hourglass", "fusion": "none"},
    "dhm-r1": {"module": "dilated", "dilation": 1, "fusion": "none"},
    "dhm-r2": {"module": "dilated", "dilation": 2, "fusion": "none"},
    "dhm-r3": {"module": "dilated", "dilation": 3, "fusion": "none"},
    "sum": {"module": "hourglass", "fusion": "sum"},
    "concat": {"module": "hourglass", "fusion": "concat"},
    "sim": {"module": "hourglass", "fusion": "selective"},
    "dhm-sim": {"module": "dilated", "dilation": 2, "fusion": "selective"},
}


def without_sources(recipe: dict[str, Any]) -> None:
    """The first data set alone, scored on all."""
    data = recipe["data"]
    data["more"] = [source for source in data["more"] if source.get("holdout")]
    for source in data["more"]:
        source["share"] = 1e-6
    data["share"] = 1 - 1e-6 * len(data["more"])


def without_opinions(recipe: dict[str, Any]) -> None:
    """Persons whom somebody labelled, and no other model's points."""
    for source in (recipe["data"], *recipe["data"]["more"]):
        source["opinions"], source["doubt"] = None, 0
    _leave_out(recipe["data"], "unlabelled")


def without_doubt(recipe: dict[str, Any]) -> None:
    """Every label is believed."""
    for source in (recipe["data"], *recipe["data"]["more"]):
        source["doubt"] = 0


def without_absent(recipe: dict[str, Any]) -> None:
    """No pictures that end too early, and none without anybody."""
    recipe["augmentation"]["cut_probability"] = recipe["augmentation"]["part_probability"] = 0
    _leave_out(recipe["data"], "nobody")


def without_neighbours(recipe: dict[str, Any]) -> None:
    """Nobody is pasted beside the person."""
    recipe["augmentation"]["neighbour_probability"] = 0


def _leave_out(data: dict[str, Any], dataset: str) -> None:
    """Drop a data set, and let the shares that are left add up to 1."""
    data["more"] = [source for source in data["more"] if source["dataset"] != dataset]
    sources = [data, *data["more"]]
    total = sum(source["share"] for source in sources)
    for source in sources:
        source["share"] /= total


@dataclass(frozen=True)
class Study:
    """A comparison: one table of the paper, the ingredients, or one of yours."""

    arms: Mapping[str, Arm]  # in the order of the rows; the first is the baseline
    proposed: str | None = None  # the arm that is argued for
    table: int | None = None  # the paper's number of it
    of_sources: bool = False  # whether the held-out persons of every source are scored

    @property
    def rows(self) -> dict[str, Row]:
        """The paper's own row of every arm."""
        if self.table is None:
            return {}
        return dict(zip(self.arms, TABLES[self.table].rows, strict=True))

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """What the table claims: each arm over the baseline, and the proposed over the others."""
        baseline, *others = self.arms
        return [(arm, baseline) for arm in others] + [
            (self.proposed, arm) for arm in others if self.proposed not in (None, arm)
        ]


STUDIES: Mapping[str, Study] = {
    name: Study({arm: ARMS[arm] for arm in arms}, proposed, number)
    for name, number, proposed, arms in (
        ("dhm", 1, "dhm-r2", ("baseline", "dhm-r1", "dhm-r2", "dhm-r3")),
        ("sim", 2, "sim", ("baseline", "sum", "concat", "sim")),
        ("modules", 3, "dhm-sim", ("baseline", "dhm-r2", "sim", "dhm-sim")),
    )
}
LEFT_OUT = (without_sources, without_opinions, without_doubt, without_absent, without_neighbours)
INGREDIENTS = Study(
    {"whole": {}, **{arm.__name__.replace("_", "-"): arm for arm in LEFT_OUT}}, of_sources=True
)


def studies_of(wanted: str) -> dict[str, Study]:
    """The studies of a name, or of a YAML file; of another it is a `UserError`."""
    if wanted.endswith((".yaml", ".yml")):
        return {Path(wanted).stem: read_study(Path(wanted))}
    known = {name: {name: study} for name, study in STUDIES.items()}
    known |= {"all": dict(STUDIES), "ingredients": {"ingredients": INGREDIENTS}}
    if wanted not in known:
        raise UserError(f"{wanted!r} is none of {', '.join(known)}, or a .yaml of arms")
    return known[wanted]


def read_study(path: Path) -> Study:
    """A comparison from a YAML file: ``arms``, a name for each, and what it asks of the network.

    The first arm is the baseline and the last is what is argued for, unless ``proposed`` names
    another. A file that is not that is a `UserError`.
    """
    example = "arms: {baseline: {fusion: selective}, mine: {fusion: mine}}"
    content = load_yaml(path)
    arms = content.get("arms") if isinstance(content, dict) else None
    if not isinstance(arms, dict) or len(arms) < 2 or set(content) - {"arms", "proposed"}:
        raise UserError(f"{path}: wanted two arms or more, such as {example}")
    for arm, arguments in arms.items():
        if not re.fullmatch(r"[A-Za-z0-9][\w.-]*", str(arm)) or not isinstance(arguments, dict):
            raise UserError(f"{path}: arm {arm!r} must be a plain name with arguments: {example}")
    arms = {str(arm): arguments for arm, arguments in arms.items()}
    proposed = str(content.get("proposed", list(arms)[-1]))
    if proposed not in arms:
        raise UserError(f"{path}: proposed {proposed!r} is none of the arms {', '.join(arms)}")
    return Study(arms, proposed)


def parse_seeds(text: str) -> list[int]:
    """Different whole numbers of ``0,1,2``; of anything else a `UserError`."""
    parts = [part.strip() for part in text.split(",")]
    seeds = [int(part) for part in parts if part.isdecimal()]
    if len(set(seeds)) < len(parts):
        raise UserError(f"--seeds {text}: write different whole numbers, such as 0,1,2")
    return seeds


def runs_of(studies: Sequence[Study], seeds: Sequence[int]) -> dict[Run, Arm]:
    """The arm and seed of every run, each once, and what the arm asks; seed by seed."""
    arms = {name: arm for study in studies for name, arm in study.arms.items()}
    return {(name, seed): arm for seed in seeds for name, arm in arms.items()}


def arm_recipe(recipe: Recipe, name: str, arm: Arm, seed: int) -> Recipe:
    """The recipe of one run: everything but what the arm asks for and the seed is shared."""
    if recipe.model.weights is not None:
        raise UserError(
            f"model.weights: {recipe.model.weights} are the weights of one network, and the arms "
            "of an ablation are several; leave it out"
        )
    fields = recipe.model_dump(mode="json")
    fields |= {"name": f"{recipe.name}-{name}-seed{seed}", "seed": seed}
    if callable(arm):
        arm(fields)
    else:
        fields["model"]["arguments"] |= arm
    return parse_recipe(fields, source=name)


@dataclass(frozen=True)
class Spread:
    """Values, one for each seed."""

    values: tuple[float, ...]

    @property
    def mean(self) -> float:
        """NaN where there are no values."""
        return mean(self.values) if self.values else math.nan

    @property
    def sd(self) -> float:
        """Standard deviation (n - 1); NaN of fewer than two values."""
        return stdev(self.values) if len(self.values) > 1 else math.nan

    @property
    def interval(self) -> tuple[float, float]:
        """Of the mean, by Student's t; NaN of fewer than two values."""
        count = len(self.values)
        if count < 2:
            return math.nan, math.nan
        reach = float(stats.t.ppf((1 + CONFIDENCE) / 2, count - 1)) * self.sd / math.sqrt(count)
        return self.mean - reach, self.mean + reach


@dataclass(frozen=True)
class Difference:
    """The headline scores of `arm` less those of `other`, and what the paper's totals differ by."""

    arm: str
    other: str
    spread: Spread
    paper: float | None

    @property
    def verdict(self) -> str:
        """What the seeds say, of the paper's claim where there is one."""
        low, high = self.spread.interval
        if math.isnan(low):
            return "too few seeds"
        if low <= 0 <= high:
            return "within noise"
        if self.paper is None:
            return "better" if low > 0 else "worse"
        return "as in the paper" if (low > 0) == (self.paper > 0) else "against the paper"


def columns_of(score: Score) -> dict[str, float]:
    """The columns that the paper's tables have, and the limbs' mean where the protocol has it."""
    limbs = {} if score.mean_limbs is None else {"Limbs": score.mean_limbs}
    return {**score.parts, "Total": score.mean, **limbs}


def spread_of(scores: Scores, arm: str, seeds: Sequence[int]) -> dict[str, Spread]:
    """Each column of an arm over the seeds that are done."""
    columns = [columns_of(scores[arm, seed]) for seed in seeds if (arm, seed) in scores]
    names = columns[0] if columns else {}
    return {name: Spread(tuple(values[name] for values in columns)) for name in names}


def compare_arms(study: Study, scores: Scores, seeds: Sequence[int]) -> list[Difference]:
    """What the table claims, by the seeds for which both arms are done."""
    totals = {arm: row.values[-1] for arm, row in study.rows.items()}
    found = []
    for arm, other in study.pairs:
        shared = [seed for seed in seeds if {(arm, seed), (other, seed)} <= scores.keys()]
        values = tuple(scores[arm, s].headline - scores[other, s].headline for s in shared)
        paper = totals[arm] - totals[other] if totals else None
        found.append(Difference(arm, other, Spread(values), paper))
    return found


class Runs:
    """Run directories ``ARM-seedN`` of one folder, with a ``score.json`` in those that are done.

    The recipes of the runs are `plans`. Where not the held-out persons of every source are scored,
    it is the persons of `split`, by default the data set's val or test. A packed store has no
    pictures to score, and is a `UserError`.
    """

    def __init__(
        self,
        plans: Mapping[Run, Recipe],
        folder: Path,
        split: str | None = None,
        *,
        of_sources: bool = False,
    ) -> None:
        self.plans, self.folder = plans, folder
        self.data = next(iter(plans.values())).data
        self.how: dict[str, Any] = {}
        self.title = "held-out persons of every source"
        if of_sources:
            return
        name = self.data.dataset
        if dataset_info(name).packed:
            raise UserError(
                "data.dataset: an ablation is scored on the data set's own pictures; name the data "
                "set and its folder in place of a store"
            )
        self.how = {
            "dataset": name,
            "split": split or default_split(name, self.data.root),
            "protocol": default_protocol(name),
            "crop": self.data.crop or default_crop(name),
        }
        self.title = "{dataset} {split} by {protocol}".format(**self.how)

    def check_unseen(self) -> None:
        """Raise a `UserError` where a scored picture is learned from."""
        if not self.how:
            return  # what is held out is checked by every training
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
        score = self._measure(folder, device) if self.how else score_of_log(folder / LOG)
        how = {**self.how, "recipe": self.plans[run].identity()}
        with RunDirectory(folder).writing(), whole_file(folder / SCORE) as partly:
            partly.write_text(json.dumps({"how": how, "score": score.to_dict()}), encoding="utf-8")
        return score

    def _measure(self, folder: Path, device: torch.device) -> Score:
        return evaluate(
            PoseEstimator(str(folder / MODEL), device=str(device), refinement=REFINEMENT),
            open_dataset(self.data.dataset, self.data.root, self.how["split"]),
            protocol=self.how["protocol"],
            crop=self.how["crop"],
        ).score

    def train(
        self,
        train: Callable[[Recipe, Path], object],
        processes: ProcessGroup,
        *,
        stop: Callable[[], bool],
    ) -> list[str]:
        """Train and score every run that is neither done nor held by another process.

        `train` takes a recipe and a directory, and `stop` is asked before and after every training.
        Gives what went wrong, a line for each run.
        """

        def is_done(run: Run) -> bool:
            return bool(processes.of_first(self.score(run) is not None))

        left = [run for run in self.plans if not is_done(run)]
        if processes.first:
            say(f"{len(left)} of {counted(len(self.plans), 'run')} to do, in {self.folder}")
        failed: list[str] = []
        for run in left:
            if any(processes.gather(stop())):
                break
            if is_done(run):
                continue  # another process was quicker
            path = self.directory(run)
            try:
                train(self.plans[run], path)
                if any(processes.gather(stop())):
                    break  # perhaps before its last step
                if processes.first:
                    say(f"{path.name}: {self._write_score(run, processes.device).headline:.2f} %")
                processes.barrier()
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


def score_of_log(log: Path) -> Score:
    """The last held-out score of every source in a run's log, and their mean."""
    lines = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    sources = [line["sources"] for line in lines if "sources" in line][-1]
    means = {title: float(score["mean"]) for title, score in sources.items()}
    persons = sum(score["persons"] for score in sources.values())
    return Score("held-out", mean(means.values()), means, {}, persons)


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


def describe_costs(costs: dict[str, Any], device: str) -> str:
    """A table of the arms, and the sums."""
    rows = [
        {
            "Arm": arm["arm"],
            "Runs": arm["runs"],
            "Parameters": f"{arm['parameters'] / 1e6:.2f} M",
            "GMAC": f"{arm['gmac']:.2f}",
            "Time per run": timedelta(seconds=round(arm["seconds_a_run"])),
        }
        for arm in costs["arms"]
    ]
    return (
        f"{table(rows, right=list(rows[0])[1:])}\n\n{counted(costs['runs'], 'run')} of "
        f"{counted(costs['epochs'], 'epoch')}, {counted(costs['steps_a_run'], 'step')} each, "
        f"{costs['steps']} in all; about {timedelta(seconds=round(costs['seconds']))} in one "
        f"process on {device}, data and scoring not counted"
    )


def describe(study: Study, scores: Scores, seeds: Sequence[int], head: str, style: str) -> str:
    """The paper's table with ours beside it, and what the seeds say of its claims."""
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
        for d in compare_arms(study, scores, seeds)
    ]
    if paper:
        head = f"Table {paper.number} of the paper, {paper.title}; here {head}; there {paper.data}"
    second = f"Differences, {'limbs' if 'Limbs' in columns else 'total'}, seed by seed"
    mark = "% " if style == "latex" else ""
    scored = table(rows, right=list(rows[0])[2:], style=style)
    compared = table(claims, right=list(claims[0])[1:-1], style=style)
    return f"{mark}{head}\n\n{scored}\n\n{mark}{second}\n\n{compared}"


def _cell(spread: Spread, sign: str = "") -> str:
    if len(spread.values) < 2:
        return "".join(f"{value:{sign}.2f}" for value in spread.values)
    return f"{spread.mean:{sign}.2f} ± {spread.sd:.2f}"


def as_dict(study: Study, scores: Scores, seeds: Sequence[int]) -> dict[str, Any]:
    """What is printed of a study, for ``--json``."""
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
            for d in compare_arms(study, scores, seeds)
        ],
    }


STUDY = Argument(help="dhm, sim or modules (Tables 1 to 3), all, ingredients, or a YAML of arms.")
OUT = Option("--out", "-o", help="By default runs/NAME of the recipe.")
DRY_RUN = Option("--dry-run", help="Print what the runs would take, by a few steps.")
REPORT = Option("--report", help="Train nothing; print what is done so far.")
IMPORT = Option("--import", help="A module, or mine.py, with parts of yours; may be repeated.")


def ablate(
    study: Annotated[str, STUDY],
    recipe: Annotated[Path, Argument(help="A YAML file; it says all but the arms.")],
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
    extensions: Annotated[list[str] | None, IMPORT] = None,
) -> None:
    """Train the arms of a comparison, such as the paper's, and print tables with error bars."""
    style = check_style(style, compare=True, as_json=as_json)
    for extension in extensions or []:
        import_extension(extension)
    studies = studies_of(study)
    of_sources = any(of.of_sources for of in studies.values())
    base = load_recipe(recipe, [*(SMALL if of_sources else ()), *(overrides or [])])
    if of_sources and sum(bool(part.holdout) for part in base.data.parts) < 2:
        raise UserError("data.more: the ingredients want two sources with a holdout")
    numbers = parse_seeds(seeds)
    plans = {
        (name, seed): arm_recipe(base, name, arm, seed)
        for (name, seed), arm in runs_of(list(studies.values()), numbers).items()
    }
    for plan in plans.values():
        check_recipe(plan)
    found = find_device(device)
    if dry_run:
        costs = cost_of_runs(plans, base, found)
        print(json.dumps(costs) if as_json else describe_costs(costs, str(found)))
        return
    runs = Runs(plans, out or Path("runs") / base.name, split, of_sources=of_sources)
    failed: list[str] = []
    if not report:
        runs.check_unseen()
        with training_processes(found, max_minutes) as (processes, stop):
            by = partial(train_by, processes=processes, resume=None, stop=stop)
            failed = runs.train(by, processes, stop=stop)
            if not processes.first:
                return
    if not (scores := runs.scores()):
        goes_on = f"the same command {'without --report ' * report}goes on"
        raise UserError(f"{runs.folder}: no run is done yet; {goes_on}")
    if as_json:
        print(json.dumps({name: as_dict(of, scores, numbers) for name, of in studies.items()}))
    else:
        head = f"{base.name}: {runs.title}"
        print("\n\n".join(describe(of, scores, numbers, head, style) for of in studies.values()))
    if missing := len(plans) - len(scores):
        say(f"still to do: {missing} of {counted(len(plans), 'run')}; the same command goes on")
    if failed:
        raise UserError(f"{counted(len(failed), 'run')} failed: {'; '.join(failed)}")


if __name__ == "__main__":
    try:
        typer.run(ablate)
    except (UserError, OSError) as error:
        sys.exit(f"error: {error}")
