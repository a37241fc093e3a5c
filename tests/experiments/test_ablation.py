"""The arms of Tables 1 to 3 and what their scores say; numbers worked out by hand."""

import math
from pathlib import Path

import pytest
from conftest import RECIPES

from spcnet.errors import UserError
from spcnet.experiments.ablation import (
    ARMS,
    STUDIES,
    Spread,
    arm_recipe,
    columns_of,
    differences,
    read_study,
    runs_of,
    spread_of,
)
from spcnet.metrics.protocols import Score
from spcnet.models.hourglass import DilatedHourglass, Hourglass
from spcnet.models.registry import create_model
from spcnet.models.selective import ConcatFusion, InformationDistribution, SumFusion
from spcnet.training.recipe import load_recipe


def score(mean: float, limbs: float | None = None) -> Score:
    return Score("mpii-tompson", mean, {"Head": mean + 5}, {}, 10, mean_limbs=limbs)


def test_the_three_tables_have_eight_arms_and_each_is_trained_once_a_seed() -> None:
    everything = list(runs_of(list(STUDIES.values()), [0, 1, 2]))
    assert len(everything) == 24
    assert {arm for arm, _ in everything} == set(ARMS)
    assert [seed for _, seed in everything] == [0] * 8 + [1] * 8 + [2] * 8
    assert list(runs_of([STUDIES["dhm"]], [5])) == [
        ("baseline", 5), ("dhm-r1", 5), ("dhm-r2", 5), ("dhm-r3", 5),
    ]  # fmt: skip


def test_arms_stand_beside_the_papers_rows() -> None:
    methods = {name: [r.method for r in study.rows.values()] for name, study in STUDIES.items()}
    assert methods["dhm"] == ["Baseline", "DHM, R=1", "DHM, R=2", "DHM, R=3"]
    assert methods["modules"] == ["Baseline", "DHM", "SIM", "DHM + SIM"]
    assert list(STUDIES["sim"].rows) == ["baseline", "sum", "concat", "sim"]
    assert STUDIES["sim"].rows["concat"].method == "Baseline + IC + Concat"
    assert STUDIES["modules"].rows["dhm-sim"].values[-1] == 90.0


def test_each_arm_is_the_network_of_its_row() -> None:
    fusions = {
        "baseline": None, "dhm-r1": None, "dhm-r2": None, "dhm-r3": None, "sum": SumFusion,
        "concat": ConcatFusion, "sim": InformationDistribution, "dhm-sim": InformationDistribution,
    }  # fmt: skip
    for arm, fusion in fusions.items():
        network = create_model("spcnet_s2_w128", channels=16, **ARMS[arm])
        module = network.stacks[0].module  # type: ignore[union-attr]
        if arm.startswith("dhm"):
            assert isinstance(module, DilatedHourglass), arm
            rate = int(arm.removeprefix("dhm-r")) if arm[-1].isdigit() else 2
            assert module.dilation == rate
        else:
            assert isinstance(module, Hourglass), arm
        assert type(network.distribute) is (fusion or type(None)), arm


def test_the_arms_share_everything_but_modules_and_seed() -> None:
    base = load_recipe(RECIPES / "ablation_cpu.yaml")
    plan = arm_recipe(base, "dhm-r3", ARMS["dhm-r3"], 2)
    assert (plan.name, plan.seed) == ("ablation_cpu-dhm-r3-seed2", 2)
    assert plan.model.arguments == {
        "channels": 64, "module": "dilated", "dilation": 3, "fusion": "none",
    }  # fmt: skip
    changed = {"name", "seed", "model"}
    assert plan.model_dump(exclude=changed) == base.model_dump(exclude=changed)
    trained = load_recipe(RECIPES / "ablation_cpu.yaml", ["model.weights=default"])
    with pytest.raises(UserError, match=r"model\.weights: default are the weights of one network"):
        arm_recipe(trained, "sim", ARMS["sim"], 0)


def test_arms_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("arms: {base: {fusion: sum}, new: {fusion: concat, depth: 3}}")
    study = read_study(path)
    assert list(runs_of([study], [0, 1])) == [("base", 0), ("new", 0), ("base", 1), ("new", 1)]
    assert (study.proposed, study.rows, study.pairs) == ("new", {}, [("new", "base")])
    base = load_recipe(RECIPES / "ablation_cpu.yaml")
    plan = arm_recipe(base, "new", study.arms["new"], 1)
    assert plan.model.arguments == {"channels": 64, "fusion": "concat", "depth": 3}
    scores = {("base", s): score(50.0) for s in (0, 1)} | {
        ("new", s): score(60.0 + s / 10) for s in (0, 1)
    }
    (found,) = differences(study, scores, [0, 1])
    assert (found.paper, found.verdict) == (None, "better")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "wanted two arms or more, such as arms: {baseline:"),
        ("arms: {one: {}}", "wanted two arms or more"),
        ("arms: {one: {}, two: 3}", "arm 'two' must be a plain name with arguments"),
        ("arms: {one: {}, ../two: {}}", "arm '../two' must be a plain name"),
        ("{arms: {one: {}, two: {}}, proposed: three}", "proposed 'three' is none of the arms one"),
        ("{arms: {one: {}, two: {}}, prop: one}", "wanted two arms or more"),
        ("arms: [", "not a YAML file: while parsing"),
    ],
)
def test_a_file_without_arms_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=message):
        read_study(path)
    with pytest.raises(UserError, match=r"none\.yaml: cannot be read: No such file"):
        read_study(tmp_path / "none.yaml")


def test_spread_by_hand() -> None:
    three = Spread((1.0, 2.0, 6.0))
    assert three.mean == 3
    assert three.sd == pytest.approx(math.sqrt(7))  # (4 + 1 + 9) / 2
    # Student's t of two degrees of freedom at 97.5 % is 4.3027.
    reach = 4.3027 * math.sqrt(7 / 3)
    assert three.interval == pytest.approx((3 - reach, 3 + reach), abs=1e-3)
    assert math.isnan(Spread((1.0,)).sd)
    assert all(map(math.isnan, Spread((1.0,)).interval))
    assert math.isnan(Spread(()).mean)


def test_differences_are_taken_seed_by_seed() -> None:
    """Two seeds far apart, the same gain in both: the gain is sure though the scores are not."""
    scores = {
        ("baseline", 0): score(50), ("baseline", 1): score(60), ("baseline", 2): score(70),
        ("dhm-r1", 0): score(49), ("dhm-r1", 1): score(61), ("dhm-r1", 2): score(70),
        ("dhm-r2", 0): score(52), ("dhm-r2", 1): score(62.2), ("dhm-r2", 2): score(72.1),
        ("dhm-r3", 0): score(48),
    }  # fmt: skip
    found = {(d.arm, d.other): d for d in differences(STUDIES["dhm"], scores, [0, 1, 2])}
    assert list(found) == [
        ("dhm-r1", "baseline"), ("dhm-r2", "baseline"), ("dhm-r3", "baseline"),
        ("dhm-r2", "dhm-r1"), ("dhm-r2", "dhm-r3"),
    ]  # fmt: skip
    gain = found["dhm-r2", "baseline"]
    assert gain.spread.values == pytest.approx((2, 2.2, 2.1))
    assert gain.paper == pytest.approx(0.8)
    assert gain.verdict == "as in the paper"
    assert found["dhm-r1", "baseline"].verdict == "within noise"
    assert found["dhm-r3", "baseline"].verdict == "too few seeds"
    worse = {run: score(100 - s.mean) for run, s in scores.items()}
    assert differences(STUDIES["dhm"], worse, [0, 1, 2])[1].verdict == "against the paper"


def test_the_limbs_decide_where_the_protocol_counts_them() -> None:
    scores = {("baseline", 0): score(50, limbs=40), ("sim", 0): score(49, limbs=43)}
    found = {(d.arm, d.other): d for d in differences(STUDIES["sim"], scores, [0])}
    assert found["sim", "baseline"].spread.values == (3,)
    assert found["sum", "baseline"].spread.values == ()
    assert columns_of(score(50, limbs=40)) == {"Head": 55, "Total": 50, "Limbs": 40}
    assert spread_of(scores, "sim", [0, 1])["Total"].values == (49,)
    assert spread_of(scores, "concat", [0, 1]) == {}
