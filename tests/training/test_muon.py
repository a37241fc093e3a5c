import pytest
import torch
from torch import nn

from spcnet.training.muon import Muon, orthogonalise


@pytest.mark.parametrize("shape", [(3, 32, 64), (2, 96, 24), (1, 20, 20)])
def test_singular_values_come_near_one_and_directions_stay(shape: tuple[int, int, int]) -> None:
    torch.manual_seed(0)
    matrices = torch.randn(shape) * torch.tensor([1e-3, 1.0, 50.0])[: shape[0], None, None]
    found = orthogonalise(matrices)
    values = torch.linalg.svdvals(found)
    assert values.min() > 0.4 and values.max() < 1.3
    left, _, right = torch.linalg.svd(matrices, full_matrices=False)
    inside = left.mT @ found @ right.mT
    off = inside - torch.diag_embed(inside.diagonal(dim1=-2, dim2=-1))
    assert off.abs().max() < 0.06  # bf16
    assert (inside.diagonal(dim1=-2, dim2=-1) > 0.4).all()


def test_a_kernels_first_step_has_the_size_that_is_said() -> None:
    torch.manual_seed(0)
    kernel = nn.Parameter(torch.randn(32, 48, 3, 3).contiguous(memory_format=torch.channels_last))
    before = kernel.detach().clone()
    kernel.grad = torch.randn_like(kernel) * 1e-4  # how large a gradient is does not matter
    Muon([kernel], lr=0.01).step()
    moved = before - kernel.detach()
    assert moved.square().mean().sqrt().item() == pytest.approx(0.2 * 0.01, rel=0.15)
    assert (moved * kernel.grad).sum() > 0  # downhill
    assert kernel.stride() == before.stride()


def test_decay_is_decoupled() -> None:
    kernel = nn.Parameter(torch.ones(32, 32, 1, 1))
    kernel.grad = torch.zeros_like(kernel)
    Muon([{"params": [kernel], "weight_decay": 0.5}], lr=0.1).step()
    assert torch.allclose(kernel, torch.full_like(kernel, 0.95))


def test_everything_else_is_adams() -> None:
    torch.manual_seed(0)
    starts = [torch.randn(7), torch.randn(3, 64, 1, 1), torch.randn(64, 3, 7, 7)]
    ours = [nn.Parameter(t.clone()) for t in starts]
    theirs = [nn.Parameter(t.clone()) for t in starts]
    mine = Muon(ours, lr=0.02, weight_decay=0.1)
    reference = torch.optim.AdamW(theirs, lr=0.02, weight_decay=0.1)
    for _ in range(5):
        for one, other in zip(ours, theirs, strict=True):
            one.grad = torch.randn_like(one)
            other.grad = one.grad.clone()
        mine.step()
        reference.step()
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other)


def test_it_goes_downhill() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(32, 32, 1), nn.ReLU(), nn.Conv2d(32, 32, 1))
    wanted = nn.Conv2d(32, 32, 1).requires_grad_(False)
    optimizer = Muon(network.parameters(), lr=0.02)
    x = torch.randn(16, 32, 4, 4)
    losses = []
    for _ in range(60):
        optimizer.zero_grad()
        loss = (network(x) - wanted(x)).square().mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.2 * losses[0]
