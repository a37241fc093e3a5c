from pathlib import Path

import pytest
import torch

from spcnet.checkpoints import load_checkpoint
from spcnet.errors import UserError
from spcnet.training import train_recipe
from spcnet.training.recipe import Recipe, parse_recipe

VALUES = {
    "name": "small",
    "model": {"variant": "spcnet_s1_w64", "arguments": {"channels": 8}, "input_size": 64},
    "data": {"dataset": "synthetic", "train": "1-8", "holdout": "9-12"},
    "loss": {"kind": "softmax"},
    "training": {"epochs": 2, "batch_size": 4},
}


def recipe(**data: str) -> Recipe:
    return parse_recipe({**VALUES, "data": {**VALUES["data"], **data}}, source="test")  # type: ignore[dict-item]


def test_a_recipe_is_trained_from_its_data_to_its_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPCNET_CACHE", str(tmp_path / "cache"))
    begun, packed, steps = [], [], []
    path = train_recipe(
        recipe(),
        tmp_path / "run",
        device="cpu",
        packing=lambda done, total: packed.append((done, total)),
        begin=lambda learned, count: begun.append((learned, count)),
        report=lambda now: steps.append(now.step),
    )
    assert begun == [(8, 4)]
    assert packed[-1] == (4, 4) and (8, 8) in packed
    assert steps[-1] == 4
    _, card = load_checkpoint(path)
    assert card.training["persons"] == 8
    assert card.scores[0]["data"] == "synthetic 9-12, held out"
    again = train_recipe(recipe(), tmp_path / "again", device="cpu")
    first, second = (load_checkpoint(run)[0].state_dict() for run in (path, again))
    assert all(torch.equal(tensor, second[name]) for name, tensor in first.items())


def test_what_is_wrong_with_the_data_is_said_before_they_are_packed(tmp_path: Path) -> None:
    def packing(done: int, total: int | None) -> None:
        raise AssertionError

    with pytest.raises(UserError, match=r"data\.train and data\.holdout share 2 pictures"):
        train_recipe(recipe(holdout="7-9"), tmp_path / "run", device="cpu", packing=packing)
    with pytest.raises(UserError, match=r"batch_size: 4 is more than the 3 persons"):
        train_recipe(recipe(train="1-3"), tmp_path / "run", device="cpu", packing=packing)
    assert not (tmp_path / "run").exists()
