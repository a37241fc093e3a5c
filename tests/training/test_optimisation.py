"""Which parameters move how fast."""

import pytest
import torch
from test_loop import recipe
from torch import nn

from spcnet.models.network import PoseNetwork
from spcnet.models.selective import begin_squeeze_at_zero
from spcnet.training.optimisation import make_optimizer


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
