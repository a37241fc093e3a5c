import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spcnet.errors import UserError
from spcnet.skeletons import BODY19, LSP14
from spcnet.viz.skeletons import Style, _free_height, draw_skeleton

GREY = np.full((200, 200, 3), 100, dtype=np.uint8)
# A standing person who faces the viewer: the right side is on the picture's left.
STANDING = np.array(
    [[80, 180], [80, 140], [85, 100], [115, 100], [120, 140], [120, 180], [55, 100], [60, 75],
     [75, 50], [125, 50], [140, 75], [145, 100], [100, 45], [100, 20]],
    dtype=np.float32,
)  # fmt: skip
SURE = np.ones(14, dtype=np.float32)


def test_the_picture_itself_is_left_alone() -> None:
    image = GREY.copy()
    drawn = draw_skeleton(image, STANDING, SURE, LSP14)
    assert np.array_equal(image, GREY)
    assert drawn.shape == GREY.shape
    assert not np.array_equal(drawn, GREY)


@given(st.lists(st.tuples(st.floats(0, 90), st.floats(1, 30), st.floats(0, 60)), max_size=14))
def test_names_do_not_lie_on_each_other(wished: list[tuple[float, float, float]]) -> None:
    placed: list[tuple[float, float, float]] = []
    for left, width, y in sorted(wished, key=lambda place: place[2]):
        free = _free_height(y, left, left + width, placed, apart=10)
        assert free >= y
        assert all(
            abs(free - other) >= 10 - 1e-9 or end <= left or left + width <= start
            for start, end, other in placed
        )
        placed.append((left, left + width, free))


@pytest.mark.parametrize("image", [GREY[..., 0], GREY.astype(np.uint16), GREY / 255])
def test_what_is_not_rgb_uint8_is_refused(image: np.ndarray) -> None:
    with pytest.raises(UserError, match=r"RGB uint8.*load_picture"):
        draw_skeleton(image, STANDING, SURE, LSP14)


def test_left_and_right_have_their_colours_at_their_joints() -> None:
    style = Style()
    drawn = draw_skeleton(GREY, STANDING, SURE, LSP14)
    for joint, colour in ((0, style.right), (5, style.left), (13, style.centre)):
        x, y = STANDING[joint].astype(int)
        assert drawn[y, x].tolist() == list(colour)


def test_a_joint_of_low_score_fades() -> None:
    scores = SURE.copy()
    scores[5] = 0
    sure = draw_skeleton(GREY, STANDING, SURE, LSP14).astype(int)
    faint = draw_skeleton(GREY, STANDING, scores, LSP14).astype(int)
    x, y = STANDING[5].astype(int)
    strong, weak = np.abs(sure[y, x] - 100).sum(), np.abs(faint[y, x] - 100).sum()
    assert 0 < weak < 0.3 * strong


def test_lines_scale_with_the_person() -> None:
    shares = []
    for factor in (4, 8):
        picture = np.full((200 * factor, 200 * factor, 3), 100, dtype=np.uint8)
        drawn = draw_skeleton(picture, STANDING * factor, SURE, LSP14)
        shares.append((drawn != 100).any(axis=2).mean())
    assert shares[1] == pytest.approx(shares[0], rel=0.15)


def test_joints_outside_the_picture_do_not_matter() -> None:
    points = STANDING.copy()
    points[[0, 13]] = [[-500, 50], [100, -900]]
    drawn = draw_skeleton(GREY, points, SURE, LSP14)
    assert not np.array_equal(drawn, GREY)
    assert np.array_equal(draw_skeleton(GREY, points + 5000, SURE, LSP14), GREY)


def test_joints_below_the_least_score_are_left_out_with_their_limbs() -> None:
    scores = SURE.copy()
    scores[13] = 0.2  # the head's top, above all other joints
    drawn = draw_skeleton(GREY, STANDING, scores, LSP14, style=Style(least=0.3))
    assert (drawn[:40] == 100).all() and (drawn[44:] != 100).any()
    assert np.array_equal(draw_skeleton(GREY, STANDING, scores, LSP14, style=Style(least=2)), GREY)


def test_a_line_width_in_pixels_is_kept() -> None:
    lower_leg = STANDING[:2].astype(int)  # x is 80 from y = 140 to 180
    for width in (3, 9):
        drawn = draw_skeleton(GREY, STANDING, SURE, LSP14, style=Style(line_width=width))
        coloured = (drawn[lower_leg[:, 1].mean().astype(int), 60:90] == Style().right).all(axis=1)
        assert coloured.sum() == pytest.approx(width, abs=1)


def test_a_small_person_in_a_large_picture_is_not_covered() -> None:
    large = np.full((3000, 4000, 3), 100, np.uint8)
    drawn = draw_skeleton(large, STANDING / 2 + 1000, SURE, LSP14)  # 80 pixels tall
    # Eight limbs cross this row of the trunk and arms; a third of it stays as it was.
    row = drawn[1000 + 40, 1027:1073]
    assert (row == 100).all(axis=1).mean() > 0.3


@pytest.mark.parametrize("factor", [0.4, 10])
def test_names_stand_beside_their_joints_within_the_picture(factor: float) -> None:
    side = round(200 * factor)
    picture = np.full((side, side, 3), 100, np.uint8)
    bare = draw_skeleton(picture, STANDING * factor, SURE, LSP14)
    named = draw_skeleton(picture, STANDING * factor, SURE, LSP14, style=Style(labels=True))
    ys, xs = np.nonzero((bare != named).any(axis=2))
    assert xs.size
    # Names of the picture's left half stand left of the person, the others right.
    assert xs.min() < 55 * factor and xs.max() > 145 * factor
    assert ys.min() > 0 and ys.max() < side - 1


def test_the_face_is_drawn_at_half_the_width() -> None:
    """Of two lines of one length the one between face joints covers about half as much."""
    image = np.zeros((300, 300, 3), np.uint8)

    def covered(first: str, second: str) -> int:
        points = np.full((19, 2), -1000.0)
        points[BODY19.index(first)], points[BODY19.index(second)] = [60, 150], [240, 150]
        style = Style(least=0.5, line_width=12, dot=1.0)
        scores = np.zeros(19)
        scores[[BODY19.index(first), BODY19.index(second)]] = 1
        drawn = draw_skeleton(image, points, scores, BODY19, style=style)
        return int((drawn[:, 150].max(axis=1) > 100).sum())

    assert covered("left_eye", "left_ear") == pytest.approx(6, abs=1)
    assert covered("left_hip", "left_knee") == pytest.approx(12, abs=1)
