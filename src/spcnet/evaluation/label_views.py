"""Persons with labels that are probably wrong, in pictures to decide by."""

from dataclasses import replace

import numpy as np
from PIL import Image

from spcnet.data.annotations import AnnotatedPictures, JointState, has_place, joint_states
from spcnet.data.datasets import default_crop
from spcnet.data.regions import region_rule
from spcnet.evaluation.label_errors import Beliefs, Suspect
from spcnet.files import picture_bytes
from spcnet.geometry import Array, apply_affine, crop_affine
from spcnet.media.crops import extract_crop
from spcnet.viz.contact_sheet import circle_joints, draw_labels
from spcnet.viz.label_page import Case

TILE = 256  # side of a picture, pixels
SURE = 0.5  # score from which a predicted joint is drawn as visible


def label_cases(
    labels: AnnotatedPictures, beliefs: Beliefs, found: list[Suspect], dataset: str
) -> list[Case]:
    """The persons of some rows, the most suspicious first."""
    region = region_rule(default_crop(dataset), labels)
    rows = list(dict.fromkeys(suspect.row for suspect in found))
    samples = replace(labels, annotations=[labels.annotations[row] for row in rows]).samples()
    cases = []
    for row, (image, person) in zip(rows, samples, strict=True):
        mine = {n: suspect for n, suspect in enumerate(found) if suspect.row == row}
        centre, side = region(person, (image.shape[0], image.shape[1]))
        affine = crop_affine(centre, side, TILE)
        crop = extract_crop(image, affine, TILE)
        tiles = label_tiles(labels, beliefs, list(mine.values()), crop, affine)
        number = "" if person.number is None else f" #{person.number}"
        texts = {n: suspect.said() for n, suspect in mine.items()}
        cases.append(Case(person.image + number, tiles, texts))
    return cases


def label_tiles(
    labels: AnnotatedPictures, beliefs: Beliefs, suspects: list[Suspect], crop: Array,
    affine: Array,
) -> dict[str, bytes]:  # fmt: skip
    """A person's crop three times: the labels, the prediction, and the labels as corrected."""
    person, skeleton = labels.annotations[suspects[0].row], labels.skeleton
    scores, predicted = (of[suspects[0].row] for of in (beliefs.scores, beliefs.points))
    states, points = person.states.copy(), person.points.copy()
    for of in suspects:
        pair = [skeleton.index(joint) for joint in (of.joint, of.partner) if joint]
        if of.remedy == "exchange":
            states[pair], points[pair] = states[pair[::-1]], points[pair[::-1]]
        elif of.remedy == "move":
            points[pair] = of.prediction
        else:
            states[pair] = JointState.MISSING
    asked = np.array([p for of in suspects for p in (of.label, of.partner_label) if p])
    found = joint_states(np.isfinite(scores), scores >= SURE)
    views = {"label": (person.points, person.states), "prediction": (predicted, found),
             "corrected": (points, states)}  # fmt: skip
    tiles = {}
    for name, (at, state) in views.items():
        visible = state == JointState.VISIBLE
        tile = draw_labels(crop, apply_affine(affine, at), has_place(state), visible, skeleton)
        circle_joints(tile, apply_affine(affine, asked))
        tiles[name] = picture_bytes(Image.fromarray(tile), "jpeg", quality=85)
    return tiles
