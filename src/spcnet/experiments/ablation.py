"""The paper's ablations: the arms of Tables 1 to 3, their recipes, and what their scores say.

Xiao et al., SPCNet, ECAI 2020, Section 4.2. Arms are compared seed by seed: networks that start
from one seed see the same crops in the same order, so the difference of their scores varies less
than the scores do.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from scipy import stats

from spcnet.data.yaml_files import load_yaml
from spcnet.errors import UserError
from spcnet.metrics.paper import TABLES, Row
from spcnet.metrics.protocols import Score
from spcnet.training.recipe import Recipe

CONFIDENCE = 0.95

# What each arm asks of `PoseNetwork`; stacks and channels are the recipe's.
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


@dataclass(frozen=True)
class Study:
    """A comparison: one table of the paper, or one of yours."""

    # What each asks of the network, in the order of the rows; the first is the baseline.
    arms: Mapping[str, Mapping[str, Any]]
    proposed: str  # the arm that is argued for
    table: int | None = None  # the paper's number of it

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
            (self.proposed, arm) for arm in others if arm != self.proposed
        ]


STUDIES: Mapping[str, Study] = {
    name: Study({arm: ARMS[arm] for arm in arms}, proposed, table)
    for name, table, proposed, arms in (
        ("dhm", 1, "dhm-r2", ("baseline", "dhm-r1", "dhm-r2", "dhm-r3")),
        ("sim", 2, "sim", ("baseline", "sum", "concat", "sim")),
        ("modules", 3, "dhm-sim", ("baseline", "dhm-r2", "sim", "dhm-sim")),
    )
}

Scores = Mapping[tuple[str, int], Score]  # of an arm and a seed


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


def runs_of(
    studies: Sequence[Study], seeds: Sequence[int]
) -> dict[tuple[str, int], Mapping[str, Any]]:
    """The arm and seed of every run, each once, and what the arm asks; seed by seed."""
    arms = {arm: arguments for study in studies for arm, arguments in study.arms.items()}
    return {(arm, seed): arguments for seed in seeds for arm, arguments in arms.items()}


def arm_recipe(recipe: Recipe, arm: str, arguments: Mapping[str, Any], seed: int) -> Recipe:
    """The recipe of one run: everything but the arm's arguments and the seed is shared."""
    if recipe.model.weights is not None:
        raise UserError(
            f"model.weights: {recipe.model.weights} are the weights of one network, and the arms "
            "of an ablation are several; leave it out"
        )
    both = {**recipe.model.arguments, **arguments}
    return recipe.model_copy(
        update={
            "name": f"{recipe.name}-{arm}-seed{seed}",
            "seed": seed,
            "model": recipe.model.model_copy(update={"arguments": both}),
        }
    )


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


def differences(study: Study, scores: Scores, seeds: Sequence[int]) -> list[Difference]:
    """What the table claims, by the seeds for which both arms are done."""
    totals = {arm: row.values[-1] for arm, row in study.rows.items()}
    found = []
    for arm, other in study.pairs:
        shared = [seed for seed in seeds if {(arm, seed), (other, seed)} <= scores.keys()]
        values = tuple(scores[arm, s].headline - scores[other, s].headline for s in shared)
        paper = totals[arm] - totals[other] if totals else None
        found.append(Difference(arm, other, Spread(values), paper))
    return found
