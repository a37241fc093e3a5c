import json

import pytest

from spcnet.skeletons import (
    BODY19,
    COCO17,
    FLIC11,
    LSP14,
    MPII16,
    SKELETONS,
    Skeleton,
    mirror_name,
)

ORDERS = {
    "lsp14": "right_ankle right_knee right_hip left_hip left_knee left_ankle right_wrist "
    "right_elbow right_shoulder left_shoulder left_elbow left_wrist neck head_top",
    "mpii16": "right_ankle right_knee right_hip left_hip left_knee left_ankle pelvis thorax neck "
    "head_top right_wrist right_elbow right_shoulder left_shoulder left_elbow left_wrist",
    "flic11": "left_shoulder left_elbow left_wrist right_shoulder right_elbow right_wrist "
    "left_hip right_hip left_eye right_eye nose",
    "coco17": "nose left_eye right_eye left_ear right_ear left_shoulder right_shoulder left_elbow "
    "right_elbow left_wrist right_wrist left_hip right_hip left_knee right_knee left_ankle "
    "right_ankle",
}
ORDERS["body19"] = f"{ORDERS['lsp14']} nose left_eye right_eye left_ear right_ear"
FLIPS = {
    "lsp14": (5, 4, 3, 2, 1, 0, 11, 10, 9, 8, 7, 6, 12, 13),
    "mpii16": (5, 4, 3, 2, 1, 0, 6, 7, 8, 9, 15, 14, 13, 12, 11, 10),
    "flic11": (3, 4, 5, 0, 1, 2, 7, 6, 9, 8, 10),
    "coco17": (0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15),
    "body19": (5, 4, 3, 2, 1, 0, 11, 10, 9, 8, 7, 6, 12, 13, 14, 16, 15, 18, 17),
}

every_skeleton = pytest.mark.parametrize("skeleton", SKELETONS.values(), ids=lambda s: s.name)


def test_the_known_skeletons_are_listed_by_name() -> None:
    assert list(SKELETONS.values()) == [LSP14, MPII16, FLIC11, COCO17, BODY19]
    assert list(SKELETONS) == ["lsp14", "mpii16", "flic11", "coco17", "body19"]


@pytest.mark.parametrize("wanted", [LSP14, COCO17, FLIC11], ids=lambda s: s.name)
def test_body19_has_the_joints_of_other_skeletons_under_their_names(wanted: Skeleton) -> None:
    channels = BODY19.view(wanted)
    assert [[BODY19.joints[n] for n in of_joint] for of_joint in channels] == [
        [joint] for joint in wanted.joints
    ]


def test_pelvis_and_thorax_are_middles_of_body19() -> None:
    view = dict(zip(MPII16.joints, BODY19.view(MPII16), strict=True))
    assert view["pelvis"] == (BODY19.index("left_hip"), BODY19.index("right_hip"))
    assert view["thorax"] == (BODY19.index("left_shoulder"), BODY19.index("right_shoulder"))
    assert view["head_top"] == (BODY19.index("head_top"),)


def test_a_view_of_joints_that_are_not_there_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"'lsp14' cannot be seen as 'coco17'.*'nose'"):
        LSP14.view(COCO17)
    with pytest.raises(ValueError, match="no joint 'thorax'"):
        Skeleton("hips", ("left_hip", "right_hip"), ()).view(
            Skeleton("middles", ("pelvis", "thorax"), ())
        )


@every_skeleton
def test_channels_are_in_the_order_of_the_annotation_scheme(skeleton: Skeleton) -> None:
    assert list(skeleton.joints) == ORDERS[skeleton.name].split()
    assert len(skeleton) == len(skeleton.joints)
    assert [skeleton.index(joint) for joint in skeleton.joints] == list(range(len(skeleton)))


@every_skeleton
def test_flip_permutation_swaps_left_and_right_and_undoes_itself(skeleton: Skeleton) -> None:
    permutation = skeleton.flip_permutation
    assert permutation == FLIPS[skeleton.name]
    assert [permutation[k] for k in permutation] == list(range(len(skeleton)))
    swapped = {"left": "right", "right": "left", "centre": "centre"}
    for k, mirrored in enumerate(permutation):
        assert skeleton.side(mirrored) == swapped[skeleton.side(k)]


@every_skeleton
def test_limbs_mirror_to_limbs_and_reach_every_joint_once(skeleton: Skeleton) -> None:
    limbs = {frozenset(limb) for limb in skeleton.limbs}
    assert len(limbs) == len(skeleton.limbs)
    assert {frozenset(map(mirror_name, limb)) for limb in limbs} == limbs
    assert {joint for limb in limbs for joint in limb} == set(skeleton.joints)
    named = [(skeleton.joints[a], skeleton.joints[b]) for a, b in skeleton.limb_indices]
    assert named == list(skeleton.limbs)


@every_skeleton
def test_dict_survives_json_and_gives_the_same_skeleton(skeleton: Skeleton) -> None:
    assert Skeleton.from_dict(json.loads(json.dumps(skeleton.to_dict()))) == skeleton


def test_from_dict_needs_no_reference_joints() -> None:
    made = Skeleton.from_dict({"name": "pair", "joints": ["a", "b"], "limbs": [["a", "b"]]})
    assert made == Skeleton(name="pair", joints=("a", "b"), limbs=(("a", "b"),))
    assert made.head is None
    assert made.torso is None


@pytest.mark.parametrize(
    ("joint", "mirrored"),
    [
        ("left_knee", "right_knee"),
        ("right_hand_left_tip", "left_hand_left_tip"),
        ("neck", "neck"),
        ("lefty", "lefty"),
    ],
)
def test_mirror_name_swaps_the_leading_side_only(joint: str, mirrored: str) -> None:
    assert mirror_name(joint) == mirrored
    assert mirror_name(mirrored) == joint


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"joints": ("neck", "nose", "neck")}, "named twice: neck"),
        ({"joints": ("neck", "left_eye")}, "'right_eye'"),
        ({"limbs": (("neck", "tail"),)}, "'tail'"),
        ({"head": ("neck", "crown")}, "'crown'"),
        ({"torso": ("left_fin", "neck")}, "'left_fin'"),
    ],
)
def test_a_wrong_skeleton_is_refused_by_a_message_that_names_the_value(
    changes: dict, named: str
) -> None:
    with pytest.raises(ValueError, match=named) as error:
        Skeleton(**{"name": "mine", "joints": ("neck",), "limbs": (), **changes})
    assert "'mine'" in str(error.value)


def test_a_joint_of_one_side_wants_its_mirror_image() -> None:
    with pytest.raises(ValueError, match=r"'left_paw' without its mirror image 'right_paw'"):
        Skeleton(name="cat", joints=("nose", "left_paw"), limbs=())


def test_index_of_an_unknown_joint_tells_what_there_is() -> None:
    with pytest.raises(ValueError, match=r"'lsp14' has no joint 'nose'; it has right_ankle, "):
        LSP14.index("nose")
