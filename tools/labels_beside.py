"""Persons of a data set with their labels, and beside each what a model finds: to be looked at.

    python tools/labels_beside.py coco:PATH/mpii:val -o mpii.png [--model default] [--seed 5]

The persons are drawn at random of those with at least six labelled joints. Joints that the model
believes less than even are rings, as hidden joints are among the labels. Under each pair stands its
largest error, in percent of the crop's side, and the joint.
"""

import argparse
from dataclasses import replace

import numpy as np
from PIL import Image

from spcnet.codec import square_of_box
from spcnet.data.annotations import JointState
from spcnet.evaluation.evaluate import predict_dataset
from spcnet.evaluation.predictions import in_order
from spcnet.evaluation.sources import parse_source
from spcnet.geometry import apply_affine, crop_affine
from spcnet.inference.estimator import PoseEstimator
from spcnet.media.crops import extract_crop
from spcnet.viz.contact_sheet import contact_sheet, draw_labels

LEAST_JOINTS = 6
BELIEVED = 0.5
TILE = 240  # pixels


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", help="DATASET:ROOT:SPLIT")
    parser.add_argument("-o", "--output", required=True)
    parser.add_argument("--model", default="default")
    parser.add_argument("--persons", type=int, default=12)
    parser.add_argument("--seed", type=int, default=5)
    arguments = parser.parse_args()
    source = parse_source(arguments.source)
    labels = source.open()
    known = [p for p in labels.annotations if p.annotated.sum() >= LEAST_JOINTS]
    random = np.random.default_rng(arguments.seed)
    chosen = sorted(random.choice(len(known), min(arguments.persons, len(known)), replace=False))
    labels = replace(labels, annotations=[known[n] for n in chosen])
    estimator = PoseEstimator(arguments.model)
    found, scores, persons = predict_dataset(estimator, labels)
    own = in_order(found, estimator.skeleton.joints, labels.skeleton)
    everywhere = np.ones(len(estimator.skeleton), dtype=bool)
    tiles, captions = [], []
    for row, (image, person) in enumerate(labels.samples()):
        affine = crop_affine(*square_of_box(person.box), TILE)
        crop = extract_crop(image, affine, TILE)
        seen = person.states == JointState.VISIBLE
        placed = apply_affine(affine, person.points)
        tiles.append(draw_labels(crop, placed, person.annotated, seen, labels.skeleton))
        placed, believed = apply_affine(affine, found[row]), scores[row] >= BELIEVED
        tiles.append(draw_labels(crop, placed, everywhere, believed, estimator.skeleton))
        errors = np.linalg.norm(own[row] - person.points, axis=1)
        errors = np.where(person.annotated & np.isfinite(errors), errors, 0)
        worst = int(errors.argmax())
        off = 100 * errors[worst] / square_of_box(person.box)[1]
        joint = labels.skeleton.joints[worst].replace("_", " ")
        captions += [(person.image, "labels"), (f"{off:.0f} % off", joint)]
    title = f"{source.title}: labels, and beside them {arguments.model}"
    sheet = contact_sheet(tiles, captions, columns=6, title=title)
    Image.fromarray(sheet).save(arguments.output)
    print(f"{len(persons)} persons of {source.title} -> {arguments.output}")


if __name__ == "__main__":
    main()
