"""Crops to check a file with, and to fit its quantisation on."""

from dataclasses import replace
from itertools import islice

import numpy as np

from spcnet.codec import Codec
from spcnet.data.annotations import AnnotatedPictures, Dataset
from spcnet.data.datasets import SyntheticFigures
from spcnet.data.regions import CropRule, region_rule
from spcnet.errors import UserError
from spcnet.geometry import Array
from spcnet.media.crops import extract_crop


def check_crops(codec: Codec) -> Array:
    """Crops (5, S, S, 3) of three rendered figures, and two of noise."""
    figures = dataset_crops(SyntheticFigures("1-3"), codec, 3)
    shape = (2, *figures.shape[1:])
    noise = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    return np.concatenate([figures, noise])


def dataset_crops(dataset: Dataset, codec: Codec, count: int, *, crop: CropRule = "box") -> Array:
    """At most `count` crops (N, S, S, 3) of annotated persons, as the network sees them.

    Of photographs they are taken at even distances from all persons, and cut by the rule `crop`.
    """
    rule = region_rule(crop, dataset)
    if isinstance(dataset, AnnotatedPictures) and len(dataset) > count:
        chosen = np.linspace(0, len(dataset) - 1, count).astype(int)
        dataset = replace(dataset, annotations=[dataset.annotations[n] for n in chosen])
    crops = []
    for image, annotation in islice(dataset.samples(), count):
        height, width = image.shape[:2]
        affine = codec.affine(rule(annotation, (height, width)))
        crops.append(extract_crop(image, affine, codec.input_size))
    if not crops:
        raise UserError(f"{dataset.name} {dataset.split}: no persons to take crops of")
    return np.stack(crops)
