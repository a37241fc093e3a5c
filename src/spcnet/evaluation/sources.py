"""Scoring a model on several data sets at once."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from spcnet.data.annotations import AnnotatedPictures
from spcnet.data.datasets import default_crop, open_pictures, source_title
from spcnet.errors import UserError
from spcnet.evaluation.calibrate import in_order
from spcnet.evaluation.evaluate import predict_dataset
from spcnet.inference.estimator import PoseEstimator
from spcnet.metrics.breakdown import Group, score_sources
from spcnet.metrics.kinds import KINDS, kinds_of
from spcnet.metrics.protocols import GroundTruth, find_rule

PROTOCOL = "torso-pck"


@dataclass(frozen=True)
class Source:
    """A part of a data set.

    Attributes:
        dataset: its name, such as ``"lspet"`` or ``"coco"``.
        root: its folder.
        split: such as ``"val"``.
    """

    dataset: str
    root: str
    split: str

    @property
    def title(self) -> str:
        """The data set's name, or for own data its folder's, and the split."""
        return f"{source_title(self.dataset, self.root)} {self.split}"

    def open(self) -> AnnotatedPictures:
        """The persons who can be scored: crowds and those without a labelled joint cannot.

        Raises:
            UserError: as `open_pictures`, or there is nobody.
        """
        labels = open_pictures(self.dataset, self.root, self.split)
        persons = [p for p in labels.annotations if p.annotated.any() and not p.crowd]
        if not persons:
            raise UserError(f"{self.root} {self.split}: no person with a labelled joint")
        return replace(labels, annotations=persons)


def parse_source(text: str) -> Source:
    """``DATASET:ROOT:SPLIT``.

    Raises:
        UserError: it is not of this form.
    """
    dataset, _, rest = text.partition(":")
    root, _, split = rest.rpartition(":")
    if not (dataset and root and split):
        raise UserError(f"{text}: write a source as DATASET:ROOT:SPLIT, such as coco:PATH/mpii:val")
    return Source(dataset, root, split)


@dataclass(frozen=True)
class Scored:
    """What a model got right of a source's persons, or of all sources'.

    Attributes:
        group: the score, with its interval.
        kinds: percent of the joints by `spcnet.metrics.kinds`.
    """

    group: Group
    kinds: dict[str, float]


def evaluate_sources(
    estimator: PoseEstimator,
    sources: Sequence[Source],
    *,
    protocol: str = PROTOCOL,
    boxes: bool = True,
    report: Callable[[int], None] = lambda done: None,
) -> list[Scored]:
    """Scores and kinds of errors of each source, and at last their mean.

    Args:
        estimator: what to score.
        sources: what to score on.
        protocol: a variant of PCK.
        boxes: crop persons by their boxes; otherwise the estimator finds them.
        report: called with the number of persons done of each source in turn.

    Raises:
        UserError: as `Source.open` and `predict_dataset`.
    """
    rule = find_rule(protocol)
    found, kinds = {}, []
    for source in sources:
        labels = source.open()
        crop = default_crop(source.dataset) if boxes else None
        points, _, persons = predict_dataset(estimator, labels, crop=crop, report=report)
        truth = GroundTruth.of(persons, labels.skeleton)
        predicted = in_order(points, estimator.skeleton.joints, labels.skeleton)
        found[source.title] = (predicted, truth)
        kinds.append(kinds_of(rule, predicted, truth, [p.image for p in persons]).shares())
    kinds.append({kind: sum(row[kind] for row in kinds) / len(kinds) for kind in KINDS})
    groups = score_sources(rule, found)
    return [Scored(*pair) for pair in zip(groups, kinds, strict=True)]
