import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import RECIPES

from spcnet.data.store import PackedStore
from spcnet.errors import UserError
from spcnet.training.checks import check_recipe
from spcnet.training.loop import train
from spcnet.training.recipe import load_recipe
from spcnet.training.trackers import TRACKERS

SMALL = [
    "model.variant=spcnet_s1_w64",
    "model.arguments={channels: 16}",
    "model.input_size=64",
    "training.batch_size=4",
    "training.epochs=2",
    "training.evaluate_every=1",
]


def test_tensorboard_sees_losses_scores_and_pictures(figures: PackedStore, tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    plan = load_recipe(RECIPES / "synthetic.yaml", [*SMALL, "training.trackers=[tensorboard]"])
    train(plan, figures, tmp_path / "run", holdout=figures)
    events = EventAccumulator(str(tmp_path / "run" / "tensorboard"))
    events.Reload()
    tags = events.Tags()
    assert {"loss/all", "loss/output1", "loss/output2", "speed/lr"} <= set(tags["scalars"])
    assert "lspet-pck by joint/left_wrist" in tags["scalars"]
    steps = [event.step for event in events.Scalars("lspet-pck/mean")]
    assert steps == [3, 6]
    whole = events.Scalars("loss/all")[-1].value
    parts = [events.Scalars(f"loss/output{n}")[-1].value for n in (1, 2)]
    assert whole == pytest.approx(sum(parts), rel=1e-5)
    picture = events.Images("skeleton, heatmaps, level")[-1]
    assert (picture.width, picture.height) == (3 * 256, 4 * 256)


def test_without_a_trackers_package_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, module, extra in (
        ("tensorboard", "torch.utils.tensorboard", "train"), ("wandb", "wandb", "trackers"),
        ("mlflow", "mlflow", "trackers"),
    ):  # fmt: skip
        monkeypatch.setitem(sys.modules, module, None)
        plan = load_recipe(RECIPES / "synthetic.yaml", [*SMALL, f"training.trackers=[{name}]"])
        with pytest.raises(UserError, match=rf"pip install 'spcnet\[{extra}\]'"):
            check_recipe(plan)
    with pytest.raises(UserError, match=r"unknown tracker 'wand'; did you mean 'wandb'"):
        load_recipe(RECIPES / "synthetic.yaml", ["training.trackers=[wand]"])


def test_recipes_of_before_other_trackers_are_read() -> None:
    for value, trackers in (("true", ["tensorboard"]), ("false", [])):
        plan = load_recipe(RECIPES / "synthetic.yaml", [f"training.tensorboard={value}"])
        assert plan.training.trackers == trackers


def test_a_tracker_of_ones_own_sees_values_and_pictures(
    figures: PackedStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []

    class Mine:
        def begin(self, run_dir: Path, recipe: Mapping[str, Any], *, after: int) -> None:
            seen.append(("begin", run_dir.name, recipe["name"], after))

        def add_values(self, values: Mapping[str, float], step: int) -> None:
            seen.append(("values", step, set(values)))

        def add_picture(self, name: str, picture: np.ndarray, step: int) -> None:
            seen.append(("picture", step, picture.shape, picture.dtype))

        def finish(self) -> None:
            seen.append(("finish",))

    monkeypatch.setitem(TRACKERS, "mine", Mine)
    plan = load_recipe(RECIPES / "synthetic.yaml", [*SMALL, "training.trackers=[mine]"])
    train(plan, figures, tmp_path / "run", holdout=figures)
    assert seen[0] == ("begin", "run", "synthetic", 0) and seen[-1] == ("finish",)
    assert [(kind, step) for kind, step, *_ in seen[1:-1]] == [
        ("values", 3), ("values", 3), ("picture", 3), ("values", 6), ("values", 6), ("picture", 6),
    ]  # fmt: skip
    assert "loss/all" in seen[1][2] and "lspet-pck/mean" in seen[2][2]
    assert seen[3][2:] == ((4 * 256, 3 * 256, 3), np.uint8)


@pytest.mark.parametrize("name", ["wandb", "mlflow"])
def test_other_trackers_write_into_the_run_alone(
    name: str, figures: PackedStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip(name)
    monkeypatch.chdir(tmp_path)
    plan = load_recipe(RECIPES / "synthetic.yaml", [*SMALL, f"training.trackers=[{name}]"])
    train(plan, figures, tmp_path / "run", holdout=figures)
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
    written = [path for path in (tmp_path / "run" / name).rglob("*") if path.is_file()]
    if name == "wandb":
        assert any(path.suffix == ".wandb" for path in written)
    else:
        (scores,) = [p for p in written if p.name == "mean" and p.parent.name == "lspet-pck"]
        assert [line.split()[2] for line in scores.read_text().splitlines()] == ["3", "6"]
