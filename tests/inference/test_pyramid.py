from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import Blobs, dot_picture
from hypothesis import given, settings
from hypothesis import strategies as st

from spcnet.errors import UserError
from spcnet.geometry import apply_affine, crop_affine, invert_affine
from spcnet.heatmaps import cells_to_pixels, decode, gaussian_heatmaps, turn_heatmaps
from spcnet.inference import pyramid
from spcnet.inference.estimator import PoseEstimator
from spcnet.inference.pyramid import PYRAMIDS, fuse, parse_rotations, parse_scales
from spcnet.skeletons import Skeleton

SIZE, CELLS = 64, 16
STRIDE = SIZE // CELLS


def blob(x: float, y: float) -> torch.Tensor:
    """(1, CELLS, CELLS), a Gaussian about a point in cells."""
    return gaussian_heatmaps(torch.tensor([[x, y]]), (CELLS, CELLS), sigma=1.0)


def at_image(cell: np.ndarray, centre: np.ndarray, side: float) -> np.ndarray:
    pixels = cells_to_pixels(torch.as_tensor(cell), STRIDE).numpy()
    return apply_affine(invert_affine(crop_affine(centre, side, SIZE)), pixels)


@settings(deadline=None)
@given(
    # Not half-way between two cells, where their heights are equal and either may win.
    x=st.builds(lambda cell, off: cell + off, st.integers(1, CELLS - 2), st.floats(-0.3, 0.3)),
    y=st.builds(lambda cell, off: cell + off, st.integers(1, CELLS - 2), st.floats(-0.3, 0.3)),
    side=st.floats(SIZE, 400),
    cx=st.floats(200, 400),
    cy=st.floats(200, 400),
)
def test_one_scale_agrees_with_the_plain_arg_max(
    x: float, y: float, side: float, cx: float, cy: float
) -> None:
    heatmaps, centre = blob(x, y), np.array([cx, cy])
    plain, _ = decode(heatmaps, refinement="none")
    expected = at_image(plain.numpy(), centre, side)[0]
    found, _ = fuse(heatmaps[None], [(centre, side)], (800, 800))
    assert np.abs(found[0] - expected).max() <= 0.5 * side / CELLS + 0.5


def test_scales_that_see_one_point_agree_on_it() -> None:
    point, centre = np.array([150.0, 130.0]), np.array([160.0, 140.0])
    squares = [(centre, 100.0 * scale) for scale in PYRAMIDS["pyranet"]]
    maps = []
    for middle, side in squares:
        cell = (point - middle) * CELLS / side + (CELLS - 1) / 2
        maps.append(blob(*cell))
    found, values = fuse(torch.stack(maps), squares, (300, 300))
    assert found[0] == pytest.approx(point, abs=1)
    assert 0.8 < values[0] <= 1  # between cells, a peak is a little lower


def test_what_only_the_wide_crops_see_counts_a_share() -> None:
    """Outside its crop a map is 0, and the sum is divided by all of them."""
    centre = np.array([100.0, 100.0])
    squares = [(centre, 64.0), (centre, 128.0)]
    far = np.array([151.0, 100.0])  # within the second crop only
    wide = blob(*((far - centre) * CELLS / 128 + (CELLS - 1) / 2))
    found, values = fuse(torch.stack([torch.zeros(1, CELLS, CELLS), wide]), squares, (200, 200))
    assert found[0] == pytest.approx(far, abs=0.5 * 128 / CELLS)  # between two cells
    assert values[0] == pytest.approx(0.5, abs=0.1)


def test_the_canvas_ends_at_the_picture() -> None:
    heatmaps = blob(2, 2)[None]  # up and left of the picture
    found, _ = fuse(heatmaps, [(np.array([5.0, 5.0]), 64.0)], (40, 30))
    assert found[0].tolist() == [0, 0]
    found, _ = fuse(blob(14, 14)[None], [(np.array([25.0, 35.0]), 64.0)], (40, 30))
    assert found[0].tolist() == [29, 39]


@pytest.mark.parametrize("memory", [1, 4 * 200 * 7])
def test_bands_of_any_height_find_the_same(memory: int, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    heatmaps = torch.rand(3, 5, CELLS, CELLS)
    squares = [(np.array([100.0, 90.0]), side) for side in (90.0, 120.0, 150.0)]
    whole, peaks = fuse(heatmaps, squares, (200, 200))
    monkeypatch.setattr(pyramid, "FUSION_BYTES", memory)
    found, values = fuse(heatmaps, squares, (200, 200))
    assert found.tolist() == whole.tolist()
    assert values == pytest.approx(peaks)


def test_an_exactly_symmetric_picture_gives_symmetric_heatmaps(tiny_checkpoint: Path) -> None:
    half = np.random.default_rng(0).integers(0, 256, (64, 32, 3), dtype=np.uint8)
    image = np.concatenate([half, half[:, ::-1]], axis=1)
    estimator = PoseEstimator(str(tiny_checkpoint), device="cpu", flip=True)
    box = [6.4, 6.4, 56.6, 56.6]  # padded: the middle 62.75 pixels
    maps = estimator.heatmaps(image, box)
    mirrored = maps[list(estimator.skeleton.flip_permutation)][..., ::-1]
    assert maps == pytest.approx(mirrored, abs=1e-5)
    plain = PoseEstimator(str(tiny_checkpoint), device="cpu").heatmaps(image, box)
    asymmetric = plain[list(estimator.skeleton.flip_permutation)][..., ::-1]
    assert np.abs(plain - asymmetric).max() > 1e-3  # by itself the network is not symmetric


def test_the_estimator_fuses_all_scales(tiny_checkpoint: Path) -> None:
    image = dot_picture((120, 100), (30, 60), (70, 60), 6)
    boxes = [[20, 20, 80, 100], [10, 30, 60, 90]]
    estimator = PoseEstimator(str(tiny_checkpoint), device="cpu", scales="chu", batch_size=5)
    poses = estimator.predict(image, boxes)
    assert all(np.array_equal(pose.keypoints, np.rint(pose.keypoints)) for pose in poses)
    alone = [estimator.predict(image, [box])[0] for box in boxes]
    for pose, one in zip(poses, alone, strict=True):
        assert pose.scores == pytest.approx(one.scores, abs=1e-4)
    assert "scales chu" in estimator.describe()
    assert "refinement none" in estimator.describe()


@pytest.mark.parametrize(
    ("scales", "expected"),
    [
        (None, None),
        ("pyranet", (0.8, 0.9, 1.0, 1.1, 1.2, 1.3)),
        ("chu", (0.7, 0.8, 0.9, 1.0, 1.1, 1.2)),
        ("1", (1.0,)),
        ("0.8, 1,1.2", (0.8, 1.0, 1.2)),
        ([1, 1.5], (1.0, 1.5)),
    ],
)
def test_scales_by_name_or_by_number(scales: object, expected: object) -> None:
    assert parse_scales(scales) == expected  # type: ignore[arg-type]


@pytest.mark.parametrize("scales", ["pyramid", "", "0", "1,-2", "nan", [], ["a"], [50.0]])
def test_wrong_scales_are_named(scales: object) -> None:
    with pytest.raises(UserError, match="pyranet"):
        parse_scales(scales)  # type: ignore[arg-type]


def test_quarter_turns_move_whole_cells() -> None:
    maps = torch.rand(2, 3, 6, 6)
    torch.testing.assert_close(turn_heatmaps(maps, 90), torch.rot90(maps, -1, (-2, -1)))
    torch.testing.assert_close(turn_heatmaps(maps, -90), torch.rot90(maps, 1, (-2, -1)))
    torch.testing.assert_close(turn_heatmaps(maps, 180), maps.flip(-1, -2))
    torch.testing.assert_close(turn_heatmaps(maps, 0), maps)


def test_a_turned_peak_is_where_the_turned_point_is() -> None:
    """At half a right angle, a point right of the middle goes below it, to the right."""
    maps = gaussian_heatmaps(torch.tensor([[[15.5 + 8, 15.5]]]), (32, 32), sigma=2.0)
    cells, _ = decode(turn_heatmaps(maps, 45), refinement="dark", sigma=2.0)
    assert cells[0, 0].tolist() == pytest.approx([15.5 + 8 / 2**0.5] * 2, abs=0.1)


@pytest.mark.parametrize("rotations", ["-15,15", (0, 90, 180, 270), [37.5]])
@pytest.mark.parametrize("scales", [None, "1"])
def test_turned_crops_find_the_same_joints(
    tiny_checkpoint: Path, rotations: object, scales: str | None
) -> None:
    left, right = (150.0, 90.0), (110.0, 130.0)
    image = dot_picture((200, 300), left, right, radius=4)
    estimator = PoseEstimator(
        str(tiny_checkpoint),
        device="cpu",
        rotations=rotations,
        scales=scales,  # type: ignore[arg-type]
    )
    estimator.skeleton = Skeleton("dots", ("left_dot", "right_dot"), (("left_dot", "right_dot"),))
    estimator.network = Blobs()  # type: ignore[assignment]
    (pose,) = estimator.predict(image, [[101, 81, 159, 139]])
    assert pose.keypoints == pytest.approx(np.array([left, right]), abs=1.5)
    assert "rotations" in str(estimator.testing)


@pytest.mark.parametrize("rotations", ["", "left", "0,400", [], ["x"], "nan"])
def test_wrong_rotations_are_named(rotations: object) -> None:
    with pytest.raises(UserError, match="degrees from -360 to 360"):
        parse_rotations(rotations)  # type: ignore[arg-type]


def test_refinement_and_scales_exclude_each_other(tiny_checkpoint: Path) -> None:
    with pytest.raises(UserError, match="does not go with scales"):
        PoseEstimator(str(tiny_checkpoint), device="cpu", scales="1", refinement="dark")
