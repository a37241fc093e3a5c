"""One prediction in a process that does nothing else, to see how much memory that takes.

    python -m spcnet.bench.prediction MODEL PRECISION

prints the bytes that it held at most, on the CPU: Python, torch and this package included.
"""

import sys

import torch

from spcnet.bench.peak import peak_bytes
from spcnet.inference.estimator import PoseEstimator
from spcnet.synthetic.figure import render_figure


def main() -> None:
    """Load, predict one figure with its box, and tell."""
    model, precision = sys.argv[1:]
    figure = render_figure(0).image
    box = [0, 0, *figure.shape[1::-1]]
    PoseEstimator(model, device="cpu", precision=precision).predict(figure, [box])  # type: ignore[arg-type]
    sys.stdout.write(f"{peak_bytes(torch.device('cpu'))}\n")


if __name__ == "__main__":
    main()
