"""The memory of one prediction: ``python benchmarks/one_prediction.py MODEL PRECISION``.

It prints the bytes that were held at most, on the CPU: Python, torch and this package included.
"""

import re
import resource
import sys
from pathlib import Path


def peak_bytes() -> int:
    """The most that this process held so far."""
    status = Path("/proc/self/status")  # what getrusage says may be the parent's
    text = status.read_text(encoding="utf-8") if status.is_file() else ""
    if found := re.search(r"VmHWM:\s*(\d+) kB", text):
        return 1024 * int(found[1])
    unit = 1 if sys.platform == "darwin" else 1024
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


if __name__ == "__main__":
    from spcnet.inference.estimator import PoseEstimator
    from spcnet.synthetic.figure import render_figure

    model, precision = sys.argv[1:]
    figure = render_figure(0).image
    estimator = PoseEstimator(model, device="cpu", precision=precision)  # type: ignore[arg-type]
    estimator.predict(figure, [[0, 0, *figure.shape[1::-1]]])
    sys.stdout.write(f"{peak_bytes()}\n")
