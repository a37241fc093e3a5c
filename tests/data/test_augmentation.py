from pathlib import Path

import numpy as np
import pytest
import torch

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
from spcnet.data.store import PackedStore
from spcnet.geometry import IMAGENET_MEAN, IMAGENET_STD, crop_affine, square_of_box

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
