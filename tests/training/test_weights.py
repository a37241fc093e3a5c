"""A run that begins with weights of other joints."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from test_loop import recipe
from torch import nn

from spcnet.checkpoints import ModelCard, save_checkpoint
from spcnet.cli.train import say_taken
from spcnet.codec import Codec
from spcnet.errors import UserError
from spcnet.models.network import PoseNetwork
from spcnet.models.registry import create_model
from spcnet.skeletons import BODY19, COCO17, LSP14, Skeleton
from spcnet.training.optimisation import is_of_joints
from spcnet.training.weights import Taken, begin_with

ARGUMENTS = {"stacks": 2, "channels": 16}


def fresh(skeleton: Skeleton, seed: int = 1, **changes: int) -> PoseNetwork:
    torch.manual_seed(seed)
    network = create_model("spcnet_s2_w96", num_joints=len(skeleton), **ARGUMENTS | changes)
    for parameter in network.parameters():
        if parameter.ndim == 1:
            nn.init.uniform_(parameter, -0.5, 0.5)  # no bias is zero by chance
    return network.eval()


Begin = Callable[..., PoseNetwork]


@pytest.fixture
def taken() -> list[Taken]:
    """What `begin` took over, each time."""
    return []


@pytest.fixture
def begin(tmp_path: Path, taken: list[Taken]) -> Begin:
    """A network for a skeleton that began with a trained one for another."""

    def with_weights_of(
        trained: Skeleton,
        wanted: Skeleton,
        *,
        anew: tuple[str, ...] = (),
        joints: dict[str, str] | None = None,
        **changes: int,
    ) -> PoseNetwork:
        card = ModelCard(
            variant="spcnet_s2_w96", arguments=ARGUMENTS, skeleton=trained,
            codec=Codec(input_size=64, heatmap="softmax", sigma=1.0), training={"seed": 5},
        )  # fmt: skip
        path = tmp_path / "trained.safetensors"
        save_checkpoint(path, fresh(trained, seed=0).state_dict(), card)
        network = fresh(wanted, **changes)
        plan = recipe(model={"weights": str(path), "anew": list(anew), "joints": joints or {}})
        taken.append(begin_with(network, plan, wanted))
        return network

    return with_weights_of


@pytest.mark.parametrize("wanted", [BODY19, COCO17], ids=lambda skeleton: skeleton.name)
def test_shared_joints_are_found_where_they_were(begin: Begin, wanted: Skeleton) -> None:
    network, before = begin(LSP14, wanted), fresh(LSP14, seed=0)
    images = torch.randn(2, 3, 64, 64)
    shared = [joint for joint in wanted.joints if joint in LSP14.joints]
    mine, theirs = ([of.index(joint) for joint in shared] for of in (wanted, LSP14))
    with torch.no_grad():
        found, expected = (n.forward_all(images).heatmaps for n in (network, before))
    assert len(found) == 3
    exact = wanted is BODY19  # COCO has no neck and head top to feed back from the first stack
    for after, old in zip(found[: 3 if exact else 1], expected, strict=False):
        torch.testing.assert_close(after[:, mine], old[:, theirs], rtol=0.02, atol=0.02)  # fp16


def test_new_joints_begin_fresh_and_feed_nothing_back(begin: Begin) -> None:
    network, untouched = begin(LSP14, BODY19), fresh(BODY19)
    new = [BODY19.index(joint) for joint in BODY19.joints if joint not in LSP14.joints]
    state, before = network.state_dict(), untouched.state_dict()
    heads = [name for name in state if name.split(".")[-2] == "head"]
    assert len(heads) == 6  # weights and biases of two stacks and the fusion
    for name in heads:
        assert torch.equal(state[name][new], before[name][new]), name
    assert not state["feedbacks.0.of_heatmaps.weight"][:, new].any()
    assert state["feedbacks.0.of_heatmaps.weight"].abs().sum(dim=(0, 2, 3)).ne(0).sum() == 14


def test_weights_of_the_same_joints_are_taken_over_whole(begin: Begin) -> None:
    trained = fresh(BODY19, seed=0).state_dict()
    for name, tensor in begin(BODY19, BODY19).state_dict().items():
        torch.testing.assert_close(tensor, trained[name], rtol=1e-3, atol=1e-3)


def test_parts_that_begin_anew_keep_their_fresh_weights(begin: Begin) -> None:
    before = fresh(BODY19).state_dict()
    state = begin(LSP14, BODY19, anew=("distribute.squeeze", "stacks.1")).state_dict()
    trained = fresh(LSP14, seed=0).state_dict()
    anew = 0
    for name, tensor in state.items():
        if name.startswith(("distribute.squeeze.", "stacks.1.")):
            assert torch.equal(tensor, before[name]), name
            anew += 1
        elif tensor.shape == trained[name].shape:
            torch.testing.assert_close(tensor, trained[name], rtol=1e-3, atol=1e-3)
    assert anew > 20


@pytest.mark.parametrize("part", ["neck", "distribute.squeez", "stacks.2", "stem.0.weight"])
def test_a_part_that_is_not_there_is_named(begin: Begin, part: str) -> None:
    with pytest.raises(UserError, match=rf"model\.anew: .* no module '{part}'; it has stem, sta"):
        begin(LSP14, BODY19, anew=("distribute", part))


def test_of_joints_that_nobody_knows_the_body_is_taken_and_said(
    begin: Begin, taken: list[Taken]
) -> None:
    dots = Skeleton("dots", ("left_dot", "right_dot"), ())
    state, before = begin(LSP14, dots).state_dict(), fresh(dots).state_dict()
    trained = fresh(LSP14, seed=0).state_dict()
    for name, tensor in state.items():
        if ".head." in f".{name}":
            assert torch.equal(tensor, before[name]), name
        elif tensor.shape == trained[name].shape:
            torch.testing.assert_close(tensor, trained[name], rtol=1e-3, atol=1e-3)
    (found,) = taken
    assert found.joints == {} and found.new_joints == dots.joints
    assert found.training == {"seed": 5}
    heads = sum(p.numel() for n, p in fresh(dots).named_parameters() if is_of_joints(n))
    everything = sum(p.numel() for p in fresh(dots).parameters())
    assert found.share == pytest.approx(1 - heads / everything)


def test_a_map_says_what_joints_are_called_in_the_weights(begin: Begin, taken: list[Taken]) -> None:
    own = Skeleton("own", ("left_foot", "right_foot", "head_top", "tail"), ())
    names = {"left_foot": "left_ankle", "right_foot": "right_ankle"}
    state, before = begin(LSP14, own, joints=names).state_dict(), fresh(own).state_dict()
    trained = fresh(LSP14, seed=0).state_dict()
    known = [LSP14.index(joint) for joint in ("left_ankle", "right_ankle", "head_top")]
    for name in ("stacks.0.head.weight", "stacks.1.head.bias", "head.weight"):
        torch.testing.assert_close(state[name][:3], trained[name][known], rtol=1e-3, atol=1e-3)
        assert torch.equal(state[name][3], before[name][3])
    (found,) = taken
    of_joints = sum(p.numel() for n, p in fresh(own).named_parameters() if is_of_joints(n))
    everything = sum(p.numel() for p in fresh(own).parameters())
    assert found.share == pytest.approx(1 - of_joints / 4 / everything)  # one joint of four
    assert found.joints == names | {"head_top": "head_top"}
    assert found.new_joints == ("tail",)
    for wrong, message in (
        ({"foot": "left_ankle"}, "the labels have no joint 'foot', but left_foot, right_foot"),
        ({"tail": "toe"}, "the weights have no joint 'toe', but right_ankle"),
    ):
        with pytest.raises(UserError, match=rf"model\.joints: {message}"):
            begin(LSP14, own, joints=wrong)


@pytest.mark.parametrize("stacks", [1, 3])
def test_of_other_stacks_what_fits_is_taken(begin: Begin, taken: list[Taken], stacks: int) -> None:
    state = begin(LSP14, LSP14, stacks=stacks).state_dict()
    trained = fresh(LSP14, seed=0).state_dict()
    for name in ("stem.0.weight", "stacks.0.features.1.weight", "head.weight"):
        torch.testing.assert_close(state[name], trained[name], rtol=1e-3, atol=1e-3)
    gathered = {f"collect.{n}" for n in range(4)}
    assert set(taken[0].anew) == gathered | ({"stacks.2", "feedbacks.1"} if stacks == 3 else set())


@pytest.mark.parametrize("wanted", [LSP14, BODY19], ids=lambda skeleton: skeleton.name)
def test_weights_of_another_width_are_refused_with_what_to_do(
    begin: Begin, wanted: Skeleton
) -> None:
    with pytest.raises(UserError, match=r"model\.weights: .*'stacks': 2, 'channels': 16"):
        begin(LSP14, wanted, channels=32)


def test_what_was_taken_is_said_in_three_lines(capsys: pytest.CaptureFixture[str]) -> None:
    taken = Taken(
        name="default", training={}, share=0.9987, anew=("collect.0", "stacks.2"),
        joints={"left_foot": "left_ankle", "head_top": "head_top"}, new_joints=("tail",),
    )  # fmt: skip
    say_taken(taken)
    assert capsys.readouterr().err.splitlines() == [
        "begins with default: 99.9 % of the weights; collect.0, stacks.2 begin anew",
        "joints taken over: left_foot from left_ankle, head_top",
        "joints that begin anew: tail",
    ]
    say_taken(replace(taken, share=0.9999, anew=(), joints={}))
    assert capsys.readouterr().err.splitlines() == [
        "begins with default: 99.9 % of the weights",
        "joints that begin anew: tail (model.joints says what they are called in the weights)",
    ]
