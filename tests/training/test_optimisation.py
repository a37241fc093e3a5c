"""Which parameters move how fast."""

import pytest
import torch
from test_loop import recipe
from torch import nn

from spcnet.errors import UserError
from spcnet.models.network import PoseNetwork
from spcnet.models.selective import begin_squeeze_at_zero
from spcnet.training.optimisation import (
    freeze_statistics,
    make_network,
    make_optimizer,
    measure_statistics,
)


def network(channels: int = 24, fusion: str = "selective") -> PoseNetwork:
    torch.manual_seed(0)
    return PoseNetwork(num_joints=3, stacks=1, channels=channels, depth=3, fusion=fusion)  # type: ignore[arg-type]


every_optimiser = pytest.mark.parametrize("name", ["rmsprop", "adamw", "muon"])


@every_optimiser
def test_the_squeeze_is_a_group_of_its_own_by_its_width_and_is_not_decayed(name: str) -> None:
    for channels in (16, 24):
        mine = network(channels)
        plan = recipe(optimizer={"name": name, "weight_decay": 0.05})
        kernels, others, squeeze = make_optimizer(plan, mine).param_groups
        assert mine.distribute is not None
        expected = list(mine.distribute.squeeze.parameters())  # type: ignore[union-attr]
        assert [id(p) for p in squeeze["params"]] == [id(p) for p in expected]
        assert squeeze["rate"] == 2 / channels
        assert [g["weight_decay"] for g in (kernels, others, squeeze)] == [0.05, 0, 0]
        assert "rate" not in kernels and "rate" not in others
        assert all(p.ndim > 1 for p in kernels["params"])
        assert all(p.ndim == 1 for p in others["params"])
        everything = [id(p) for g in (kernels, others, squeeze) for p in g["params"]]
        assert sorted(everything) == sorted(map(id, mine.parameters()))


@every_optimiser
def test_a_recipe_may_set_the_squeezes_rate(name: str) -> None:
    plan = recipe(optimizer={"name": name, "squeeze_rate": 1})
    assert make_optimizer(plan, network()).param_groups[2]["rate"] == 1


@pytest.mark.parametrize("fusion", ["sum", "concat", "none"])
def test_without_a_squeeze_there_is_no_such_group(fusion: str) -> None:
    assert len(make_optimizer(recipe(), network(fusion=fusion)).param_groups) == 2


def test_a_squeeze_that_begins_at_zero_weighs_all_levels_alike() -> None:
    mine, literal = network(), network()
    begin_squeeze_at_zero(mine)
    images = torch.randn(2, 3, 32, 32)
    attention = mine.eval().forward_all(images).attention
    assert attention is not None
    torch.testing.assert_close(attention, torch.full_like(attention, 1 / 3))
    for (name, one), other in zip(mine.named_parameters(), literal.parameters(), strict=True):
        if name.startswith("distribute.squeeze."):
            assert not one.any() and other.any()
        else:
            assert torch.equal(one, other), name  # whatever else begins, begins as it did
    begin_squeeze_at_zero(nn.Sequential(nn.Conv2d(1, 1, 1)))  # has none, and nothing happens


def frozen(channels: int, *names: str) -> PoseNetwork:
    plan = recipe(
        model={
            "variant": "spcnet_s1_w64", "arguments": {"channels": channels}, "weights": "default",
            "freeze": list(names),
        }
    )  # fmt: skip
    return make_network(plan, 3, torch.device("cpu"))


@every_optimiser
def test_frozen_parts_keep_weights_and_statistics_and_the_body_goes_slowly(name: str) -> None:
    mine = frozen(16, "stem", "stacks.0.module")
    plan = recipe(optimizer={"name": name, "body_rate": 0.1, "squeeze_rate": 0.5})
    optimizer = make_optimizer(plan, mine)
    rates = {id(p): g.get("rate", 1) for g in optimizer.param_groups for p in g["params"]}
    expected = {
        "stacks.0.features.1.weight": 0.1, "collect.0.norm.bias": 0.1, "head.weight": 1,
        "stacks.0.head.bias": 1, "distribute.squeeze.weight": 0.5,
    }  # fmt: skip
    weights = dict(mine.named_parameters())
    assert {key: rates[id(weights[key])] for key in expected} == expected
    assert not any(id(p) in rates for p in mine.stem.parameters())
    before = {key: tensor.clone() for key, tensor in mine.state_dict().items()}
    freeze_statistics(mine, every=False)
    torch.stack([out.square().mean() for out in mine(torch.randn(2, 3, 64, 64))]).sum().backward()
    optimizer.step()
    measure_statistics(mine, [torch.randn(2, 3, 64, 64)])
    for key, tensor in mine.state_dict().items():
        same = torch.equal(tensor, before[key])
        if key.startswith(("stem.", "stacks.0.module.")):
            assert same, key
        elif key in expected or key.endswith("running_mean"):
            assert not same, key


def test_nothing_left_to_learn_and_unknown_parts_are_refused() -> None:
    with pytest.raises(UserError, match=r"model\.freeze: the network has no module 'neck'; it has"):
        frozen(16, "neck")
    everything = frozen(16, "stem", "stacks", "collect", "distribute", "head")
    with pytest.raises(UserError, match=r"model\.freeze: nothing is left to be learned"):
        make_optimizer(recipe(), everything)
