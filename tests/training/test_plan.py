import pytest
import torch
from conftest import RECIPES

from spcnet.models.registry import create_model
from spcnet.training.plan import make_plan
from spcnet.training.recipe import load_recipe

SMALL = [
    "model.variant=spcnet_s1_w64",
    "model.arguments={channels: 16}",
    "model.input_size=64",
    "training.batch_size=12",
]


def plan(*settings: str, processes: int = 1, clock: object = None):  # type: ignore[no-untyped-def]
    options = {} if clock is None else {"clock": clock}
    return make_plan(
        load_recipe(RECIPES / "synthetic.yaml", [*SMALL, *settings]),
        joints=14, steps=100, processes=processes, device=torch.device("cpu"), **options,
    )  # type: ignore[arg-type]  # fmt: skip


def test_weights_and_moments_are_counted() -> None:
    network = create_model("spcnet_s1_w64", num_joints=14, channels=16)
    count = sum(parameter.numel() for parameter in network.parameters())
    costs = plan("optimizer.name=adamw", "training.ema=0.9")
    assert costs.parameters == count
    assert costs.weight_bytes == 4 * count * 5  # weights, gradients, two moments, the average
    assert plan("optimizer.name=rmsprop", "training.ema=null").weight_bytes == 4 * count * 3


def test_a_batch_is_shared_by_processes_and_parts() -> None:
    assert plan().batch == 12
    assert plan("training.accumulate=2", processes=3).batch == 2
    assert plan().memory == plan().weight_bytes + 12 * plan().image_bytes


def test_checkpointing_keeps_less_of_each_image() -> None:
    stacks = "model.arguments={channels: 16, stacks: 4}"
    kept = plan(stacks).image_bytes
    assert 0 < plan(stacks, "training.checkpointing=true").image_bytes < 0.6 * kept


def test_time_grows_by_as_much_with_every_image() -> None:
    """Two images take a second and four take two, so twelve take six."""
    ticks = iter([t for seconds in [1.0] * 4 + [2.0] * 4 for t in (0.0, seconds)])
    costs = plan(clock=lambda: next(ticks))
    assert costs.step_seconds == pytest.approx(6)
    assert costs.seconds == pytest.approx(600)


def test_persons_are_counted_without_the_data_where_that_is_known() -> None:
    from spcnet.training.data import count_persons

    assert count_persons(load_recipe(RECIPES / "lspet_cpu.yaml")) == (7760, 14)
    assert count_persons(load_recipe(RECIPES / "mpii_paper.yaml")) == (22246, 16)
    lsp = load_recipe(RECIPES / "lsp_paper.yaml")
    assert count_persons(lsp) == (1000 + 10_000 + 22_246, 14)
