from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from spcnet.models.selective import (
    ConcatFusion,
    InformationCollection,
    InformationDistribution,
    SumFusion,
)


def random_levels(count: int, *, channels: int = 8, size: tuple[int, int] = (6, 5)) -> list[Tensor]:
    torch.manual_seed(0)
    return [torch.randn(2, channels, *size) for _ in range(count)]


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("size", [(6, 5), (12, 10), (24, 15)])
@pytest.mark.parametrize("stacks", [1, 3])
def test_collection_equals_the_convolution_of_the_concatenation(
    training: bool, size: tuple[int, int], stacks: int
) -> None:
    stages = random_levels(stacks)
    collect = InformationCollection(8, stacks=stacks)
    collect.norm.running_mean.uniform_(-1, 1)
    collect.norm.running_var.uniform_(0.5, 2)
    collect.norm.weight.data.uniform_(0.5, 2)
    collect.norm.bias.data.uniform_(-1, 1)
    mean, variance = collect.norm.running_mean.clone(), collect.norm.running_var.clone()
    collect.train(training)
    expected = F.conv2d(torch.cat(stages, dim=1), collect.reduce.weight)
    expected = F.batch_norm(
        expected, mean, variance, collect.norm.weight, collect.norm.bias, training=training
    )
    expected = F.interpolate(expected.relu(), size=size, mode="bilinear", align_corners=False)
    torch.testing.assert_close(collect(stages, size), expected, rtol=0, atol=1e-5)


def test_collection_upsamples_between_cell_centres() -> None:
    collect = InformationCollection(1, stacks=2).eval()
    collect.reduce.weight.data = torch.tensor([1.0, 10.0]).view(1, 2, 1, 1)
    stages = [torch.tensor([[[[0.0, 4.0]]]]), torch.tensor([[[[0.0, 0.4]]]])]
    found = collect(stages, (1, 4))[0, 0, 0]
    assert found.tolist() == pytest.approx([0, 2, 6, 8], rel=1e-4)


def test_distribution_weighs_the_levels_by_a_softmax_of_their_sum() -> None:
    levels = random_levels(4)
    distribute = InformationDistribution(8)
    fused, weights = distribute(levels)
    assert weights is not None
    assert weights.shape == (2, 4, 6, 5)
    torch.testing.assert_close(weights.sum(1), torch.ones(2, 6, 5), rtol=0, atol=1e-6)
    kernel, bias = distribute.squeeze.weight[:, :, 0, 0], distribute.squeeze.bias
    logits = torch.einsum("lc,bchw->blhw", kernel, sum(levels)) + bias[:, None, None]
    expected = logits.exp() / logits.exp().sum(1, keepdim=True)
    torch.testing.assert_close(weights, expected)
    mixed = torch.einsum("blhw,lbchw->bchw", expected, torch.stack(levels))
    torch.testing.assert_close(fused, mixed, rtol=0, atol=1e-5)


def test_distribution_of_equal_levels_is_that_level() -> None:
    level = random_levels(1)[0]
    fused, _ = InformationDistribution(8)([level] * 4)
    torch.testing.assert_close(fused, level, rtol=0, atol=1e-5)


@pytest.mark.parametrize("chosen", [0, 1, 2])
def test_distribution_can_choose_any_one_level(chosen: int) -> None:
    levels = random_levels(3)
    distribute = InformationDistribution(8, levels=3)
    distribute.squeeze.weight.data.zero_()
    distribute.squeeze.bias.data = 100.0 * F.one_hot(torch.tensor(chosen), 3)
    fused, weights = distribute(levels)
    assert weights is not None
    assert (weights[:, chosen] == 1).all()
    assert torch.equal(fused, levels[chosen])


def test_distribution_differs_from_pixel_to_pixel() -> None:
    distribute = InformationDistribution(1, levels=2)
    distribute.squeeze.weight.data = torch.tensor([100.0, -100.0]).view(2, 1, 1, 1)
    distribute.squeeze.bias.data.zero_()
    first, second = torch.tensor([[[[3.0, -5.0]]]]), torch.tensor([[[[1.0, 1.0]]]])
    fused, _ = distribute([first, second])
    assert fused.flatten().tolist() == [3, 1]  # the sums are 4 and -4


def test_sum_fusion_adds() -> None:
    levels = [torch.full((1, 2, 3, 3), value) for value in (1.0, 10.0, 100.0)]
    fused, weights = SumFusion(2, levels=3)(levels)
    assert torch.equal(fused, torch.full((1, 2, 3, 3), 111.0))
    assert weights is None


def test_concat_fusion_mixes_the_channels_of_all_levels() -> None:
    levels = random_levels(3, channels=2)
    fusion = ConcatFusion(2, levels=3)
    fused, weights = fusion(levels)
    kernel, bias = fusion.reduce.weight[:, :, 0, 0], fusion.reduce.bias
    expected = torch.einsum("oi,bihw->bohw", kernel, torch.cat(levels, 1)) + bias[:, None, None]
    torch.testing.assert_close(fused, expected)
    assert weights is None
    fusion.reduce.weight.data = torch.eye(2).repeat(1, 3)[:, :, None, None] * 0.5
    fusion.reduce.bias.data.zero_()
    torch.testing.assert_close(fusion(levels)[0], 0.5 * sum(levels))


@pytest.mark.parametrize("fusion", [InformationDistribution, SumFusion, ConcatFusion])
def test_fusions_keep_the_shape_of_a_level(fusion: Callable) -> None:
    assert fusion(8, levels=2)(random_levels(2))[0].shape == (2, 8, 6, 5)
