from pathlib import Path

import numpy as np
import pytest
import torch
from making_boxmaps import maps_of
from PIL import Image

from spcnet.boxmaps import CHANNELS
from spcnet.checkpoints import load_checkpoint, load_finder
from spcnet.data.annotations import AnnotatedPictures, Annotation, JointState
from spcnet.data.scenes import SceneBatch, Scenes, make_scene_batch, pack_scenes
from spcnet.errors import UserError
from spcnet.geometry import box_overlaps
from spcnet.inference.detectors import main_person
from spcnet.inference.finder import Finder
from spcnet.skeletons import COCO17
from spcnet.training.finding import FinderTask, finder_losses, intersection_over_union
from spcnet.training.loop import train
from spcnet.training.recipe import parse_recipe


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Scenes:
    """Bright upright bars are the persons; every fourth picture shows none."""
    folder = tmp_path_factory.mktemp("bars")
    random = np.random.default_rng(0)
    people, nobody = [], []
    for n in range(24):
        pixels = random.integers(0, 60, size=(64, 64, 3), dtype=np.uint8)
        name = f"{n}.png"
        x, y = random.integers(4, 36, size=2).tolist()
        box = np.array([x, y, x + 14, y + 24.0])
        state = JointState.MISSING if n % 4 else JointState.ABSENT
        blank = np.zeros((17, 2)), np.full(17, state, dtype=np.uint8)
        if n % 4:
            pixels[y : y + 25, x : x + 15] = 255
            people.append(Annotation(name, *blank, box=box))
        else:
            nobody.append(Annotation(name, *blank, box=np.array([0, 0, 63, 63.0])))
        Image.fromarray(pixels).save(folder / name)
    parts = [("coco", people), ("nobody", nobody)]
    pack_scenes(
        [(AnnotatedPictures(name, "all", COCO17, rows, folder), True) for name, rows in parts],
        folder / "packed",
    )
    return Scenes(folder / "packed")


def batch_of(boxes: torch.Tensor, *, known: bool = True) -> SceneBatch:
    return SceneBatch(
        torch.zeros(1, 3, 64, 64), [boxes], [torch.empty(0, 4)],
        torch.full((1, 64, 64), known),
    )  # fmt: skip


def test_maps_that_say_the_boxes_lose_less_than_any_other() -> None:
    boxes = torch.tensor([[8.0, 8.0, 30.0, 50.0]])
    right = maps_of(boxes, (16, 16))[None]
    blank = torch.full_like(right, -8.0)
    blank[:, 1:] = 0
    shifted = right.roll(5, -1)
    least, nothing, other = (
        float(finder_losses([maps], batch_of(boxes))[0]) for maps in (right, blank, shifted)
    )
    assert least < 0.2
    assert nothing > 5
    assert other > 5


def test_a_firm_sighting_is_an_error_only_where_everybody_has_a_box() -> None:
    boxes, other = torch.tensor([[4.0, 4.0, 20.0, 30.0]]), torch.tensor([[40.0, 30.0, 60.0, 60.0]])
    sees_both = maps_of(torch.cat([boxes, other]), (16, 16))[None]
    complete, partial = (
        float(finder_losses([sees_both], batch_of(boxes, known=known))[0])
        for known in (True, False)
    )
    assert partial < 0.2
    assert complete > 2


def test_overlap_of_equal_boxes_is_one_and_of_halves_a_third() -> None:
    one = torch.tensor([0.0, 0, 10, 10]).view(4, 1, 1)
    half = torch.tensor([5.0, 0, 15, 10]).view(4, 1, 1)
    assert float(intersection_over_union(one, one)) == pytest.approx(1)
    assert float(intersection_over_union(one, half)) == pytest.approx(1 / 3)


def test_a_finder_learns_bars_and_is_ready_for_use(scenes: Scenes, tmp_path: Path) -> None:
    recipe = parse_recipe(
        {
            "name": "bars",
            "task": "finder",
            "model": {"variant": "spcnet_s1_w64", "arguments": {"channels": 16}, "input_size": 64},
            "data": {"dataset": "coco", "complete": True, "holdout": "all"},
            "augmentation": {"tint": 0},
            "optimizer": {"name": "adamw", "lr": 1e-2, "schedule": "cosine"},
            "training": {"epochs": 45, "batch_size": 8, "evaluate_every": 45},
        },
        source="test",
    )
    path = train(recipe, scenes, tmp_path / "run", holdout=scenes, kind=FinderTask)
    network, card = load_finder(path)
    assert (card.input_size, card.variant) == (64, "spcnet_s1_w64")
    assert card.scores[0]["score"]["protocol"] == "person-boxes"
    assert card.training["pictures"] == 24
    maps = network(make_scene_batch(scenes, np.array([0]), size=64).images)
    assert isinstance(maps, torch.Tensor)
    assert maps.shape == (1, CHANNELS, 16, 16)
    with pytest.raises(UserError, match="holds no spcnet model card, but a finder of persons"):
        load_checkpoint(path)

    finder = Finder(path, threshold=0.3, device="cpu")
    found = 0
    for row in range(18):  # the pictures with a bar
        pixels = np.array(scenes.pixels(row))
        boxes, scores = finder.detect(pixels)
        assert (np.diff(scores) <= 0).all()
        if len(boxes):
            (truth,) = scenes.pictures[row].boxes
            found += bool(box_overlaps(boxes[:1], truth[None])[0, 0] >= 0.5)
    assert found >= 9  # of 18; by the machine and its threads 10 to 14
    empty, _ = finder.detect(np.zeros((40, 90, 3), dtype=np.uint8))
    assert empty.shape == (0, 4)


def test_a_finder_may_begin_with_the_body_of_a_network_of_poses(
    scenes: Scenes, body_checkpoint: Path, tmp_path: Path
) -> None:
    def begun(name: str, **model: object) -> torch.nn.Module:
        content = {
            "name": "begun",
            "task": "finder",
            "model": {"input_size": 64, "weights": str(body_checkpoint), **model},
            "data": {"dataset": "coco", "complete": True, "holdout": None},
            "optimizer": {"name": "adamw", "lr": 1e-12},
            "training": {"epochs": 1, "batch_size": 24, "ema": None},
        }
        recipe = parse_recipe(content, source="test")
        path = train(recipe, scenes, tmp_path / name, kind=FinderTask)
        return load_finder(path)[0]

    poses, _ = load_checkpoint(body_checkpoint)
    network = begun("one", variant="spcnet_s1_w64", arguments={"channels": 16, "fusion": "none"})
    body = dict(poses.named_parameters())
    for name, tensor in network.named_parameters():
        if "head" not in name:
            torch.testing.assert_close(tensor, body[name], msg=name)
    # A finder goes on where another stopped, its maps with it.
    first = str(tmp_path / "one" / "model.safetensors")
    again = begun(
        "again",
        variant="spcnet_s1_w64",
        arguments={"channels": 16, "fusion": "none"},
        weights=first,
    )
    for name, tensor in again.named_parameters():
        torch.testing.assert_close(tensor, dict(network.named_parameters())[name], msg=name)
    with pytest.raises(UserError, match=r"nothing of .* fits a spcnet_s1_w64"):
        begun("two", variant="spcnet_s1_w64", arguments={"channels": 32})


def test_finders_thresholds_and_files_are_checked(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        Finder(tmp_path / "none.safetensors")


def test_the_main_person_is_large_and_near_the_middle() -> None:
    small = [140.0, 90.0, 160.0, 130.0]
    large = [100.0, 20.0, 200.0, 190.0]
    edge = [0.0, 20.0, 95.0, 190.0]
    boxes = np.array([small, edge, large])
    assert main_person(boxes, np.array([0.9, 0.9, 0.8]), (200, 300)) == 2
    assert main_person(boxes[:2], np.array([0.9, 0.9]), (200, 300)) == 1
