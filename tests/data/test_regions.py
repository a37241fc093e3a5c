from typing import Any, get_args

import numpy as np
import pytest

from spcnet.data.annotations import Annotation
from spcnet.data.regions import CropRule, check_rule, region_rule
from spcnet.errors import UserError

SIZE = (201, 301)  # height, width: the middle pixel is (150, 100)


def some(**values: Any) -> Annotation:
    points = np.array([[10.0, 20.0], [40.0, 100.0]])
    return Annotation("a.jpg", points, np.full(2, 2, np.uint8), **values)


def test_box_is_a_quarter_wider_than_the_longer_side() -> None:
    centre, side = region_rule("box")(some(box=np.array([10.0, 20, 50, 100])), SIZE)
    assert centre.tolist() == [30, 60]
    assert side == 100


def test_mpii_is_lower_and_wider_by_the_annotated_scale() -> None:
    person = some(centre=np.array([300.0, 200.0]), scale=2.0)
    centre, side = region_rule("mpii")(person, SIZE)
    assert centre.tolist() == [300, 230]  # 15 * 2 lower
    assert side == 500  # 200 * 1.25 * 2


def test_lsp_height_needs_no_label() -> None:
    centre, side = region_rule("lsp-height")(some(), SIZE)
    assert centre.tolist() == [150, 100]
    assert side == 1.25 * 201


def test_flic_is_440_pixels_about_the_torso_in_the_frames_middle() -> None:
    person = some(centre=np.array([331.5, 240.0]), scale=2.2)
    centre, side = region_rule("flic")(person, (480, 720))
    assert centre.tolist() == [331.5, 240]
    assert side == pytest.approx(440)


@pytest.mark.parametrize(("rule", "lacking"), [("mpii", "centre and scale"), ("flic", "torso box")])
def test_rules_that_need_labels_say_which(rule: CropRule, lacking: str) -> None:
    with pytest.raises(
        UserError, match=rf"a\.jpg: crop rule {rule!r} needs an annotated {lacking}"
    ):
        region_rule(rule)(some(), SIZE)


def test_an_unknown_rule_names_the_known() -> None:
    assert check_rule("lsp-height") == "lsp-height"
    with pytest.raises(UserError, match=f"'square'; there are {', '.join(get_args(CropRule))}"):
        check_rule("square")
