"""``spcnet ablate`` from end to end, on networks and data of toy size."""

import json
from pathlib import Path

import pytest
from command_line import fails, spcnet
from conftest import RECIPES
from typer.testing import CliRunner

from spcnet.cli.main import app
from spcnet.errors import UserError

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
    return ["ablate", "modules", str(RECIPES / "synthetic.yaml"), *changes, "--split", "9-11"]


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return {"SPCNET_CACHE": str(tmp_path_factory.mktemp("cache"))}


def test_every_arm_is_trained_scored_and_compared(
    tmp_path: Path, command: list[str], cache: dict[str, str]
) -> None:
    out = tmp_path / "study"
    stopped = spcnet(*command, "-o", out, "--seeds", "3", "--max-minutes", 0, **cache)
    assert stopped.returncode == 1
    assert "no run is done yet" in stopped.stderr
    done = spcnet(*command, "-o", out, "--seeds", "3", **cache)
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
    both = spcnet(*command, "-o", out, "--seeds", "3,4", "--json", **cache)
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

    report = spcnet(*command, "-o", out, "--seeds", "3,4,5", "--report", "--format", "markdown",
                    **cache)  # fmt: skip
    assert report.returncode == 0, report.stderr
    assert "| here, 2 seeds |" in report.stdout
    assert "still to do: 4 of 12 runs" in report.stderr
    more = [*command, "--set", "training.epochs=2"]
    fails(*more, "-o", out, "--seeds", "3", told="was trained by another recipe")
    fails(*command[:-1], "12-14", "-o", out, "--seeds", "3", "--report",
          told="was scored on synthetic 9-11")  # fmt: skip


def test_a_dry_run_states_the_steps_before_anything_is_trained(
    tmp_path: Path, command: list[str]
) -> None:
    done = spcnet(*command, "-o", tmp_path / "study", "--dry-run")
    assert done.returncode == 0, done.stderr
    assert "12 runs of 1 epoch, 2 steps each, 24 in all" in done.stdout
    assert not (tmp_path / "study").exists()
    done = spcnet(*command, "--seeds", "1", "--dry-run", "--json")
    plan = json.loads(done.stdout)
    assert [arm["arm"] for arm in plan["arms"]] == ["baseline", "dhm-r2", "sim", "dhm-sim"]
    assert (plan["runs"], plan["steps_a_run"], plan["steps"]) == (4, 2, 8)
    assert plan["seconds"] == pytest.approx(sum(arm["seconds_a_run"] for arm in plan["arms"]))


def test_what_cannot_be_compared_is_refused(tmp_path: Path, command: list[str]) -> None:
    def refused(*arguments: object, told: str) -> None:
        found = CliRunner().invoke(app, [str(argument) for argument in arguments])
        assert isinstance(found.exception, UserError), found.exception
        assert told in str(found.exception)

    out = ["-o", tmp_path / "x"]
    refused(*command[:-1], "8-9", *out, told="learns from 1 of its pictures")
    for seeds in ("1,1", "1, 1", "1,01", "one", ""):
        wrong = CliRunner().invoke(app, [*command, "--seeds", seeds, *map(str, out)])
        assert (wrong.exit_code, "different whole numbers" in wrong.output) == (2, True)
    refused(*command, "--report", *out, told="no run is done yet")
    refused(*command, "--set", "data.dataset=store", *out, told="the data set's own pictures")
    refused(*command, "--set", "model.weights=default", *out, told="leave it out")
    assert CliRunner().invoke(app, ["ablate", "everything", "x.yaml"]).exit_code == 2
    assert not (tmp_path / "x").exists()


def test_an_arm_that_fails_does_not_stop_the_others(
    tmp_path: Path, command: list[str], cache: dict[str, str]
) -> None:
    out = tmp_path / "study"
    (out / "sim-seed3").mkdir(parents=True)
    (out / "sim-seed3" / "recipe.yaml").write_text("")
    (out / "sim-seed3" / "state.safetensors").write_text("broken")
    done = spcnet(*command, "-o", out, "--seeds", "3", **cache)
    assert done.returncode == 1
    assert "error: 1 run failed: sim-seed3: " in done.stderr
    assert {path.parent.name for path in out.glob("*/score.json")} == {
        "baseline-seed3", "dhm-r2-seed3", "dhm-sim-seed3",
    }  # fmt: skip
    assert "DHM + SIM over Baseline" in done.stdout
