import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from spcnet.codec import MEAN, STD
from spcnet.data.annotations import AnnotatedPictures, Annotation, JointState
from spcnet.data.augmentation import Augmentation
from spcnet.data.datasets import epoch_order
from spcnet.data.scenes import LONGEST, Scenes, make_scene_batch, pack_scenes
from spcnet.data.store import draws_in_shares
from spcnet.errors import UserError
from spcnet.skeletons import COCO17

GREEN, GREY = (0, 200, 0), (100, 100, 100)
AUGMENTATION = Augmentation(tint=0.2, brightness=0.1, contrast=0.2, grey_probability=0.1)


def person(
    image: str, box: list[float], *, crowd: bool = False, state: JointState = JointState.MISSING
) -> Annotation:
    return Annotation(
        image=image, points=np.zeros((17, 2)), states=np.full(17, state, dtype=np.uint8),
        box=np.array(box), crowd=crowd,
    )  # fmt: skip


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Scenes:
    """Green persons on grey: one alone, a crowd beside one, one in a large picture; and nobody."""
    folder = tmp_path_factory.mktemp("pictures")
    rows = [
        person("a.png", [20, 10, 60, 90]),
        person("b.png", [10, 10, 40, 70]),
        person("b.png", [50, 10, 90, 70], crowd=True),
        person("c.png", [400, 200, 799, 599]),
    ]
    sizes = {"a.png": (100, 120), "b.png": (80, 100), "c.png": (600, 800), "d.png": (50, 70)}
    for name, (height, width) in sizes.items():
        pixels = np.full((height, width, 3), GREY, dtype=np.uint8)
        for x0, y0, x1, y1 in (row.box.astype(int) for row in rows if row.image == name):
            pixels[y0 : y1 + 1, x0 : x1 + 1] = GREEN
        Image.fromarray(pixels).save(folder / name)
    nobody = [person("d.png", [0, 0, 69, 49], state=JointState.ABSENT)]
    pack_scenes(
        [
            (AnnotatedPictures("coco", "train", COCO17, rows[:3], folder), True),
            (AnnotatedPictures("coco", "more", COCO17, rows[3:], folder), False),
            (AnnotatedPictures("nobody", "train", COCO17, nobody, folder), True),
        ],
        folder / "packed",
    )
    return Scenes(folder / "packed")


def test_pictures_keep_their_boxes_and_large_ones_are_reduced_with_them(scenes: Scenes) -> None:
    assert [tuple(size) for size in scenes.sizes] == [(100, 120), (80, 100), (240, 320), (50, 70)]
    assert max(scenes.sizes[2]) == LONGEST
    assert scenes.pictures[0].boxes.tolist() == [[20, 10, 60, 90]]
    assert scenes.pictures[1].crowds.tolist() == [[50, 10, 90, 70]]
    # Pixel centres: x' = (x + 0.5) * 0.4 - 0.5.
    assert scenes.pictures[2].boxes[0] == pytest.approx([159.7, 79.7, 319.3, 239.3], abs=0.01)
    assert [scenes.pictures[n].complete for n in range(4)] == [True, True, False, True]
    assert scenes.pictures[3].boxes.shape == (0, 4)
    assert scenes.pixels(2)[200, 200].tolist() == list(GREEN)


def test_a_plain_canvas_holds_the_whole_picture_in_the_middle(scenes: Scenes) -> None:
    batch = make_scene_batch(scenes, np.array([0, 3]), size=240)
    (box,) = batch.boxes[0]
    # Twice as large, and 20 pixels down: x' = 2 (x + 0.5) - 0.5.
    assert box.tolist() == pytest.approx([40.5, 40.5, 120.5, 200.5])
    assert len(batch.boxes[1]) == 0
    assert (batch.images[0, :, :19] == 0).all()  # outside the picture
    green = (torch.tensor(GREEN) / 255 - torch.tensor(MEAN)) / torch.tensor(STD)
    assert batch.images[0, :, 120, 80].numpy() == pytest.approx(green.numpy(), abs=1e-4)
    assert batch.known.all()


def test_pictures_that_may_hold_others_are_marked(scenes: Scenes) -> None:
    batch = make_scene_batch(scenes, np.array([2]), size=160)
    assert not batch.known[0, 80, 80]
    assert batch.known[0, 5, 80]  # above the picture nobody can be


def test_boxes_frame_what_is_green_wherever_pictures_come_to_lie(scenes: Scenes) -> None:
    """Canvases of one or four pictures, enlarged, mirrored, turned: colours tell the truth."""
    plain = Augmentation(tint=0, scale=0, rotation_probability=0)
    seen = 0
    for epoch in range(12):
        batch = make_scene_batch(
            scenes, np.array([0, 2, 3]), size=128, augmentation=plain, epoch=epoch
        )
        mean, std = (torch.tensor(v).view(3, 1, 1) for v in (MEAN, STD))
        for image, boxes in zip(batch.images, batch.boxes, strict=True):
            colours = image * std + mean
            green = (colours[1] - colours[0]) > 0.5
            for x0, y0, x1, y1 in boxes.round().int().clamp(0, 127).tolist():
                inside = green[y0 + 2 : y1 - 1, x0 + 2 : x1 - 1]
                if inside.numel():
                    seen += 1
                    assert inside.float().mean() > 0.95
    assert seen > 20


def test_draws_are_of_seed_epoch_and_picture_alone(scenes: Scenes) -> None:
    def canvas(rows: list[int], epoch: int) -> torch.Tensor:
        return make_scene_batch(
            scenes, np.array(rows), size=64, augmentation=AUGMENTATION, seed=3, epoch=epoch
        ).images[-1]

    assert torch.equal(canvas([0, 1, 2], 1), canvas([2], 1))
    assert not torch.equal(canvas([2], 1), canvas([2], 2))


def test_folders_that_are_no_packed_pictures_are_refused(scenes: Scenes, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file; wanted packed pictures"):
        Scenes(tmp_path)
    (tmp_path / "scenes.json").write_text(json.dumps({"format": "else"}))
    with pytest.raises(UserError, match="another version; pack it again"):
        Scenes(tmp_path)
    with pytest.raises(UserError, match="already exists"):
        pack_scenes([], scenes.folder)


def test_an_epoch_draws_each_source_in_its_share(scenes: Scenes) -> None:
    assert scenes.of_sources == scenes.draws == [2, 1, 1]
    plain = epoch_order(scenes, seed=0, epoch=1)
    assert sorted(plain) == [0, 1, 2, 3]

    shared = Scenes(scenes.folder)
    shared.draws = draws_in_shares(shared.of_sources, [0.25, 0, 0.75])
    order = epoch_order(shared, seed=0, epoch=1)
    assert len(order) == 4
    assert sorted(order % 4)[1:] == [3, 3, 3]  # and one of the first source's two
    assert len(set(order)) == 4  # each draw has a number, and so a canvas, of its own
    batch = make_scene_batch(
        shared, order[order % 4 == 3], size=64, augmentation=AUGMENTATION, epoch=1
    )
    assert not torch.equal(batch.images[0], batch.images[1])
