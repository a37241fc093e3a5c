"""``benchmarks/ablate.py``: its arms, what their scores say, and it from end to end at toy size."""

import json
import math
from pathlib import Path

import pytest
from command_line import fails, python, spcnet
from conftest import RECIPES
from loading import BENCHMARKS, load
from typer import Typer
from typer.testing import CliRunner

from spcnet.errors import UserError
from spcnet.metrics.protocols import Score
from spcnet.models.hourglass import DilatedHourglass, Hourglass
from spcnet.models.registry import create_model
from spcnet.models.selective import ConcatFusion, InformationDistribution, SumFusion
from spcnet.training.recipe import load_recipe, parse_recipe

SCRIPT = BENCHMARKS / "ablate.py"
ablate = load("ablate")


def score(mean: float, limbs: float | None = None) -> Score:
    return Score("mpii-tompson", mean, {"Head": mean + 5}, {}, 10, mean_limbs=limbs)


def test_the_three_tables_have_eight_arms_and_each_is_trained_once_a_seed() -> None:
    everything = list(ablate.runs_of(list(ablate.STUDIES.values()), [0, 1, 2]))
    assert len(everything) == 24
    assert {arm for arm, _ in everything} == set(ablate.ARMS)
    assert [seed for _, seed in everything] == [0] * 8 + [1] * 8 + [2] * 8
    assert list(ablate.runs_of([ablate.STUDIES["dhm"]], [5])) == [
        ("baseline", 5), ("dhm-r1", 5), ("dhm-r2", 5), ("dhm-r3", 5),
    ]  # fmt: skip


def test_arms_stand_beside_the_papers_rows() -> None:
    methods = {
        name: [r.method for r in study.rows.values()] for name, study in ablate.STUDIES.items()
    }
    assert methods["dhm"] == ["Baseline", "DHM, R=1", "DHM, R=2", "DHM, R=3"]
    assert methods["modules"] == ["Baseline", "DHM", "SIM", "DHM + SIM"]
    assert list(ablate.STUDIES["sim"].rows) == ["baseline", "sum", "concat", "sim"]
    assert ablate.STUDIES["sim"].rows["concat"].method == "Baseline + IC + Concat"
    assert ablate.STUDIES["modules"].rows["dhm-sim"].values[-1] == 90.0


def test_each_arm_is_the_network_of_its_row() -> None:
    fusions = {
        "baseline": None, "dhm-r1": None, "dhm-r2": None, "dhm-r3": None, "sum": SumFusion,
        "concat": ConcatFusion, "sim": InformationDistribution, "dhm-sim": InformationDistribution,
    }  # fmt: skip
    for arm, fusion in fusions.items():
        network = create_model("spcnet_s2_w128", channels=16, **ablate.ARMS[arm])
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
    plan = ablate.arm_recipe(base, "dhm-r3", ablate.ARMS["dhm-r3"], 2)
    assert (plan.name, plan.seed) == ("ablation_cpu-dhm-r3-seed2", 2)
    assert plan.model.arguments == {
        "channels": 64, "module": "dilated", "dilation": 3, "fusion": "none",
    }  # fmt: skip
    changed = {"name", "seed", "model"}
    assert plan.model_dump(exclude=changed) == base.model_dump(exclude=changed)
    trained = load_recipe(RECIPES / "ablation_cpu.yaml", ["model.weights=default"])
    with pytest.raises(UserError, match=r"model\.weights: default are the weights of one network"):
        ablate.arm_recipe(trained, "sim", ablate.ARMS["sim"], 0)


def test_arms_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("arms: {base: {fusion: sum}, new: {fusion: concat, depth: 3}}")
    study = ablate.read_study(path)
    assert list(ablate.runs_of([study], [0, 1])) == [
        ("base", 0),
        ("new", 0),
        ("base", 1),
        ("new", 1),
    ]
    assert (study.proposed, study.rows, study.pairs) == ("new", {}, [("new", "base")])
    base = load_recipe(RECIPES / "ablation_cpu.yaml")
    plan = ablate.arm_recipe(base, "new", study.arms["new"], 1)
    assert plan.model.arguments == {"channels": 64, "fusion": "concat", "depth": 3}
    scores = {("base", s): score(50.0) for s in (0, 1)} | {
        ("new", s): score(60.0 + s / 10) for s in (0, 1)
    }
    (found,) = ablate.compare_arms(study, scores, [0, 1])
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
        ablate.read_study(path)
    with pytest.raises(UserError, match=r"none\.yaml: cannot be read: No such file"):
        ablate.read_study(tmp_path / "none.yaml")


def test_spread_by_hand() -> None:
    three = ablate.Spread((1.0, 2.0, 6.0))
    assert three.mean == 3
    assert three.sd == pytest.approx(math.sqrt(7))  # (4 + 1 + 9) / 2
    # Student's t of two degrees of freedom at 97.5 % is 4.3027.
    reach = 4.3027 * math.sqrt(7 / 3)
    assert three.interval == pytest.approx((3 - reach, 3 + reach), abs=1e-3)
    assert math.isnan(ablate.Spread((1.0,)).sd)
    assert all(map(math.isnan, ablate.Spread((1.0,)).interval))
    assert math.isnan(ablate.Spread(()).mean)


def test_differences_are_taken_seed_by_seed() -> None:
    """Two seeds far apart, the same gain in both: the gain is sure though the scores are not."""
    scores = {
        ("baseline", 0): score(50), ("baseline", 1): score(60), ("baseline", 2): score(70),
        ("dhm-r1", 0): score(49), ("dhm-r1", 1): score(61), ("dhm-r1", 2): score(70),
        ("dhm-r2", 0): score(52), ("dhm-r2", 1): score(62.2), ("dhm-r2", 2): score(72.1),
        ("dhm-r3", 0): score(48),
    }  # fmt: skip
    found = {
        (d.arm, d.other): d for d in ablate.compare_arms(ablate.STUDIES["dhm"], scores, [0, 1, 2])
    }
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
    assert (
        ablate.compare_arms(ablate.STUDIES["dhm"], worse, [0, 1, 2])[1].verdict
        == "against the paper"
    )


def test_the_limbs_decide_where_the_protocol_counts_them() -> None:
    scores = {("baseline", 0): score(50, limbs=40), ("sim", 0): score(49, limbs=43)}
    found = {(d.arm, d.other): d for d in ablate.compare_arms(ablate.STUDIES["sim"], scores, [0])}
    assert found["sim", "baseline"].spread.values == (3,)
    assert found["sum", "baseline"].spread.values == ()
    assert ablate.columns_of(score(50, limbs=40)) == {"Head": 55, "Total": 50, "Limbs": 40}
    assert ablate.spread_of(scores, "sim", [0, 1])["Total"].values == (49,)
    assert ablate.spread_of(scores, "concat", [0, 1]) == {}


def test_arms_of_the_ingredients_are_recipes_whose_shares_add_up() -> None:
    base = load_recipe(RECIPES / "people_cpu.yaml", ablate.SMALL).model_dump(mode="json")
    for source in (base["data"], *base["data"]["more"]):
        source["opinions"] = "some.json" if source["dataset"] != "nobody" else None
    whole = parse_recipe(base, source="whole")
    for name, arm in ablate.INGREDIENTS.arms.items():
        plan = ablate.arm_recipe(whole, name, arm, 1)
        assert (plan.name, plan.seed) == (f"people_cpu-{name}-seed1", 1)
        assert sum(part.share or 0 for part in plan.data.parts) == pytest.approx(1)
        names = [part.dataset for part in plan.data.parts]
        held = [part for part in plan.data.parts if part.holdout]
        assert len(held) == 5  # every arm is scored on the same persons
        left_out = name.removeprefix("without-")
        assert ("unlabelled" in names) == (left_out not in ("sources", "opinions"))
        assert ("nobody" in names) == (left_out not in ("sources", "absent"))
        assert plan.data.believes_opinions == (left_out != "opinions")
        assert (plan.augmentation.neighbour_probability > 0) == (left_out != "neighbours")
        assert (plan.augmentation.cut_probability > 0) == (left_out != "absent")


def test_ingredients_are_scored_by_the_last_line_of_every_source(tmp_path: Path) -> None:
    lines = [
        {"sources": {"lspet": {"mean": 1, "persons": 4}, "own": {"mean": 3, "persons": 2}}},
        {"sources": {"lspet": {"mean": 60.0, "persons": 4}, "own": {"mean": 70.0, "persons": 2}}},
        {"loss": 1.0},
    ]
    log = tmp_path / "log.jsonl"
    log.write_text("".join(json.dumps(line) + "\n" for line in lines))
    found = ablate.score_of_log(log)
    assert (found.mean, found.persons) == (65.0, 6)
    assert ablate.columns_of(found) == {"lspet": 60.0, "own": 70.0, "Total": 65.0}
    scores = {("whole", 0): found, ("without-doubt", 0): score(64.0)}
    claims = {d.arm: d for d in ablate.compare_arms(ablate.INGREDIENTS, scores, [0])}
    assert len(claims) == 5 and claims["without-doubt"].spread.values == (-1.0,)


TOY = [
    "model.arguments={channels: 16, stacks: 1}",
    "model.input_size=64",
    "data.train=1-8",
    "data.holdout=null",
    "training.epochs=1",
    "training.batch_size=4",
    "training.ema=null",
]


@pytest.fixture(scope="module")
def command() -> list[str]:
    changes = [part for change in TOY for part in ("--set", change)]
    return ["modules", str(RECIPES / "synthetic.yaml"), *changes, "--split", "9-11"]


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return {"SPCNET_CACHE": str(tmp_path_factory.mktemp("cache"))}


def test_every_arm_is_trained_scored_and_compared(
    tmp_path: Path, command: list[str], cache: dict[str, str]
) -> None:
    out = tmp_path / "study"
    stopped = python(SCRIPT, *command, "-o", out, "--seeds", "3", "--max-minutes", 0, **cache)
    assert stopped.returncode == 1
    assert "no run is done yet" in stopped.stderr
    done = python(SCRIPT, *command, "-o", out, "--seeds", "3", **cache)
    assert done.returncode == 0, done.stderr
    assert "4 of 4 runs to do" in done.stderr
    runs = {path.name for path in out.iterdir()}
    assert runs == {"baseline-seed3", "dhm-r2-seed3", "sim-seed3", "dhm-sim-seed3"}
    for name in runs:
        held = {path.name for path in (out / name).iterdir()}
        assert {"recipe.yaml", "log.jsonl", "model.safetensors", "score.json"} <= held
    lines = done.stdout.splitlines()
    assert lines[0].startswith("Table 3 of the paper, Both modules; here synthetic")
    paper = next(line for line in lines if "the paper" in line and line.endswith("88.9"))
    assert paper.split()[2:9] == ["96.7", "95.8", "89.9", "84.9", "88.8", "85.0", "80.6"]
    assert "DHM + SIM over Baseline" in done.stdout
    assert "too few seeds" in done.stdout

    # Another study over the same folder trains only what it lacks; another seed is compared.
    both = python(SCRIPT, *command, "-o", out, "--seeds", "3,4", "--json", **cache)
    assert both.returncode == 0, both.stderr
    assert "4 of 8 runs to do" in both.stderr
    table = json.loads(both.stdout)["modules"]
    assert table["table"] == 3
    scores = {arm: table["scores"][arm] for arm in ("baseline", "dhm-sim")}
    expected = [
        scores["dhm-sim"][seed]["mean_limbs"] - scores["baseline"][seed]["mean_limbs"]
        for seed in ("3", "4")
    ]
    claim = next(
        d for d in table["differences"] if (d["arm"], d["other"]) == ("dhm-sim", "baseline")
    )
    assert claim["by_seed"] == pytest.approx(expected)
    assert claim["paper"] == 1.1

    # What is printed is what `spcnet evaluate` says of the run's model.
    model = out / "sim-seed3" / "model.safetensors"
    again = spcnet("evaluate", "--model", model, "--dataset", "synthetic", "--split", "9-11",
                   "--refinement", "dark", "--json")  # fmt: skip
    assert json.loads(again.stdout)["mean_limbs"] == table["scores"]["sim"]["3"]["mean_limbs"]

    report = python(SCRIPT, *command, "-o", out, "--seeds", "3,4,5", "--report",
                    "--format", "markdown", **cache)  # fmt: skip
    assert report.returncode == 0, report.stderr
    assert "| here, 2 seeds |" in report.stdout
    assert "still to do: 4 of 12 runs" in report.stderr
    more = [*command, "--set", "training.epochs=2"]
    fails(*more, "-o", out, "--seeds", "3", program=SCRIPT, told="was trained by another recipe")
    fails(*command[:-1], "12-14", "-o", out, "--seeds", "3", "--report", program=SCRIPT,
          told="was scored on synthetic 9-11")  # fmt: skip


def test_a_dry_run_states_the_steps_before_anything_is_trained(
    tmp_path: Path, command: list[str]
) -> None:
    done = python(SCRIPT, *command, "-o", tmp_path / "study", "--dry-run")
    assert done.returncode == 0, done.stderr
    assert "12 runs of 1 epoch, 2 steps each, 24 in all" in done.stdout
    assert not (tmp_path / "study").exists()
    done = python(SCRIPT, *command, "--seeds", "1", "--dry-run", "--json")
    plan = json.loads(done.stdout)
    assert [arm["arm"] for arm in plan["arms"]] == ["baseline", "dhm-r2", "sim", "dhm-sim"]
    assert (plan["runs"], plan["steps_a_run"], plan["steps"]) == (4, 2, 8)
    assert plan["seconds"] == pytest.approx(sum(arm["seconds_a_run"] for arm in plan["arms"]))


def test_what_cannot_be_compared_is_refused(tmp_path: Path, command: list[str]) -> None:
    app = Typer()
    app.command()(ablate.ablate)

    def refused(*arguments: object, told: str) -> None:
        found = CliRunner().invoke(app, [str(argument) for argument in arguments])
        assert isinstance(found.exception, UserError), found.exception
        assert told in str(found.exception)

    out = ["-o", tmp_path / "x"]
    refused(*command[:-1], "8-9", *out, told="learns from 1 of its pictures")
    for seeds in ("1,1", "1, 1", "1,01", "one", ""):
        refused(*command, "--seeds", seeds, *out, told="different whole numbers, such as 0,1,2")
    refused(*command, "--report", *out, told="no run is done yet")
    refused(*command, "--set", "data.dataset=store", *out, told="the data set's own pictures")
    refused(*command, "--set", "model.weights=default", *out, told="leave it out")
    refused(
        "everything", *command[1:], *out, told="'everything' is none of dhm, sim, modules, all,"
    )
    refused("ingredients", *command[1:], *out, told="want two sources with a holdout")
    assert not (tmp_path / "x").exists()


def test_an_arm_that_fails_does_not_stop_the_others(
    tmp_path: Path, command: list[str], cache: dict[str, str]
) -> None:
    out = tmp_path / "study"
    (out / "sim-seed3").mkdir(parents=True)
    (out / "sim-seed3" / "recipe.yaml").write_text("")
    (out / "sim-seed3" / "state.safetensors").write_text("broken")
    done = python(SCRIPT, *command, "-o", out, "--seeds", "3", **cache)
    assert done.returncode == 1
    assert "error: 1 run failed: sim-seed3: " in done.stderr
    assert {path.parent.name for path in out.glob("*/score.json")} == {
        "baseline-seed3", "dhm-r2-seed3", "dhm-sim-seed3",
    }  # fmt: skip
    assert "DHM + SIM over Baseline" in done.stdout
