"""What happens to pictures: they end too early, are worn, and have neighbours in them."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from test_store import OnePerson

from spcnet.codec import PADDING
from spcnet.data.annotations import JointState
from spcnet.data.packing import pack
from spcnet.data.store import JoinedStores, PackedStore, Store
from spcnet.data.wear import (
    FEWEST,
    KEPT,
    NEIGHBOUR_OFFSET,
    NEIGHBOUR_SIDE,
    PATCHES,
    Neighbour,
    blur,
    compress,
    cut_off,
    draw_neighbour,
    paste,
)
from spcnet.geometry import Array, apply_affine
from spcnet.skeletons import COCO17

PICTURE = np.array([0, 0, 200, 200])
SQUARE = np.array([100.0, 100.0]), 150.0


coordinates = st.tuples(st.floats(-10, 210), st.floats(-10, 210))
people = st.lists(coordinates, max_size=17).map(
    lambda points: np.array(points, dtype=float).reshape(-1, 2)
)


@settings(deadline=None, max_examples=300)
@given(people, st.integers(0, 10_000))
def test_wherever_joints_lie_the_line_is_in_the_picture_and_the_square_about_what_is_left(
    points: Array, seed: int
) -> None:
    kept, square = cut_off(np.random.default_rng(seed), points, PICTURE, SQUARE)
    moved = np.flatnonzero(kept != PICTURE)
    if not len(moved):
        assert square is SQUARE
        return
    (side_moved,) = moved
    axis, far, line = side_moved % 2, side_moved >= 2, kept[side_moved]
    along = points[:, axis]
    assert PICTURE[axis] < line < PICTURE[2 + axis]
    # The pixel before the line is the last one, or the one at it the first.
    left = points[along < line - 0.5] if far else points[along > line - 0.5]
    assert len(left) >= FEWEST
    # The line leaves a share of the person's extent, to a whole pixel.
    extent = np.ptp(along)
    share = (line - along.min() if far else along.max() - line) / max(extent, 1e-9)
    assert KEPT[0] - 0.51 / max(extent, 1e-9) <= share <= KEPT[1] + 0.51 / max(extent, 1e-9)
    # The box of what is left reaches to the line.
    low, high = left.min(axis=0), left.max(axis=0)
    (high if far else low)[axis] = line
    centre, side = square
    assert centre == pytest.approx((low + high) / 2)
    assert side == pytest.approx(max(1.0, PADDING * (high - low).max()))


class HalfWay:
    """Draws that end a picture in the middle of the person, at the lower or the upper end."""

    def __init__(self, end: int) -> None:
        self.end = end

    def choice(self, count: int, p: object) -> int:
        return self.end

    def uniform(self, low: float, high: float) -> float:
        return 0.5


def test_a_joint_is_left_whose_pixel_is() -> None:
    """The line is at 50: rows to 49 are left above it, which reach to 49.5, and from 50 below."""
    column = [[100.0, y] for y in (0, 10, 20, 80, 90, 100)]
    for y, above in ((49.4, True), (49.6, False)):
        points = np.array([*column, [150.0, y]])
        for end, left in ((0, above), (3, not above)):
            random: Any = HalfWay(end)
            kept, (centre, side) = cut_off(random, points, PICTURE, SQUARE)
            assert kept.tolist() == ([0, 0, 200, 50] if end == 0 else [0, 50, 200, 200])
            # The joint at the side makes the box wider where it is left, and no higher.
            assert centre.tolist() == [125 if left else 100, 25 if end == 0 else 75]
            assert side == PADDING * 50


def test_too_few_joints_are_left_alone() -> None:
    # Of three joints the line always takes one away: it lies within their extent.
    for points in ([], [[10, 10], [20, 140]], [[10, 10], [90, 60], [190, 140]]):
        for seed in range(20):
            where = np.array(points, dtype=float).reshape(-1, 2)
            kept, square = cut_off(np.random.default_rng(seed), where, PICTURE, SQUARE)
            assert np.array_equal(kept, PICTURE)
            assert square is SQUARE


def test_a_person_below_the_picture_is_not_cut_where_there_is_no_picture() -> None:
    points = np.array([[20.0 + 10 * n, 210.0 + 20 * n] for n in range(10)])
    cut = 0
    for seed in range(100):
        kept, _ = cut_off(np.random.default_rng(seed), points, PICTURE, SQUARE)
        assert (kept[[1, 3]] == PICTURE[[1, 3]]).all()
        cut += not np.array_equal(kept, PICTURE)
    assert cut > 10  # from the side


def test_a_picture_ends_on_all_sides_and_most_often_below() -> None:
    ramp = np.array([[20.0 + 10 * n, 20 + 10 * n] for n in range(16)])
    ends = []
    for seed in range(1500):
        kept, _ = cut_off(np.random.default_rng(seed), ramp, PICTURE, SQUARE)
        ends += np.flatnonzero(kept != PICTURE).tolist()
    assert len(ends) == 1500
    shares = np.bincount(ends, minlength=4) / len(ends)  # of left, upper, right, lower
    assert shares == pytest.approx([0.17, 0.11, 0.17, 0.55], abs=0.05)
    assert PICTURE.tolist() == [0, 0, 200, 200]  # what was given is not changed


def test_jpeg_wears_a_picture_out_the_more_the_lower_its_quality() -> None:
    pixels = np.random.default_rng(0).integers(0, 255, size=(40, 60, 3), dtype=np.uint8)
    errors = [np.abs(compress(pixels, q).astype(int) - pixels).mean() for q in (95, 40, 8)]
    assert errors[0] < errors[1] < errors[2]
    assert compress(pixels, 40).shape == pixels.shape


def test_a_blur_keeps_the_mean_and_takes_the_detail() -> None:
    image = torch.zeros(3, 32, 32)
    image[:, ::2] = 1
    blur(image, 4.0)
    assert image.mean() == pytest.approx(0.5, abs=0.02)
    assert image[:, 8:24, 8:24].std() < 0.05


def neighbour(*, segments: Array, radius: float = 0.0, patch: Array | None = None) -> Neighbour:
    return Neighbour(0, np.eye(2, 3), segments, radius, np.zeros(4) if patch is None else patch)


def test_a_patch_covers_its_pixels_and_a_limb_those_near_it() -> None:
    patch = neighbour(segments=np.empty((0, 2, 2)), patch=np.array([2.0, 1, 5, 3]))
    cover = patch.cover(8)
    assert cover.sum() == 6
    assert (cover[1:3, 2:5] == 1).all()
    limb = neighbour(segments=np.array([[[2.0, 4.0], [10.0, 4.0]]]), radius=2.0).cover(14)
    assert limb[4, 6] == 1
    assert limb[6, 6] == 0.5  # at the radius
    assert limb[7, 6] == 0
    assert limb[4, 12] == 0.5  # beyond the end


def test_what_is_pasted_lies_over_the_crop_where_it_covers_and_is_picture() -> None:
    crop = torch.zeros(4, 1, 4)
    crop[3, 0, :2] = 1
    other = torch.tensor([[1.0, 1, 1, 1], [1, 1, 1, 1], [1, 1, 1, 1], [1, 1, 1, 0], [0, 0.5, 1, 1]])
    paste(crop, other[:, None, :])
    assert crop[0, 0].tolist() == [0, 0.5, 1, 0]
    assert crop[3, 0].tolist() == [1, 1, 1, 0]


def photograph(side: int = 48) -> np.ndarray:
    """A ramp with some grain."""
    ramp = np.linspace(40, 200, side)
    picture = np.stack(np.broadcast_arrays(ramp, ramp[:, None], 128.0), axis=-1)
    grain = np.random.default_rng(0).normal(0, 25, picture.shape)
    return (picture + grain).clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize("shape", [(48, 48), (31, 48), (48, 17)])
def test_a_worn_picture_is_another_of_the_same_size_and_light(shape: tuple[int, int]) -> None:
    picture = photograph()[: shape[0], : shape[1]]
    before = picture.copy()
    errors = []
    for quality in (40, 8):
        worn = compress(picture, quality)
        assert (worn.shape, worn.dtype) == (picture.shape, np.uint8)
        assert worn.mean() == pytest.approx(picture.mean(), abs=3)
        errors.append(np.abs(worn.astype(float) - picture).mean())
    assert 3 < errors[0] < errors[1] < 40
    assert np.array_equal(picture, before)


@pytest.mark.parametrize("times", [1.5, 4.0])
def test_a_blurred_crop_keeps_its_light_and_loses_its_grain(times: float) -> None:
    crop = torch.from_numpy(photograph()).permute(2, 0, 1).float()
    before = crop.clone()
    batch = torch.stack([crop, crop])
    blur(batch[1], times)  # in place, and the other one stays
    assert torch.equal(batch[0], before)
    assert batch[1].mean().item() == pytest.approx(before.mean().item(), rel=0.02)

    def grain(of: torch.Tensor) -> float:
        return float((of[:, 1:] - of[:, :-1]).abs().mean())

    assert grain(batch[1]) < grain(before) / times


def test_a_crop_that_is_all_alike_cannot_blur() -> None:
    crop = torch.full((3, 20, 20), 0.25)
    blur(crop, 3.3)
    torch.testing.assert_close(crop, torch.full((3, 20, 20), 0.25))


def test_limbs_cover_what_any_of_them_covers() -> None:
    limbs = np.array([[[1.0, 1.0], [1.0, 6.0]], [[1.0, 6.0], [7.0, 2.0]]])
    both = Neighbour(0, np.eye(2, 3), limbs, 1.5, np.zeros(4)).cover(8)
    each = [Neighbour(0, np.eye(2, 3), limbs[n : n + 1], 1.5, np.zeros(4)).cover(8) for n in (0, 1)]
    torch.testing.assert_close(both, torch.maximum(*each))
    point = np.array([[[4.0, 4.0], [4.0, 4.0]]])  # a limb seen end on
    assert Neighbour(0, np.eye(2, 3), point, 1.0, np.zeros(4)).cover(8)[4, 4] == 1


def draws(store: Store, count: int = 300) -> list[Neighbour | None]:
    """Neighbours of the first person."""
    randoms = (np.random.default_rng(seed) for seed in range(count))
    return [draw_neighbour(random, store, 64, beside=0) for random in randoms]


def twice(folder: Path) -> JoinedStores:
    """A store of which everybody is there twice, so that one person has a neighbour."""
    return JoinedStores([PackedStore(folder), PackedStore(folder)])


def test_a_neighbour_stands_beside_the_crops_middle(figures: PackedStore) -> None:
    drawn = draws(figures)
    assert None not in drawn  # all joints of the figures are labelled
    patches = 0
    for neighbour in filter(None, drawn):
        persons, person = figures.persons, neighbour.person
        middle = apply_affine(neighbour.affine, persons.centres[person][None])[0] - 31.5
        side = 64 * np.abs(neighbour.affine[0, 0]) ** -1 / persons.sides[person]
        # A crop of 1 / scale of the neighbour's own; offsets count in the crop's side.
        assert 1 / NEIGHBOUR_SIDE[1] - 1e-6 <= side <= 1 / NEIGHBOUR_SIDE[0] + 1e-6
        assert NEIGHBOUR_OFFSET[0] * 64 - 1e-3 <= abs(middle[0]) <= NEIGHBOUR_OFFSET[1] * 64 + 1e-3
        assert abs(middle[1]) <= 0.25 * 64 + 1e-3
        patches += not len(neighbour.segments)
        if len(neighbour.segments):
            points = apply_affine(neighbour.affine, persons.points[person])
            limbs = [points[list(limb)] for limb in figures.skeleton.limb_indices]
            assert np.array_equal(neighbour.segments, np.stack(limbs))
            longest = np.ptp(points, axis=0).max()
            assert neighbour.radius == pytest.approx(0.2 * longest / 3.5)
    assert patches / len(drawn) == pytest.approx(PATCHES, abs=0.1)
    sides = np.sign([apply_affine(n.affine, figures.persons.centres[n.person][None])[0, 0] - 31.5
                     for n in drawn if n is not None])  # fmt: skip
    assert abs(sides.mean()) < 0.2  # to the left as often as to the right


def test_limbs_are_pasted_of_what_another_model_sees_too(tmp_path: Path) -> None:
    opinion = np.column_stack([np.linspace([250, 200], [350, 300], 17), np.full(17, 0.9)])
    person = OnePerson(skeleton=COCO17, opinion=opinion)
    person.annotation.states[:] = JointState.MISSING
    person.annotation.states[0] = JointState.VISIBLE
    pack(person, tmp_path / "seen")
    limbs = [n for n in draws(twice(tmp_path / "seen"), 40) if n is not None]
    assert any(len(n.segments) == len(COCO17.limbs) for n in limbs)
    person = OnePerson(skeleton=COCO17)
    person.annotation.states[3:] = JointState.MISSING
    pack(person, tmp_path / "few")
    found = draws(twice(tmp_path / "few"), 40)
    assert None in found  # two limbs at most are labelled
    assert all(n is None or not len(n.segments) for n in found)


def test_a_neighbour_is_somebody_else(figures: PackedStore) -> None:
    found = [
        draw_neighbour(np.random.default_rng(seed), figures, 64, beside=4) for seed in range(200)
    ]
    persons = {neighbour.person for neighbour in found if neighbour is not None}
    assert persons == set(range(12)) - {4}


def test_where_nobody_else_is_there_is_no_neighbour(tmp_path: Path) -> None:
    pack(OnePerson(), tmp_path / "alone")
    assert draws(PackedStore(tmp_path / "alone"), 5) == [None] * 5
