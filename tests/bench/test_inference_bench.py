"""What is timed, and how; how fast it is, no test can tell."""

import time
from pathlib import Path

from spcnet.bench.inference import OURS, PLAIN, REFERENCE, latency
from spcnet.bench.interleaved import interleave
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


def test_latency_is_told_in_milliseconds_beside_the_usual_network(tiny_checkpoint: Path) -> None:
    found = latency(PoseEstimator(str(tiny_checkpoint), device="cpu"), turns=1)
    assert list(found) == [OURS, PLAIN, REFERENCE]
    # 27 GMAC against a thousandth of that.
    assert 0.1 < found[OURS] < 10_000
    assert found[REFERENCE] > 3 * found[PLAIN] > 0
