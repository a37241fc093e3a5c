import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from spcnet.geometry import (
    Array,
    apply_affine,
    box_of_points,
    box_overlaps,
    compose_affines,
    crop_affine,
    invert_affine,
)
from spcnet.media.crops import extract_crop

any_pace = settings(deadline=None)  # the first example is slow

coordinates = st.floats(-2000, 2000)
image_points = arrays(np.float64, (3, 2), elements=coordinates)
crops = st.fixed_dictionaries(
    {
        "centre": st.tuples(coordinates, coordinates),
        "side": st.floats(1, 4000),
        "size": st.integers(1, 512),
        "rotation": st.floats(-360, 360),
    }
)
affines = st.builds(lambda crop, flip: crop_affine(**crop, flip=flip), crops, st.booleans())


@any_pace
@given(affines, image_points)
def test_inverse_brings_points_back(affine: Array, points: Array) -> None:
    back = apply_affine(invert_affine(affine), apply_affine(affine, points))
    assert back.dtype == np.float64
    np.testing.assert_allclose(back, points, rtol=0, atol=1e-9)


@any_pace
@given(affines, affines, image_points)
def test_composed_affine_equals_applying_in_turn(outer: Array, inner: Array, points: Array) -> None:
    between = apply_affine(inner, points)
    expected = apply_affine(outer, between)
    scale = 1 + np.abs(outer).max() * (1 + np.abs(inner).max() * 2000)
    composed = apply_affine(compose_affines(outer, inner), points)
    np.testing.assert_allclose(composed, expected, rtol=0, atol=1e-13 * scale)


def test_composition_applies_the_inner_affine_first() -> None:
    double = np.array([[2.0, 0, 0], [0, 2, 0]])
    shift = np.array([[1.0, 0, 10], [0, 1, 20]])
    np.testing.assert_array_equal(compose_affines(double, shift), [[2, 0, 20], [0, 2, 40]])
    np.testing.assert_array_equal(compose_affines(shift, double), [[2, 0, 10], [0, 2, 20]])


def test_a_batch_of_affines_gives_what_each_gives_alone() -> None:
    batch = np.stack([crop_affine((n, 5), 30 + n, 16, rotation=40 * n) for n in range(4)])
    points = np.random.default_rng(0).uniform(-50, 50, (4, 6, 2))
    together = apply_affine(batch, points)
    inverses, composed = invert_affine(batch), compose_affines(batch, batch[::-1])
    for n in range(4):
        np.testing.assert_allclose(together[n], apply_affine(batch[n], points[n]), atol=1e-12)
        np.testing.assert_allclose(inverses[n], invert_affine(batch[n]), atol=1e-12)
        pair = compose_affines(batch[n], batch[3 - n])
        np.testing.assert_allclose(composed[n], pair, atol=1e-12)
    shared = apply_affine(batch[1], points)
    np.testing.assert_allclose(shared[3], apply_affine(batch[1], points[3]), atol=1e-12)


@pytest.mark.parametrize(
    ("centre", "side", "size", "image_point", "crop_point"),
    [
        ((50, 50), 100, 100, (50, 50), (49.5, 49.5)),  # the middle of the crop
        ((50, 50), 100, 100, (0.5, 0.5), (0, 0)),
        ((50, 50), 100, 100, (99.5, 0.5), (99, 0)),
        ((50, 50), 100, 100, (0, 100), (-0.5, 99.5)),  # outer edges
        ((50, 50), 100, 50, (50, 50), (24.5, 24.5)),
        ((50, 50), 100, 50, (1, 99), (0, 49)),  # a crop pixel covers two image pixels
        ((50, 50), 100, 200, (0.25, 99.75), (0, 199)),
        ((30, 70), 20, 40, (30, 70), (19.5, 19.5)),
        ((30, 70), 20, 40, (20, 60), (-0.5, -0.5)),
        ((30, 70), 20, 40, (41, 79), (41.5, 37.5)),  # outside the square
    ],
)
def test_upright_crop_maps_points_as_computed_by_hand(
    centre: tuple, side: float, size: int, image_point: tuple, crop_point: tuple
) -> None:
    mapped = apply_affine(crop_affine(centre, side, size), [image_point])
    np.testing.assert_allclose(mapped, [crop_point], atol=1e-12)


@pytest.mark.parametrize(
    ("rotation", "step", "turned"),
    [
        (90, (10, 0), (0, 10)),  # right of the centre goes below it
        (90, (0, 10), (-10, 0)),  # below goes left
        (-90, (10, 0), (0, -10)),
        (180, (10, 5), (-10, -5)),
        (30, (10, 0), (8.660254037844387, 5)),
    ],
)
def test_positive_rotation_turns_the_content_clockwise_on_the_screen(
    rotation: float, step: tuple, turned: tuple
) -> None:
    affine = crop_affine((50, 50), 100, 100, rotation=rotation)
    mapped = apply_affine(affine, [np.add((50, 50), step)])
    np.testing.assert_allclose(mapped, [np.add((49.5, 49.5), turned)], atol=1e-12)


@any_pace
@given(crops, image_points)
def test_flipped_crop_mirrors_x_alone_after_the_rotation(crop: dict, points: Array) -> None:
    plain = apply_affine(crop_affine(**crop), points)
    flipped = apply_affine(crop_affine(**crop, flip=True), points)
    scale = 1 + np.abs(plain).max()
    mirrored = crop["size"] - 1 - plain[:, 0]
    np.testing.assert_allclose(flipped[:, 0], mirrored, rtol=0, atol=1e-11 * scale)
    np.testing.assert_array_equal(flipped[:, 1], plain[:, 1])


@pytest.mark.parametrize("rotation", [0, 25])
def test_picture_of_a_flipped_crop_is_the_mirrored_picture(rotation: float) -> None:
    y, x = np.mgrid[:60, :80]
    image = np.stack([2 * x + y, 3 * y + 10, 240 - x - 2 * y], axis=-1).astype(np.uint8)
    centre, side, size = (37.25, 31.5), 40.0, 64
    plain = extract_crop(image, crop_affine(centre, side, size, rotation=rotation), size)
    flipped = extract_crop(
        image, crop_affine(centre, side, size, rotation=rotation, flip=True), size
    )
    difference = np.abs(flipped.astype(int) - plain[:, ::-1].astype(int))
    assert difference.max() <= 1  # grey levels: warping rounds its coordinates
    assert np.ptp(plain.astype(int), axis=1).max() > 40


def test_box_of_points_is_tight() -> None:
    box = box_of_points([[3, 9], [7, 2], [5, 5]])
    np.testing.assert_array_equal(box, [3, 2, 7, 9])
    assert box.dtype == np.float64


def test_box_overlaps_are_shared_area_over_the_union() -> None:
    shared = box_overlaps(np.array([[0, 0, 10, 10]]), np.array([[0, 0, 10, 10], [5, 0, 15, 10.0]]))
    assert shared.tolist() == [[1.0, pytest.approx(50 / 150)]]
    assert box_overlaps(np.empty((0, 4)), np.array([[0, 0, 1, 1.0]])).shape == (0, 1)
