import cv2
import numpy as np
import pytest

from spcnet.geometry import (
    SHARPEST,
    apply_affine,
    compose_affines,
    crop_affine,
    invert_affine,
)
from spcnet.media.crops import OUTSIDE, extract_crop, reduce_by_area

NOISE = np.random.default_rng(0).integers(0, 255, (60, 80, 3)).astype(np.uint8)


def test_a_crop_at_the_pictures_own_scale_is_a_slice() -> None:
    affine = crop_affine((39.5, 29.5), 32, 32)
    assert np.array_equal(extract_crop(NOISE, affine, 32), NOISE[14:46, 24:56])


def test_a_quarter_turn_is_a_rotated_slice() -> None:
    affine = crop_affine((39.5, 29.5), 32, 32, rotation=90)
    expected = np.rot90(NOISE[14:46, 24:56], -1)
    difference = np.abs(extract_crop(NOISE, affine, 32).astype(int) - expected)
    assert difference.max() <= 1


def test_outside_the_picture_lies_the_mean_colour() -> None:
    crop = extract_crop(NOISE, crop_affine((-0.5, -0.5), 32, 32), 32)
    assert (crop[:15, :15] == OUTSIDE).all()
    assert np.array_equal(crop[16:, 16:], NOISE[:16, :16])
    nowhere = extract_crop(NOISE, crop_affine((500, 500), 32, 32), 32)
    assert (nowhere == OUTSIDE).all()


def test_strong_shrinking_averages_instead_of_aliasing() -> None:
    stripes = np.zeros((400, 400, 3), dtype=np.uint8)
    stripes[:, ::2] = 255
    crop = extract_crop(stripes, crop_affine((199.5, 199.5), 400, 40), 40)
    assert np.abs(crop.astype(int) - 127.5).max() <= 1


@pytest.mark.parametrize("side", [130, 200, 280, 340])
def test_a_person_who_was_packed_looks_about_as_sharp_as_in_the_picture(side: int) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (600, 600, 3), dtype=np.uint8)
    picture = cv2.GaussianBlur(noise, (0, 0), 2)
    affine = crop_affine((299.5, 299.5), side, 32, rotation=20)
    packed, reduce = reduce_by_area(picture, side / (SHARPEST * 32))
    trained = extract_crop(packed, compose_affines(affine, invert_affine(reduce)), 32)
    used = extract_crop(picture, affine, 32)
    assert used.std() == pytest.approx(trained.std(), rel=0.35)
    aliased = cv2.warpAffine(picture, affine, (32, 32), flags=cv2.INTER_LINEAR)
    assert side < 280 or aliased.std() > 1.4 * trained.std()


@pytest.mark.parametrize("factor", [2, 4])
def test_a_smaller_picture_gives_nearly_the_crop_of_the_whole(factor: int) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (600, 600, 3), dtype=np.uint8)
    picture = cv2.GaussianBlur(noise, (0, 0), 1)
    affine = crop_affine((300, 290), 200, 20, rotation=20)
    smaller, reduce = reduce_by_area(picture, factor)
    from_smaller = extract_crop(smaller, compose_affines(affine, invert_affine(reduce)), 20)
    assert np.abs(from_smaller.astype(int) - extract_crop(picture, affine, 20)).max() <= 2


@pytest.mark.parametrize("factor", [2.5, 4, 7.3])
def test_an_enlarged_picture_gives_nearly_the_same_crop(factor: float) -> None:
    smooth = cv2.GaussianBlur(NOISE, (0, 0), 2)
    large = cv2.resize(smooth, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC)
    scale = np.array(large.shape[1::-1]) / np.array(smooth.shape[1::-1])
    centre = (np.array([40.0, 30.0]) + 0.5) * scale - 0.5
    plain = extract_crop(smooth, crop_affine((40, 30), 40, 32), 32).astype(int)
    enlarged = extract_crop(large, crop_affine(centre, 40 * factor, 32), 32).astype(int)
    assert np.abs(plain - enlarged).mean() < 2


def test_reducing_tells_where_points_go() -> None:
    image = np.zeros((100, 60, 3), dtype=np.uint8)
    image[40:50, 20:30] = 255  # its middle is (24.5, 44.5)
    reduced, affine = reduce_by_area(image, 5)
    assert reduced.shape == (20, 12, 3)
    ys, xs = np.nonzero(reduced[..., 0])
    middle = apply_affine(affine, np.array([[24.5, 44.5]]))[0]
    assert middle == pytest.approx([xs.mean(), ys.mean()])
