"""What is timed, and how; how fast it is, no test can tell."""

import time
from pathlib import Path

from spcnet.evaluation.speed import interleave, measure_speed
from spcnet.inference.estimator import PoseEstimator


def test_contenders_take_turns_and_the_first_ones_do_not_count() -> None:
    order: list[str] = []
    seen: list[int] = []

    def slow() -> None:
        order.append("slow")
        time.sleep(0.01)

    taken = interleave(
        {"slow": slow, "quick": lambda: order.append("quick")},
        turns=2, warmups=1, report=seen.append,
    )  # fmt: skip
    assert order == ["slow", "quick"] * 3
    assert seen == [1, 2, 3]
    assert [len(seconds) for seconds in taken.values()] == [2, 2]
    assert min(taken["slow"]) >= 0.01


def test_a_picture_takes_longer_than_its_crop(tiny_checkpoint: Path) -> None:
    done: list[int] = []
    estimators = {name: PoseEstimator(str(tiny_checkpoint), device="cpu") for name in ("a", "b")}
    found = measure_speed(estimators, batch=2, turns=2, report=done.append)
    assert done == [1, 2, 3] and list(found) == ["a", "b"]
    for speed in found.values():
        assert 0.1 < speed.crop < speed.picture < 10_000
