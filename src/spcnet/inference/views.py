"""What a network sees of a person, beside what it says: for the panels of `spcnet.viz`."""

import numpy as np

from spcnet.data.crops import extract_crop
from spcnet.geometry import Array, apply_affine, crop_affine, square_of_box
from spcnet.inference.estimator import PoseEstimator
from spcnet.inference.pose import Pose, maps_seen_as
from spcnet.viz.panels import PANEL, LevelView, View


def solid_box(box: Array) -> Array:
    """A box itself, or where it has no area, as that of joints in one place, its pixels' edges."""
    return box if (box[2:] > box[:2]).all() else box + np.array([-0.5, -0.5, 0.5, 0.5])


def cut_out(estimator: PoseEstimator, picture: Array, box: Array, size: int) -> tuple[Array, Array]:
    """The square about a person box that the estimator looks at.

    Returns:
        RGB uint8 (size, size, 3), and the affine (2, 3) from the picture's points to its own.
    """
    affine = crop_affine(*square_of_box(box, padding=estimator.card.box_padding), size)
    return extract_crop(picture, affine, size), affine


def view(estimator: PoseEstimator, picture: Array, pose: Pose) -> View:
    """A pose and its heatmaps in the pixels of a panel."""
    box = solid_box(pose.box)
    crop, affine = cut_out(estimator, picture, box, PANEL)
    heatmaps = estimator.heatmaps(picture, box)
    return View(
        crop=crop,
        heatmaps=maps_seen_as(heatmaps, estimator.skeleton, pose.skeleton),
        keypoints=apply_affine(affine, pose.keypoints),
        scores=pose.scores,
        skeleton=pose.skeleton,
    )


def level_view(estimator: PoseEstimator, picture: Array, box: Array) -> LevelView:
    """The weights of the levels over the crop of a person.

    Raises:
        UserError: the network has no Selective Information Module.
    """
    attention = estimator.attention(picture, box)
    return LevelView(crop=cut_out(estimator, picture, box, PANEL)[0], attention=attention)
