"""What is timed, and how; how fast it is, no test can tell."""

import time
from pathlib import Path

from spcnet.bench.inference import OURS, PLAIN, REFERENCE, latency
from spcnet.bench.interleaved import interleave
from spcnet.inference.estimator import PoseEstimator


def test_contenders_take_turns_and_the_first_ones_do_not_count() -> None:
    order: list[str] = []
    seen: list[int] = []

    def slow() -> int:
        order.append("slow")
        time.sleep(0.01)
        return len(order)

    taken = interleave(
        {"slow": slow, "quick": lambda: order.append("quick") or len(order)},
        turns=2, warmups=1, report=seen.append,
    )  # fmt: skip
    assert order == ["slow", "quick"] * 3
    assert seen == [1, 2, 3]
    assert [turn.result for turn in taken["slow"]] == [3, 5]
    assert [turn.result for turn in taken["quick"]] == [4, 6]
    assert min(turn.seconds for turn in taken["slow"]) >= 0.01


def test_latency_is_told_in_milliseconds_beside_the_usual_network(tiny_checkpoint: Path) -> None:
    found = latency(PoseEstimator(str(tiny_checkpoint), device="cpu"), turns=1)
    assert list(found) == [OURS, PLAIN, REFERENCE]
    # 27 GMAC against a thousandth of that.
    assert 0.1 < found[OURS] < 10_000
    assert found[REFERENCE] > 3 * found[PLAIN] > 0
