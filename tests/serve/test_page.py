"""The page draws as the library does: what is written in both, in numbers."""

import json
import re
from importlib.resources import files
from typing import Any

from spcnet import angles
from spcnet.inference.pose import CONFIDENT
from spcnet.viz import panels, skeletons

PAGE = files("spcnet.serve") / "page"


def constant(script: str, name: str) -> Any:
    """A number, text or list of them that a script gives a name to."""
    text = (PAGE / script).read_text()
    (value,) = re.findall(rf"^(?:export )?const {name} = (.*?);", text, re.MULTILINE)
    return json.loads(value)


def written(colour: tuple[int, int, int]) -> str:
    return "#" + bytes(colour).hex()


def test_lines_have_the_same_widths_and_opacities() -> None:
    style = skeletons.Style()
    shared = {
        "THICKNESS": style.thickness,
        "THINNEST_IN_PICTURE": skeletons.THINNEST_IN_PICTURE,
        "THINNEST_ON_PERSON": skeletons.THINNEST_ON_PERSON,
        "THICKEST_IN_PICTURE": skeletons.THICKEST_IN_PICTURE,
        "DOT": style.dot,
        "EDGE": skeletons.EDGE,
        "SURE": style.sure,
        "FAINT": style.faint,
        "LEVEL_OPACITY": panels.LEVEL_OPACITY,
    }
    assert {name: constant("drawing.js", name) for name in shared} == shared
    assert constant("page.js", "UNSURE") == CONFIDENT
    shared = {name: getattr(angles, name) for name in ("RIGHT", "SUREST", "DEVIATIONS")}
    assert {name: constant("tables.js", name) for name in shared} == shared


def test_colours_are_the_same() -> None:
    levels = [written(colour) for colour in panels.LEVEL_COLOURS]
    assert constant("drawing.js", "LEVEL_COLOURS") == levels
    style = skeletons.Style()
    text = (PAGE / "drawing.js").read_text()
    sides = ", ".join(
        f'{side}: "{written(style.of_side(side))}"' for side in ("left", "right", "centre")
    )
    assert f"const COLOURS = {{ {sides} }};" in text
    assert constant("drawing.js", "OUTLINE") == written(style.outline)
    css = (PAGE / "style.css").read_text()
    assert all(written(style.of_side(side)) in css for side in ("left", "right"))
