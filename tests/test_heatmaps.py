import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from spcnet.heatmaps import (
    activate,
    cells_to_pixels,
    decode,
    flip_heatmaps,
    gaussian_heatmaps,
    log_places,
    pixels_to_cells,
)
from spcnet.skeletons import SKELETONS, Skeleton

any_pace = settings(deadline=None)  # the first example is slow

SIZES = [(32, 32), (24, 40)]
REFINEMENTS = ["none", "quarter", "dark", "mass"]

every_refinement = pytest.mark.parametrize("refinement", REFINEMENTS)


def random_maps(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def random_points(*shape: int, size: tuple[int, int]) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    height, width = size
    unit = torch.rand(*shape, 2, generator=generator, dtype=torch.float64)
    return unit * torch.tensor([width - 1, height - 1])


@pytest.mark.parametrize(
    ("stride", "cell", "pixel"), [(4, 0, 1.5), (4, 1, 5.5), (4, 63, 253.5), (8, 0, 3.5), (1, 7, 7)]
)
def test_centre_of_a_cell_in_pixels(stride: int, cell: float, pixel: float) -> None:
    assert cells_to_pixels(torch.tensor([cell, cell]), stride).tolist() == [pixel, pixel]
    assert pixels_to_cells(torch.tensor([pixel, pixel]), stride).tolist() == [cell, cell]


@any_pace
@given(st.floats(-500, 500), st.floats(-500, 500), st.integers(1, 16))
def test_cells_and_pixels_are_inverse(x: float, y: float, stride: int) -> None:
    points = torch.tensor([x, y], dtype=torch.float64)
    there_and_back = pixels_to_cells(cells_to_pixels(points, stride), stride)
    torch.testing.assert_close(there_and_back, points, rtol=0, atol=1e-10)


def test_mirroring_cells_is_mirroring_pixels() -> None:
    cells = torch.arange(16.0)
    assert torch.equal(63 - cells_to_pixels(cells, 4), cells_to_pixels(15 - cells, 4))


@pytest.mark.parametrize("sigma", [1.0, 2.0])
def test_gaussian_is_one_at_its_cell_and_falls_by_sigma(sigma: float) -> None:
    heatmap = gaussian_heatmaps(torch.tensor([[6.0, 4.0]]), (9, 12), sigma=sigma)[0]
    step = int(sigma)
    assert heatmap.shape == (9, 12)
    assert heatmap[4, 6] == 1
    for y, x in ((4 + step, 6), (4 - step, 6), (4, 6 + step), (4, 6 - step)):
        assert heatmap[y, x].item() == pytest.approx(math.exp(-0.5))
    assert heatmap[4 + step, 6 + step].item() == pytest.approx(math.exp(-1))
    assert heatmap[0, 0] > 0  # not cut off


def test_gaussian_sits_at_the_exact_point_between_cells() -> None:
    points = torch.tensor([[2.25, 3.5], [-1.0, 2.0]], dtype=torch.float64)
    heatmaps = gaussian_heatmaps(points, (6, 5), sigma=1.5)
    assert heatmaps.dtype == torch.float64
    assert heatmaps[0, 3, 2].item() == pytest.approx(math.exp(-(0.25**2 + 0.5**2) / 4.5))
    assert heatmaps[0, 4, 3].item() == pytest.approx(math.exp(-(0.75**2 + 0.5**2) / 4.5))
    assert heatmaps[1, 2, 0].item() == pytest.approx(math.exp(-1 / 4.5))  # from outside the map


@pytest.mark.parametrize("skeleton", SKELETONS.values(), ids=lambda s: s.name)
def test_flipping_heatmaps_twice_gives_them_back_bit_for_bit(skeleton: Skeleton) -> None:
    heatmaps = random_maps(2, len(skeleton), 6, 9).float()
    once = flip_heatmaps(heatmaps, skeleton.flip_permutation)
    assert torch.equal(once[1, 0, 4], heatmaps[1, skeleton.flip_permutation[0], 4].flip(0))
    assert torch.equal(flip_heatmaps(once, skeleton.flip_permutation), heatmaps)


@pytest.mark.parametrize("skeleton", SKELETONS.values(), ids=lambda s: s.name)
@pytest.mark.parametrize("size", SIZES)
def test_flipped_heatmap_is_the_heatmap_of_flipped_points(
    skeleton: Skeleton, size: tuple[int, int]
) -> None:
    points = random_points(2, len(skeleton), size=size)
    flipped = points[:, list(skeleton.flip_permutation)] * torch.tensor([-1, 1])
    flipped = flipped + torch.tensor([size[1] - 1, 0])
    torch.testing.assert_close(
        flip_heatmaps(gaussian_heatmaps(points, size, sigma=1.3), skeleton.flip_permutation),
        gaussian_heatmaps(flipped, size, sigma=1.3),
        rtol=0,
        atol=1e-6,
    )


@pytest.mark.parametrize(
    ("refinement", "within"), [("none", 0.5 + 1e-9), ("quarter", 0.25 + 1e-3), ("dark", 0.01)]
)
@any_pace
@given(size=st.sampled_from(SIZES), at=st.tuples(*[st.floats(0, 1)] * 2), sigma=st.floats(1.0, 2.0))
def test_decode_finds_an_encoded_point(
    refinement: Any, within: float, size: tuple[int, int], at: tuple[float, float], sigma: float
) -> None:
    room = torch.tensor([size[1] - 7, size[0] - 7])  # at least three cells inside
    point = 3 + torch.tensor([at], dtype=torch.float64) * room
    heatmaps = gaussian_heatmaps(point, size, sigma=sigma)
    found, score = decode(heatmaps, refinement=refinement, sigma=sigma)
    assert (found - point).abs().max() <= within
    assert score == heatmaps.max()


def test_quarter_steps_towards_the_higher_neighbour() -> None:
    heatmap = torch.zeros(1, 7, 8)
    heatmap[0, 3, 4] = 1
    heatmap[0, 3, 5] = 0.2  # right
    heatmap[0, 2, 4] = 0.6  # above
    heatmap[0, 4, 4] = 0.5
    assert decode(heatmap, refinement="quarter")[0].tolist() == [[4.25, 2.75]]
    heatmap[0, 3, 3] = 0.2  # as high as the right
    assert decode(heatmap, refinement="quarter")[0].tolist() == [[4.0, 2.75]]
    cells, scores = decode(heatmap, refinement="none")
    assert cells.tolist() == [[4.0, 3.0]]
    assert scores.tolist() == [1.0]


def test_dark_finds_the_peak_of_a_slanted_map() -> None:
    y, x = torch.meshgrid(*[torch.arange(24, dtype=torch.float64)] * 2, indexing="ij")
    dx, dy = x - 11.35, y - 12.4
    heatmap = torch.exp(-0.15 * dx**2 - 0.125 * dy**2 - 0.16 * dx * dy)
    found, _ = decode(heatmap[None], refinement="dark", sigma=1.5)
    assert found[0].tolist() == pytest.approx([11.35, 12.4], abs=0.01)


def test_mass_prefers_a_broad_hill_to_a_narrow_spike() -> None:
    heatmaps = torch.zeros(1, 32, 32, dtype=torch.float64)
    heatmaps[0, 5, 6] = 1.0  # the likeliest cell
    heatmaps[0, 20:23, 24:27] = 0.4  # where joints are found more than three times as often
    assert decode(heatmaps, refinement="dark")[0].round().tolist() == [[6, 5]]
    found, score = decode(heatmaps, refinement="mass", sigma=1.0)
    assert found[0].tolist() == pytest.approx([25, 21], abs=1e-6)
    # By hand: nine cells under a Gaussian of 1.44 cells, of which an ideal hill would gather 1.
    near = torch.exp(-(torch.arange(-1, 2.0) ** 2) / (2 * 1.44**2)).sum()
    expected = 0.4 * near**2 / (2 * math.pi * 1.44**2) * (1 + 1.44**2)
    assert score.item() == pytest.approx(expected.item(), rel=0.01)


@any_pace
@given(at=st.tuples(*[st.floats(8, 23)] * 2), sigma=st.floats(1.0, 2.0))
def test_mass_finds_an_encoded_point_whose_score_is_1(
    at: tuple[float, float], sigma: float
) -> None:
    point = torch.tensor([at], dtype=torch.float64)
    found, score = decode(
        gaussian_heatmaps(point, (32, 32), sigma=sigma), refinement="mass", sigma=sigma
    )
    assert (found - point).abs().max() <= 0.01
    assert score.item() == pytest.approx(1, abs=0.09)  # less where it lies between cells


@every_refinement
def test_decode_takes_any_leading_dimensions(refinement: Any) -> None:
    heatmaps = random_maps(2, 3, 4, 9, 7)
    cells, scores = decode(heatmaps, refinement=refinement, sigma=1.5)
    assert cells.shape == (2, 3, 4, 2)
    assert scores.shape == (2, 3, 4)
    for a in range(2):
        for b in range(3):
            alone, alone_scores = decode(heatmaps[a, b], refinement=refinement, sigma=1.5)
            torch.testing.assert_close(cells[a, b], alone, rtol=0, atol=1e-12)
            assert torch.equal(scores[a, b], alone_scores)


@every_refinement
def test_decode_reads_channels_last_maps_alike(refinement: Any) -> None:
    heatmaps = random_maps(2, 3, 9, 7)
    cells, _ = decode(heatmaps, refinement=refinement)
    layout = heatmaps.contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(decode(layout, refinement=refinement)[0], cells)


def awkward_maps() -> Tensor:
    """Constant maps, one-cell and Gaussian peaks all round the border, noise."""
    size = (8, 11)
    border = [(x, y) for y in (0, 3, 7) for x in (0, 5, 10) if (x, y) != (5, 3)]
    points = torch.tensor(border, dtype=torch.float64)
    single = torch.zeros(len(border), *size, dtype=torch.float64)
    for heatmap, (x, y) in zip(single, border, strict=True):
        heatmap[y, x] = 1
    return torch.cat(
        [
            torch.zeros(1, *size, dtype=torch.float64),
            torch.ones(1, *size, dtype=torch.float64),
            torch.full((1, *size), -3.0, dtype=torch.float64),
            single,
            gaussian_heatmaps(points, size, sigma=1.0),
            gaussian_heatmaps(points + 0.4, size, sigma=1.0),
            gaussian_heatmaps(points * 3 - 10, size, sigma=1.0),  # outside the map
            random_maps(40, *size),
            random_maps(40, *size, seed=1) * 1e-8 + 1,
        ]
    )


@pytest.mark.parametrize("refinement", ["none", "quarter", "dark"])
@pytest.mark.parametrize("sigma", [0.5, 1.0, 3.0])
def test_refinement_of_awkward_maps_is_finite_and_within_a_cell(
    refinement: Any, sigma: float
) -> None:
    heatmaps = awkward_maps()
    peaks, _ = decode(heatmaps, refinement="none")
    cells, scores = decode(heatmaps, refinement=refinement, sigma=sigma)
    assert cells.isfinite().all()
    assert (cells - peaks).abs().max() <= 1
    assert torch.equal(scores, heatmaps.amax((-2, -1)))


def test_mass_of_awkward_maps_is_finite_and_on_the_map() -> None:
    heatmaps = awkward_maps()
    cells, scores = decode(heatmaps, refinement="mass")
    assert cells.isfinite().all() and scores.isfinite().all()
    assert cells.min() >= 0
    assert (cells.amax(0) <= torch.tensor([heatmaps.shape[-1] - 1, heatmaps.shape[-2] - 1])).all()


@every_refinement
@pytest.mark.parametrize("size", [(1, 1), (1, 9), (2, 3)])
def test_tiny_maps_decode(refinement: Any, size: tuple[int, int]) -> None:
    cells, _ = decode(random_maps(3, *size), refinement=refinement, sigma=2.0)
    assert cells.shape == (3, 2)
    assert cells.isfinite().all()


@pytest.mark.parametrize("sigma", [1.0, 1.5, 2.0])
def test_softmax_of_a_log_gaussian_is_the_gaussian_of_peak_one(sigma: float) -> None:
    points = torch.tensor([[16.0, 16.0], [17.3, 15.6]], dtype=torch.float64)
    gaussians = gaussian_heatmaps(points, (33, 33), sigma=sigma)
    shares = gaussians / gaussians.sum((-2, -1), keepdim=True)
    heatmaps = activate(shares.log(), kind="softmax", sigma=sigma)
    torch.testing.assert_close(heatmaps, gaussians, rtol=0, atol=1e-6)
    assert heatmaps[0, 16, 16].item() == pytest.approx(1, abs=1e-6)


def test_softmax_of_flat_logits_shares_the_scale_equally() -> None:
    heatmaps = activate(torch.full((2, 3, 4, 5), 7.0), kind="softmax", sigma=2.0)
    torch.testing.assert_close(heatmaps, torch.full((2, 3, 4, 5), 2 * math.pi * 4 / 20))


def test_a_place_for_absent_joints_takes_its_share() -> None:
    """With every logit 0, n cells and that place have 1 / (n + 1) each; the lower, the emptier."""
    options: Any = {"kind": "softmax_absent", "sigma": 2.0}
    flat = torch.zeros(2, 3, 4, 5)
    torch.testing.assert_close(
        activate(flat, **options), torch.full((2, 3, 4, 5), 2 * math.pi * 4 / 21)
    )
    assert activate(flat - 20, **options).max() < 1e-6
    sure = torch.full((1, 1, 4, 5), -20.0)
    sure[0, 0, 1, 2] = 20.0
    assert activate(sure, **options)[0, 0, 1, 2].item() == pytest.approx(2 * math.pi * 4)
    places = log_places(flat, absent=True)
    assert places.shape == (2, 3, 21)
    torch.testing.assert_close(places.exp().sum(-1), torch.ones(2, 3))


def test_gaussian_outputs_are_heatmaps_already() -> None:
    outputs = random_maps(2, 3, 4, 5)
    assert torch.equal(activate(outputs, kind="gaussian", sigma=1.0), outputs)


@pytest.mark.parametrize("kind", ["gaussian", "softmax", "softmax_absent"])
@pytest.mark.parametrize(
    ("dtype", "result"),
    [
        (torch.float64, torch.float64),
        (torch.float32, torch.float32),
        (torch.bfloat16, torch.float32),
    ],
)
def test_activation_is_float32_or_wider(kind: Any, dtype: Any, result: Any) -> None:
    assert activate(random_maps(2, 3, 4, 5).to(dtype), kind=kind, sigma=1.0).dtype == result
