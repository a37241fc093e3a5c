"""Angles: by hand, and what turning, scaling and mirroring do to them."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spcnet.angles import JOINT_ANGLES, SEGMENTS, angle_names, measure_angles
from spcnet.errors import UserError
from spcnet.skeletons import BODY19, COCO17, FLIC11, LSP14, MPII16, Skeleton

ALL_SURE = np.ones(14)


def standing() -> dict[str, tuple[float, float]]:
    """A person who faces the camera, arms hanging; the person's left is on the picture's right."""
    return {
        "head_top": (100, 20), "neck": (100, 50),
        "left_shoulder": (120, 60), "right_shoulder": (80, 60),
        "left_elbow": (120, 100), "right_elbow": (80, 100),
        "left_wrist": (120, 140), "right_wrist": (80, 140),
        "left_hip": (115, 140), "right_hip": (85, 140),
        "left_knee": (115, 200), "right_knee": (85, 200),
        "left_ankle": (115, 260), "right_ankle": (85, 260),
    }  # fmt: skip


def pose(changes: dict[str, tuple[float, float]], skeleton: Skeleton = LSP14) -> np.ndarray:
    return np.array([{**standing(), **changes}[joint] for joint in skeleton.joints], float)


def degrees(points: np.ndarray, name: str, scores: np.ndarray = ALL_SURE) -> float:
    return float(measure_angles(points, scores, LSP14, [name]).degrees[0])


@pytest.mark.parametrize(
    ("name", "changes", "expected"),
    [
        ("left_knee", {}, 180),
        ("left_knee", {"left_ankle": (175, 200)}, 90),  # the shank lies level
        ("left_knee", {"left_ankle": (115, 140)}, 0),  # folded onto the hip
        ("right_elbow", {"right_wrist": (120, 100)}, 90),
        ("right_elbow", {"right_wrist": (80 + 40, 60)}, 45),
        ("left_shoulder", {"left_hip": (120, 140)}, 0),  # the arm hangs along the trunk
        ("left_shoulder", {"left_hip": (120, 140), "left_elbow": (160, 60)}, 90),
        ("left_hip", {"left_shoulder": (115, 60)}, 180),
        ("left_hip", {"left_shoulder": (115, 60), "left_knee": (175, 140)}, 90),
        ("trunk", {}, 0),
        ("left_thigh", {}, 0),
        ("left_thigh", {"left_knee": (175, 140)}, 90),  # to the picture's right
        ("left_thigh", {"left_knee": (55, 140)}, -90),
        ("left_thigh", {"left_knee": (115, 80)}, 180),  # straight up
        ("right_forearm", {"right_wrist": (120, 140)}, 45),
        # The shoulders' middle lies as far to the left of the hips' as above it.
        ("trunk", {"left_shoulder": (40, 60), "right_shoulder": (0, 60)}, 45),
    ],
)
def test_angles_by_hand(
    name: str, changes: dict[str, tuple[float, float]], expected: float
) -> None:
    assert degrees(pose(changes), name) == pytest.approx(expected, abs=1e-9)


def test_what_two_coinciding_joints_give_is_unknown() -> None:
    found = measure_angles(pose({"left_knee": (115, 140)}), ALL_SURE, LSP14)
    unknown = {n for n, value in zip(found.names, found.degrees, strict=True) if np.isnan(value)}
    assert unknown == {"left_knee", "left_hip", "left_thigh"}


def test_an_interval_by_hand() -> None:
    """Of a segment both ends' deviations over its length, of a joint the middle's too."""
    points, scores = pose({}), np.full(14, 0.6)
    torso = math.hypot(120 - 85, 60 - 140)
    deviation = 0.2 * torso / math.sqrt(-2 * math.log(0.4))
    reach = 1.645 * math.degrees(math.sqrt(2) * deviation / 60)
    found = measure_angles(points, scores, LSP14, ["left_thigh", "left_knee"])
    assert found.high[0] - found.degrees[0] == pytest.approx(reach)
    assert found.degrees[0] - found.low[0] == pytest.approx(reach)
    # Straight: the knee moves both segments the same way, twice as far as either end.
    reach = 1.645 * math.degrees(math.sqrt(1 + 1 + 4) * deviation / 60)
    assert found.degrees[1] - found.low[1] == pytest.approx(reach)
    assert found.high[1] == 180
    assert found.scores.tolist() == [0.6, 0.6]


def test_a_surer_joint_makes_the_interval_narrower() -> None:
    widths = [
        float(np.diff([f.low[0], f.high[0]])[0])
        for p in (0.2, 0.5, 0.9, 0.97)
        for f in [measure_angles(pose({}), np.full(14, p), LSP14, ["left_thigh"])]
    ]
    assert widths == sorted(widths, reverse=True) and widths[-1] > 0


coordinates = st.lists(
    st.tuples(st.floats(0, 500), st.floats(0, 500)), min_size=14, max_size=14
).map(lambda rows: np.array(rows))


def apart(points: np.ndarray) -> bool:
    """No two joints lie so near each other that rounding turns a segment."""
    away = np.linalg.norm(points[:, None] - points[None], axis=-1)
    return bool(away[~np.eye(len(points), dtype=bool)].min() > 1)


def circular(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return (one - other + 180) % 360 - 180


@settings(max_examples=60, deadline=None)
@given(points=coordinates.filter(apart), turn=st.floats(-180, 180), scale=st.floats(0.1, 10))
def test_turning_moves_segments_alone_and_scaling_nothing(
    points: np.ndarray, turn: float, scale: float
) -> None:
    radians = math.radians(turn)
    # Counterclockwise as seen, where y points down.
    matrix = [[math.cos(radians), math.sin(radians)], [-math.sin(radians), math.cos(radians)]]
    before = measure_angles(points, ALL_SURE, LSP14)
    after = measure_angles(scale * points @ np.array(matrix).T, ALL_SURE, LSP14)
    joints = np.array([name in JOINT_ANGLES for name in before.names])
    known = np.isfinite(before.degrees)
    assert np.allclose(before.degrees[joints & known], after.degrees[joints & known], atol=1e-4)
    segments = ~joints & known
    turned = circular(after.degrees[segments], before.degrees[segments])
    assert np.allclose(circular(turned, np.full(turned.shape, turn)), 0, atol=1e-4)
    assert np.allclose(
        (before.high - before.low)[known], (after.high - after.low)[known], atol=1e-3
    )


@settings(max_examples=60, deadline=None)
@given(points=coordinates.filter(apart))
def test_a_mirror_exchanges_left_and_right_and_the_sign_of_segments(points: np.ndarray) -> None:
    mirrored = (points * [-1, 1])[list(LSP14.flip_permutation)]
    before = measure_angles(points, ALL_SURE, LSP14)
    after = measure_angles(mirrored, ALL_SURE, LSP14)
    of = dict(zip(after.names, after.degrees, strict=True))
    for name, value in zip(before.names, before.degrees, strict=True):
        other = name.replace("left_", "*").replace("right_", "left_").replace("*", "right_")
        if not np.isfinite(value):
            assert not np.isfinite(of[other])
            continue
        sign = -1 if name in SEGMENTS else 1
        assert circular(np.array(of[other]), np.array(sign * value)) == pytest.approx(0, abs=1e-6)


def test_poses_of_any_shape_are_measured_at_once() -> None:
    points = np.stack([pose({}), pose({"left_ankle": (175, 200)})])[:, None]  # (2, 1, 14, 2)
    found = measure_angles(points, np.ones((2, 1, 14)), LSP14, ["left_knee"])
    assert found.degrees.tolist() == [[[180.0]], [[90.0]]]


def test_angles_that_the_joints_cannot_give_are_refused_by_name() -> None:
    assert len(angle_names(BODY19)) == len(angle_names(COCO17)) == 17
    assert set(angle_names(FLIC11)) == {
        "left_elbow", "right_elbow", "left_shoulder", "right_shoulder", "trunk",
        "left_upper_arm", "right_upper_arm", "left_forearm", "right_forearm",
    }  # fmt: skip
    assert len(angle_names(MPII16)) == 17  # it has the middles itself
    with pytest.raises(UserError, match="angle 'left_ankle': no joint of the foot is found"):
        angle_names(BODY19, ["left_ankle"])
    with pytest.raises(UserError, match="angle 'left_knee': skeleton 'flic11' lacks left_ankle"):
        angle_names(FLIC11, ["left_knee"])
    with pytest.raises(UserError, match="angle 'tail': there is no such angle; there are left_k"):
        angle_names(BODY19, ["tail"])
