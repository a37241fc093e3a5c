"""Which square of a picture a person is cropped by: the field's rules, by name.

- ``box``: the tight box, its longer side times 1.25 (LSP extended; own data).
- ``mpii``: the annotated centre, 15 * scale pixels lower (Newell et al., ECCV 2016).
- ``lsp-height``: the picture's middle and 1.25 times its height (Wei et al., CVPR 2016).
- ``flic``: the torso box's middle, the frame's in height, and 440 pixels.
"""

from collections.abc import Callable
from typing import Literal, cast, get_args

import numpy as np

from spcnet.codec import PADDING, Square, square_of_box
from spcnet.data.annotations import Annotation
from spcnet.errors import UserError

CropRule = Literal["box", "mpii", "lsp-height", "flic"]
Region = Callable[[Annotation, tuple[int, int]], Square]


def check_rule(rule: str) -> CropRule:
    """The crop rule of that name; raises `UserError` where there is none."""
    if rule not in get_args(CropRule):
        raise UserError(f"unknown crop rule {rule!r}; there are {', '.join(get_args(CropRule))}")
    return cast("CropRule", rule)


def region_rule(rule: CropRule) -> Region:
    """The function from a person and the picture's (height, width) to a square in image pixels.

    It raises a `UserError` where the annotation lacks what the rule needs.
    """
    return _RULES[rule]


def _mpii(person: Annotation, size: tuple[int, int]) -> Square:
    if person.centre is None or person.scale is None:
        raise UserError(f"{person.image}: crop rule 'mpii' needs an annotated centre and scale")
    return person.centre + [0.0, 15 * person.scale], 200 * 1.25 * person.scale


def _flic(person: Annotation, size: tuple[int, int]) -> Square:
    if person.centre is None:
        raise UserError(f"{person.image}: crop rule 'flic' needs an annotated torso box")
    return person.centre, 200 * 2.2


_RULES: dict[str, Region] = {
    "box": lambda person, size: square_of_box(person.box),
    "mpii": _mpii,
    "lsp-height": lambda person, size: ((np.array(size[::-1]) - 1) / 2, PADDING * size[0]),
    "flic": _flic,
}
