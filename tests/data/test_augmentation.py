from pathlib import Path

import numpy as np
import pytest
import torch

from spcnet.data.annotations import Annotation, JointState
from spcnet.data.augmentation import (
    NO_AUGMENTATION,
    SMALLEST_PART,
    Augmentation,
    make_batch,
)
from spcnet.data.crops import extract_crop
from spcnet.data.datasets import SyntheticFigures
from spcnet.data.leeds import read_lspet
from spcnet.data.packing import pack
from spcnet.data.store import JoinedStores, PackedStore
from spcnet.geometry import IMAGENET_MEAN, IMAGENET_STD, crop_affine, square_of_box
from spcnet.skeletons import BODY19

WILD = Augmentation(full_circle_probability=0.5, shift=0.1, brightness=0.2, contrast=0.3)


def grey_levels(images: torch.Tensor) -> np.ndarray:
    """Normalised (B, 3, S, S) back to 0..255, (B, S, S, 3)."""
    return (images.permute(0, 2, 3, 1).numpy() * IMAGENET_STD + np.array(IMAGENET_MEAN)) * 255


def mean_differences(dataset: object, store: PackedStore, size: int) -> np.ndarray:
    """Per person, between the plain training crop and the estimator's, in grey levels."""
    ours = grey_levels(make_batch(store, np.arange(len(store)), size=size).images)
    differences = []
    for crop, (image, person) in zip(ours, dataset.samples(), strict=True):  # type: ignore[attr-defined]
        theirs = extract_crop(image, crop_affine(*square_of_box(person.box), size), size)
        differences.append(np.abs(crop - theirs).mean())
    return np.array(differences)


def test_plain_crop_is_the_estimators_on_figures(figures: PackedStore) -> None:
    assert mean_differences(SyntheticFigures("1-12"), figures, 128).mean() < 4  # noisy pictures


def test_plain_crop_is_the_estimators_on_photographs(shared_data: Path, tmp_path: Path) -> None:
    dataset = read_lspet(shared_data / "lspet", "1-40")
    pack(dataset, tmp_path / "store")
    store = PackedStore(tmp_path / "store")
    for size in (128, 256):
        assert mean_differences(dataset, store, size).mean() < 2


def test_draws_depend_on_seed_epoch_and_person_only(figures: PackedStore) -> None:
    together = make_batch(figures, np.arange(8), size=64, augmentation=WILD, seed=1, epoch=2)
    alone = make_batch(figures, np.array([5]), size=64, augmentation=WILD, seed=1, epoch=2)
    assert torch.allclose(alone.images[0], together.images[5], atol=1e-4)
    assert torch.equal(alone.points[0], together.points[5])
    for other in ({"seed": 2, "epoch": 2}, {"seed": 1, "epoch": 3}):
        moved = make_batch(figures, np.array([5]), size=64, augmentation=WILD, **other)
        assert not torch.equal(moved.points, alone.points)


def test_pixels_move_with_their_joints(tmp_path: Path) -> None:
    """Dots painted on the joints are where the augmented points say."""
    from test_store import OnePerson

    person = OnePerson()
    person.image[:] = 0
    joints = person.annotation.points[[0, 4, 9, 13]]
    for x, y in np.rint(joints).astype(int):
        person.image[y - 3 : y + 4, x - 3 : x + 4] = 255
    person.annotation.points[[0, 4, 9, 13]] = np.rint(joints)
    pack(person, tmp_path / "store")
    store = PackedStore(tmp_path / "store")
    geometry = Augmentation(full_circle_probability=0.5, shift=0.02, tint=0)
    permutation = list(store.skeleton.flip_permutation)
    flips = looked_at = 0
    for epoch in range(20):
        batch = make_batch(store, np.array([0]), size=128, augmentation=geometry, epoch=epoch)
        brightness = batch.images[0].mean(dim=0).numpy()
        points = batch.points[0].numpy()
        # A mirrored crop has its dots on the joints of the other side.
        order = np.arange(14)
        if not lit(brightness, points[[0, 4, 9, 13]]).all():
            order, flips = np.array(permutation), flips + 1
        found = lit(brightness, points[order[[0, 4, 9, 13]]])
        assert found.all()
        looked_at += len(found)
    assert 4 <= flips <= 16
    assert looked_at > 40


def lit(brightness: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Whether there is a dot at each of the points that lie well inside the crop."""
    inside = ((points > 2) & (points < 125)).all(axis=1)
    x, y = np.rint(points[inside]).astype(int).T
    lights: np.ndarray = brightness[y, x] > 1.5
    return lights


def test_outside_the_picture_is_zero_whatever_the_colours(figures: PackedStore) -> None:
    far = Augmentation(scale=0, rotation_probability=0, flip_probability=0, brightness=0.5)
    figures.persons.sides[0] *= 4
    try:
        images = make_batch(figures, np.array([0]), size=64, augmentation=far).images
    finally:
        figures.persons.sides[0] /= 4
    assert (images[0, :, :4, :4] == 0).all()
    assert (images[0, :, 30:34, 30:34] != 0).any()


def test_shares_of_rotated_flipped_and_scaled_crops(figures: PackedStore) -> None:
    from spcnet.data.augmentation import _draw_affine, generator

    paper = Augmentation()
    draws = [
        _draw_affine(generator(seed=0, epoch=e, person=0), paper, np.zeros(2), 100.0, 100)
        for e in range(3000)
    ]
    scales = np.array([1 / np.sqrt(abs(np.linalg.det(affine[:, :2]))) for affine, _ in draws])
    flips = np.array([flip for _, flip in draws])
    angles = np.array([np.rad2deg(np.arctan2(affine[1, 0], affine[1, 1])) for affine, _ in draws])
    assert scales.min() == pytest.approx(0.75)
    assert scales.max() == pytest.approx(1.25)
    assert flips.mean() == pytest.approx(0.5, abs=0.03)
    assert (angles == 0).mean() == pytest.approx(0.4, abs=0.03)
    assert np.abs(angles).max() == pytest.approx(60)
    assert angles[angles != 0].std() == pytest.approx(30 * 0.88, rel=0.1)  # clipped normal


def test_no_augmentation_draws_the_plain_crop(figures: PackedStore) -> None:
    first = make_batch(figures, np.arange(4), size=64, augmentation=NO_AUGMENTATION, epoch=1)
    later = make_batch(figures, np.arange(4), size=64, augmentation=NO_AUGMENTATION, epoch=9)
    assert torch.equal(first.images, later.images)
    assert first.annotated.all()


def test_close_ups_hold_two_joints_and_leave_the_other_draws_alone(figures: PackedStore) -> None:
    rows = np.arange(12)
    plain = make_batch(figures, rows, size=64)
    parts = Augmentation(**{**vars(NO_AUGMENTATION), "part_probability": 1.0})
    seen_fewer = 0
    for epoch in range(6):
        batch = make_batch(figures, rows, size=64, augmentation=parts, epoch=epoch)
        inside = ((batch.points > -0.5) & (batch.points < 63.5)).all(-1) & batch.annotated
        assert (inside.sum(dim=1) >= 2).all()
        seen_fewer += int((inside.sum(dim=1) < batch.annotated.sum(dim=1)).sum())
        # How much nearer: never further than the plain crop, never closer than its smallest part.
        spread = (batch.points - batch.points.mean(dim=1, keepdim=True)).norm(dim=(1, 2))
        nearer = spread / (plain.points - plain.points.mean(dim=1, keepdim=True)).norm(dim=(1, 2))
        assert (nearer > 0.999).all()
        assert (nearer < 1 / SMALLEST_PART + 1e-3).all()
    assert seen_fewer > 36  # of 72
    half = Augmentation(**{**vars(NO_AUGMENTATION), "part_probability": 0.5})
    mixed = make_batch(figures, np.repeat(rows, 20), size=64, augmentation=half, epoch=1)
    assert torch.equal(mixed.points[0], mixed.points[1])  # a function of seed, epoch, person
    same = make_batch(figures, rows, size=64, augmentation=NO_AUGMENTATION, epoch=5)
    assert torch.equal(same.points, plain.points)


ROUGH = Augmentation(
    full_circle_probability=0.3, shift=0.1, brightness=0.2, contrast=0.3, part_probability=0.2,
    dark_probability=0.5, blur_probability=0.5, jpeg_probability=0.5, cut_probability=0.5,
    neighbour_probability=0.7,
)  # fmt: skip
CUT = Augmentation(rotation_probability=0, scale=0, tint=0, flip_probability=0, cut_probability=1.0)


def test_whatever_is_done_to_a_person_hangs_on_no_other(figures: PackedStore) -> None:
    rows = np.array([5, 0, 7, 11, 2, 3])
    together = make_batch(figures, rows, size=64, augmentation=ROUGH, seed=1, epoch=2)
    for n, row in enumerate(rows):
        alone = make_batch(figures, rows[n : n + 1], size=64, augmentation=ROUGH, seed=1, epoch=2)
        assert torch.allclose(alone.images[0], together.images[n], atol=1e-4), row
        assert torch.equal(alone.points[0], together.points[n])
        assert torch.equal(alone.absent[0], together.absent[n])


def test_a_person_that_is_drawn_again_in_an_epoch_looks_otherwise(figures: PackedStore) -> None:
    batch = make_batch(figures, np.array([4, 4 + 12, 4]), size=64, augmentation=WILD, epoch=1)
    assert torch.equal(batch.images[0], batch.images[2])
    assert not torch.equal(batch.points[0], batch.points[1])


def test_what_lies_beyond_the_end_of_a_picture_is_absent_and_dark(figures: PackedStore) -> None:
    whole = make_batch(figures, np.arange(12), size=64)
    assert not whole.absent.any()
    batch = make_batch(figures, np.arange(12), size=64, augmentation=CUT, epoch=3)
    assert batch.absent.any(dim=1).sum() >= 9
    assert (batch.annotated == whole.annotated).all()
    for image, points, absent in zip(batch.images, batch.points, batch.absent, strict=True):
        x, y = points[absent].round().long().unbind(-1)
        there = (x >= 0) & (x < 64) & (y >= 0) & (y < 64)
        beyond = image[:, y[there], x[there]]
        assert (beyond == 0).all(dim=0).float().mean() > 0.8 or not there.any()
        inside = points[~absent]
        assert ((inside > -1) & (inside < 64)).all()


def test_opinions_teach_joints_without_a_label_and_stand_beside_labels(
    figures: PackedStore,
) -> None:
    joined = JoinedStores([figures], skeleton=BODY19, doubts=[0.1])
    opinions = joined.persons.opinions
    nose, ear, hip = (BODY19.index(name) for name in ("nose", "left_ear", "left_hip"))
    opinions[3, nose] = [50, 60, 0.8]
    opinions[3, ear] = [50, 60, 0.2]  # too unsure
    opinions[3, hip] = [70, 80, 0.5]
    flip = Augmentation(rotation_probability=0, scale=0, tint=0, flip_probability=1)
    plain = make_batch(joined, np.array([3, 4]), size=64)
    mirrored = make_batch(joined, np.array([3, 4]), size=64, augmentation=flip)
    assert plain.annotated[0, nose] and not plain.annotated[0, ear]
    assert plain.trust[0, nose] == pytest.approx(0.8)
    assert plain.trust[0, hip] == 1
    assert plain.seconds[0, hip, 2] == pytest.approx(0.05)
    assert plain.seconds[0, nose, 2] == 0
    assert (plain.seconds[1, :, 2] == 0).all()
    square = joined.persons.centres[3], float(joined.persons.sides[3])
    affine = crop_affine(*square, 64)
    assert plain.points[0, nose].numpy() == pytest.approx(affine @ [50, 60, 1], abs=1e-3)
    assert plain.seconds[0, hip, :2].numpy() == pytest.approx(affine @ [70, 80, 1], abs=1e-3)
    right_hip = BODY19.index("right_hip")
    assert mirrored.seconds[0, right_hip, 2] == pytest.approx(0.05)
    opposite = 63 - float(plain.seconds[0, hip, 0])
    assert mirrored.seconds[0, right_hip, 0] == pytest.approx(opposite, abs=1e-3)
    assert mirrored.trust[0, nose] == pytest.approx(0.8)


def test_where_nobody_is_every_joint_is_absent(tmp_path: Path) -> None:
    picture = np.random.default_rng(0).integers(0, 255, size=(80, 120, 3), dtype=np.uint8)
    record = Annotation(
        "empty.png", np.zeros((19, 2)), np.full(19, JointState.ABSENT, np.uint8),
        box=np.array([0.0, 0, 119, 79]),
    )  # fmt: skip

    class Empty:
        name, split, skeleton = "nobody", "all", BODY19
        picture_names = frozenset({"empty.png"})

        def __len__(self) -> int:
            return 1

        def samples(self) -> list[tuple[np.ndarray, Annotation]]:
            return [(picture, record)]

    pack(Empty(), tmp_path / "store")  # type: ignore[arg-type]
    store = PackedStore(tmp_path / "store")
    sides = set()
    for epoch in range(4):
        batch = make_batch(store, np.array([0]), size=32, augmentation=WILD, epoch=epoch)
        assert batch.absent.all() and batch.annotated.all()
        sides.add(float(batch.images.std()))
    assert len(sides) == 4
