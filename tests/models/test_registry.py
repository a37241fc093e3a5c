import re

import pytest
import torch

from spcnet.models.hourglass import DilatedHourglass, Hourglass
from spcnet.models.registry import create_model
from spcnet.models.selective import InformationDistribution, SumFusion
from spcnet.models.variants import VARIANTS as REGISTERED
from spcnet.models.variants import register_variant, variant_names

VARIANTS = [
    "hourglass_s8_w256",
    "hourglass_s2_w256",
    "hourglass_s2_w96",
    "dhm_s8_w256",
    "hourglass_sim_s8_w256",
    "spcnet_s8_w256",
    "spcnet_s4_w256",
    "spcnet_s2_w256",
    "spcnet_s4_w192",
    "spcnet_s2_w192",
    "spcnet_s2_w128",
    "spcnet_s2_w96",
    "spcnet_s1_w64",
]


def test_variants_are_listed_in_order_and_by_pattern() -> None:
    assert variant_names() == VARIANTS
    assert variant_names("*_s8_*") == [name for name in VARIANTS if "_s8_" in name]
    assert variant_names("nothing*") == []


def test_a_users_variant_has_a_name_of_its_own() -> None:
    register_variant("mine_s1_w8", "Mine.", module="dilated", stacks=1, channels=8)
    try:
        register_variant("mine_s1_w8", "Mine.", module="dilated", stacks=1, channels=8)
        assert create_model("mine_s1_w8", num_joints=2).head.out_channels == 2
        with pytest.raises(ValueError, match="variant 'mine_s1_w8': the name is taken"):
            register_variant("mine_s1_w8", "Other.", stacks=2)
    finally:
        REGISTERED.pop("mine_s1_w8")


@pytest.mark.parametrize("name", VARIANTS)
def test_variant_is_what_its_name_says_and_learns(name: str) -> None:
    family, stacks, width = re.fullmatch(r"(\w+)_s(\d+)_w(\d+)", name).groups()
    network = create_model(name, num_joints=4).train()
    assert len(network.stacks) == int(stacks)
    assert {stack.head.in_channels for stack in network.stacks} == {int(width)}
    dilated, fused = family in ("dhm", "spcnet"), family in ("hourglass_sim", "spcnet")
    kind = DilatedHourglass if dilated else Hourglass
    assert {type(stack.module) for stack in network.stacks} == {kind}
    assert isinstance(network.distribute, InformationDistribution) is fused
    outputs = network(torch.randn(2, 3, 64, 64))
    assert [tuple(y.shape) for y in outputs] == [(2, 4, 16, 16)] * (int(stacks) + fused)
    torch.stack([y.square().mean() for y in outputs]).sum().backward()
    gradient = network.stem[0].weight.grad
    assert gradient.isfinite().all()
    assert gradient.abs().max() > 0


def test_overrides_take_the_place_of_the_variants_own() -> None:
    network = create_model("spcnet_s1_w64", stacks=2, channels=8, fusion="sum", dilation=3)
    assert len(network.stacks) == 2
    assert isinstance(network.distribute, SumFusion)
    assert network.stacks[0].module.dilation == 3
    assert network.head.in_channels == 8
    assert network.head.out_channels == 16  # joints, unless told


@pytest.mark.parametrize(
    ("name", "nearest"),
    [("spcnet_s2_w95", "spcnet_s2_w96"), ("hourglas_s8_w256", "hourglass_s8_w256")],
)
def test_an_unknown_name_is_refused_with_the_nearest(name: str, nearest: str) -> None:
    with pytest.raises(ValueError, match=f"unknown model '{name}'; did you mean '{nearest}'"):
        create_model(name)


def test_a_name_like_no_other_is_refused_without_a_guess() -> None:
    with pytest.raises(ValueError, match="unknown model 'zzz'") as error:
        create_model("zzz")
    assert "did you mean" not in str(error.value)


def test_an_unknown_argument_is_refused() -> None:
    with pytest.raises(TypeError, match="width"):
        create_model("spcnet_s1_w64", width=32)
