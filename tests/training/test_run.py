import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from spcnet.checkpoints import load_checkpoint
from spcnet.errors import UserError
from spcnet.skeletons import Skeleton
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
    with pytest.raises(UserError, match=r"batch_size: 4 is too many, as there are 3 persons"):
        train_recipe(recipe(train="1-3"), tmp_path / "run", device="cpu", packing=packing)
    assert not (tmp_path / "run").exists()


def sided(folder: Path, *joints: str) -> Path:
    """Four persons whose joints have some names."""
    folder.mkdir(exist_ok=True)
    rows = []
    for n in range(4):
        Image.fromarray(np.full((40, 40, 3), 60 * n, np.uint8)).save(folder / f"{n}.png")
        points = [value for k in range(len(joints)) for value in (5 + 9 * k, 8 + 3 * n, 2)]
        rows.append({"id": n, "image_id": n, "category_id": 1, "keypoints": points})
    content = {
        "images": [{"id": n, "file_name": f"{n}.png"} for n in range(4)],
        "annotations": rows,
        "categories": [{"id": 1, "name": "own", "keypoints": joints}],
    }
    path = folder / "own.json"
    path.write_text(json.dumps(content))
    return path


def test_sides_that_nothing_mirrors_are_not_trained_on_by_mistake(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPCNET_CACHE", str(tmp_path / "cache"))
    own = {"dataset": "coco", "root": str(sided(tmp_path, "knee_left", "foot_right", "nose"))}

    def trained(run: str, *, flip: float = 0.5, **data: Any) -> Skeleton:
        values = {**VALUES, "data": {**own, "train": "all", **data}}
        values |= {"augmentation": {"flip_probability": flip}}
        path = train_recipe(parse_recipe(values, source="test"), tmp_path / run, device="cpu")
        return load_checkpoint(path)[1].skeleton

    with pytest.raises(UserError, match=r"sides \(knee_left, foot_right\).*data\.mirror"):
        trained("refused")
    with pytest.raises(UserError, match=r"data\.mirror: .*no joint 'hoof'"):
        trained("refused", mirror=[("knee_left", "hoof")])
    assert not (tmp_path / "refused").exists()
    assert trained("plain", flip=0).flip_permutation == (0, 1, 2)
    assert trained("off", mirror=[]).flip_permutation == (0, 1, 2)
    paired = trained("paired", mirror=[("knee_left", "foot_right")])
    assert paired.flip_permutation == (1, 0, 2)
    assert [paired.side(n) for n in range(3)] == ["left", "right", "centre"]


def test_a_joint_without_a_label_spoils_no_loss(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPCNET_CACHE", str(tmp_path / "cache"))
    losses: dict[str, list[float]] = {}
    for name, unlabelled in (("zeros", [0, 0, 0]), ("nulls", [None, None, 0])):
        path = sided(tmp_path / name, "head", "tail")
        content = json.loads(path.read_text())
        for row in content["annotations"]:
            row["keypoints"][:3] = unlabelled
        path.write_text(json.dumps(content))
        values = {**VALUES, "data": {"dataset": "coco", "root": str(path), "train": "all"}}
        losses[name] = []
        train_recipe(
            parse_recipe(values, source="test"), tmp_path / f"{name} run", device="cpu",
            report=lambda now, of=losses[name]: of.append(now.loss),
        )  # fmt: skip
    assert losses["nulls"] == losses["zeros"]
    assert np.isfinite(losses["nulls"]).all()
