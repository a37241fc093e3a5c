"""Which square of a picture a person is cropped by: the field's rules, by name.

- ``box``: the tight box, its longer side times 1.25 (LSP extended; own data).
- ``mpii``: the annotated centre, 15 * scale pixels lower (Newell et al., ECCV 2016).
- ``lsp-height``: the picture's middle and 1.25 times its height (Wei et al., CVPR 2016).
- ``lsp-limbs``: a scale from the labelled limbs' lengths (Yang et al., ICCV 2017): it looks at the
  truth, so it is offered and never a default.
- ``flic``: the torso box's middle, the frame's in height, and 440 pixels.
"""

from collections.abc import Callable
from typing import Literal, cast, get_args

import numpy as np

from spcnet.codec import PADDING, Square, square_of_box
from spcnet.data.annotations import AnnotatedPictures, Annotation, Dataset
from spcnet.errors import UserError
from spcnet.geometry import Array, box_of_points
from spcnet.skeletons import Skeleton

CropRule = Literal["box", "mpii", "lsp-height", "lsp-limbs", "flic"]
Region = Callable[[Annotation, tuple[int, int]], Square]

LIMB_CROP = 368 / 256  # the other value of that line is 410 / 256
PARENTS = {
    "ankle": "knee", "knee": "hip", "hip": "neck",
    "wrist": "elbow", "elbow": "shoulder", "shoulder": "neck", "head_top": "neck",
}  # fmt: skip


def check_rule(rule: str) -> CropRule:
    """The crop rule of that name; raises `UserError` where there is none."""
    if rule not in get_args(CropRule):
        raise UserError(f"unknown crop rule {rule!r}; there are {', '.join(get_args(CropRule))}")
    return cast("CropRule", rule)


def region_rule(rule: CropRule, dataset: Dataset) -> Region:
    """The function from a person and the picture's (height, width) to a square in image pixels.

    Both raise a `UserError`: where the rule does not fit the data set (``lsp-limbs`` takes medians
    over it), and where the annotation lacks what it needs.
    """
    return _limbs(dataset) if rule == "lsp-limbs" else _RULES[rule]


def _mpii(person: Annotation, size: tuple[int, int]) -> Square:
    if person.centre is None or person.scale is None:
        raise UserError(f"{person.image}: crop rule 'mpii' needs an annotated centre and scale")
    return person.centre + [0.0, 15 * person.scale], 200 * 1.25 * person.scale


def _flic(person: Annotation, size: tuple[int, int]) -> Square:
    if person.centre is None:
        raise UserError(f"{person.image}: crop rule 'flic' needs an annotated torso box")
    return person.centre, 200 * 2.2


def _middle(size: tuple[int, int]) -> Array:
    return (np.array(size[::-1]) - 1) / 2


_RULES: dict[str, Region] = {
    "box": lambda person, size: square_of_box(person.box),
    "mpii": _mpii,
    "lsp-height": lambda person, size: (_middle(size), PADDING * size[0]),
    "flic": _flic,
}


def limb_lengths(points: Array, labelled: Array, skeleton: Skeleton) -> Array:
    """Pixels (..., 13) from each joint to its parent, the head's last; NaN of unlabelled joints."""
    children = [
        (joint, parent if parent == "neck" else joint.replace(end, parent))
        for end, parent in PARENTS.items()
        for joint in skeleton.joints
        if joint.endswith(end)
    ]
    first, second = np.array([[skeleton.index(name) for name in pair] for pair in children]).T
    lengths = np.linalg.norm(points[..., first, :] - points[..., second, :], axis=-1)
    return np.where(labelled[..., first] & labelled[..., second], lengths, np.nan)


def _limbs(dataset: Dataset) -> Region:
    """The rule of Yang et al., with the limbs' proportions of a whole set."""
    skeleton = dataset.skeleton
    if not isinstance(dataset, AnnotatedPictures) or skeleton.head is None:
        raise UserError(
            f"crop rule 'lsp-limbs' needs the joints of LSP, and {dataset.name} differs"
        )

    try:
        points = np.stack([person.points for person in dataset.annotations])
        labelled = np.stack([person.annotated for person in dataset.annotations])
        known = limb_lengths(points, labelled, skeleton)
    except ValueError as error:
        raise UserError(f"crop rule 'lsp-limbs' needs the joints of LSP: {error}") from None
    with np.errstate(invalid="ignore", divide="ignore"):
        shares = known / known[:, -1:]
    shares[~np.isfinite(shares)] = np.nan
    proportions = np.nanmedian(shares, axis=0)  # r_p, each limb over the head

    def region(person: Annotation, size: tuple[int, int]) -> Square:
        heads = limb_lengths(person.points, person.annotated, skeleton) / proportions
        if not np.isfinite(heads).any():
            raise UserError(f"{person.image}: crop rule 'lsp-limbs' needs a labelled limb")
        head = max(float(np.nanquantile(heads, 0.75)), 1e-6)
        low, high = box_of_points(person.points[person.annotated]).reshape(2, 2)
        zoom = min(41 / head, *(304 / np.maximum(high - low, 1e-6)))
        centre = _middle(size) if dataset.name == "lsp" else (low + high) / 2
        return centre, 200 * (41 / 35) / zoom * LIMB_CROP

    return region
