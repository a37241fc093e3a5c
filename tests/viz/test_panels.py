import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from spcnet.errors import UserError
from spcnet.skeletons import LSP14
from spcnet.viz.panels import (
    DPI,
    LEVEL_COLOURS,
    LEVEL_OPACITY,
    PANEL,
    LevelView,
    View,
    dim,
    draw_heatmaps,
    draw_levels,
    draw_panels,
    overlay_heatmaps,
    overlay_levels,
)
from spcnet.viz.skeletons import draw_skeleton

CROP = np.full((64, 64, 3), (40, 120, 200), dtype=np.uint8)


def one_hot(level: int, *, levels: int = 4, size: int = 8) -> np.ndarray:
    attention = np.zeros((levels, size, size), dtype=np.float32)
    attention[level] = 1
    return attention


def view(**changes: object) -> View:
    rng = np.random.default_rng(0)
    values: dict[str, object] = {
        "crop": CROP,
        "heatmaps": np.zeros((14, 16, 16), dtype=np.float32),
        "keypoints": rng.uniform(5, 60, (14, 2)),
        "scores": np.ones(14, dtype=np.float32),
        "skeleton": LSP14,
    }
    return View(**(values | changes))  # type: ignore[arg-type]


def test_the_ground_is_grey_and_darker() -> None:
    dimmed = dim(CROP)
    assert dimmed.dtype == np.uint8
    assert (dimmed == dimmed[..., :1]).all()
    assert dimmed.max() < CROP.mean(axis=2).max()


def test_empty_heatmaps_leave_the_dimmed_picture() -> None:
    assert np.array_equal(overlay_heatmaps(CROP, np.zeros((3, 16, 16))), dim(CROP))


def test_a_peak_is_brightest_where_it_lies_and_any_joint_counts() -> None:
    heatmaps = np.zeros((3, 16, 16), dtype=np.float32)
    heatmaps[1, 4, 12] = 1.0  # cell (12, 4) is about pixel (49.5, 17.5)
    heatmaps[2, 10, 3] = 0.5
    change = np.abs(overlay_heatmaps(CROP, heatmaps).astype(int) - dim(CROP)).sum(axis=2)
    assert change[17, 49] > change[41, 13] > 100
    assert change[60, 60] == 0
    ys, xs = np.nonzero(change == change.max())
    assert abs(xs.mean() - 49.5) < 1 and abs(ys.mean() - 17.5) < 1


def test_what_lies_outside_0_to_1_is_cut_off() -> None:
    wild = np.linspace(-2, 3, 256).reshape(1, 16, 16)
    assert np.array_equal(overlay_heatmaps(CROP, wild), overlay_heatmaps(CROP, wild.clip(0, 1)))


@pytest.mark.parametrize(
    ("weights", "level", "lead"), [([0.1, 0.2, 0.6, 0.1], 2, 0.4), ([1.0], 0, 1.0)]
)
def test_a_level_leads_by_its_weight_less_the_second(
    weights: list[float], level: int, lead: float
) -> None:
    drawn = overlay_levels(CROP, np.array(weights).reshape(-1, 1, 1)).astype(float)
    opacity, ground = lead * LEVEL_OPACITY, dim(CROP)[0, 0]
    wanted = opacity * np.array(LEVEL_COLOURS[level]) + (1 - opacity) * ground
    assert np.abs(drawn - wanted).max() <= 0.5 + 1e-4


def test_a_level_that_wins_by_far_has_its_colour() -> None:
    attention = one_hot(3)
    attention[:, 0, 0] = [0, 0, 1, 0]
    drawn = overlay_levels(CROP, attention).astype(float)
    ground = dim(CROP)[0, 0]
    for (y, x), level in (((0, 0), 2), ((7, 7), 2), ((8, 8), 3), ((40, 40), 3)):
        wanted = LEVEL_OPACITY * np.array(LEVEL_COLOURS[level]) + (1 - LEVEL_OPACITY) * ground
        assert np.abs(drawn[y, x] - wanted).max() <= 0.5


def test_levels_of_one_weight_leave_the_dimmed_picture() -> None:
    even = np.full((4, 8, 8), 0.25, dtype=np.float32)
    assert np.array_equal(overlay_levels(CROP, even), dim(CROP))


def test_too_many_levels_are_told() -> None:
    with pytest.raises(UserError, match="6 levels are too many"):
        overlay_levels(CROP, one_hot(0, levels=6))


def test_a_row_holds_the_input_and_two_panels_a_model() -> None:
    first = view(heatmaps=np.full((14, 16, 16), 0.3, dtype=np.float32))
    second = view(scores=np.zeros(14, dtype=np.float32))
    figure = draw_panels([[first, second], [second, first]], ["a", "b_with_a_name_far_too_long"])
    pictures = [axes.images[0].get_array() for axes in figure.axes]
    wanted = []
    for left, right in ((first, second), (second, first)):
        wanted.append(CROP)
        for one in (left, right):
            wanted.append(overlay_heatmaps(CROP, one.heatmaps))
            wanted.append(draw_skeleton(CROP, one.keypoints, one.scores, LSP14))
    for picture, right_one in zip(pictures, wanted, strict=True):
        assert np.array_equal(picture, right_one)
    titles = [axes.get_title("left") for axes in figure.axes]
    assert titles[:3] == ["input", "heatmaps, a", "skeleton, a"]
    assert titles[4] == "skeleton, …name_far_too_long"


def test_panels_are_drawn_pixel_by_pixel() -> None:
    rng = np.random.default_rng(1)
    crop = rng.integers(0, 256, (PANEL, PANEL, 3), dtype=np.uint8)
    figure = draw_panels([[view(crop=crop)]], ["a"])
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    drawn = np.asarray(canvas.buffer_rgba())[..., :3]
    box = figure.axes[0].get_position()
    top = round((1 - box.y1) * figure.get_figheight() * DPI)
    left = round(box.x0 * figure.get_figwidth() * DPI)
    assert np.array_equal(drawn[top : top + PANEL, left : left + PANEL], crop)


@pytest.mark.parametrize("levels", [1, 3, 4])
def test_every_level_has_its_weights_a_frame_and_a_name(levels: int) -> None:
    attention = np.random.default_rng(2).dirichlet(np.ones(levels), (8, 8)).transpose(2, 0, 1)
    sizes = [2**n for n in range(levels)]
    figure = draw_levels([LevelView(crop=CROP, attention=attention)], sizes)
    crop, chosen, *weights = [axes for axes in figure.axes if axes.images]
    assert np.array_equal(crop.images[0].get_array(), CROP)
    assert np.array_equal(chosen.images[0].get_array(), overlay_levels(CROP, attention))
    for axes, of_level, colour in zip(weights, attention, LEVEL_COLOURS, strict=False):
        assert np.array_equal(axes.images[0].get_array(), of_level)
        assert axes.images[0].get_clim() == (0, 1)
        assert np.allclose(np.array(axes.spines["top"].get_edgecolor()[:3]) * 255, colour)
    titles = [axes.get_title("left") for axes in weights]
    assert titles == [f"level {levels - n}: {2**n} x {2**n}" for n in range(levels)]


def test_each_joint_has_its_own_heatmap_name_and_score() -> None:
    heatmaps = np.random.default_rng(3).uniform(0, 1, (14, 16, 16)).astype(np.float32)
    one = view(heatmaps=heatmaps, scores=np.linspace(0, 0.98, 14))
    figure = draw_heatmaps(one)
    skeleton, together, *joints = [axes.images[0].get_array() for axes in figure.axes]
    assert np.array_equal(skeleton, draw_skeleton(CROP, one.keypoints, one.scores, LSP14))
    assert np.array_equal(together, overlay_heatmaps(CROP, heatmaps))
    for n, picture in enumerate(joints):
        assert np.array_equal(picture, overlay_heatmaps(CROP, heatmaps[n : n + 1]))
    names = [axes.texts[0].get_text() for axes in figure.axes[2:]]
    assert (len(joints), names[0], names[13]) == (14, "right_ankle 0.00", "head_top 0.98")
