"""COCO's AP of files, held against pycocotools: whose pictures, whose categories."""

import contextlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from spcnet.data.coco import coco_labels
from spcnet.errors import UserError
from spcnet.evaluation.predictions import read_predictions
from spcnet.evaluation.scoring import score_predictions
from spcnet.skeletons import COCO17

PERSON = COCO17.to_coco_category()
BODY = np.random.default_rng(5).uniform(0, 1, (17, 2))


def person(number: int, image: int, x: float, y: float, side: float, **more: Any) -> dict[str, Any]:
    points = np.column_stack([[x, y] + side * BODY, np.full(17, 2)])
    return {
        "id": number, "image_id": image, "category_id": 1, "iscrowd": 0, "num_keypoints": 17,
        "keypoints": points.ravel().tolist(), "bbox": [x, y, side, side], "area": side**2 / 2,
        **more,
    }  # fmt: skip


def detection(of: dict[str, Any], score: float, **more: Any) -> dict[str, Any]:
    same = {name: of[name] for name in ("image_id", "category_id", "keypoints")}
    return {**same, "score": score, **more}


def files(folder: Path, people: list[Any], found: list[Any], images: int) -> tuple[Path, Path]:
    truth = {
        "images": [{"id": n, "file_name": f"{n}.jpg"} for n in range(1, images + 1)],
        "annotations": people,
        "categories": [PERSON, {"id": 2, "name": "carrot"}],
    }
    paths = folder / "gt.json", folder / "p.json"
    for path, content in zip(paths, (truth, found), strict=True):
        path.write_text(json.dumps(content))
    return paths


def ours(paths: tuple[Path, Path], sigmas: dict[str, float] | None = None) -> list[float]:
    protocol = "coco-oks" if sigmas is None else "oks"
    found = score_predictions(
        read_predictions(paths[1]), coco_labels(paths[0]), protocol=protocol, sigmas=sigmas
    )
    return [found.mean, *found.parts.values()]


def theirs(paths: tuple[Path, Path], sigmas: dict[str, float] | None = None) -> list[float]:
    coco = pytest.importorskip("pycocotools.coco")
    scoring = pytest.importorskip("pycocotools.cocoeval")
    with contextlib.redirect_stdout(io.StringIO()):
        truth = coco.COCO(str(paths[0]))
        score = scoring.COCOeval(truth, truth.loadRes(str(paths[1])), "keypoints")
        score.params.catIds = [1]  # the carrots have no keypoints to be scored by
        if sigmas is not None:
            score.params.kpt_oks_sigmas = np.array(list(sigmas.values()))
        score.evaluate()
        score.accumulate()
        score.summarize()
    stats = 100 * np.where(score.stats == -1, np.nan, score.stats)
    return stats[:6].tolist()


@pytest.mark.parametrize("seed", range(12))
def test_random_files_score_as_pycocotools_has_them(tmp_path: Path, seed: int) -> None:
    random = np.random.default_rng(seed)
    images = 12
    people: list[dict[str, Any]] = []
    found: list[dict[str, Any]] = []
    for number in range(1, 25):
        image = int(random.integers(1, images - 3))  # the last ones have nobody
        one = person(number, image, *random.uniform(0, 60, 2), float(random.uniform(20, 200)))
        values = np.array(one["keypoints"]).reshape(17, 3)
        values[random.random(17) < 0.3] = 0
        if random.random() < 0.1:
            values[:] = 0
        one["keypoints"], one["num_keypoints"] = (
            values.ravel().tolist(),
            int((values > 0)[:, 2].sum()),
        )
        one["iscrowd"] = int(random.random() < 0.1)
        people.append(one)
        whole = person(number, image, *one["bbox"][:3])
        moved = np.array(whole["keypoints"]).reshape(17, 3)
        moved[:, :2] += random.normal(0, one["bbox"][2] * random.uniform(0, 0.15), (17, 2))
        whole["keypoints"] = moved.ravel().tolist()
        for _ in range(int(random.integers(0, 3))):
            found.append(detection(whole, round(float(random.random()), 6)))
        if random.random() < 0.3:
            empty = {"image_id": int(random.integers(images - 3, images + 1))}
            found.append(detection(whole, round(float(random.random()), 6), **empty))
        if random.random() < 0.3:
            found.append(detection(whole, 0.99, category_id=2))
    paths = files(tmp_path, people, found, images)
    assert ours(paths) == pytest.approx(theirs(paths), abs=1e-6, nan_ok=True)
    own = dict(zip(COCO17.joints, random.uniform(0.01, 0.2, 17), strict=True))
    assert ours(paths, own) == pytest.approx(theirs(paths, own), abs=1e-6, nan_ok=True)


def test_detections_in_pictures_without_persons_are_wrong(tmp_path: Path) -> None:
    people = [person(n, n, 10, 20, 120) for n in range(1, 5)]
    found = [detection(of, 0.9) for of in people]
    found += [detection(people[0], 0.99, image_id=image) for image in (5, 6)]
    score = ours(files(tmp_path, people, found, 6))
    assert score[0] == pytest.approx(200 / 3)
    assert score[-1] == pytest.approx(100)


def test_other_categories_are_not_scored(tmp_path: Path) -> None:
    people = [person(n, n, 10, 20, 120) for n in range(1, 5)]
    found = [detection(of, 0.5) for of in people]
    found += [detection(of, 0.99, category_id=2) for of in people]
    assert ours(files(tmp_path, people, found, 4))[0] == pytest.approx(100)
    found = [row | {"category_id": 2} for row in found]
    with pytest.raises(UserError, match=r"no prediction is of category 1, .* they are of 2"):
        ours(files(tmp_path, people, found, 4))


def test_pictures_that_the_labels_do_not_list_are_refused(tmp_path: Path) -> None:
    people = [person(n, n, 10, 20, 120) for n in range(1, 5)]
    found = [detection(of, 0.9) for of in people] + [detection(people[0], 0.5, image_id=77)]
    paths = files(tmp_path, people, found, 4)
    for protocol in ("coco-oks", "pck-box"):
        with pytest.raises(UserError, match=r"pictures of 1 of 5 predictions, such as 77"):
            score_predictions(read_predictions(paths[1]), coco_labels(paths[0]), protocol=protocol)


def test_pictures_of_another_split_are_neither_right_nor_wrong(tmp_path: Path) -> None:
    people = [person(n, n, 10, 20, 120) for n in range(1, 5)]
    truth, predicted = files(tmp_path, people, [detection(of, 0.9) for of in people], 4)
    score = score_predictions(
        read_predictions(predicted), coco_labels(truth, "1-2"), protocol="coco-oks"
    )
    assert (score.mean, score.persons) == (pytest.approx(100), 2)


@pytest.mark.parametrize("form", ["nested", "pairs", "float ids", "text ids", "nulls as far away"])
def test_predictions_of_any_usual_form_are_read(tmp_path: Path, form: str) -> None:
    people = [person(n, n, 10, 20, 120) for n in range(1, 5)]
    found = [detection(of, 0.9) for of in people]
    wanted = 100.0
    for row in found:
        values = np.array(row["keypoints"]).reshape(17, 3)
        if form == "nested":
            row["keypoints"] = values.tolist()
        elif form == "pairs":
            row |= {"keypoints": values[:, :2].tolist(), "keypoint_scores": [1] * 17}
        elif form == "nulls as far away":
            row["keypoints"] = [None, None, None, *row["keypoints"][3:]]
            wanted = 90.0  # 16 of 17 joints are less than 0.95
        else:
            row["image_id"] = (float if form == "float ids" else str)(row["image_id"])
    assert ours(files(tmp_path, people, found, 4))[0] == pytest.approx(wanted)
