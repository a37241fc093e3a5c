"""Articulated synthetic figures with exact joints, drawn from numbers alone.

Each is a body in three dimensions with human bone lengths and joint limits, seen in weak
perspective from a random side and turned in the picture plane. Its parts are painted far to near
over a cluttered background that borrows the figure's own colours, then partly covered by objects.
Both sides wear the same: left and right show as in photographs, by face or hair and by the way
feet, knees and elbows point.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spcnet.synthetic.body import JOINTS, place_body, sample_body
from spcnet.synthetic.clothes import sample_outfit
from spcnet.synthetic.painting import Scene
from spcnet.synthetic.person import body_parts, self_occluded


@dataclass(frozen=True, slots=True)
class Figure:
    """One drawn person: `image` (H, W, 3) RGB, `points` (14, 2) in pixels, `states` (14,).

    Points are x right, y down, with (0, 0) the centre of the top-left pixel. States are 1 for an
    occluded joint and 2 for a visible one.
    """

    image: NDArray[np.uint8]
    points: NDArray[np.float64]
    states: NDArray[np.uint8]


def render_figure(index: int, *, seed: int = 0, size: int = 160) -> Figure:
    """Draw figure number `index` of the endless series `seed` on a square picture.

    The figure depends on the arguments only, never on what was drawn before.
    """
    from spcnet.synthetic import surroundings  # needs OpenCV, which training does without

    rng = np.random.Generator(np.random.Philox(key=[seed, index]))
    body, metre = place_body(sample_body(rng), rng, size=size)
    outfit = sample_outfit(rng)
    light = surroundings.sample_light(rng)
    background = surroundings.paint_background(rng, outfit, size=size)
    scene = Scene(background, metre=metre, light=light)
    surroundings.draw_distractors(scene, outfit, rng)
    parts = sorted(body_parts(body, outfit, metre=metre), key=lambda part: part.key)
    for number, part in enumerate(parts):
        part.paint(scene, number=number)
    points = body.points[:JOINTS, :2].copy()
    hidden = self_occluded(scene, parts, body)
    hidden = surroundings.draw_foreground(scene, outfit, rng, points=points, hidden=hidden)
    states = np.where(hidden, 1, 2).astype(np.uint8)
    return Figure(surroundings.expose(scene.colour, rng), points, states)
