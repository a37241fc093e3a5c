"""Labels that are probably wrong, found by a model that did not learn from them.

A network's heatmap of a joint is a probability over the crop. Its mass within what the protocol
counts as right, about a point x, is m(x). By the calibration the prediction p is right with
probability score(p); any other point has the same share of it as of the mass:

    c(x) = score(p) * min(1, m(x) / m(p))

The suspicion of a label l is its margin, c(p) - c(l): the normalised margin by which confident
learning ranks (Northcutt, Jiang, Chuang, JAIR 2021). The labels l, l' of a left and a right joint
are judged together too, as they are and exchanged, by geometric means:

    sqrt(c(l') * c'(l)) - sqrt(c(l) * c'(l'))

What is wrong with a label has the names of what is wrong with a prediction (Ronchi and Perona, ICCV
2017; `spcnet.metrics.kinds`), with the model's joints as the truth.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np

from spcnet.codec import Codec, Square
from spcnet.data.annotations import AnnotatedPictures
from spcnet.data.regions import CropRule, region_rule
from spcnet.errors import UserError
from spcnet.evaluation.predictions import in_order
from spcnet.geometry import Array, apply_affine
from spcnet.inference.estimator import PoseEstimator
from spcnet.media.images import Picture
from spcnet.metrics.kinds import KINDS, kinds_of
from spcnet.metrics.protocols import GroundTruth, Rule, find_rule

LEAST = 0.25  # suspicion of a label that is worth looking at
SURE = 0.5  # score from which a wrong label is moved to the prediction, not taken away
REMEDIES = {
    "exchange": "exchange them",
    "move": "move it to the prediction",
    "unlabel": "take it away: the prediction is unsure",
}
BOX = 0.05  # of the box's longer side: at least so far off a joint may be, whatever its torso says


@dataclass(frozen=True)
class Beliefs:
    """What a model says of N persons' J joints; NaN of joints that it does not know."""

    points: Array  # (N, J, 2) where it finds them, in pixels
    scores: Array  # (N, J) how probable it is that this is right
    given: Array  # (N, J) and that the joint is about its label
    exchanged: Array  # (N, J) and about the label of the pair's other side


@dataclass(frozen=True)
class Suspect:
    """A label, or the two of a pair, that is probably wrong."""

    row: int  # the person's among the labels
    picture: str
    person: int | None  # what the labels' file calls the person
    joint: str
    partner: str | None  # the other joint of an exchanged pair
    kind: str  # of `spcnet.metrics.kinds`
    remedy: str  # of `REMEDIES`
    suspicion: float
    size: float  # distance of label and prediction in lengths of `unit`
    unit: str
    score: float  # of the prediction
    label: list[float]  # x, y in pixels
    prediction: list[float]
    partner_label: list[float] | None

    def said(self) -> str:
        """What is wrong with it, in a line."""
        joint = f"{self.joint} and {self.partner}" if self.partner else self.joint
        off = f"off by {self.size:.2f} of the {self.unit}"
        text = f"{joint}: {self.kind}, {self.suspicion:.2f}, {off}; {REMEDIES[self.remedy]}"
        return text.replace("_", " ")


def reaches(labels: AnnotatedPictures, protocol: str) -> tuple[Array, Array, list[str]]:
    """Of N persons: pixels (N,) within which a joint is right, reference lengths, and of what.

    They are the protocol's, or those of the box where a person has none or one that is too short.
    """
    rule, truth = find_rule(protocol), GroundTruth.of(labels.annotations, labels.skeleton)
    sides = (truth.boxes[:, 2:] - truth.boxes[:, :2]).max(axis=1).clip(1)
    lengths = rule.length(truth)
    own = rule.threshold * lengths >= BOX * sides
    units = [rule.reference if of else "box" for of in own]
    reach = np.where(own, rule.threshold * lengths, BOX * sides)
    return reach, np.where(own, lengths, sides), units


def join_folds(parts: Sequence[AnnotatedPictures]) -> AnnotatedPictures:
    """All persons of several splits of a data set; one who is in two of them is a `UserError`."""
    everyone = [person for part in parts for person in part.annotations]
    if len({(p.image, p.number, p.points.tobytes()) for p in everyone}) < len(everyone):
        raise UserError("a person is in the splits twice; each --fold needs a split of its own")
    return replace(parts[0], split=",".join(of.split for of in parts), annotations=everyone)


def join_beliefs(seen: Sequence[Beliefs]) -> Beliefs:
    """What several models say, each of its own persons, in their order."""
    together = zip(*(vars(of).values() for of in seen), strict=True)
    return Beliefs(*map(np.concatenate, together))


def believe(
    estimator: PoseEstimator,
    labels: AnnotatedPictures,
    reach: Array,
    *,
    crop: CropRule = "box",
    report: Callable[[int], None] = lambda done: None,
) -> Beliefs:
    """What a model says of labelled persons, whose joints may be `reach` (N,) pixels off.

    A `UserError` where it knows none of the joints, gives no heatmaps, or a picture cannot be read.
    """
    skeleton, joints = labels.skeleton, estimator.skeleton.joints
    if not set(joints) & set(skeleton.joints):
        raise UserError(f"model {estimator.path.stem!r} predicts none of the labelled joints")
    if not estimator.backend.gives_heatmaps:
        raise UserError(f"{estimator.path}: gives keypoints alone; labels are judged by heatmaps")
    region, samples = region_rule(crop, labels), labels.samples()
    rows: list[tuple[Array, ...]] = []
    while batch := list(islice(samples, estimator.batch_size)):
        squares = [region(person, image.shape[:2]) for image, person in batch]
        pictures = [Picture.of(image) for image, _ in batch]
        points, scores, maps = estimator.crops(pictures, squares, maps=True)
        ordered = in_order(points, joints, skeleton), in_order(scores, joints, skeleton)
        for (_, person), square, own, sure, kept in zip(
            batch, squares, *ordered, maps, strict=True
        ):
            assert kept is not None
            heatmaps = in_order(kept.heatmaps[None], joints, skeleton)[0]
            others = person.points[list(skeleton.flip_permutation)]
            shares = about(
                heatmaps, estimator.codec, square, [own, person.points, others], reach[len(rows)]
            )
            with np.errstate(invalid="ignore", divide="ignore"):
                given, exchanged = sure * (shares[1:] / shares[0]).clip(0, 1)
            rows.append((own, sure, given, exchanged))
        report(len(rows))
    return Beliefs(*map(np.stack, zip(*rows, strict=True)))


def about(
    heatmaps: Array, codec: Codec, square: Square, points: Sequence[Array], reach: float
) -> Array:
    """Masses (P, J) of heatmaps (J, h, w) within `reach` pixels of P times J points (J, 2)."""
    places = heatmaps.clip(0)
    places = places / places.sum(axis=(1, 2), keepdims=True).clip(codec.mass)
    stride = codec.input_size / heatmaps.shape[-1]
    radius = max(1.0, reach * codec.input_size / square[1] / stride)  # of a disc, in cells
    ys, xs = np.indices(heatmaps.shape[1:])
    masses = []
    for of in points:
        cells = (apply_affine(codec.affine(square), of) - (stride - 1) / 2) / stride
        x, y = cells.T[:, :, None, None]
        near = (xs - x) ** 2 + (ys - y) ** 2 <= radius**2
        masses.append(np.where(near, places, 0).sum(axis=(1, 2)))
    return np.stack(masses)


def find_errors(labels: AnnotatedPictures, beliefs: Beliefs, protocol: str) -> list[Suspect]:
    """The labels that are suspicious, the most suspicious first; an exchanged pair is one."""
    skeleton, persons = labels.skeleton, labels.annotations
    reach, lengths, units = reaches(labels, protocol)
    truth = GroundTruth.of(persons, skeleton)
    flip = np.array(skeleton.flip_permutation)
    known = np.isfinite(beliefs.scores)
    judged = truth.annotated & known
    rule = Rule("", "", None, length=lambda _: reach, threshold=1.0, parts=None)
    found = replace(truth, points=beliefs.points, annotated=known)
    kinds = kinds_of(rule, truth.points, found, [person.image for person in persons]).kinds
    given, exchanged = beliefs.given, beliefs.exchanged
    alone = np.where(judged & (kinds > 0), beliefs.scores - given, 0.0)
    pairs = judged & judged[:, flip] & (flip != np.arange(len(flip)))
    with np.errstate(invalid="ignore"):
        together = np.sqrt(exchanged * exchanged[:, flip]) - np.sqrt(given * given[:, flip])
    together = np.where(pairs, together, 0.0)
    errors = np.linalg.norm(beliefs.points - truth.points, axis=2) / lengths[:, None]
    suspects = []
    for n, j in np.argwhere(np.maximum(alone, together) >= LEAST).tolist():
        pair = together[n, j] >= LEAST
        if pair and flip[j] < j:
            continue  # it is the other joint's row
        score = float(beliefs.scores[n, j])
        suspects.append(
            Suspect(
                row=n,
                picture=persons[n].image,
                person=persons[n].number,
                joint=skeleton.joints[j],
                partner=skeleton.joints[flip[j]] if pair else None,
                kind="inversion" if pair else KINDS[kinds[n, j]],
                # A place that is more often wrong than right is no better than no label.
                remedy="exchange" if pair else "move" if score >= SURE else "unlabel",
                suspicion=round(float((together if pair else alone)[n, j]), 4),
                size=round(float(errors[n, j]), 3),
                unit=units[n],
                score=round(score, 4),
                label=truth.points[n, j].tolist(),
                prediction=beliefs.points[n, j].astype(float).round(2).tolist(),
                partner_label=truth.points[n, flip[j]].tolist() if pair else None,
            )
        )
    return sorted(suspects, key=lambda of: -of.suspicion)
