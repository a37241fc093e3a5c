import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from spcnet.data.wear import FEWEST, Neighbour, blur, compress, cut_off, paste
from spcnet.geometry import BOX_PADDING, Array

PICTURE = np.array([0, 0, 200, 200])
SQUARE = np.array([100.0, 100.0]), 150.0


@given(seed=st.integers(0, 10_000), count=st.integers(0, 12))
def test_a_picture_that_ends_keeps_some_joints_and_a_square_about_them(
    seed: int, count: int
) -> None:
    random = np.random.default_rng(seed)
    points = random.uniform(20, 180, size=(count, 2))
    kept, (centre, side) = cut_off(random, points, PICTURE, SQUARE)
    inside = ((points >= kept[:2]) & (points < kept[2:])).all(axis=1)
    if np.array_equal(kept, PICTURE):
        assert side == 150
        assert np.array_equal(centre, SQUARE[0])
        return
    assert count >= FEWEST
    assert inside.sum() >= FEWEST
    assert (kept != PICTURE).sum() == 1  # one side
    assert (kept[:2] >= 0).all() and (kept[2:] <= 200).all() and (kept[:2] < kept[2:]).all()
    tight = side / BOX_PADDING / 2
    assert (np.abs(points[inside] - centre) <= tight + 0.01).all()


def test_most_pictures_that_end_do_so_below() -> None:
    points = np.stack([np.full(10, 100.0), np.linspace(20, 180, 10)], axis=1)
    ends = [cut_off(np.random.default_rng(n), points, PICTURE, SQUARE)[0][3] for n in range(300)]
    below = np.array([end for end in ends if end < 200])
    assert 120 < len(below) < 220
    assert below.min() > 20 + 0.35 * 160 - 1
    assert below.max() < 20 + 0.95 * 160 + 1


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
