"""Other groups' predictions, scored here and by them, side by side.

    python tools/golden_table.py DATA

DATA is the folder of real data; ``golden/`` with the published predictions lies in it or beside it.
"""

import argparse
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from spcnet.data.datasets import read_labels
from spcnet.errors import UserError
from spcnet.evaluation.predictions import FLIC_WITHOUT_EYES, align, read_predictions
from spcnet.metrics.protocols import GroundTruth, Score, score
from spcnet.skeletons import FLIC11


@dataclass(frozen=True)
class Golden:
    """Published predictions and what they are known to score.

    Attributes:
        predictions: file in ``golden/``.
        labels: file in ``golden/``, or in the data folder where it begins with ``data/``.
        protocol: the scoring rule.
        expected: percentages by column, to the digits that were published.
        split: part of the labels' file; by default the one that the field scores.
    """

    predictions: str
    labels: str
    protocol: str
    expected: Mapping[str, str]
    split: str | None = None


_MPII = "mpii/ground_truth_val.mat"

GOLDEN: tuple[Golden, ...] = (
    Golden(
        "mpii/newell_hg8.h5",
        _MPII,
        "mpii-tompson",
        {
            "mean": "87.98", "head_top": "95.94", "Sho": "95.19", "Elb": "89.14", "Wri": "84.17",
            "Hip": "86.97", "Knee": "83.20", "Ank": "80.37",
        },
    ),
    Golden("mpii/newell_hg8.h5", _MPII, "mpii-msra", {"mean": "88.43", "Head": "95.94"}),
    Golden("mpii/newell_hg8.h5", _MPII, "mpii-official", {"Head": "96.83"}),
    Golden("mpii/hg_s2_b1.mat", _MPII, "mpii-tompson", {"mean": "86.76"}),
    Golden("mpii/hg_s2_b1.mat", _MPII, "mpii-msra", {"mean": "87.30"}),
    Golden(
        "lsp/cpm_mpii_lsp.mat",
        "lsp/joints_pc.mat",
        "lsp-pc",
        {
            "mean": "90.50", "Head": "97.8", "Sho": "92.5", "Elb": "87.05", "Wri": "83.9",
            "Hip": "91.5", "Knee": "90.85", "Ank": "89.9",
        },
        split="1001-2000",
    ),
    Golden("flic/cpm.mat", "data/flic/valid.h5", "flic", {"Elbow": "97.59", "Wrist": "95.03"}),
)  # fmt: skip


def golden_folder(data: Path) -> Path | None:
    """Where the published predictions are: ``golden/`` in the data folder or beside it."""
    places = (data / "golden", data.resolve().parent / "golden")
    return next((place for place in places if place.is_dir()), None)


def golden_score(entry: Golden, data: Path) -> Score:
    """Our score of published predictions.

    Raises:
        UserError: a file is not there.
    """
    golden = golden_folder(data)
    if golden is None:
        raise UserError(f"{data}: no golden/ in it or beside it")
    inside = entry.labels.removeprefix("data/")
    labels = read_labels((golden if inside == entry.labels else data) / inside, entry.split)
    joints = [len(labels.skeleton)]
    if labels.skeleton == FLIC11:
        joints.append(len(FLIC_WITHOUT_EYES))
    predictions = read_predictions(golden / entry.predictions, persons=len(labels), joints=joints)
    truth = GroundTruth.of(labels.annotations, labels.skeleton)
    return score(entry.protocol, align(predictions, labels).points, truth)


def compare(entry: Golden, result: Score) -> Iterator[tuple[str, str, str]]:
    """Each column's name, our percentage to the published digits, and the published one."""
    ours = {"mean": result.mean, **result.parts, **result.joints}
    for column, published in entry.expected.items():
        digits = len(published.partition(".")[2])
        yield column, f"{ours[column]:.{digits}f}", published


def main() -> int:
    """Print the table; 1 where a number differs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="folder with flic/, and golden/ in it or beside it")
    data = parser.parse_args().data
    rows = [("predictions", "protocol", "column", "ours", "published", "")]
    try:
        for entry in GOLDEN:
            for column, ours, published in compare(entry, golden_score(entry, data)):
                differs = "" if ours == published else "differs"
                rows.append((entry.predictions, entry.protocol, column, ours, published, differs))
    except UserError as error:
        print(error, file=sys.stderr)
        return 1
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [
            text.rjust(width) if 3 <= n <= 4 else text.ljust(width)
            for n, (text, width) in enumerate(zip(row, widths, strict=True))
        ]
        print("  ".join(cells).rstrip())
    return int(any(row[-1] for row in rows))


if __name__ == "__main__":
    sys.exit(main())
