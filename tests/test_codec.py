import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from spcnet.calibration import Calibration
from spcnet.codec import (
    MEAN,
    OUTSIDE,
    STD,
    Codec,
    denormalise,
    normalise,
    square_of_box,
)
from spcnet.geometry import apply_affine
from spcnet.heatmaps import gaussian_heatmaps

CODEC = Codec(input_size=64, heatmap="gaussian", sigma=1.0)


@pytest.mark.parametrize(
    ("box", "centre", "side"),
    [
        ((10, 20, 50, 100), (30, 60), 100),  # 1.25 times the longer side
        ((10, 20, 90, 60), (50, 40), 100),
        ((7, 7, 7, 7), (7, 7), 1),
        ((0, 0, 0.5, 0.25), (0.25, 0.125), 1),
    ],
)
def test_square_of_box(box: tuple[float, ...], centre: tuple[float, float], side: float) -> None:
    found_centre, found_side = square_of_box(box)
    np.testing.assert_array_equal(found_centre, centre)
    assert found_side == side


def test_normalised_values_by_hand() -> None:
    crops = torch.tensor([[[[0, 255, 51]]]], dtype=torch.uint8)  # one pixel
    images = normalise(crops)
    assert images.shape == (1, 3, 1, 1) and images.dtype == torch.float32
    values = [(0 - MEAN[0]) / STD[0], (1 - MEAN[1]) / STD[1], (0.2 - MEAN[2]) / STD[2]]
    assert images.flatten().tolist() == pytest.approx(values)
    assert normalise(torch.tensor(OUTSIDE).view(1, 1, 1, 3)).abs().max() < 0.01


@given(st.integers(0, 255))
def test_denormalising_undoes_it_to_a_grey_level(grey: int) -> None:
    crops = torch.full((1, 2, 3, 3), grey, dtype=torch.uint8)
    back = denormalise(normalise(crops))
    assert back.shape == crops.shape
    assert (back.int() - crops.int()).abs().max() <= 1


@given(
    st.tuples(st.floats(12, 51), st.floats(12, 51)),
    st.tuples(st.floats(-300, 300), st.floats(-300, 300), st.floats(8, 800)),
)
def test_what_is_placed_in_a_crop_is_found_where_it_is(
    point: tuple[float, float], square: tuple[float, float, float]
) -> None:
    x, y, side = square
    affine = CODEC.affine((np.array([x, y]), side))
    assert apply_affine(affine, [[x, y]]) == pytest.approx(31.5)  # the middle of 64 pixels
    cells = (torch.tensor([point]) - 1.5) / 4
    heatmaps = CODEC.activate(gaussian_heatmaps(cells, (16, 16), sigma=CODEC.sigma))
    found, peaks = CODEC.decode(heatmaps)
    assert found[0].tolist() == pytest.approx(point, abs=0.2)
    assert 0.77 < peaks.item() <= 1


def test_scores_are_peaks_within_bounds_or_calibrated() -> None:
    peaks = np.array([-0.2, 0.5, 1.3], dtype=np.float32)
    assert CODEC.scores(peaks).tolist() == [0, 0.5, 1]
    curve = Calibration((0.0, 1.0), (0.25, 0.75))
    fitted = Codec(input_size=64, heatmap="gaussian", sigma=1.0, calibration=curve)
    assert fitted.scores(peaks).tolist() == [0.25, 0.5, 0.75]
