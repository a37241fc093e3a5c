from pathlib import Path

import pytest
import torch
from test_loop import recipe
from torch import nn

from spcnet.data.store import PackedStore
from spcnet.models.bottlenecks import Bottleneck
from spcnet.models.network import PoseNetwork
from spcnet.training.distributed import ProcessGroup
from spcnet.training.loop import Run, train
from spcnet.training.recentring import _recentre_stem, free_convolutions, recentre
from spcnet.training.run_dir import RunDirectory
from spcnet.training.task import PoseTask


def drifted(**arguments: object) -> PoseNetwork:
    """A network whose residual sums have means far from zero, with statistics that know it."""
    torch.manual_seed(0)
    network = PoseNetwork(num_joints=3, stacks=2, channels=16, depth=3, **arguments)  # type: ignore[arg-type]
    with torch.no_grad():
        for convolution in free_convolutions(network):
            assert convolution.bias is not None
            convolution.bias += 30 * torch.randn_like(convolution.bias)
        for _ in range(40):
            network(torch.randn(4, 3, 32, 32))
    return network.eval()


def means(network: nn.Module) -> float:
    """The largest of a residual sum, by the batch norms that open blocks."""
    norms = [m.norm1 for m in network.modules() if isinstance(m, Bottleneck)][1:]
    return max(float(norm.running_mean.abs().max()) for norm in norms)  # type: ignore[union-attr]


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize(
    "arguments",
    [{"fusion": "selective"}, {"fusion": "concat"}, {"module": "hourglass", "fusion": "none"}],
)
def test_no_output_changes_though_the_means_go(
    arguments: dict[str, object], training: bool
) -> None:
    network = drifted(**arguments).double().train(training)
    images = torch.randn(4, 3, 32, 32, dtype=torch.float64)
    before = network.forward_all(images).heatmaps
    drift = means(network)
    for _ in range(1 + 60 * training):  # the statistics of training follow by a tenth a batch
        recentre(network, images)
    assert means(network) < drift / 8  # what is left: max pooling's, and other images'
    for old, new in zip(before, network.forward_all(images).heatmaps, strict=True):
        torch.testing.assert_close(new, old, rtol=1e-9, atol=1e-9)
    others = torch.randn(2, 3, 32, 32, dtype=torch.float64)
    if not training:
        again = drifted(**arguments).double()
        torch.testing.assert_close(network(others), again(others), rtol=1e-9, atol=1e-9)


def test_bfloat16_keeps_its_digits_for_what_varies() -> None:
    network, images = drifted(), torch.randn(4, 3, 32, 32)

    def lost() -> float:
        with torch.no_grad():
            exact = network(images)
            with torch.autocast("cpu", torch.bfloat16):
                return float((network(images) - exact).std() / exact.std())

    before = lost()
    recentre(network, images)
    assert lost() < before / 4


def test_a_run_recentres_its_network(figures: PackedStore, tmp_path: Path) -> None:
    plan = recipe(training={"recentre_every": 2})
    run = Run(plan, PoseTask(plan, figures), RunDirectory(tmp_path / "run"), ProcessGroup())
    free = free_convolutions(run.network)
    batches = run.batches()

    def biases() -> torch.Tensor:
        return torch.cat([c.bias.detach() for c in free if c.bias is not None])

    sizes = []
    for _ in range(4):
        with torch.no_grad():
            for convolution in free:
                assert convolution.bias is not None
                convolution.bias += 100
        run.take_step(*next(batches))
        sizes.append(float(biases().abs().max()))
    # At steps 0 and 2 what was added is gone; at 1 and 3 it is still there.
    assert max(sizes[::2]) < 20
    assert min(sizes[1::2]) > 80


def test_a_stopped_run_recentres_as_one_that_was_not(figures: PackedStore, tmp_path: Path) -> None:
    plan = recipe(training={"recentre_every": 2, "epochs": 1})
    whole = train(plan, figures, tmp_path / "whole")
    stopped = iter([True])
    train(plan, figures, tmp_path / "again", stop=lambda: next(stopped))
    again = train(plan, figures, tmp_path / "again", resume=True)
    assert whole.read_bytes()[-4096:] == again.read_bytes()[-4096:]


@pytest.mark.parametrize("training", [False, True])
def test_channels_of_the_stem_that_no_relu_cuts_come_down(training: bool) -> None:
    network = drifted().double().train(training)
    norm = network.stem[1]
    assert isinstance(norm, nn.BatchNorm2d)
    with torch.no_grad():
        norm.bias[:3] = torch.tensor([300.0, -5.0, 2.0])
        norm.weight[:3] = torch.tensor([1.0, 1.0, 0.5])
    images = torch.randn(4, 3, 32, 32, dtype=torch.float64)
    before = [maps.detach() for maps in network.forward_all(images).heatmaps]
    recentre(network, images)
    assert norm.bias[:3].tolist() == [8, -5, 2]
    for old, new in zip(before, network.forward_all(images).heatmaps, strict=True):
        torch.testing.assert_close(new, old, rtol=1e-8, atol=1e-8)


def lifted(channels: int) -> PoseNetwork:
    """A network whose stem has three channels far above what its first ReLU could cut."""
    torch.manual_seed(0)
    network = PoseNetwork(num_joints=3, stacks=1, channels=channels, depth=3)
    norm = network.stem[1]
    assert isinstance(norm, nn.BatchNorm2d)
    with torch.no_grad():
        norm.bias[:3] += torch.tensor([300.0, 80.0, 20.0])
        for _ in range(60):
            network(torch.randn(4, 3, 32, 32))
    return network.eval()


# Of 16 channels the stem's first block has an identity for a shortcut, of 64 a convolution.
@pytest.mark.parametrize("channels", [16, 64])
@pytest.mark.parametrize("training", [False, True])
def test_the_first_blocks_input_comes_down_and_no_output_changes(
    channels: int, training: bool
) -> None:
    network = lifted(channels).double().train(training)
    norm = network.stem[3].norm1
    assert isinstance(norm, nn.BatchNorm2d) and norm.running_mean is not None
    shortcut = network.stem[3].shortcut
    assert isinstance(shortcut, nn.Identity if channels == 16 else nn.Conv2d)
    inputs: list[torch.Tensor] = []
    norm.register_forward_pre_hook(lambda module, given: inputs.append(given[0].mean((0, 2, 3))))
    images = torch.randn(4, 3, 32, 32, dtype=torch.float64)
    before = [maps.detach() for maps in network.forward_all(images).heatmaps]
    high = inputs[-1].clone()
    means = norm.running_mean.clone()
    with torch.no_grad():
        _recentre_stem(network)
    after = network.forward_all(images).heatmaps
    for old, new in zip(before, after, strict=True):
        torch.testing.assert_close(new, old, rtol=1e-9, atol=1e-9)
    assert high[:3].tolist() == pytest.approx([300, 80, 20], abs=1)
    assert inputs[-1][:3].tolist() == pytest.approx([8, 8, 8], abs=1)
    torch.testing.assert_close(inputs[-1][3:], high[3:])  # those that a ReLU cuts stay
    if not training:
        moved = means - norm.running_mean
        torch.testing.assert_close(moved, high - inputs[-1], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("channels", [16, 64])
def test_the_stem_is_recentred_in_float32_whatever_the_precision(channels: int) -> None:
    network, exact = lifted(channels), lifted(channels)
    with torch.no_grad():
        _recentre_stem(exact)
        with torch.autocast("cpu", torch.bfloat16):
            _recentre_stem(network)
    for (name, mine), theirs in zip(
        network.state_dict().items(), exact.state_dict().values(), strict=True
    ):
        assert torch.equal(mine, theirs), name
