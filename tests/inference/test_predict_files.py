import json
import threading
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from spcnet.errors import UserError
from spcnet.inference import crops as crops_module
from spcnet.inference import files
from spcnet.inference.documents import CocoCollection, coco_document
from spcnet.inference.estimator import PoseEstimator
from spcnet.inference.files import Failed, Predicted, predict_files
from spcnet.inference.pose import Pose
from spcnet.media.images import read_image
from spcnet.skeletons import LSP14
from spcnet.synthetic.figure import render_figure

WHOLE = [[0, 0, 30, 30]]


@pytest.fixture(scope="module")
def tiny(tiny_checkpoint: Path) -> PoseEstimator:
    return PoseEstimator(str(tiny_checkpoint), device="cpu", batch_size=3)


def pictures(folder: Path, count: int) -> list[str]:
    rng = np.random.default_rng(0)
    paths = []
    for n in range(count):
        paths.append(str(folder / f"{n}.png"))
        Image.fromarray(rng.integers(0, 255, (30 + n, 40, 3), dtype=np.uint8)).save(paths[-1])
    return paths


def test_faults_leave_the_other_pictures_of_their_group_alone(
    tiny: PoseEstimator, tmp_path: Path
) -> None:
    paths = pictures(tmp_path, 7)
    Path(paths[1]).write_text("no picture")
    Path(paths[6]).unlink()

    def boxes_of(path: str) -> list[list[float]]:
        if path == paths[3]:
            raise UserError("nobody knows")
        return [[90, 90, 99, 99]] if path == paths[4] else [*WHOLE, *WHOLE]

    outcomes = list(predict_files(tiny, paths, boxes_of))
    assert [outcome.path for outcome in outcomes] == paths
    assert [outcome.ahead for outcome in outcomes] == [2, 1, 0, 2, 1, 0, 0]  # three at a time
    failed = {paths.index(one.path): one.reason for one in outcomes if isinstance(one, Failed)}
    assert sorted(failed) == [1, 3, 4, 6]
    assert failed[3] == f"{paths[3]}: nobody knows"
    assert failed[4].startswith(f"{paths[4]}: box 90,90,99,99 lies outside")
    for n in (0, 2, 5):
        outcome = outcomes[n]
        assert isinstance(outcome, Predicted) and outcome.picture.shape[0] == 30 + n
        alone = tiny.predict(paths[n], [*WHOLE, *WHOLE])
        for pose, expected in zip(outcome.poses, alone, strict=True):
            assert pose.keypoints == pytest.approx(expected.keypoints, abs=1e-3)


def test_one_group_is_read_ahead_and_no_more(tiny: PoseEstimator, tmp_path: Path) -> None:
    paths = pictures(tmp_path, 10)
    asked: list[str] = []
    third = threading.Event()

    def boxes_of(path: str) -> list[list[float]]:
        asked.append(path)
        if len(asked) == 6:
            third.set()
        return WHOLE

    outcomes = predict_files(tiny, paths, boxes_of)
    next(outcomes)
    assert third.wait(60)
    assert asked == paths[:6]
    assert len(list(outcomes)) == 9


def test_large_pictures_make_small_groups(
    tiny: PoseEstimator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "GROUP_PIXELS", 30 * 40)
    outcomes = list(predict_files(tiny, pictures(tmp_path, 3)))
    assert [outcome.ahead for outcome in outcomes] == [0, 0, 0]


class Finds:
    """A `PersonDetector` that finds the same in every picture."""

    def __init__(self, boxes: list[list[float]]) -> None:
        self.boxes = np.array(boxes)

    def detect(self, picture: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return self.boxes, np.ones(len(self.boxes))


def test_greys_of_a_folder_share_a_range(tiny: PoseEstimator, tmp_path: Path) -> None:
    deep = np.full((40, 40), 1000, dtype=np.uint16)
    paths = [str(tmp_path / f"{n}.png") for n in range(2)]
    for path, brightest in zip(paths, (1023, 1024), strict=True):
        deep[0, 0] = brightest
        Image.fromarray(deep).save(path)
    for outcome in predict_files(tiny, paths, lambda path: WHOLE):
        assert isinstance(outcome, Predicted) and outcome.picture is not None
        assert outcome.picture[9, 9, 0] == 249


def jpegs(folder: Path, count: int, *, side: int) -> list[str]:
    paths = [str(folder / f"{n}.jpg") for n in range(count)]
    for n, path in enumerate(paths):
        Image.fromarray(render_figure(n).image).resize((side, side)).save(path, quality=95)
    return paths


def test_pictures_are_predicted_from_no_more_pixels_than_their_crops_need(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = []
    extract = crops_module.extract_crop

    def seen(image: np.ndarray, affine: np.ndarray, size: int) -> np.ndarray:
        sizes.append(image.shape[0])
        return extract(image, affine, size)

    monkeypatch.setattr(crops_module, "extract_crop", seen)
    default = PoseEstimator(device="cpu")
    path, small = jpegs(tmp_path, 2, side=1600)
    boxes = {path: [[100, 0, 1599, 1599]], small: [[500, 500, 1100, 900], [0, 0, 1599, 1599]]}
    reduced, both = predict_files(default, [path, small], boxes.get, keep=False)
    assert sizes == [400, 800, 800]  # crops of 1874 and 750 pixels, and twice 160 are needed
    assert isinstance(reduced, Predicted) and reduced.picture is None
    assert isinstance(both, Predicted) and both.shape == reduced.shape == (1600, 1600)
    assert reduced.poses[0].box.tolist() == [100, 0, 1599, 1599]
    kept, _ = predict_files(default, [path, small], boxes.get)
    assert isinstance(kept, Predicted) and kept.picture is not None
    assert np.array_equal(kept.picture, read_image(path))
    assert kept.poses[0].keypoints == pytest.approx(reduced.poses[0].keypoints, abs=1e-3)
    (whole,) = predict_files(default, [path], detector=Finds(boxes[path]))
    assert isinstance(whole, Predicted) and sizes[-1] == 1600
    apart = np.linalg.norm(whole.poses[0].keypoints - reduced.poses[0].keypoints, axis=1)
    assert np.median(apart) / 1874 * 160 < 0.3
    with pytest.raises(ValueError, match="not both"):
        next(predict_files(default, [path], boxes.get, detector=Finds(WHOLE)))


def test_a_collection_is_one_document_of_all(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    poses = [
        Pose(rng.uniform(0, 9, (14, 2)).astype(np.float32), rng.uniform(0, 1, 14), box, LSP14)
        for box in rng.integers(0, 9, (3, 4)).astype(np.float32)
    ]
    images = [("a.jpg", (5, 6), poses[:2]), ("b/ü.jpg", (7, 8), []), ("c.jpg", (9, 9), poses[2:])]
    collection = CocoCollection({"info": {"x": 1}}, LSP14)
    for image in images:
        collection.add(coco_document([image], LSP14))
    file = StringIO()
    collection.save(file)
    assert json.loads(file.getvalue()) == coco_document(images, LSP14, {"x": 1})
    assert collection.pictures == 3
    empty = StringIO()
    CocoCollection({}, LSP14).save(empty)
    assert json.loads(empty.getvalue())["images"] == []
