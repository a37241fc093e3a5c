import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from making_boxmaps import STRIDE, maps_of

from spcnet.boxmaps import boxes_of, centres, find_peaks, target_maps


def test_cells_have_their_centres_where_heatmaps_have_them() -> None:
    grid = centres((2, 3), stride=STRIDE, like=torch.zeros(1))
    assert grid[0].tolist() == [[1.5, 1.5], [5.5, 1.5], [9.5, 1.5]]
    assert grid[1, 0].tolist() == [1.5, 5.5]


def test_a_target_is_one_in_the_cell_of_the_middle_and_as_wide_as_the_box() -> None:
    box = torch.tensor([[10.0, 6.0, 50.0, 106.0]])  # 40 x 100 about (30, 56)
    heat, asked = target_maps(box, (32, 20), stride=STRIDE)
    cell = round((56 - 1.5) / 4), round((30 - 1.5) / 4)
    assert heat[cell] == 1
    one_up = heat[cell[0] - 1, cell[1]]
    assert one_up == pytest.approx(math.exp(-0.5 * (4 / 9) ** 2), rel=1e-5)  # 9 % of 100 pixels
    one_left = heat[cell[0], cell[1] - 1]
    assert one_left == pytest.approx(math.exp(-0.5 * (4 / 3.6) ** 2), rel=1e-5)
    assert set(asked.unique().tolist()) == {-1, 0}


def test_without_persons_nothing_is_asked() -> None:
    heat, asked = target_maps(torch.empty(0, 4), (4, 4), stride=STRIDE)
    assert heat.sum() == 0
    assert (asked == -1).all()


def test_where_two_persons_meet_the_smaller_one_is_asked_for() -> None:
    boxes = torch.tensor([[0.0, 0.0, 79.0, 79.0], [30.0, 30.0, 50.0, 50.0]])
    _, asked = target_maps(boxes, (20, 20), stride=STRIDE)
    assert asked[round(38.5 / 4), round(38.5 / 4)] == 1
    assert (asked == 0).any()


def test_distances_are_logarithms_in_units() -> None:
    distances = torch.zeros(4, 1, 2)
    assert boxes_of(distances, stride=STRIDE)[:, 0, 1].tolist() == [-10.5, -14.5, 21.5, 17.5]


@given(x=st.floats(5, 60), y=st.floats(5, 60), width=st.floats(12, 60), height=st.floats(12, 60))
def test_a_box_comes_back_from_its_maps(x: float, y: float, width: float, height: float) -> None:
    box = torch.tensor([[x, y, x + width, y + height]])
    boxes, scores = find_peaks(maps_of(box, (32, 32)), stride=STRIDE, most=5, least=0.5)
    assert len(boxes) >= 1
    assert scores[0] == pytest.approx(0.99, abs=1e-4)
    assert boxes[0].numpy() == pytest.approx(box[0].numpy(), abs=0.01)


def test_peaks_come_surest_first_and_no_more_than_asked_for() -> None:
    boxes = torch.tensor([[0.0, 0.0, 40.0, 40.0], [60.0, 60.0, 110.0, 120.0]])
    maps = maps_of(boxes, (32, 32))
    maps[0, :15] -= 2
    found, scores = find_peaks(maps, stride=STRIDE, most=9, least=0.3)
    assert [round(float(box[0])) for box in found] == [60, 0]
    assert scores[0] > scores[1]
    assert len(find_peaks(maps, stride=STRIDE, most=1, least=0.3)[0]) == 1
    assert len(find_peaks(maps, stride=STRIDE, most=9, least=0.999)[0]) == 0
