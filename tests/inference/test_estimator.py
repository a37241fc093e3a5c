import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from conftest import EXAMPLES, Blobs, dot_picture
from PIL import Image

from spcnet.calibration import Calibration
from spcnet.checkpoints import find_weights, load_checkpoint, save_checkpoint
from spcnet.errors import UserError
from spcnet.geometry import Array
from spcnet.inference.documents import coco_document
from spcnet.inference.estimator import PoseEstimator
from spcnet.inference.finder import Finder
from spcnet.inference.pose import CONFIDENT, Pose
from spcnet.media.images import read_reduced
from spcnet.skeletons import BODY19, COCO17, LSP14, MPII16, Skeleton

DOTS = Skeleton("dots", ("left_dot", "right_dot"), (("left_dot", "right_dot"),))


class Bright:
    """A finder that boxes what is bright, and notes how large the pictures were."""

    def __init__(self) -> None:
        self.sizes: list[tuple[int, int]] = []

    def detect(self, picture: Array) -> tuple[Array, Array]:
        self.sizes.append((picture.shape[1], picture.shape[0]))
        ys, xs = np.nonzero(picture.max(axis=2) > 150)
        if not len(xs):
            return np.empty((0, 4)), np.empty(0)
        return np.array([[xs.min(), ys.min(), xs.max(), ys.max()]], dtype=float), np.array([0.9])


@pytest.fixture
def tiny(tiny_checkpoint: Path) -> PoseEstimator:
    return PoseEstimator(str(tiny_checkpoint), device="cpu", batch_size=4)


@pytest.fixture
def dots(tiny: PoseEstimator) -> PoseEstimator:
    """An estimator that finds the red and the blue dot, wherever something is bright."""
    tiny.network = Blobs()  # type: ignore[assignment]
    tiny.skeleton = DOTS
    object.__setattr__(tiny.card, "heatmap", "gaussian")
    tiny.finder = Bright()
    return tiny


def box_about(left: tuple[float, float], right: tuple[float, float]) -> list[float]:
    (x0, y0), (x1, y1) = left, right
    return [min(x0, x1) - 9, min(y0, y1) - 9, max(x0, x1) + 9, max(y0, y1) + 9]


def test_joints_come_back_in_image_pixels(dots: PoseEstimator) -> None:
    left, right = (150.0, 90.0), (110.0, 130.0)
    image = dot_picture((200, 300), left, right, radius=4)
    (pose,) = dots.predict(image, [box_about(left, right)])
    assert pose.keypoints == pytest.approx(np.array([left, right]), abs=1.0)
    assert pose.keypoints.dtype == np.float32
    assert pose.scores.shape == (2,)
    assert (pose.scores >= 0).all() and (pose.scores <= 1).all()
    assert pose.box.tolist() == box_about(left, right)


def test_one_pose_a_box_in_the_order_of_the_boxes(dots: PoseEstimator) -> None:
    places = [((60.0, 60.0), (90.0, 90.0)), ((250.0, 60.0), (280.0, 90.0)),
              ((60.0, 250.0), (90.0, 280.0))]  # fmt: skip
    image = dot_picture((340, 340), *places[0], radius=3)
    for place in places[1:]:
        other = dot_picture((340, 340), *place, radius=3)
        image = np.where(other != 128, other, image)
    order = [2, 0, 1, 2, 0, 1]  # more boxes than fit in one batch
    poses = dots.predict(image, [box_about(*places[n]) for n in order])
    found = np.stack([pose.keypoints for pose in poses])
    assert found == pytest.approx(np.array([places[n] for n in order]), abs=1.0)


def test_an_enlarged_picture_gives_the_same_joints(dots: PoseEstimator) -> None:
    left, right = (70.0, 40.0), (40.0, 80.0)
    small = dot_picture((120, 110), left, right, radius=4)
    large = cv2.resize(small, None, fx=8, fy=8, interpolation=cv2.INTER_LINEAR)
    box = np.array(box_about(left, right))
    (first,) = dots.predict(small, [box])
    (second,) = dots.predict(large, [(box + 0.5) * 8 - 0.5])
    cell = 1.25 * (box[2:] - box[:2]).max() / 16
    back = (second.keypoints + 0.5) / 8 - 0.5
    assert np.abs(back - first.keypoints).max() < 0.5 * cell


def test_without_boxes_the_finder_says_where_the_person_is(dots: PoseEstimator) -> None:
    left, right = (330.0, 200.0), (370.0, 230.0)
    image = dot_picture((260, 420), left, right, radius=9)
    (pose,) = dots.predict(image)
    assert pose.keypoints == pytest.approx(np.array([left, right]), abs=4)
    assert pose.box == pytest.approx([321, 191, 379, 239], abs=3)
    assert dots.predict(np.zeros_like(image)) == []


def test_the_bundled_finder_is_loaded_when_somebody_must_be_found(tiny: PoseEstimator) -> None:
    nobody = np.full((90, 120, 3), 128, np.uint8)
    assert len(tiny.predict(nobody, [[10, 10, 60, 80]])) == 1
    assert "finder" not in vars(tiny)
    assert tiny.predict(nobody) == []
    assert isinstance(tiny.finder, Finder)


def test_paths_arrays_and_pil_images_agree(dots: PoseEstimator, tmp_path: Path) -> None:
    image = dot_picture((90, 120), (80.0, 30.0), (40.0, 60.0), radius=4)
    path = tmp_path / "a photo.png"
    Image.fromarray(image).save(path)
    rgba = np.dstack([image, np.full((90, 120), 255, np.uint8)])
    expected = dots.predict(image)[0].keypoints
    for same in (path, str(path), Image.fromarray(image), rgba, image / 255, image[:, ::1]):
        assert np.array_equal(dots.predict(same)[0].keypoints, expected)


def test_a_phone_picture_is_upright_in_its_joints(dots: PoseEstimator, tmp_path: Path) -> None:
    upright = dot_picture((160, 90), (60.0, 30.0), (30.0, 100.0), radius=5)
    exif = Image.Exif()
    exif[0x0112] = 6  # shown after a quarter turn clockwise
    path = tmp_path / "portrait.png"
    Image.fromarray(np.rot90(upright)).save(path, exif=exif)
    assert np.array_equal(dots.predict(path)[0].keypoints, dots.predict(upright)[0].keypoints)


def test_many_pictures_are_read_lazily_and_answered_in_order(dots: PoseEstimator) -> None:
    read = 0

    def pictures() -> object:
        nonlocal read
        for n in range(10):
            read += 1
            yield dot_picture((80, 80 + n), (20.0 + n, 20.0), (50.0, 50.0), radius=4)

    answers = dots.predict_many(pictures())  # type: ignore[arg-type]
    assert read == 0
    first = next(answers)
    assert read == 4  # one batch
    rest = list(answers)
    lefts = [poses[0].keypoints[0, 0] for poses in (first, *rest)]
    assert lefts == pytest.approx([20 + n for n in range(10)], abs=1.5)


def test_boxes_of_many_pictures(dots: PoseEstimator) -> None:
    image = dot_picture((100, 100), (30.0, 30.0), (60.0, 60.0), radius=4)
    box = box_about((30, 30), (60, 60))
    answers = list(dots.predict_many([image] * 3, [[box, box], None, []]))
    assert [len(poses) for poses in answers] == [2, 1, 0]
    with pytest.raises(UserError, match="for every picture"):
        list(dots.predict_many([image, image], [[box]]))


def test_flip_averaging_a_symmetric_picture_is_symmetric(tiny_checkpoint: Path) -> None:
    estimator = PoseEstimator(str(tiny_checkpoint), device="cpu", flip=True)
    half = np.random.default_rng(0).integers(0, 255, (64, 32, 3)).astype(np.uint8)
    image = np.concatenate([half, half[:, ::-1]], axis=1)
    # A crop of exactly the picture: its pixels are the network's.
    side = 64 / 1.25
    heatmaps = estimator.heatmaps(image, [31.5 - side / 2, 31.5 - side / 2,
                                          31.5 + side / 2, 31.5 + side / 2])  # fmt: skip
    mirrored = heatmaps[list(LSP14.flip_permutation), :, ::-1]
    assert np.abs(heatmaps - mirrored).max() < 1e-5 * np.abs(heatmaps).max()
    assert heatmaps.shape == (14, 16, 16)


def test_one_pass_yields_keypoints_heatmaps_and_attention(tiny: PoseEstimator) -> None:
    image = np.random.default_rng(0).integers(0, 255, (90, 70, 3), dtype=np.uint8)
    boxes = [[5, 5, 40, 60], [20, 30, 60, 80]]
    plain = tiny.predict(image, boxes)
    assert all(pose.maps is None for pose in plain)
    run, batches = tiny.backend.run, []  # type: ignore[attr-defined]

    def counted(images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        batches.append(len(images))
        return run(images)  # type: ignore[no-any-return]

    tiny.backend.run = counted  # type: ignore[attr-defined]
    poses = tiny.predict(image, boxes, maps=True)
    assert batches == [2]
    for pose, before, box in zip(poses, plain, boxes, strict=True):
        assert pose.keypoints == pytest.approx(before.keypoints, abs=1e-3)
        assert pose.maps is not None
        assert pose.maps.heatmaps.shape == (14, 16, 16)
        assert pose.maps.attention == pytest.approx(tiny.attention(image, box), abs=1e-5)
        assert pose.maps.heatmaps == pytest.approx(tiny.heatmaps(image, box), abs=1e-4)
        x0, y0, x1, y1 = pose.maps.region
        assert x1 - x0 == y1 - y0 == 1.25 * max(box[2] - box[0], box[3] - box[1])
        assert (x0 + x1, y0 + y1) == (box[0] + box[2], box[1] + box[3])


def test_attention_sums_to_one_at_every_cell(tiny: PoseEstimator) -> None:
    weights = tiny.attention(np.zeros((50, 50, 3), np.uint8), [5, 5, 40, 40])
    assert weights.shape == (4, 16, 16)
    assert weights.sum(axis=0) == pytest.approx(np.ones((16, 16)), abs=1e-6)


@pytest.mark.parametrize(
    ("boxes", "told"),
    [
        ([[10, 10, 5, 20]], "10,10,5,20 is empty"),
        ([[10, float("nan"), 50, 20]], "10,nan,50,20 is not finite"),
        ([[500, 500, 600, 600]], "outside the picture of 64 x 64"),
        ([1, 2, 3, 4], r"N x 4"),
        ([[1, 2, 3]], r"1 x 3"),
        ("box", "numbers"),
    ],
)
def test_wrong_boxes_are_named(tiny: PoseEstimator, boxes: object, told: str) -> None:
    with pytest.raises(UserError, match=told):
        tiny.predict(np.zeros((64, 64, 3), np.uint8), boxes)  # type: ignore[arg-type]


def test_one_box_and_several_pictures_are_not_mixed_up(tiny: PoseEstimator) -> None:
    picture = np.zeros((64, 64, 3), np.uint8)
    with pytest.raises(UserError, match=r"one box, x0, y0, x1, y1, got 1 x 4"):
        tiny.heatmaps(picture, [[0, 0, 9, 9]])
    with pytest.raises(UserError, match=r"several pictures, such as \['a\.jpg'\]"):
        next(tiny.predict_many("a.jpg"))
    with pytest.raises(UserError, match="finite"):
        tiny.predict(np.full((8, 8, 3), np.nan))


def test_tiny_and_extreme_pictures_get_an_answer(tiny: PoseEstimator) -> None:
    for shape in ((1, 1, 3), (1, 500, 3), (700, 2, 3)):
        picture = np.zeros(shape, np.uint8)
        assert tiny.predict(picture) == []
        (pose,) = tiny.predict(picture, [[0, 0, 2, 2]])
        assert np.isfinite(pose.keypoints).all()


def test_what_is_no_picture_is_told() -> None:
    from spcnet.media.images import load_picture

    with pytest.raises(UserError, match="got int"):
        load_picture(3)  # type: ignore[arg-type]


def test_models_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no trained weights; these have: .*default"):
        PoseEstimator("spcnet_s8_w256")
    with pytest.raises(UserError, match="unknown model 'defualt'; did you mean 'default'"):
        PoseEstimator("defualt")
    with pytest.raises(UserError, match="no such file"):
        PoseEstimator(str(tmp_path / "none.safetensors"))
    with pytest.raises(UserError, match="batch_size must be at least 1, got 0"):
        PoseEstimator("default", batch_size=0)
    with pytest.raises(UserError, match="refinement must be one of none, quarter, dark, mass"):
        PoseEstimator("default", refinement="bad")  # type: ignore[arg-type]
    with pytest.raises(UserError, match="device 'tpu9' is not available; choose auto, cpu"):
        PoseEstimator("default", device="tpu9")


def pose_of(scores: Array) -> Pose:
    points = np.arange(28, dtype=np.float32).reshape(14, 2)
    return Pose(points, scores, np.array([0, 0, 26, 27], np.float32), LSP14)


def test_coco_form_by_hand() -> None:
    scores = np.full(14, 0.9, np.float32)
    scores[3] = CONFIDENT / 2
    entry = pose_of(scores).to_coco(image_id=5, annotation_id=7)
    assert (entry["id"], entry["image_id"], entry["category_id"]) == (7, 5, 1)
    assert entry["keypoints"][:3] == [0.0, 1.0, 2]
    assert entry["keypoints"][9:12] == [6.0, 7.0, 1]
    assert entry["bbox"] == [0, 0, 26, 27]
    assert len(entry["keypoints"]) == 42


def test_plain_values_by_hand() -> None:
    scores = np.linspace(0.3, 0.95, 14, dtype=np.float32)
    found = replace(pose_of(scores), presence=0.43219)
    values = json.loads(json.dumps(found.to_dict()))
    assert list(values["keypoints"]) == list(LSP14.joints)
    assert values["keypoints"]["neck"] == {"x": 24.0, "y": 25.0, "score": 0.9}
    assert (values["skeleton"], values["box"]) == ("lsp14", [0, 0, 26, 27])
    assert (values["score"], values["presence"]) == (0.625, 0.4322)
    assert found.to_coco()["presence"] == 0.4322
    assert "presence" not in pose_of(scores).to_dict() | pose_of(scores).to_coco()
    assert found.seen_as(MPII16).presence == found.presence


def test_a_coco_document_names_images_joints_and_limbs() -> None:
    scores = np.full(14, 0.9, np.float32)
    poses = [pose_of(scores), pose_of(scores)]
    document = coco_document([("a.jpg", (30, 40), poses), ("b.jpg", (5, 6), poses[:1])], LSP14)
    assert [image["id"] for image in document["images"]] == [1, 2]
    assert document["images"][0] == {"id": 1, "file_name": "a.jpg", "width": 40, "height": 30}
    assert [row["id"] for row in document["annotations"]] == [1, 2, 3]
    assert [row["image_id"] for row in document["annotations"]] == [1, 1, 2]
    (category,) = document["categories"]
    assert category["keypoints"][12] == "neck"
    assert [13, 14] in category["skeleton"]  # neck to head top, counted from 1


def test_a_calibration_of_other_values_is_not_applied(tmp_path: Path) -> None:
    """What "mass" calls 0.5 is not what the other refinements call 0.5."""
    network, card = load_checkpoint(find_weights("default"))
    curve = Calibration((0.0, 1.0), (0.25, 0.75))
    card = replace(card, codec=replace(card.codec, refinement="mass", calibration=curve))
    path = tmp_path / "mass.safetensors"
    save_checkpoint(path, network.state_dict(), card)
    picture = EXAMPLES / "standing.jpg"
    (own,) = PoseEstimator(str(path), device="cpu").predict(picture)
    assert own.scores.min() >= 0.25 and own.scores.max() <= 0.75
    for options in ({"refinement": "dark"}, {"scales": "0.9,1.1"}):
        estimator = PoseEstimator(str(path), device="cpu", **options)  # type: ignore[arg-type]
        assert estimator.codec.calibration is None
    (kept,) = PoseEstimator(str(path), device="cpu", refinement="mass").predict(picture)
    assert np.array_equal(kept.scores, own.scores)


@pytest.fixture
def body(body_checkpoint: Path) -> PoseEstimator:
    return PoseEstimator(str(body_checkpoint), device="cpu")


def test_poses_are_seen_in_the_joints_that_are_asked_for(body: PoseEstimator) -> None:
    image = np.random.default_rng(0).integers(0, 255, size=(90, 70, 3), dtype=np.uint8)
    boxes = [[5, 5, 50, 80], [10, 20, 60, 70]]
    own = body.predict(image, boxes)
    assert own[0].skeleton == BODY19
    for wanted in (LSP14, COCO17):
        seen = body.predict(image, boxes, skeleton=wanted.name)
        for pose, whole in zip(seen, own, strict=True):
            there = [BODY19.index(joint) for joint in wanted.joints]
            assert pose.skeleton == wanted
            assert np.array_equal(pose.keypoints, whole.keypoints[there])
            assert np.array_equal(pose.scores, whole.scores[there])
            assert len(pose.to_coco()["keypoints"]) == 3 * len(wanted)
    (batch,) = body.predict_many([image], [boxes], skeleton=COCO17)
    assert [pose.skeleton for pose in batch] == [COCO17, COCO17]


def test_pelvis_and_thorax_are_middles_with_the_lower_score() -> None:
    points = np.arange(38, dtype=np.float32).reshape(19, 2)
    scores = np.linspace(0.1, 1, 19, dtype=np.float32)
    pose = Pose(points, scores, np.zeros(4, np.float32), BODY19).seen_as(MPII16)
    left, right = BODY19.index("left_hip"), BODY19.index("right_hip")
    pelvis = MPII16.index("pelvis")
    assert pose.keypoints[pelvis].tolist() == ((points[left] + points[right]) / 2).tolist()
    assert pose.scores[pelvis] == min(scores[left], scores[right])
    assert pose.keypoints.shape == (16, 2)


@pytest.mark.parametrize("asked", ["coco18", "coco17", "mpii-16"])
def test_joints_that_the_model_lacks_are_refused_with_those_it_has(
    tiny: PoseEstimator, asked: str
) -> None:
    with pytest.raises(UserError, match=rf"skeleton '{asked}': .*'lsp14'.* lsp14, mpii16$"):
        tiny.predict(np.zeros((20, 20, 3), np.uint8), [[0, 0, 9, 9]], skeleton=asked)


class Finds:
    """A finder that says these boxes and scores of every picture."""

    def __init__(self, *found: tuple[list[float], float]) -> None:
        self.boxes = np.reshape([box for box, _ in found], (-1, 4))
        self.scores = np.array([score for _, score in found])

    def detect(self, picture: Array) -> tuple[Array, Array]:
        return self.boxes, self.scores


def test_a_finder_says_where_people_are_or_that_nobody_is(dots: PoseEstimator) -> None:
    near, far = ((60.0, 60.0), (90.0, 90.0)), ((250.0, 60.0), (280.0, 90.0))
    image = dot_picture((340, 340), *near, radius=3)
    other = dot_picture((340, 340), *far, radius=3)
    image = np.where(other != 128, other, image)
    dots.finder = Finds((box_about(*far), 0.9), (box_about(*near), 0.8))
    found = np.stack([pose.keypoints for pose in dots.predict(image, people="all")])
    assert found == pytest.approx(np.array([far, near]), abs=1.0)
    (main,) = dots.predict(image)
    assert main.keypoints == pytest.approx(np.array(far), abs=1.0)  # surer, and as large
    dots.finder = Finds()
    assert dots.predict(image) == dots.predict(image, people="all") == []
    (given,) = dots.predict(image, [box_about(*near)])  # boxes that are given need no finder
    assert given.keypoints == pytest.approx(np.array(near), abs=1.0)
    assert next(dots.predict_many([image, image], [None, [box_about(*near)]])) == []
    with pytest.raises(UserError, match="people 'all' goes without boxes: leave out one"):
        dots.predict(image, [box_about(*near)], people="all")
    with pytest.raises(UserError, match="people must be one of one, all, got 'two'"):
        dots.predict(image, people="two")  # type: ignore[arg-type]


@pytest.mark.parametrize(("apart", "again"), [(900, False), (60, True)])
def test_a_jpeg_is_decoded_no_larger_than_finder_and_crops_need(
    dots: PoseEstimator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, apart: int, again: bool
) -> None:
    left, right = (1200.0, 900.0), (1200.0 + apart, 900.0 + apart)
    picture = dot_picture((2000, 2600), left, right, radius=apart / 20)
    Image.fromarray(picture).save(tmp_path / "large.jpg", quality=98)
    factors = []
    from spcnet.inference import people as module

    def counted(*arguments: object) -> object:
        found = read_reduced(*arguments)  # type: ignore[arg-type]
        factors.append(int(found.to_original[0, 0]))
        return found

    monkeypatch.setattr(module, "read_reduced", counted)
    assert isinstance(dots.finder, Bright)
    (of_file,) = dots.predict(tmp_path / "large.jpg")
    assert dots.finder.sizes == [(650, 500)]
    assert factors[0] == 4
    assert (len(factors) == 2 and factors[1] < 4) == again
    (of_array,) = dots.predict(picture)
    assert of_file.keypoints == pytest.approx(of_array.keypoints, abs=apart / 20)
    assert of_file.box == pytest.approx(of_array.box, abs=6)
