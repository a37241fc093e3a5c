"""Runs over pictures from Python: what they leave, and how a later one goes on."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from spcnet.errors import UserError
from spcnet.inference.estimator import PoseEstimator
from spcnet.inference.jobs import jobs_of_folder
from spcnet.inference.method import PersonSource
from spcnet.inference.results import Results, RunRecord
from spcnet.inference.runs import OtherMethod, Outcome, PredictionRun
from spcnet.viz.skeletons import Style


@pytest.fixture(scope="module")
def tiny(tiny_checkpoint: Path) -> PoseEstimator:
    return PoseEstimator(str(tiny_checkpoint), device="cpu", batch_size=2)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for n, name in enumerate("abc"):
        Image.fromarray(np.full((30, 20 + n, 3), 90, np.uint8)).save(folder / f"{name}.png")
    return folder


def run_over(estimator: PoseEstimator, photos: Path, digest: str = "one") -> PredictionRun:
    persons = PersonSource(kind="boxes", name="0,0,20,30", digest=digest)
    folder = photos.parent / "out"
    results = Results(
        folder=folder, kinds=("json",), estimator=estimator, style=Style(),
        record=RunRecord(folder), view=estimator.skeleton,
    )  # fmt: skip
    how: dict[str, Any] = {"boxes_of": lambda path: [[0, 0, 20, 30]]}
    method = estimator.method(persons, None)
    return PredictionRun(
        results=results, method=method, description="a test's", source=photos, how=how
    )


def all_of(run: PredictionRun, photos: Path) -> list[Outcome]:
    jobs, _ = jobs_of_folder(photos, recursive=False)
    with run.opened(jobs):
        return list(run.outcomes())


def test_a_run_gives_every_picture_in_order_and_the_next_only_what_is_left(
    tiny: PoseEstimator, photos: Path
) -> None:
    (photos / "b.png").write_text("no picture")
    first = run_over(tiny, photos)
    outcomes = all_of(first, photos)
    assert [one.job.shown for one in outcomes] == ["a.png", "b.png", "c.png"]
    assert [len(one.poses or ()) for one in outcomes] == [1, 0, 1]
    assert [bool(one.failure) for one in outcomes] == [False, True, False]
    assert outcomes[0].target == photos.parent / "out" / "a.pose.json"
    assert (first.predicted, len(first.left), first.empty) == (2, 3, 0)
    Image.fromarray(np.zeros((30, 20, 3), np.uint8)).save(photos / "b.png")
    second = run_over(tiny, photos)
    outcomes = all_of(second, photos)
    assert [one.poses is None for one in outcomes] == [True, False, True]
    assert (second.predicted, len(second.jobs), len(second.left)) == (1, 3, 1)
    assert second.collection is not None and second.collection.pictures == 3


def test_another_method_is_refused_with_both(tiny: PoseEstimator, photos: Path) -> None:
    first, second = run_over(tiny, photos), run_over(tiny, photos, "two")
    all_of(first, photos)
    with pytest.raises(OtherMethod, match=r"otherwise \(persons\.digest\)") as refused:
        all_of(second, photos)
    assert (refused.value.before, refused.value.now) == (first.method, second.method)


def test_a_run_that_ends_early_lets_the_folder_go_and_is_gone_on_with(
    tiny: PoseEstimator, photos: Path
) -> None:
    run = run_over(tiny, photos)
    jobs, _ = jobs_of_folder(photos, recursive=False)
    with pytest.raises(RuntimeError, match="enough"), run.opened(jobs):
        for _ in run.outcomes():
            with pytest.raises(UserError, match="another spcnet predict writes here"):
                all_of(run_over(tiny, photos), photos)
            raise RuntimeError("enough")
    assert not (photos.parent / "out" / "poses.json").exists()
    after = run_over(tiny, photos)
    all_of(after, photos)
    assert (after.predicted, len(after.jobs), len(after.left)) == (2, 3, 2)
    assert (photos.parent / "out" / "poses.json").exists()
