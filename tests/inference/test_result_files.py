"""Results read back: of today's form, and of what earlier versions wrote."""

import copy
import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from result_documents import (
    METHOD,
    check_result,
    old_answer,
    old_coco,
    old_frames,
    pose,
    video_document,
)  # fmt: skip

from spcnet.angles import measure_angles
from spcnet.errors import UserError
from spcnet.inference import result_files
from spcnet.inference.documents import coco_document, result_info
from spcnet.inference.pose import Pose
from spcnet.inference.result_files import (
    FORMATS,
    Format,
    as_result,
    poses_of,
    read_result,
    result_angles,
)
from spcnet.skeletons import BODY19, LSP14, Skeleton
from spcnet.tables import table_file, to_records


def save(path: Path, content: Any) -> Path:
    path.write_text(json.dumps(content))
    return path


def test_todays_results_are_read_as_they_are(tmp_path: Path) -> None:
    pictures = [("a.jpg", (100, 120), [pose(1, 0.5), pose(2)]), ("b.jpg", (50, 60), [])]
    written = coco_document(pictures, LSP14, result_info(METHOD, "a test's"))
    path = save(tmp_path / "a.pose.json", written)
    assert read_result(path) == written
    (image, people), (_, nobody) = poses_of(written)
    assert (image["file_name"], list(people), nobody) == ("a.jpg", [0, 1], {})
    for found, made in zip(people.values(), pictures[0][2], strict=True):
        assert found.to_coco() == made.to_coco()
        assert found.skeleton == LSP14 and found.presence == made.presence
    zipped = tmp_path / "a.json.gz"
    zipped.write_bytes(gzip.compress(path.read_bytes()))
    assert read_result(zipped) == written


def test_an_earlier_video_becomes_what_is_written_today(tmp_path: Path) -> None:
    found = check_result(read_result(save(tmp_path / "walk.json", old_frames())))
    today = video_document()
    assert found["info"] == {"description": old_frames()["info"]["description"],
                             "schema": "spcnet-result-1"}  # fmt: skip
    for part in ("videos", "images", "annotations", "categories"):
        assert found[part] == today[part]
    tracks = [(row["image_id"], row["track_id"]) for row in found["annotations"]]
    assert tracks == [(1, 0), (3, 0), (3, 1), (4, 0)]


def test_an_earlier_answer_becomes_what_is_answered_today(tmp_path: Path) -> None:
    found = check_result(read_result(save(tmp_path / "my photo.pose.json", old_answer())))
    today = coco_document([("my photo", (100, 120), [pose(1)])], LSP14)
    for part in ("images", "annotations", "categories"):
        assert found[part] == today[part]
    assert found["info"]["description"] == "spcnet 0.1.0, model default, on cpu"
    own = Skeleton("mine", tuple(f"joint{n}" for n in range(14)), (("joint0", "joint3"),))
    mine = check_result(as_result(Path("a.json"), old_answer(own)))
    assert mine["categories"][0]["skeleton"] == [[1, 4]]
    assert mine["categories"][0]["keypoints"] == list(own.joints)


def test_an_earlier_coco_file_keeps_its_method(tmp_path: Path) -> None:
    found = check_result(read_result(save(tmp_path / "poses.json", old_coco())))
    assert found["info"]["method"] == METHOD.to_dict()
    assert found["annotations"] == old_coco()["annotations"]
    bare = old_coco()
    del bare["info"]
    assert check_result(as_result(Path("a.json"), bare))["info"] == {"schema": "spcnet-result-1"}


def test_angles_of_a_result_are_those_of_its_table(tmp_path: Path) -> None:
    path = save(tmp_path / "walk.json", video_document())
    with table_file(tmp_path / "walk.csv", LSP14, "angles") as table:
        for image, people in poses_of(read_result(path)):
            rows = to_records(people, frame=image["frame_id"], time=image["time"], what="angles")
            table.write(rows)
    lines = (tmp_path / "walk.csv").read_text().splitlines()
    assert len(lines) == 1 + 4 * len(measure_angles(*arrays(1), LSP14).names)
    times, found = result_angles(path)
    assert times.tolist() == [0, 2 / 25, 3 / 25]
    expected = measure_angles(*arrays(1, 2, 4), LSP14)
    assert found.names == expected.names and np.array_equal(found.degrees, expected.degrees)
    assert result_angles(save(tmp_path / "old.json", old_frames()), 1)[0].tolist() == [2 / 25]
    with pytest.raises(UserError, match=r"walk\.json: no person 7 of a video; there are 0, 1"):
        result_angles(path, 7)
    with pytest.raises(UserError, match="no person 0 of a video; there is none"):
        result_angles(save(tmp_path / "pictures.json", old_coco()))


def arrays(*seeds: int) -> tuple[np.ndarray, np.ndarray]:
    found = [pose(seed) for seed in seeds]
    return np.stack([p.keypoints for p in found]), np.stack([p.scores for p in found])


def changed(document: dict[str, Any], place: tuple[Any, ...], value: Any) -> dict[str, Any]:
    document = copy.deepcopy(document)
    holder: Any = document
    for key in place[:-1]:
        holder = holder[key]
    holder[place[-1]] = value
    return document


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ([], "no results that can be read; it holds no object; wanted: results of spcnet-"),
        ({"frames": []}, "no results that can be read"),
        (changed(video_document(), ("info", "schema"), "spcnet-result-2"),
         "spcnet-result-2 is read by a newer spcnet; this reads spcnet-result-1"),
        (changed(video_document(), ("images", 1, "time"), None),
         r"not results of spcnet-result-1: wanted a number, got None"),
        (changed(old_coco(), ("annotations", 0, "keypoint_scores"), [0.5]),
         "not COCO keypoints of spcnet predict .*: wanted 14 numbers"),
        (changed(old_coco(), ("annotations", 0, "keypoint_scores", 3), 1.01),
         "a joint's score is beyond 0..1"),
        (changed(old_coco(), ("annotations", 1, "image_id"), 9),
         "image_id 9 is of none of the images"),
        (changed(old_coco(), ("annotations", 1, "mine"), float("inf")), "not JSON compliant"),
        (changed(old_coco(), ("info", "method"), {}), "not a method: 'persons' is missing"),
        (changed(old_coco(), ("categories", 0, "skeleton", 0), [0, 1]),
         "limbs must count joints from 1 to 14"),
        (changed(old_frames(), ("frames", 0, "poses", 0, "box"), [1, 2, float("nan"), 4]),
         "not an earlier video's frames .*: wanted 4 numbers"),
        (changed(old_answer(), ("poses", 0, "keypoints"), []), "not an earlier service's answer"),
        ({k: v for k, v in old_answer().items() if k != "model"}, "'model' is missing"),
        ({k: v for k, v in old_frames().items() if k != "skeleton"},
         r"it holds info, video, frames; wanted: .* frames \(video, skeleton, frames, info\)"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_one_line(tmp_path: Path, content: Any, told: str) -> None:
    path = save(tmp_path / "a.json", content)
    with pytest.raises(UserError, match=told) as refused:
        read_result(path)
    assert str(refused.value).startswith(f"{path}: ") and "\n" not in str(refused.value)


def test_files_of_no_known_suffix_and_broken_ones_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"a\.csv: results are \.json files, got \.csv"):
        read_result(tmp_path / "a.csv")
    with pytest.raises(UserError, match=r"a\.json: no such file"):
        read_result(tmp_path / "a.json")
    (tmp_path / "b.json").write_text('{"info": ')
    with pytest.raises(UserError, match=r"b\.json: not results, or half a download"):
        read_result(tmp_path / "b.json")


def test_another_form_is_one_more_entry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of files that are no JSON too: here one line for each joint, of one person."""

    def load(path: Path, *, wanted: str) -> list[str]:
        return path.read_text().splitlines()

    def read(path: Path, lines: list[str]) -> dict[str, Any]:
        values = np.array([line.split() for line in lines], float)
        found = Pose(values[:, :2], values[:, 2], np.array([0.0, 0, 9, 9]), BODY19)
        return coco_document([(path.stem, (10, 10), [found])], BODY19)

    entry = Format("lines of x, y, score", lambda lines: len(lines) == 19, read, ".txt", load)
    monkeypatch.setattr(result_files, "FORMATS", {**FORMATS, "lines": entry})
    (tmp_path / "a.txt").write_text("1 2 0.5\n" * 19)
    assert check_result(read_result(tmp_path / "a.txt"))["images"][0]["file_name"] == "a"
    (tmp_path / "b.txt").write_text("1 2\n")
    with pytest.raises(UserError, match="no results that can be read"):
        read_result(tmp_path / "b.txt")
