"""Two models, or files of predictions, on the same persons."""

from collections.abc import Callable, Sequence
from pathlib import Path

from spcnet.data.datasets import default_crop, open_pictures
from spcnet.evaluation.evaluate import evaluate
from spcnet.evaluation.predictions import FORMATS, read_predictions
from spcnet.evaluation.scoring import aligned
from spcnet.evaluation.sources import Source
from spcnet.geometry import Array
from spcnet.inference.estimator import PoseEstimator
from spcnet.metrics.breakdown import Difference, compare_sources
from spcnet.metrics.protocols import GroundTruth, find_rule

Contender = PoseEstimator | Path  # a model, or a file of predictions


def is_predictions(name: str) -> bool:
    """Whether a name is that of a file of predictions, and not of a model."""
    return any(name.lower().endswith(suffix) for suffix in FORMATS)


def compare(
    first: Contender,
    second: Contender,
    sources: Sequence[Source],
    *,
    protocol: str,
    report: Callable[[int], None] = lambda done: None,
) -> list[Difference]:
    """The paired differences of two contenders by a variant of PCK; see `compare_sources`.

    Persons with a labelled joint who are no crowd count, in their own data set's crops; `report` is
    called with the number of persons done of each contender and source in turn. A `UserError` where
    the predictions do not belong to the labels, or the protocol does not fit.
    """
    rule = find_rule(protocol)
    judged = {}
    for source in sources:
        labels = source.open()
        truth = GroundTruth.of(labels.annotations, labels.skeleton)
        points: list[Array] = []
        for contender in (first, second):
            if isinstance(contender, Path):
                points.append(_read(contender, source, protocol))
                continue
            crop = default_crop(source.dataset)
            found = evaluate(contender, labels, protocol=protocol, crop=crop, report=report)
            points.append(found.judged()[1])
        judged[source.title] = (points[0], points[1], truth)
    return compare_sources(rule, judged)


def _read(path: Path, source: Source, protocol: str) -> Array:
    """The predictions (N, K, 2) of a file for the persons of a source who are scored."""
    everyone = open_pictures(source.dataset, source.root, source.split)
    count, joints = len(everyone), [len(everyone.skeleton)]
    predictions = read_predictions(path, persons=count, joints=joints)
    points, _ = aligned(predictions, everyone, protocol)
    kept = [bool(p.annotated.any()) and not p.crowd for p in everyone.annotations]
    chosen: Array = points[kept]
    return chosen
