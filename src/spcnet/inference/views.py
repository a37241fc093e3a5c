"""What a network sees of a person, beside what it says: for the panels of `spcnet.viz`."""

from spcnet.codec import square_of_box
from spcnet.geometry import Array, apply_affine, crop_affine
from spcnet.inference.estimator import PoseEstimator
from spcnet.inference.pose import Pose
from spcnet.media.crops import extract_crop
from spcnet.viz.panels import PANEL, LevelView, View


def cut_out(picture: Array, box: Array, size: int) -> tuple[Array, Array]:
    """The square about a person box, (size, size, 3), and the affine (2, 3) to its points."""
    affine = crop_affine(*square_of_box(box), size)
    return extract_crop(picture, affine, size), affine


def view(picture: Array, pose: Pose) -> View:
    """A pose that was predicted with its maps, in the pixels of a panel."""
    assert pose.maps is not None
    crop, affine = cut_out(picture, pose.box, PANEL)
    points, heatmaps = apply_affine(affine, pose.keypoints), pose.maps.heatmaps
    return View(
        crop=crop, heatmaps=heatmaps, keypoints=points, scores=pose.scores, skeleton=pose.skeleton
    )


def level_view(estimator: PoseEstimator, picture: Array, pose: Pose) -> LevelView:
    """The weights of the levels, if the network selects any, over the crop of such a pose."""
    assert pose.maps is not None
    if pose.maps.attention is None:
        raise estimator.backend.without_attention()
    crop, _ = cut_out(picture, pose.box, PANEL)
    return LevelView(crop=crop, attention=pose.maps.attention)
