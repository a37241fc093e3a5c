"""Another model's points beside the labels."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from spcnet.data.annotations import AnnotatedPictures, Annotation
from spcnet.data.opinions import FEWEST, LEAST, with_opinions
from spcnet.errors import UserError
from spcnet.skeletons import COCO17, LSP14

ROWS = np.column_stack([np.arange(17) * 10, np.arange(17) * 20 + 5, np.full(17, 0.75)])


def labels(*numbers: int | None, name: str = "lspet") -> AnnotatedPictures:
    """Persons of one picture each: a.jpg, b.jpg and so on."""
    persons = [
        Annotation(
            f"{letter}.jpg", np.ones((14, 2)), np.full(14, 2, np.uint8), number=number
        )
        for letter, number in zip("abcdef", numbers, strict=False)
    ]  # fmt: skip
    return AnnotatedPictures(name, "train", LSP14, persons)


def unlabelled(*images: str) -> AnnotatedPictures:
    persons = [
        Annotation(image, np.zeros((17, 2)), np.zeros(17, np.uint8), box=np.array([0, 0, 99, 99.0]))
        for image in images
    ]
    return AnnotatedPictures("unlabelled", "all", COCO17, persons, boxed=False)


def write(path: Path, content: Any) -> Path:
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_persons_are_found_by_their_number_and_by_their_pictures_name(tmp_path: Path) -> None:
    other = ROWS + [1000, 0, 0]
    content = {"7": ROWS.tolist(), "b.jpg": other.tolist(), "99": other.tolist()}
    found = with_opinions(labels(7, None, 8), write(tmp_path / "o.json", content))
    by_number, by_name, neither = found.annotations
    assert np.array_equal(by_number.opinion, ROWS)
    assert np.array_equal(by_name.opinion, other)
    assert neither.opinion is None
    before = labels(7, None, 8)
    assert replace(found, annotations=[]) == replace(before, annotations=[])
    for person, plain in zip(found.annotations, before.annotations, strict=True):
        assert np.array_equal(person.points, plain.points)  # labels stay what they were
        assert np.array_equal(person.box, plain.box)


def test_a_number_goes_before_a_name(tmp_path: Path) -> None:
    content = {"a.jpg": (ROWS + [1000, 0, 0]).tolist(), "7": ROWS.tolist()}
    (person,) = with_opinions(labels(7), write(tmp_path / "o.json", content)).annotations
    assert np.array_equal(person.opinion, ROWS)


@pytest.mark.parametrize("nothing", [None, []])
def test_a_person_of_whom_the_model_says_nothing_keeps_the_labels_alone(
    tmp_path: Path, nothing: Any
) -> None:
    path = write(tmp_path / "o.json", {"1": nothing, "2": ROWS.tolist()})
    first, second = with_opinions(labels(1, 2), path).annotations
    assert first.opinion is None
    assert second.opinion is not None


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ({"1": ROWS[:16].tolist()}, r"the opinion on a\.jpg is not 17 x \[x, y, probability\]"),
        ({"1": ROWS[:, :2].tolist()}, r"the opinion on a\.jpg is not 17 x"),
        ({"1": [[1, 2, 0.5]] * 16 + [[1, 2]]}, r"the opinion on a\.jpg is not 17 x"),
        ({"1": [["x", 2, 0.5]] * 17}, r"the opinion on a\.jpg is not 17 x"),
        ({"1": [[float("nan"), 2, 0.5]] * 17}, r"the opinion on a\.jpg is not 17 x"),
        ({"1": {"nose": 3}}, r"the opinion on a\.jpg is not 17 x"),
        ({"1": [[1, 2, 1.01]] * 17}, "probabilities beyond 0 and 1"),
        ({"1": [[1, 2, -0.01]] * 17}, "probabilities beyond 0 and 1"),
        ({"c.jpg": ROWS.tolist()}, r"none of the 2 persons of lspet train; .* like c\.jpg"),
        ({}, "none of the 2 persons"),
        ({"1": None}, "none of the 2 persons"),
        ([ROWS.tolist()], "opinions must be one JSON object"),
        ("{", "not a file of opinions, or half a download"),
    ],
)
def test_files_that_are_not_opinions_are_refused(tmp_path: Path, content: Any, told: str) -> None:
    path = write(tmp_path / "o.json", content)
    with pytest.raises(UserError, match=told) as caught:
        with_opinions(labels(1, 2), path)
    assert str(path) in str(caught.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"gone\.json: no such file"):
        with_opinions(labels(1), tmp_path / "gone.json")


def test_an_unlabelled_person_gets_the_box_of_the_probable_points_grown_by_a_tenth(
    tmp_path: Path,
) -> None:
    rows = np.column_stack([np.full((17, 2), -500.0), np.full(17, LEAST - 0.01)])
    rows[3] = [100, 40, LEAST]
    rows[[5, 9, 16]] = [[300, 200, 0.9], [150, 440, 0.5], [200, 100, 1.0]]
    path = write(tmp_path / "o.json", {"a.jpg": rows.tolist()})
    (person,) = with_opinions(unlabelled("a.jpg", "b.jpg"), path).annotations  # b is not known
    assert person.box.tolist() == [90, 20, 310, 460]  # 200 and 400 px, 5 % of them on each side
    assert np.array_equal(person.opinion, rows)


def test_an_unlabelled_person_with_too_few_probable_points_is_left_out(tmp_path: Path) -> None:
    few = ROWS.copy()
    few[FEWEST - 1 :, 2] = LEAST - 0.01
    path = write(tmp_path / "o.json", {"a.jpg": few.tolist(), "b.jpg": ROWS.tolist()})
    kept = with_opinions(unlabelled("a.jpg", "b.jpg"), path).annotations
    assert [person.image for person in kept] == ["b.jpg"]
    # With labels, a person stays however little the model sees.
    path = write(tmp_path / "few.json", {"a.jpg": few.tolist()})
    assert len(with_opinions(labels(None), path)) == 1
