from collections.abc import Callable
from functools import cache, partial

import pytest
from torch import nn

from spcnet.models.hourglass import DilatedHourglass, Hourglass
from spcnet.models.registry import create_model
from spcnet.models.summary import Summary, receptive_field, summarise


@cache
def summary(name: str, input_size: int = 256) -> Summary:
    return summarise(create_model(name, num_joints=16), input_size=input_size)


@pytest.mark.parametrize(
    ("name", "parameters", "gmac", "levels", "field"),
    [
        ("hourglass_s8_w256", 25_402_816, 27.44, (8, 16, 32, 64), 156),
        ("dhm_s8_w256", 26_455_488, 29.92, (16, 16, 32, 64), 124),
        ("spcnet_s8_w256", 28_559_828, 32.89, (16, 16, 32, 64), 124),
    ],
)
def test_costs_and_sizes_of_the_papers_networks(
    name: str, parameters: int, gmac: float, levels: tuple[int, ...], field: int
) -> None:
    found = summary(name)
    assert found.parameters == parameters
    assert found.gmac == pytest.approx(gmac, abs=0.005)
    assert found.levels == levels
    assert found.receptive_field == field


def test_what_the_parts_of_the_paper_add_counts_up() -> None:
    baseline, dilated, whole = (
        summary(name).parameters for name in ("hourglass_s8_w256", "dhm_s8_w256", "spcnet_s8_w256")
    )
    # Two blocks of type B in each of eight stacks have a 1x1 convolution on the shortcut.
    assert dilated - baseline == 8 * 2 * (256 * 256 + 256)
    # Four collections of eight stacks with their norms, the weights of four levels, the last head.
    collection = 4 * (8 * 256 * 256 + 2 * 256)
    assert whole - dilated == collection + (256 * 4 + 4) + (256 * 16 + 16)


def test_costs_follow_the_area_of_the_input() -> None:
    whole, half = summary("spcnet_s1_w64"), summary("spcnet_s1_w64", input_size=128)
    assert whole.gmac == pytest.approx(4 * half.gmac)
    assert half.levels == (8, 8, 16, 32)
    assert half.parameters == whole.parameters
    assert half.receptive_field == whole.receptive_field


@pytest.mark.parametrize(("dilation", "field"), [(1, 68), (3, 180)])  # 124 at 2
def test_receptive_field_of_the_dilated_hourglass_grows_with_its_dilation(
    dilation: int, field: int
) -> None:
    assert receptive_field(partial(DilatedHourglass, dilation=dilation)) == field


@pytest.mark.parametrize(
    ("module", "field"),
    [
        (partial(Hourglass, depth=1), 14),  # three 3x3 at half size: 2 * (1 + 3 * 2)
        (partial(DilatedHourglass, depth=1), 26),  # 2 * (1 + 3 * 4)
        (partial(Hourglass, depth=2), 36),  # 7 at a quarter, 14 + 2 + 2 at half
    ],
)
def test_receptive_field_of_shallow_modules_as_computed_by_hand(
    module: Callable[[int], nn.Module], field: int
) -> None:
    assert receptive_field(module) == field
