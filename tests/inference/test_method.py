import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import OnnxModels
from hypothesis import given
from hypothesis import strategies as st

from spcnet.cli.parsing import persons_in_words
from spcnet.cli.predict import difference_in_words
from spcnet.errors import UserError
from spcnet.inference.estimator import PoseEstimator
from spcnet.inference.method import Method, PersonSource, digest_of

PERSONS = PersonSource(kind="finder", name="finder", digest="ab", threshold=0.25, people="one")
METHOD = Method(
    version="0.1.0", model="default", weights="0123", precision="fp32", refinement="mass",
    flip=False, scales=None, rotations=(0.0,), skeleton="lsp14", persons=PERSONS,
)  # fmt: skip


def test_names_are_for_people_and_the_rest_tells_methods_apart() -> None:
    same = replace(METHOD, model="model", persons=replace(PERSONS, name="mine"))
    assert same == METHOD and METHOD.differences(same) == []
    for name, value in (
        ("weights", "4567"), ("precision", "bf16"), ("flip", True), ("scales", (0.9, 1.1)),
        ("rotations", (-15.0, 15.0)), ("skeleton", "coco17"), ("version", "2"),
        ("refinement", "dark"), ("smoothing", "one-euro"),
    ):  # fmt: skip
        other = replace(METHOD, **{name: value})  # type: ignore[arg-type]
        assert other != METHOD
        assert METHOD.differences(other) == [name]
    all_ = replace(METHOD, persons=replace(PERSONS, people="all", threshold=0.5))
    assert METHOD.differences(all_) == ["persons.threshold", "persons.people"]


@given(
    st.none() | st.lists(st.floats(0.5, 2), min_size=1, max_size=4).map(tuple),
    st.lists(st.floats(-180, 180), min_size=1, max_size=4).map(tuple),
    st.none() | st.floats(0, 1),
)
def test_a_method_survives_its_json(
    scales: tuple[float, ...] | None, rotations: tuple[float, ...], threshold: float | None
) -> None:
    persons = replace(PERSONS, threshold=threshold)
    method = replace(METHOD, scales=scales, rotations=rotations, persons=persons)
    assert Method.from_dict(json.loads(json.dumps(method.to_dict()))) == method


def test_a_method_of_an_earlier_version_smoothed_nothing() -> None:
    values = METHOD.to_dict()
    assert values.pop("smoothing") is None
    assert Method.from_dict(values) == METHOD


def test_boxes_a_finder_and_anybodys_detector_are_sources(tiny_checkpoint: Path) -> None:
    given = PersonSource.of_boxes([[1, 2, 3.5, 4]])
    assert (given.kind, given.name) == ("boxes", "1,2,3.5,4")
    assert given != PersonSource.of_boxes([[1, 2, 3.5, 5]])
    estimator = PoseEstimator(str(tiny_checkpoint), device="cpu")
    of_finder = estimator.method("all").persons
    assert (of_finder.kind, of_finder.people) == ("finder", "all") and of_finder.digest
    assert estimator.method(2).persons == replace(of_finder, people="2")
    estimator.finder = Nobody()
    of_mine = estimator.method("one").persons
    assert (of_mine.kind, of_mine.name, of_mine.people) == ("detector", "Nobody", "one")


class Nobody:
    """A detector of a user's own."""

    def detect(self, picture: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return np.empty((0, 4)), np.empty(0)


def test_what_is_no_method_is_refused() -> None:
    for wrong in ({}, {**METHOD.to_dict(), "more": 1}, {**METHOD.to_dict(), "persons": "all"}):
        with pytest.raises(ValueError, match="not a method"):
            Method.from_dict(wrong)


def test_runtimes_are_told_apart_where_their_results_are_more_than_rounding_apart(
    onnx_models: OnnxModels, tmp_path: Path
) -> None:
    from spcnet.checkpoints import load_checkpoint
    from spcnet.export.onnx_file import finish

    def method(path: Path, **options: object) -> Method:
        return PoseEstimator(str(path), device="cpu", **options).method(PERSONS)  # type: ignore[arg-type]

    _, card = load_checkpoint(onnx_models.checkpoint)
    quantised = finish(onnx_models.traced, card, "keypoints", int8="nobody")
    (tmp_path / "int8.onnx").write_bytes(quantised.SerializeToString())
    of_torch, of_onnx = method(onnx_models.checkpoint), method(onnx_models.keypoints)
    of_int8 = method(tmp_path / "int8.onnx")
    assert (of_torch.precision, of_onnx.precision, of_int8.precision) == (
        "fp32", "float32", "int8"
    )  # fmt: skip
    for one, other in ((of_torch, of_onnx), (of_onnx, of_int8), (of_torch, of_int8)):
        assert one.differences(other) == ["weights", "precision"]
    assert method(onnx_models.keypoints, batch_size=3) == of_onnx
    pytest.importorskip("openvino")
    for path, of_file in ((onnx_models.keypoints, of_onnx), (tmp_path / "int8.onnx", of_int8)):
        assert method(path, runtime="openvino").differences(of_file) == ["precision"]


def test_words_are_made_of_facts() -> None:
    assert persons_in_words(PERSONS) == "the main person by finder from score 0.25"
    both = replace(PERSONS, threshold=None, presence=0.2601, people="2")
    assert persons_in_words(both) == "at most 2 people by finder from presence 0.2601"
    file = PersonSource(kind="file", name="boxes.json", digest="77")
    assert persons_in_words(file) == "boxes of boxes.json"
    told = difference_in_words(METHOD, replace(METHOD, precision="bf16", persons=file))
    assert told == (
        "precision fp32, now bf16; the main person by finder from score 0.25, "
        "now boxes of boxes.json"
    )
    told = difference_in_words(METHOD, replace(METHOD, persons=replace(PERSONS, digest="cd")))
    assert told == "{0} ab, now {0} cd".format("the main person by finder from score 0.25")


def test_digests_are_of_the_content(tmp_path: Path) -> None:
    for name, content in (("a", "x"), ("b", "x"), ("c", "y")):
        (tmp_path / name).write_text(content)
    a, b, c = (digest_of(tmp_path / name) for name in "abc")
    assert a == b == digest_of("x") != c and len(a) == 16
    with pytest.raises(UserError, match="cannot be read"):
        digest_of(tmp_path / "gone")
