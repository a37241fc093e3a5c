"""The synthetic figures: what callers rely on, and that joints follow from what is drawn."""

import subprocess
import sys

import numpy as np
import pytest
from numpy.typing import NDArray

from spcnet.synthetic import body as bodies
from spcnet.synthetic import clothes, painting, person, surroundings
from spcnet.synthetic.body import LEGS
from spcnet.synthetic.figure import Figure, render_figure

R_ANKLE, R_KNEE, R_HIP, L_HIP, L_KNEE, L_ANKLE = range(6)
R_WRIST, R_ELBOW, R_SHOULDER, L_SHOULDER, L_ELBOW, L_WRIST, NECK, HEAD_TOP = range(6, 14)
PAIRS = ((R_WRIST, L_WRIST), (R_KNEE, L_KNEE), (R_ANKLE, L_ANKLE), (R_ELBOW, L_ELBOW))
SIZE = 160
COUNT = 400

Real = NDArray[np.float64]


@pytest.fixture(scope="module")
def figures() -> list[Figure]:
    return [render_figure(index) for index in range(COUNT)]


@pytest.fixture(scope="module")
def points(figures: list[Figure]) -> Real:
    return np.stack([figure.points for figure in figures])


@pytest.fixture(scope="module")
def occluded(figures: list[Figure]) -> NDArray[np.bool_]:
    return np.stack([figure.states == 1 for figure in figures])


def torso_angles(points: Real) -> Real:
    """Return degrees in [0, 360) from image-down to the direction shoulders to hips."""
    hips = points[:, [R_HIP, L_HIP]].mean(axis=1)
    shoulders = points[:, [R_SHOULDER, L_SHOULDER]].mean(axis=1)
    x, y = (hips - shoulders).T
    angles: Real = np.rad2deg(np.arctan2(x, y)) % 360
    return angles


def body_of(index: int) -> bodies.Body:
    """Return the placed skeleton that `render_figure(index)` draws."""
    rng = np.random.Generator(np.random.Philox(key=[0, index]))
    return bodies.place_body(bodies.sample_body(rng), rng, size=SIZE)[0]


def skeletons(count: int) -> list[bodies.Body]:
    return [bodies.sample_body(np.random.default_rng(seed)) for seed in range(count)]


def blank_scene(*, size: int, metre: float) -> painting.Scene:
    black = np.zeros((3, size, size), np.float32)
    return painting.Scene(black, metre=metre, light=(0.0, 0.0, 1.0))


def bend(start: Real, middle: Real, end: Real) -> float:
    """Return the degrees by which a limb turns at its middle joint; 0 is straight."""
    upper, lower = middle - start, end - middle
    cosine = upper @ lower / np.linalg.norm(upper) / np.linalg.norm(lower)
    return float(np.rad2deg(np.arccos(np.clip(cosine, -1, 1))))


def patch(image: NDArray[np.uint8], point: Real) -> Real:
    """Return the mean colour of the 3 x 3 pixels around a joint."""
    x, y = np.rint(point).astype(int)
    mean: Real = image[y - 1 : y + 2, x - 1 : x + 2].reshape(-1, 3).mean(axis=0)
    return mean


# ---- What comes back --------------------------------------------------------------------------


def test_same_seed_and_index_give_the_same_figure_in_any_order(figures: list[Figure]) -> None:
    for index in (250, 3, 77, 0):
        again = render_figure(index)
        np.testing.assert_array_equal(again.image, figures[index].image)
        np.testing.assert_array_equal(again.points, figures[index].points)
        np.testing.assert_array_equal(again.states, figures[index].states)


def test_other_indices_and_other_seeds_give_other_figures() -> None:
    several = [render_figure(0), render_figure(1), render_figure(0, seed=1)]
    several.append(render_figure(1, seed=1))
    for first, figure in enumerate(several):
        for other in several[first + 1 :]:
            assert (figure.image != other.image).mean() > 0.5
            assert np.abs(figure.points - other.points).max() > 3


@pytest.mark.parametrize("size", [64, 160, 257])
def test_shapes_types_and_ranges(size: int) -> None:
    figure = render_figure(5, size=size)
    assert figure.image.shape == (size, size, 3) and figure.image.dtype == np.uint8
    assert figure.points.shape == (14, 2) and figure.points.dtype == np.float64
    assert figure.states.shape == (14,) and figure.states.dtype == np.uint8
    assert figure.image.flags.c_contiguous
    assert set(figure.states.tolist()) <= {1, 2}


def test_the_size_scales_the_joints_and_nothing_else() -> None:
    small, large = render_figure(8, size=100), render_figure(8, size=300)
    np.testing.assert_allclose((large.points + 0.5) / 3, small.points + 0.5)


def test_joints_lie_inside_and_fill_the_middle(points: Real) -> None:
    assert points.min() >= 0.04 * SIZE and points.max() <= 0.96 * SIZE
    low, high = points.min(axis=1), points.max(axis=1)
    longer = (high - low).max(axis=1) / SIZE
    assert longer.min() >= 0.549 and longer.max() <= 0.851
    assert np.quantile(longer, 0.1) < 0.6 and np.quantile(longer, 0.9) > 0.8
    shift = (low + high) / 2 - (SIZE - 1) / 2
    assert np.abs(shift).max() <= 0.1 * SIZE + 1e-9
    assert shift.std() > 0.02 * SIZE
    assert np.abs(shift.mean(axis=0)).max() < 0.01 * SIZE


# ---- How the figures stand and face ------------------------------------------------------------


def test_torsos_point_every_way_equally_often(points: Real) -> None:
    counts = np.bincount((torso_angles(points) // 45).astype(int), minlength=8)
    assert counts.min() > 0.6 * COUNT / 8
    assert counts.max() < 1.4 * COUNT / 8


def test_shoulders_swap_sides_when_seen_from_behind(points: Real) -> None:
    leans = (torso_angles(points) + 180) % 360 - 180
    upright = np.flatnonzero(np.abs(leans) < 40)
    facing = np.array([body_of(int(index)).chest[2, 2] for index in upright])
    across = points[upright, L_SHOULDER, 0] - points[upright, R_SHOULDER, 0]
    assert (across[facing > 0.45] > 0).all()
    assert (across[facing < -0.45] < 0).all()
    assert (facing > 0.45).sum() > 30
    assert (facing < -0.45).sum() > 5


def test_about_a_fifth_is_seen_from_behind() -> None:
    behind = np.array([body_of(index).pelvis[2, 2] < 0 for index in range(COUNT)])
    assert 0.13 < behind.mean() < 0.27


def test_a_face_shows_from_the_front_and_only_hair_from_behind() -> None:
    skin, hair = clothes.rgb_planes(250, 0, 0), clothes.rgb_planes(0, 0, 250)
    shares = []
    for turn in (1.0, -1.0):
        scene = blank_scene(size=81, metre=100.0)
        head = painting.Head(
            axis=np.array([[40.0, 40.0, 0.0]]),
            frame=np.diag([turn, -1.0, turn]),
            radii=np.array([20.0, 27.0, 22.0]),
            skin=skin,
            hair=hair,
        )
        head.paint(scene, number=0)
        red, _, blue = scene.colour[:, 20:61, 40]
        shares.append(float((red > blue).mean()))
    assert shares[0] > 0.5
    assert shares[1] < 0.1


# ---- The body ----------------------------------------------------------------------------------


def test_elbows_and_knees_stay_within_human_limits() -> None:
    for body in skeletons(300):
        for chain in ((R_SHOULDER, R_ELBOW, R_WRIST), (L_SHOULDER, L_ELBOW, L_WRIST)):
            assert bend(*body.points[list(chain)]) <= 145.001
        for chain in ((R_HIP, R_KNEE, R_ANKLE), (L_HIP, L_KNEE, L_ANKLE)):
            assert bend(*body.points[list(chain)]) <= 140.001


def test_knees_bend_away_from_the_toes() -> None:
    for body in skeletons(300):
        for hip, knee, ankle, heel, toe in LEGS:
            thigh, foot = body.points[knee] - body.points[hip], body.points[toe] - body.points[heel]
            if bend(*body.points[[hip, knee, ankle]]) > 10:
                assert thigh @ foot > 0


def test_a_hanging_arm_bends_forward_and_a_straight_leg_backward() -> None:
    bones = bodies.sample_bones(np.random.default_rng(0))
    elbow, wrist, _ = bodies._left_arm(bones, np.array([0.0, 0.0, 0.0, 90.0]))
    np.testing.assert_allclose(elbow, [0, -bones.upper_arm, 0], atol=1e-12)
    np.testing.assert_allclose(wrist - elbow, [0, 0, bones.forearm], atol=1e-12)
    knee, ankle, heel, toe = bodies._left_leg(bones, np.array([0.0, 0.0, 0.0, 90.0, 0.0]))
    np.testing.assert_allclose(knee, [0, -bones.thigh, 0], atol=1e-12)
    np.testing.assert_allclose(ankle - knee, [0, 0, -bones.shin], atol=1e-12)
    *_, heel, toe = bodies._left_leg(bones, np.zeros(5))
    assert toe[2] > heel[2]


def test_equal_angles_on_both_sides_give_a_mirrored_body() -> None:
    points = standing_body(arms=(40.0, 30.0, 20.0, 50.0)).points
    for right, left in ((0, 5), (1, 4), (2, 3), (6, 11), (7, 10), (8, 9)):
        np.testing.assert_allclose(points[left] * (-1, 1, 1), points[right], atol=1e-12)
        assert points[left, 0] > 0


def test_bone_lengths_are_human_and_equal_on_both_sides() -> None:
    for body in skeletons(100):
        right, left = body.points[list(LEGS[0])], body.points[list(LEGS[1])]
        lengths = np.linalg.norm(np.diff(right, axis=0), axis=1)
        np.testing.assert_allclose(lengths, np.linalg.norm(np.diff(left, axis=0), axis=1))
        assert (lengths[:2] > 0.38).all() and (lengths[:2] < 0.48).all()
        assert 0.28 < np.linalg.norm(body.points[HEAD_TOP] - body.points[NECK]) < 0.38


# ---- Occlusion ---------------------------------------------------------------------------------


def standing_body(
    *, arms: tuple[float, ...] = (0.0, 12.0, 0.0, 5.0), yaw: float = 0.0
) -> bodies.Body:
    pose = bodies.JointAngles(
        arms=np.array([arms, arms]), legs=np.zeros((2, 5)), spine=np.zeros(3), head=np.zeros(3)
    )
    body = bodies.assemble(bodies.sample_bones(np.random.default_rng(1)), pose)
    turn = bodies.turn(bodies.Y, yaw)
    return bodies.Body(body.points @ turn.T, turn, turn, turn, body.bones)


def hidden_joints(body: bodies.Body) -> set[int]:
    """Return the joints that the body hides by itself, drawn upright on an empty picture."""
    metre, flip = 80.0, np.diag([1.0, -1.0, 1.0])
    points = body.points @ flip * metre + (100.0, 100.0, 0.0)
    pelvis, chest, head = flip @ body.pelvis, flip @ body.chest, flip @ body.head
    body = bodies.Body(points, pelvis, chest, head, body.bones)
    outfit = clothes.sample_outfit(np.random.default_rng(2))
    scene = blank_scene(size=200, metre=metre)
    parts = sorted(person.body_parts(body, outfit, metre=metre), key=lambda part: part.key)
    for number, part in enumerate(parts):
        part.paint(scene, number=number)
    columns, rows = np.rint(points[:14, :2]).astype(int).T
    assert (scene.part[rows, columns] >= 0).all()
    return set(np.flatnonzero(person.self_occluded(scene, parts, body)).tolist())


@pytest.mark.parametrize("yaw", [0.0, 180.0])
def test_a_standing_body_hides_nothing_from_front_and_back(yaw: float) -> None:
    assert hidden_joints(standing_body(yaw=yaw)) == set()


@pytest.mark.parametrize(("yaw", "far"), [(90.0, range(3, 6)), (-90.0, range(3))])
def test_a_standing_body_in_profile_hides_its_far_leg(yaw: float, far: range) -> None:
    hidden = hidden_joints(standing_body(arms=(90.0, 0.0, 0.0, 0.0), yaw=yaw))
    assert set(far) <= hidden
    assert not hidden & (set(range(6)) - set(far))


def test_the_body_hides_forearms_before_the_chest_only_from_behind() -> None:
    folded = (20.0, 20.0, -40.0, 100.0)
    assert not {R_WRIST, L_WRIST} & hidden_joints(standing_body(arms=folded))
    assert {R_WRIST, L_WRIST} <= hidden_joints(standing_body(arms=folded, yaw=180.0))


def test_a_fist_towards_the_viewer_hides_its_elbow() -> None:
    hidden = hidden_joints(standing_body(arms=(0.0, 30.0, 0.0, 90.0)))
    assert hidden == {R_ELBOW, L_ELBOW}


def test_enough_joints_are_occluded_but_never_most(occluded: NDArray[np.bool_]) -> None:
    assert 0.15 <= occluded.mean() <= 0.3
    assert occluded.sum(axis=1).max() <= 8
    per_joint = occluded.mean(axis=0)
    assert per_joint.min() > 0.06 and per_joint.max() < 0.45
    assert (~occluded.any(axis=1)).mean() > 0.05


def test_occluders_stop_at_half_of_the_joints() -> None:
    rng = np.random.default_rng(0)
    outfit = clothes.sample_outfit(rng)
    crowded = np.full((14, 2), 40.0) + rng.normal(0, 1, (14, 2))
    for _ in range(20):
        scene = blank_scene(size=80, metre=40.0)
        hidden = np.zeros(14, np.bool_)
        hidden = surroundings.draw_foreground(scene, outfit, rng, points=crowded, hidden=hidden)
        assert hidden.sum() <= 7


# ---- Colours -----------------------------------------------------------------------------------


def test_colours_do_not_tell_left_from_right(
    figures: list[Figure], occluded: NDArray[np.bool_]
) -> None:
    same, other = [], []
    for index, figure in enumerate(figures):
        for right, left in PAIRS:
            if not occluded[index, [right, left]].any():
                colour = patch(figure.image, figure.points[left])
                same.append(colour - patch(figure.image, figure.points[right]))
                stranger = figures[index - 1]
                other.append(colour - patch(stranger.image, stranger.points[left]))
    differences = np.array(same)
    error = differences.std(axis=0) / np.sqrt(len(differences))
    assert len(differences) > 500
    assert (np.abs(differences.mean(axis=0)) < 4 * error).all()
    assert error.max() < 2
    assert np.median(np.abs(same)) < 0.3 * np.median(np.abs(other))


def test_both_sides_wear_the_same_clothes() -> None:
    rng = np.random.default_rng(4)
    for _ in range(20):
        body, outfit = bodies.sample_body(rng), clothes.sample_outfit(rng)
        pairs = zip(
            *(person._limbs(body, outfit, side=side, metre=1.0) for side in (0, 1)), strict=True
        )
        for right, left in pairs:
            assert right.colour is left.colour and right.bare is left.bare
            assert right.cut == left.cut and np.array_equal(right.radii, left.radii)


def test_backgrounds_are_textured(figures: list[Figure]) -> None:
    deviations = []
    for figure in figures:
        inner = np.ones(figure.image.shape[:2], np.bool_)
        inner[6:-6, 6:-6] = False
        deviations.append(figure.image[inner].astype(float).std(axis=0).mean())
    assert (np.array(deviations) > 8).mean() > 0.98


def test_pictures_vary_and_use_the_range(figures: list[Figure]) -> None:
    means = np.array([figure.image.mean() for figure in figures])
    assert 80 < means.mean() < 160
    assert means.std() > 15
    assert all(np.ptp(figure.image) > 60 for figure in figures)


# ---- Cost --------------------------------------------------------------------------------------


def test_importing_loads_neither_torch_nor_an_image_library() -> None:
    code = (
        "import sys, spcnet.synthetic.figure;"
        "print(sorted({'torch', 'cv2', 'PIL', 'scipy'} & set(sys.modules)))"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
