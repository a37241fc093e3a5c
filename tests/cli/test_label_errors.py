"""Wrong labels, from the model's maps to the corrected file."""

import json
import re
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import fails, spcnet
from PIL import Image

from spcnet.cli import label_errors
from spcnet.codec import Codec
from spcnet.data.annotations import AnnotatedPictures, Annotation
from spcnet.data.coco import coco_labels
from spcnet.data.coco_files import keypoint_file, label_row
from spcnet.data.corrections import correct
from spcnet.errors import UserError
from spcnet.evaluation import overlap
from spcnet.evaluation.label_errors import Beliefs, about, find_errors
from spcnet.evaluation.overlap import LearnedFrom
from spcnet.skeletons import LSP14
from spcnet.viz.label_page import Case, label_page

WRIST, OTHER = LSP14.index("left_wrist"), LSP14.index("right_wrist")
TRUTH = np.column_stack([np.linspace(20, 140, 14), np.linspace(20, 220, 14)])


def judged(changes: dict[int, np.ndarray], *, found: np.ndarray = TRUTH, score: float = 0.9):
    """The suspects of one person whose labels are the truth, but for these joints.

    The model finds `found`, and believes in a label where it is within 10 pixels of that.
    """
    points = TRUTH.copy()
    for joint, place in changes.items():
        points[joint] = place
    labels = people(points)
    flip = list(LSP14.flip_permutation)
    near = [np.linalg.norm(found - of, axis=1) < 10 for of in (points, points[flip])]
    scores = np.full((1, 14), score)
    beliefs = Beliefs(found[None], scores, *(scores * of for of in near))
    return find_errors(labels, beliefs, "pck-box")


def people(*points: np.ndarray, box: bool = True) -> AnnotatedPictures:
    persons = [
        Annotation("a.png", of, np.full(14, 2, np.uint8), number=n,
                   **({"box": np.array([20.0, 20.0, 140.0, 220.0])} if box else {}))
        for n, of in enumerate(points, start=1)
    ]  # fmt: skip
    return AnnotatedPictures("coco", "all", LSP14, persons)


def coco_document(labels: AnnotatedPictures) -> dict[str, Any]:
    persons = labels.annotations
    return keypoint_file(persons, map(label_row, persons), labels.skeleton)


def test_right_labels_are_not_flagged() -> None:
    assert judged({}) == []
    assert judged({WRIST: TRUTH[WRIST] + 5}) == []  # 7 px, and 10 are right


def test_an_exchanged_pair_is_one_inversion() -> None:
    (one,) = judged({WRIST: TRUTH[OTHER], OTHER: TRUTH[WRIST]})
    assert {one.joint, one.partner} == {"left_wrist", "right_wrist"}
    assert (one.kind, one.remedy) == ("inversion", "exchange")
    assert one.suspicion == pytest.approx(0.9)


def test_a_label_moved_far_is_a_miss_and_one_moved_a_little_jitter() -> None:
    (far,) = judged({WRIST: np.array([20.0, 220.0])})
    assert (far.joint, far.kind, far.remedy, far.partner) == ("left_wrist", "miss", "move", None)
    assert far.prediction == pytest.approx(TRUTH[WRIST], abs=0.01)
    assert far.size == pytest.approx(np.linalg.norm(TRUTH[WRIST] - [20, 220]) / 200, abs=1e-3)
    assert far.unit == "box"
    (near,) = judged({WRIST: TRUTH[WRIST] + [15, 0]})
    assert near.kind == "jitter"


def test_a_label_on_a_neighbours_joint_is_a_swap() -> None:
    neighbour = TRUTH + [300, 0]
    points = TRUTH.copy()
    points[WRIST] = neighbour[WRIST]
    labels = people(points, neighbour)
    scores = np.full((2, 14), 0.9)
    given = scores.copy()
    given[0, WRIST] = 0
    beliefs = Beliefs(np.stack([TRUTH, neighbour]), scores, given, np.zeros_like(scores))
    assert [(of.joint, of.kind) for of in find_errors(labels, beliefs, "pck-box")] == [
        ("left_wrist", "swap")
    ]


def test_an_unsure_prediction_takes_the_label_away_or_says_nothing() -> None:
    (one,) = judged({WRIST: np.array([20.0, 220.0])}, score=0.4)
    assert one.remedy == "unlabel"
    assert judged({WRIST: np.array([20.0, 220.0])}, score=0.2) == []


def test_the_mass_about_a_point_is_a_probability() -> None:
    codec = Codec(input_size=64, heatmap="softmax", sigma=1.0)
    maps = np.zeros((1, 16, 16), np.float32)
    maps[0, 3, 10], maps[0, 12, 2] = 0.75 * codec.mass, 0.25 * codec.mass
    square = (np.array([31.5, 31.5]), 64.0)  # the crop is the picture
    at = [np.array([[41.5, 13.5]]), np.array([[9.5, 49.5]]), np.array([[30.0, 30.0]])]
    masses = about(maps, codec, square, at, reach=6.0)
    assert masses[:, 0] == pytest.approx([0.75, 0.25, 0.0])


def test_corrections_change_what_they_say_and_come_back() -> None:
    points = TRUTH.copy()
    points[[WRIST, OTHER]] = points[[OTHER, WRIST]]
    document = coco_document(people(points, box=False))
    before = json.dumps(document)
    assert "bbox" not in document["annotations"][0]  # it follows the joints
    rows = [asdict(of) for of in judged({WRIST: TRUTH[OTHER], OTHER: TRUTH[WRIST]})]
    correct(document, rows, LSP14)
    assert document == coco_document(people(TRUTH, box=False))
    with pytest.raises(UserError, match=r"a.png .*_wrist: the labels are not those that were"):
        correct(document, rows, LSP14)
    back = dict(rows[0], label=rows[0]["partner_label"], partner_label=rows[0]["label"])
    correct(document, [back], LSP14)
    assert json.dumps(document) == before


def test_a_joint_that_is_not_labelled_any_more_counts_no_more() -> None:
    document = coco_document(people(TRUTH))
    x, y = TRUTH[WRIST].tolist()
    row = {"picture": "a.png", "person": 1, "joint": "left_wrist", "partner": None,
           "remedy": "unlabel", "label": [x, y], "partner_label": None}  # fmt: skip
    correct(document, [row], LSP14)
    person = document["annotations"][0]
    assert person["keypoints"][3 * WRIST : 3 * WRIST + 3] == [0, 0, 0]
    assert person["num_keypoints"] == 13


def test_a_page_has_its_rows_and_fetches_nothing() -> None:
    name = "</script><b>"
    cases = [Case(f"{name} #1", {"label": b"jpeg"}, {0: "left wrist: miss"})]
    page = label_page(cases, {"rows": [{"picture": name}]}, title="t", note="n")
    assert 'data-row="0"' in page and "left wrist: miss" in page
    assert name not in page and "\\u003c/script>" in page
    assert "default-src 'none'" in page
    assert not re.search(r"""(src|href)=["'](?!data:)|https?://""", page)


@pytest.fixture
def figures(tmp_path: Path) -> Path:
    Image.new("RGB", (160, 240), (90, 90, 90)).save(tmp_path / "a.png")
    labels = tmp_path / "labels.json"
    labels.write_text(json.dumps(coco_document(people(TRUTH, TRUTH + 4))))
    return labels


def test_the_command_from_labels_to_a_corrected_file(
    figures: Path, tmp_path: Path, tiny_checkpoint: Path
) -> None:
    fold = ("--fold", f"{tiny_checkpoint}:all")
    done = spcnet("data", "errors", "coco", "--root", figures, *fold, "-o", tmp_path / "wrong")
    assert done.returncode == 0, done.stderr
    assert "learned from is not known in full; see --fold" in done.stderr
    call = ("data", "errors", "coco", "--root", figures, *fold)
    fails(*call, *fold, "-o", tmp_path / "n", told="a person is in the splits twice")
    rows = json.loads((tmp_path / "wrong" / "errors.json").read_text())["rows"]
    page = (tmp_path / "wrong" / "index.html").read_text()
    assert page.count('class="row"') == len(rows)  # few: an untrained network believes little
    told = "already exists; --force"
    fails(*call, "-o", tmp_path / "wrong", told=told)
    made = [asdict(of) for of in judged({WRIST: np.array([20.0, 220.0])})]
    made[0] |= {"label": TRUTH[WRIST].tolist(), "prediction": [30.0, 40.5], "decision": "accept"}
    decisions = tmp_path / "decisions.json"
    document = {"dataset": "coco", "splits": ["all"], "rows": made}
    decisions.write_text(json.dumps(document))
    apply = ("data", "errors", "--apply", decisions, "--root")
    done = spcnet(*apply, figures, "-o", tmp_path / "new.json")
    assert done.returncode == 0, done.stderr
    assert "1 row carried out: 0 exchange, 1 move, 0 unlabel" in done.stdout
    old, new = (coco_labels(of).annotations for of in (figures, tmp_path / "new.json"))
    assert new[0].points[WRIST].tolist() == [30.0, 40.5]
    assert np.array_equal(np.delete(new[0].points, WRIST, 0), np.delete(old[0].points, WRIST, 0))
    assert np.array_equal(new[1].points, old[1].points)
    fails(*apply, figures, "-o", tmp_path / "new.json", told="already exists; --force")
    fails(*apply, tmp_path / "new.json", "-o", tmp_path / "n", told="not those that were judged")
    fails(*apply, tmp_path, "-o", tmp_path / "n", told="name the COCO file itself")
    decisions.write_text(json.dumps(document | {"rows": [made[0] | {"decision": "maybe"}]}))
    fails(*apply, figures, "-o", tmp_path / "n", told="accept, reject or null")
    decisions.write_text("[]")
    fails(*apply, figures, "-o", tmp_path / "n", told="not decisions")


def test_a_model_that_learned_from_the_labels_is_named(
    figures: Path, tmp_path: Path, tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(label_errors, "say", said.append)
    shared = LearnedFrom(["a.png"], known=True)
    monkeypatch.setattr(overlap, "learned_from", lambda *given: shared)
    label_errors.errors(tmp_path / "w", "coco", figures, "all", model=str(tiny_checkpoint))
    assert "learned from 1 of these pictures, such as a.png; a model agrees" in said[0]
    assert "--fold MODEL:SPLIT" in said[0]


def test_wrong_calls_get_one_line(figures: Path, tmp_path: Path) -> None:
    call = ("data", "errors", "coco", "-o", tmp_path / "w")
    fails(*call, told="needs its folder")
    fails(*call, "--root", figures, "--fold", "x", told="write MODEL:SPLIT")
    fails("data", "errors", "dogs", "--root", figures, "-o", tmp_path / "w", told="dogs")
    assert not (tmp_path / "w").exists()
    assert spcnet("data", "errors", "-o", tmp_path / "w").returncode == 2
    assert spcnet(*call, "--fold", "a:b", "--split", "c").returncode == 2


def test_labels_without_their_own_box_keep_a_box_that_differs() -> None:
    person = replace(people(TRUTH).annotations[0], box=np.array([0.0, 0.0, 150.0, 230.0]))
    document = coco_document(replace(people(TRUTH), annotations=[person]))
    assert document["annotations"][0]["bbox"] == [0.0, 0.0, 150.0, 230.0]
