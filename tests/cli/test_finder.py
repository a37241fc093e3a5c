"""``spcnet finder``, on pictures made for it."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from command_line import fails, spcnet
from PIL import Image

from spcnet.boxmaps import CHANNELS
from spcnet.checkpoints import FinderCard, load_finder, save_checkpoint
from spcnet.models.registry import create_model
from spcnet.skeletons import COCO17


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six pictures, two of them without anybody, and an untrained finder."""
    folder = tmp_path_factory.mktemp("finding")
    (folder / "images").mkdir()
    random = np.random.default_rng(0)
    images, rows = [], []
    for n in range(1, 7):
        pixels = random.integers(0, 255, size=(60, 80, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / "images" / f"{n}.png")
        images.append({"id": n, "file_name": f"{n}.png", "width": 80, "height": 60})
        if n <= 4:
            rows.append({"id": n, "image_id": n, "category_id": 1, "bbox": [10, 5, 30, 50],
                         "keypoints": [0] * 51, "iscrowd": 0})  # fmt: skip
    (folder / "val.json").write_text(
        json.dumps(
            {"images": images, "annotations": rows, "categories": [COCO17.to_coco_category()]}
        )
    )
    torch.manual_seed(0)
    arguments = {"channels": 16}
    network = create_model("spcnet_s1_w64", num_joints=CHANNELS, **arguments)
    card = FinderCard(variant="spcnet_s1_w64", arguments=arguments, input_size=64, threshold=0.4)
    save_checkpoint(folder / "finder.safetensors", network.state_dict(), card)
    return folder


def test_a_finder_is_scored_and_its_threshold_fitted(folder: Path, tmp_path: Path) -> None:
    sources = ["--source", f"+coco:{folder}:val", "--source", f"nobody:{folder}:val"]
    written = ["-o", tmp_path / "fitted.safetensors", "--figure", tmp_path / "curve.png"]
    done = spcnet("finder", folder / "finder.safetensors", *sources, "--alarms", 0, *written)
    assert done.returncode == 0, done.stderr
    assert "0 of 2 pictures without anybody got a box" in done.stdout
    assert "at least 25%" in done.stdout
    with Image.open(tmp_path / "curve.png") as drawn:
        assert drawn.width > 300
    _, card = load_finder(tmp_path / "fitted.safetensors")
    assert card.presence is not None
    assert card.presence.fitted_on == "4 pictures with a person, 2 without"
    again = spcnet("finder", tmp_path / "fitted.safetensors", *sources, "--json")
    found = json.loads(again.stdout)
    assert found["threshold"] == card.threshold
    assert found["recall"]["at least 25%"][0] == 4
    assert found["curve"]["alarms"][0] == 1


def test_poses_and_the_finder_together_say_who_is_there(
    folder: Path, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    sources = ["--source", f"+coco:{folder}:val", "--source", f"nobody:{folder}:val"]
    command = ["finder", folder / "finder.safetensors", *sources, "--poses", tiny_checkpoint]
    done = spcnet(*command, "--alarms", 0, "-o", tmp_path / "fitted.safetensors")
    assert done.returncode == 0, done.stderr
    assert "0 of 2 pictures without anybody got a box" in done.stdout
    _, card = load_finder(tmp_path / "fitted.safetensors")
    assert (card.threshold, card.presence) == (0.4, None) and 0 < card.present < 1
    alone = json.loads(spcnet(*command[:-2], "--json").stdout)
    both = json.loads(spcnet(*command, "--json").stdout)
    assert np.mean(both["curve"]["alarms"]) < np.mean(alone["curve"]["alarms"])


def test_a_threshold_needs_pictures_with_and_without_people(folder: Path, tmp_path: Path) -> None:
    fails("finder", folder / "finder.safetensors", "--source", f"+coco:{folder}:val",
          "-o", tmp_path / "fitted.safetensors", told="a threshold needs both")  # fmt: skip
    fails("finder", folder / "none.safetensors", "--source", f"+coco:{folder}:val", told="no such")
    fails("finder", folder / "finder.safetensors", "--source", "coco", told="DATASET:ROOT:SPLIT")


def test_a_finder_is_trained_by_a_recipe(folder: Path, tmp_path: Path) -> None:
    content = json.loads((folder / "val.json").read_text())
    for split, numbers in (("train", (1, 2, 5)), ("held", (3, 4, 6))):
        chosen = {
            **content,
            "images": [image for image in content["images"] if image["id"] in numbers],
            "annotations": [row for row in content["annotations"] if row["image_id"] in numbers],
        }
        (folder / f"{split}.json").write_text(json.dumps(chosen))
    source = {"root": str(folder), "complete": True, "holdout": "held"}
    recipe = {
        "name": "small",
        "task": "finder",
        "model": {"variant": "spcnet_s1_w64", "arguments": {"channels": 16}, "input_size": 64},
        "data": {"dataset": "coco", **source, "more": [{"dataset": "nobody", **source}]},
        "training": {"epochs": 2, "batch_size": 3},
    }
    (tmp_path / "small.yaml").write_text(json.dumps(recipe))
    command = ["train", tmp_path / "small.yaml", "--run-dir", tmp_path / "run", "--device", "cpu"]
    cache = {"SPCNET_CACHE": str(tmp_path / "cache")}
    done = spcnet(*command, **cache)
    assert done.returncode == 0, done.stderr
    assert "3 pictures of" in done.stderr
    assert "person-boxes" in done.stderr
    _, card = load_finder(tmp_path / "run" / "model.safetensors")
    assert card.training["pictures"] == 3
    leaking = spcnet(*command[:3], tmp_path / "two", "--set", "data.holdout=train", **cache)
    assert leaking.returncode == 1
    assert "share 2 pictures" in leaking.stderr
