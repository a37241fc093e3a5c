import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import RECIPES

from spcnet.data.store import PackedStore
from spcnet.errors import UserError
from spcnet.training.log import Board
from spcnet.training.loop import train
from spcnet.training.recipe import load_recipe

SMALL = [
    "model.variant=spcnet_s1_w64",
    "model.arguments={channels: 16}",
    "model.input_size=64",
    "training.batch_size=4",
    "training.epochs=2",
    "training.evaluate_every=1",
    "training.tensorboard=true",
]


def test_tensorboard_sees_losses_scores_and_pictures(figures: PackedStore, tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    plan = load_recipe(RECIPES / "synthetic.yaml", SMALL)
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


def test_without_tensorboard_the_remedy_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(UserError, match=r"pip install 'spcnet\[train\]'"):
        Board(tmp_path)
    assert np.array([path.name for path in tmp_path.iterdir()]).size == 0
