import math
from typing import Any, get_args

import numpy as np
import pytest

from spcnet.data.annotations import AnnotatedPictures, Annotation
from spcnet.data.datasets import SyntheticFigures
from spcnet.data.regions import CropRule, check_rule, limb_lengths, region_rule
from spcnet.errors import UserError
from spcnet.skeletons import COCO17, FLIC11, LSP14, MPII16, Skeleton

SIZE = (201, 301)  # height, width: the middle pixel is (150, 100)


def people(*annotations: Annotation, name: str = "lsp", skeleton: Any = LSP14) -> AnnotatedPictures:
    return AnnotatedPictures(name, "all", skeleton, list(annotations))


def some(**values: Any) -> Annotation:
    points = np.array([[10.0, 20.0], [40.0, 100.0]])
    return Annotation("a.jpg", points, np.full(2, 2, np.uint8), **values)


def test_box_is_a_quarter_wider_than_the_longer_side() -> None:
    centre, side = region_rule("box", people())(some(box=np.array([10.0, 20, 50, 100])), SIZE)
    assert centre.tolist() == [30, 60]
    assert side == 100


def test_mpii_is_lower_and_wider_by_the_annotated_scale() -> None:
    person = some(centre=np.array([300.0, 200.0]), scale=2.0)
    centre, side = region_rule("mpii", people())(person, SIZE)
    assert centre.tolist() == [300, 230]  # 15 * 2 lower
    assert side == 500  # 200 * 1.25 * 2


def test_lsp_height_needs_no_label() -> None:
    centre, side = region_rule("lsp-height", people())(some(), SIZE)
    assert centre.tolist() == [150, 100]
    assert side == 1.25 * 201


def test_flic_is_440_pixels_about_the_torso_in_the_frames_middle() -> None:
    person = some(centre=np.array([331.5, 240.0]), scale=2.2)
    centre, side = region_rule("flic", people())(person, (480, 720))
    assert centre.tolist() == [331.5, 240]
    assert side == pytest.approx(440)


@pytest.mark.parametrize(("rule", "lacking"), [("mpii", "centre and scale"), ("flic", "torso box")])
def test_rules_that_need_labels_say_which(rule: CropRule, lacking: str) -> None:
    with pytest.raises(
        UserError, match=rf"a\.jpg: crop rule {rule!r} needs an annotated {lacking}"
    ):
        region_rule(rule, people())(some(), SIZE)


def test_an_unknown_rule_names_the_known() -> None:
    assert check_rule("lsp-limbs") == "lsp-limbs"
    with pytest.raises(UserError, match=f"'square'; there are {', '.join(get_args(CropRule))}"):
        check_rule("square")


def figure(
    *, head: float, limb: float, hips: float, lacking: tuple[str, ...] = (), at: float = 0.0
) -> Annotation:
    """A person whose limbs are `limb` long, but for the head and neck to hip, all upright.

    The neck is at (100, 100); x tells the sides apart without adding to any length.
    """
    heights = {"neck": 0.0, "head_top": -head}
    for side in ("right", "left"):
        heights[f"{side}_hip"] = hips
        heights[f"{side}_knee"] = hips + limb
        heights[f"{side}_ankle"] = hips + 2 * limb
        heights[f"{side}_shoulder"] = limb
        heights[f"{side}_elbow"] = 2 * limb
        heights[f"{side}_wrist"] = 3 * limb
    points = np.array([[100.0 + at, 100.0 + heights[joint]] for joint in LSP14.joints])
    states = np.array([0 if joint in lacking else 2 for joint in LSP14.joints], np.uint8)
    points[states == 0] = -1000
    return Annotation("a.jpg", points, states)


def test_lengths_of_the_thirteen_limbs() -> None:
    person = figure(head=20, limb=30, hips=50, lacking=("left_knee",))
    lengths = limb_lengths(person.points[None], person.annotated[None], LSP14)[0]
    assert lengths.shape == (13,)
    assert lengths[-1] == 20
    # Left ankle and left knee lie on limbs of the knee that is not labelled.
    assert np.isnan(lengths).sum() == 2
    assert sorted(lengths[np.isfinite(lengths)].tolist()) == [20] + [30] * 8 + [50] * 2


def test_mpii_joints_have_the_same_limbs() -> None:
    points = np.random.default_rng(0).uniform(0, 100, (1, 16, 2))
    known = np.ones((1, 16), bool)
    as_lsp = points[:, [MPII16.index(joint) for joint in LSP14.joints]]
    expected = limb_lengths(as_lsp, known[:, :14], LSP14)
    assert np.sort(limb_lengths(points, known, MPII16)) == pytest.approx(np.sort(expected))


# Over the head, a limb of the three below is 1.5, 1 and 2 long, a hip 3, 2.5 and 2: the medians
# are 1.5 and 2.5, and that of the head over itself is 1.
SET = (
    figure(head=20, limb=30, hips=60),
    figure(head=40, limb=40, hips=100),
    figure(head=10, limb=20, hips=20),
)


def test_lsp_limbs_by_hand() -> None:
    # d of the first: limbs 30 / 1.5 = 20 tenfold, hips 60 / 2.5 = 24 twice, head 20 / 1 = 20; of
    # these thirteen the 0.75 quantile is the tenth, 20. The labelled joints reach from -20 to
    # 120, 140 px: zoom = min(41 / 20, 304 / 140) = 2.05, scale = 41 / 35 / 2.05 = 4 / 7.
    centre, side = region_rule("lsp-limbs", people(*SET))(SET[0], SIZE)
    assert side == pytest.approx(200 * 4 / 7 * 368 / 256)
    assert centre.tolist() == [150, 100]  # of the picture
    # The second: 40 / 1.5 = 26.7 tenfold, 100 / 2.5 = 40 twice, head 40. In order the tenth of
    # thirteen is the last 26.7; d = 80 / 3. The joints reach from -40 to 180, 220 px:
    # zoom = min(41 * 3 / 80, 304 / 220) = 304 / 220.
    _, side = region_rule("lsp-limbs", people(*SET))(SET[1], SIZE)
    assert side == pytest.approx(200 * (41 / 35) / (304 / 220) * 368 / 256)


def test_lsp_limbs_takes_the_upper_quartile_of_labelled_limbs() -> None:
    # Only head (20 / 1), right shoulder (30 / 1.5) and right hip (60 / 2.5) are left: 20, 20, 24.
    # The 0.75 quantile of three lies halfway between the second and the third: 22.
    person = figure(
        head=20,
        limb=30,
        hips=60,
        lacking=tuple(
            joint
            for joint in LSP14.joints
            if joint not in ("neck", "head_top", "right_shoulder", "right_hip")
        ),
    )
    rule = region_rule("lsp-limbs", people(*SET[1:], SET[0]))
    # From -20 to 60 the joints are 80 px apart: 304 / 80 is no limit.
    _, side = rule(person, SIZE)
    assert side == pytest.approx(200 * 22 / 35 * 368 / 256)


def test_lsp_limbs_limits_the_width_too() -> None:
    points = SET[0].points.copy()
    points[LSP14.index("right_wrist")] += [608, 0]
    states = SET[0].states
    wide = Annotation("a.jpg", points, states)
    rule = region_rule("lsp-limbs", people(*SET))
    _, side = rule(wide, SIZE)
    assert side == pytest.approx(200 * (41 / 35) / (304 / 608) * 368 / 256)


def test_lsp_limbs_centre_is_the_joints_box_elsewhere() -> None:
    rule = region_rule("lsp-limbs", people(*SET, name="lspet"))
    centre, _ = rule(figure(head=20, limb=30, hips=60, at=7), SIZE)
    assert centre.tolist() == [107, 100 + (120 + 60 - 20 - 60) / 2]


def test_lsp_limbs_takes_medians_over_those_that_have_the_limb() -> None:
    headless = figure(head=500, limb=70, hips=10, lacking=("head_top",))
    rule, other = (region_rule("lsp-limbs", people(*s)) for s in (SET, (*SET, headless)))
    assert other(SET[0], SIZE)[1] == rule(SET[0], SIZE)[1]


def test_lsp_limbs_needs_a_labelled_limb() -> None:
    ankles = tuple(joint for joint in LSP14.joints if "ankle" not in joint)
    lone = figure(head=20, limb=30, hips=60, lacking=ankles)
    with pytest.raises(UserError, match=r"a\.jpg: .*needs a labelled limb"):
        region_rule("lsp-limbs", people(*SET))(lone, SIZE)


def test_a_person_of_one_length_has_a_finite_square() -> None:
    dot = Annotation("a.jpg", np.full((14, 2), 50.0), np.full(14, 2, np.uint8))
    _, side = region_rule("lsp-limbs", people(*SET))(dot, SIZE)
    assert 0 < side < math.inf


@pytest.mark.parametrize("skeleton", [COCO17, FLIC11], ids=lambda skeleton: skeleton.name)
def test_lsp_limbs_does_not_fit_every_skeleton(skeleton: Any) -> None:
    count = len(skeleton)
    person = Annotation("a.jpg", np.ones((count, 2)), np.full(count, 2, np.uint8))
    with pytest.raises(UserError, match="needs the joints of LSP"):
        region_rule("lsp-limbs", people(person, skeleton=skeleton))


def test_lsp_limbs_says_what_other_skeletons_lack() -> None:
    own = Skeleton(
        "own", ("neck", "head_top", "left_wrist", "right_wrist"), (), ("neck", "head_top")
    )
    person = Annotation("a.jpg", np.ones((4, 2)), np.full(4, 2, np.uint8))
    with pytest.raises(UserError, match=r"needs the joints of LSP: .*elbow"):
        region_rule("lsp-limbs", people(person, skeleton=own))
    with pytest.raises(UserError, match="needs the joints of LSP"):
        region_rule("lsp-limbs", SyntheticFigures("1-2"))
