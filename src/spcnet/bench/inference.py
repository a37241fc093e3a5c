"""Speed of inference: a model beside its own plain form and the usual hourglass."""

from collections.abc import Callable
from statistics import median

import numpy as np
import torch

from spcnet.bench.turns import take_turns
from spcnet.bench.usual import UsualNetwork
from spcnet.data.synthetic import render_figure
from spcnet.inference.estimator import PoseEstimator

OURS = "crop to keypoints"
PLAIN = "its network, eager NCHW fp32"
USUAL = "8-stack hourglass of the usual kind, 256 px, eager NCHW fp32"


def latency(
    estimator: PoseEstimator,
    *,
    turns: int = 50,
    report: Callable[[int], None] = lambda done: None,
) -> dict[str, float]:
    """Milliseconds an image at batch 1, medians of interleaved turns.

    Args:
        estimator: from a picture and a square to keypoints in the picture; `OURS`.
        turns: that count.
        report: called with the number of turns done.

    Returns:
        `OURS`; the network alone in its `PLAIN` form; the `USUAL` network alone.
    """
    figure = render_figure(0).image
    side = float(max(figure.shape[:2]))
    square = (np.array([side / 2, side / 2]), side)
    device, size = estimator.device, estimator.card.input_size
    plain = estimator.card.build().eval().to(device)
    usual = UsualNetwork(joints=len(estimator.skeleton)).eval().to(device)
    small, large = (torch.rand(1, 3, side, side, device=device) for side in (size, 256))

    def finished(work: Callable[[], object]) -> Callable[[], None]:
        @torch.inference_mode()
        def call() -> None:
            work()
            if device.type == "cuda":
                torch.cuda.synchronize(device)

        return call

    taken = take_turns(
        {
            OURS: finished(lambda: estimator.look([figure], [square])),
            PLAIN: finished(lambda: plain(small)),
            USUAL: finished(lambda: usual(large)),
        },
        turns=turns,
        report=report,
    )
    return {name: 1000 * median(turn.seconds for turn in each) for name, each in taken.items()}
