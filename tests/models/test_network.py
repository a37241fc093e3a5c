from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from spcnet.models.network import Feedback, PoseNetwork, Stem, channels_last

FAMILIES = [
    ("hourglass", "none"),
    ("dilated", "none"),
    ("hourglass", "selective"),
    ("dilated", "selective"),
    ("dilated", "sum"),
    ("dilated", "concat"),
]

every_family = pytest.mark.parametrize(("module", "fusion"), FAMILIES)


def small(seed: int = 0, **arguments: Any) -> PoseNetwork:
    torch.manual_seed(seed)
    return PoseNetwork(**{"num_joints": 3, "stacks": 2, "channels": 16, **arguments})


def pictures(*shape: int, seed: int = 0, dtype: Any = torch.float32) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


@every_family
def test_training_gives_all_outputs_and_evaluation_the_last(module: Any, fusion: Any) -> None:
    network = small(module=module, fusion=fusion)
    images = pictures(2, 3, 64, 64)
    trained = network.train()(images)
    assert isinstance(trained, list)
    assert [tuple(y.shape) for y in trained] == [(2, 3, 16, 16)] * (2 if fusion == "none" else 3)
    with torch.no_grad():
        everything = network.eval().forward_all(images)
        assert torch.equal(network(images), everything.heatmaps[-1])
    assert len(everything.heatmaps) == len(trained)
    assert len({y.sum().item() for y in everything.heatmaps}) == len(trained)  # no two alike


@every_family
def test_attention_is_a_share_of_each_level_where_the_fusion_has_one(
    module: Any, fusion: Any
) -> None:
    with torch.no_grad():
        attention = small(module=module, fusion=fusion).eval().forward_all(pictures(2, 3, 64, 64))
    weights = attention.attention
    if fusion != "selective":
        assert weights is None
    else:
        assert weights is not None
        assert weights.shape == (2, 4, 16, 16)
        torch.testing.assert_close(weights.sum(1), torch.ones(2, 16, 16))


@pytest.mark.parametrize(
    ("module", "sizes"), [("hourglass", [2, 4, 8, 16]), ("dilated", [4, 4, 8, 16])]
)
def test_levels_are_collected_over_all_stacks_coarsest_first(module: Any, sizes: list[int]) -> None:
    network = small(module=module, stacks=3).eval()
    seen: list[list[int]] = []
    for part in network.collect:
        part.register_forward_pre_hook(
            lambda _, inputs: seen.append([x.size(-1) for x in inputs[0]])
        )
    with torch.no_grad():
        network(pictures(1, 3, 64, 64))
    assert seen == [[size] * 3 for size in sizes]


def gradients(network: PoseNetwork) -> dict[str, float]:
    network.zero_grad()
    outputs = network.forward_all(pictures(4, 3, 64, 64, dtype=torch.float64)).heatmaps
    weights = [pictures(*y.shape, seed=1, dtype=y.dtype) for y in outputs]
    torch.stack([(w * y**2).sum() for w, y in zip(weights, outputs, strict=True)]).sum().backward()
    return {
        name: 0.0 if parameter.grad is None else parameter.grad.abs().max().item()
        for name, parameter in network.named_parameters()
    }


@every_family
def test_every_parameter_receives_a_gradient(module: Any, fusion: Any) -> None:
    network = small(module=module, fusion=fusion).double()
    for part in network.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.momentum = 1.0  # evaluation takes this batch's statistics, but as constants
    # Moving statistics cancel the constants that a residual stream carries to the next norm.
    residual = ("conv3.bias", "shortcut.bias", "of_features.bias", "of_heatmaps.bias")
    moving = gradients(network.train())
    weak = [name for name, size in moving.items() if size <= 1e-9]
    assert [name for name in weak if not name.endswith(residual)] == []
    fixed = gradients(network.eval())
    assert [name for name, size in fixed.items() if size <= 1e-9] == []


def test_each_stack_learns_from_its_own_output_and_those_after_it() -> None:
    network = small(module="dilated", fusion="none", stacks=3).train()
    images = pictures(2, 3, 64, 64)
    for supervised in range(3):
        network.zero_grad()
        network(images)[supervised].square().sum().backward()
        reached = [
            any(p.grad is not None and p.grad.abs().max() > 0 for p in stack.parameters())
            for stack in network.stacks
        ]
        assert reached == [n <= supervised for n in range(3)]


def test_feedback_adds_the_features_and_the_heatmaps() -> None:
    feedback = Feedback(4, 2)
    x, features, heatmaps = (pictures(1, n, 3, 3, seed=n) for n in (4, 4, 2))
    merged = feedback(x, features, heatmaps)
    without = feedback(x, torch.zeros_like(features), torch.zeros_like(heatmaps))
    kernels = [layer.weight[..., 0, 0] for layer in (feedback.of_features, feedback.of_heatmaps)]
    added = torch.einsum("oi,bihw->bohw", kernels[0], features)
    added = added + torch.einsum("oi,bihw->bohw", kernels[1], heatmaps)
    torch.testing.assert_close(merged - without, added)
    biases = feedback.of_features.bias + feedback.of_heatmaps.bias
    torch.testing.assert_close(without, x + biases[:, None, None])


def test_stem_is_a_quarter_of_the_image() -> None:
    assert Stem(32).eval()(pictures(1, 3, 32, 48)).shape == (1, 32, 8, 12)


@every_family
def test_convolutions_that_a_norm_follows_have_no_bias(module: Any, fusion: Any) -> None:
    network = small(module=module, fusion=fusion)
    for part in network.modules():
        if isinstance(part, nn.Sequential):
            for layer, after in pairwise(part):
                if isinstance(layer, nn.Conv2d) and isinstance(after, nn.BatchNorm2d):
                    assert layer.bias is None
    assert all(part.reduce.bias is None for part in network.collect)


@pytest.mark.parametrize(
    ("arguments", "divisor", "sizes"),
    [
        ({"module": "hourglass"}, 64, [(64, 64), (64, 128)]),
        ({"module": "dilated"}, 16, [(16, 16), (48, 80), (64, 32)]),
        ({"module": "hourglass", "depth": 2}, 16, [(16, 48)]),
        ({"module": "dilated", "depth": 1}, 8, [(8, 8), (24, 8)]),
    ],
)
def test_multiples_of_the_divisor_are_accepted(
    arguments: dict, divisor: int, sizes: list[tuple[int, int]]
) -> None:
    network = small(stacks=1, **arguments).eval()
    assert network.divisor == divisor
    for height, width in sizes:
        with torch.no_grad():
            found = network(pictures(1, 3, height, width))
        assert found.shape == (1, 3, height // 4, width // 4)


@pytest.mark.parametrize(
    ("module", "size", "divisor", "nearest"),
    [
        ("hourglass", (250, 256), 64, "256 x 256"),
        ("dilated", (250, 256), 16, "256 x 256"),
        ("hourglass", (64, 20), 64, "64 x 64"),
        ("hourglass", (220, 290), 64, "192 x 320"),
        ("dilated", (60, 100), 16, "64 x 96"),
        ("dilated", (0, 16), 16, "16 x 16"),
    ],
)
def test_other_input_sizes_are_refused_by_a_message_that_names_the_nearest(
    module: Any, size: tuple[int, int], divisor: int, nearest: str
) -> None:
    network = small(module=module, stacks=1)
    with pytest.raises(ValueError, match=f"{size[0]} x {size[1]} pixels") as error:
        network(torch.zeros(1, 3, *size))
    assert f"multiples of {divisor}; the nearest is {nearest}" in str(error.value)


def test_the_same_seed_gives_the_same_weights() -> None:
    first, again, other = (small(seed).state_dict() for seed in (3, 3, 4))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


@pytest.mark.parametrize("module", ["hourglass", "dilated"])
@pytest.mark.parametrize(
    ("depth", "stacks", "channels", "joints"),
    [(1, 3, 8, 1), (2, 2, 24, 5), (3, 1, 64, 2), (4, 2, 8, 4)],
)
def test_any_depth_stacks_and_width_make_a_network(
    module: Any, depth: int, stacks: int, channels: int, joints: int
) -> None:
    network = small(
        module=module, depth=depth, stacks=stacks, channels=channels, num_joints=joints
    ).eval()
    with torch.no_grad():
        everything = network.forward_all(pictures(1, 3, 64, 64))
    assert [tuple(y.shape) for y in everything.heatmaps] == [(1, joints, 16, 16)] * (stacks + 1)
    assert everything.attention is not None
    assert everything.attention.shape == (1, depth, 16, 16)


def test_pictures_of_a_batch_do_not_see_each_other_in_evaluation() -> None:
    network = small().eval()
    images = pictures(3, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(network(images)[1:2], network(images[1:2]))


def test_kernels_laid_out_channels_last_compute_the_same() -> None:
    network = small().eval()
    images = pictures(1, 3, 64, 64)
    with torch.no_grad():
        plain = network(images)
        assert channels_last(network) is network
        torch.testing.assert_close(network(images), plain, rtol=1e-4, atol=1e-5)
    kernel = network.stacks[0].module.skip.conv2.weight
    assert kernel.is_contiguous(memory_format=torch.channels_last)
