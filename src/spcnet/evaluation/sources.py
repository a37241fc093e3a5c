"""Scoring a model on several data sets at once."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from spcnet.data.annotations import AnnotatedPictures
from spcnet.data.datasets import default_crop, open_pictures, source_title
from spcnet.errors import UserError
from spcnet.evaluation.evaluate import evaluate
from spcnet.geometry import Array
from spcnet.inference.estimator import PoseEstimator
from spcnet.metrics.breakdown import Group, score_sources
from spcnet.metrics.kinds import KINDS, kinds_of
from spcnet.metrics.protocols import GroundTruth, common_protocol, find_rule


@dataclass(frozen=True)
class Source:
    """A part of a data set: its name, such as ``"lspet"`` or ``"coco"``, folder and split."""

    dataset: str
    root: str
    split: str

    @property
    def title(self) -> str:
        """The data set's name, or for own data its folder's, and the split."""
        return f"{source_title(self.dataset, self.root)} {self.split}"

    def open(self) -> AnnotatedPictures:
        """The persons who can be scored: crowds and those without a labelled joint cannot."""
        labels = open_pictures(self.dataset, self.root, self.split)
        persons = [p for p in labels.annotations if p.annotated.any() and not p.crowd]
        if not persons:
            raise UserError(f"{self.root} {self.split}: no person with a labelled joint")
        return replace(labels, annotations=persons)


def parse_source(text: str) -> Source:
    """``DATASET:ROOT:SPLIT``; a `UserError` where it is not of this form."""
    dataset, _, rest = text.partition(":")
    root, _, split = rest.rpartition(":")
    if not (dataset and root and split):
        raise UserError(f"{text}: write a source as DATASET:ROOT:SPLIT, such as coco:PATH/mpii:val")
    return Source(dataset, root, split)


def protocol_of(sources: Sequence[Source]) -> str:
    """The variant of PCK that is common to persons of these; see `common_protocol`."""
    return common_protocol(*(source.open().skeleton for source in sources))


class Scored(NamedTuple):
    """What a model got right of a source's persons, or of all sources'."""

    group: Group
    kinds: dict[str, float]  # percent of the joints by `spcnet.metrics.kinds`
    left_out: int  # persons without a reference length


def evaluate_sources(
    estimator: PoseEstimator,
    sources: Sequence[Source],
    *,
    protocol: str | None = None,
    boxes: bool = True,
    report: Callable[[int], None] = lambda done: None,
) -> list[Scored]:
    """Scores by a variant of PCK and kinds of errors of each source, and at last their mean.

    Where no `protocol` is named it is that of `protocol_of`.

    Without `boxes` the estimator finds the persons; `report` is called with the number of persons
    done of all sources.
    """
    rule = find_rule(protocol or protocol_of(sources))
    judged: dict[str, tuple[Array, GroundTruth]] = {}
    kinds, left_out, before = [], [], 0

    def report_all(done: int) -> None:
        report(before + done)

    for source in sources:
        labels = source.open()
        crop = default_crop(source.dataset) if boxes else None
        found = evaluate(estimator, labels, protocol=rule.name, crop=crop, report=report_all)
        before += len(labels)
        left_out.append(found.score.left_out)
        _, predicted, truth = found.judged()
        judged[source.title] = (predicted, truth)
        pictures = [person.image for person in found.labels.annotations]
        kinds.append(kinds_of(rule, predicted, truth, pictures).shares())
    kinds.append({kind: sum(row[kind] for row in kinds) / len(kinds) for kind in KINDS})
    return list(map(Scored, score_sources(rule, judged), kinds, [*left_out, sum(left_out)]))
