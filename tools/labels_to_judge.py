"""Labels that two rankings call wrong, shuffled into one deck to be judged without knowing whose.

    spcnet data errors lspet --root PATH --split 7761-8060 -o wrong
    python tools/labels_to_judge.py lspet:PATH:7761-8060 wrong/errors.json -o deck
    python tools/labels_to_judge.py lspet:PATH:7761-8060 wrong/errors.json -o deck --wrong 1,5,8

One ranking is that of `spcnet data errors`, the other geometry alone: the outer joint of a limb
that is too long for the person, by the logarithm of its length over the data set's median
proportion and the person's median scale, in robust deviations of that limb. (A short limb may point
at the camera.) A label is wrong where the joint lies outside the circle, the protocol's threshold
about the label, or where left and right of a pair are exchanged.
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from spcnet.codec import square_of_box
from spcnet.data.annotations import AnnotatedPictures
from spcnet.data.datasets import default_protocol
from spcnet.data.regions import PARENTS, limb_lengths
from spcnet.evaluation.label_errors import reaches
from spcnet.evaluation.sources import parse_source
from spcnet.geometry import apply_affine, crop_affine
from spcnet.media.crops import extract_crop
from spcnet.viz.contact_sheet import contact_sheet, draw_labels

TILE = 300
A_SHEET = 12


def by_geometry(labels: AnnotatedPictures, count: int) -> list[dict]:
    """The outer joints of the limbs that are too long, the longest first."""
    joints = labels.skeleton.joints
    outer = [joint for end in PARENTS for joint in joints if joint.endswith(end)]
    points = np.stack([person.points for person in labels.annotations])
    known = np.stack([person.annotated for person in labels.annotations])
    logs = np.log(limb_lengths(points, known, labels.skeleton).clip(1e-3))
    shares = logs - np.nanmedian(logs, axis=1, keepdims=True)  # the person's scale
    away = shares - np.nanmedian(shares, axis=0)
    away /= 1.4826 * np.nanmedian(np.abs(away), axis=0)
    order = np.argsort(-np.nan_to_num(away, nan=-np.inf), axis=None)[:count]
    rows = zip(*np.unravel_index(order, away.shape), strict=True)
    return [{"row": int(n), "joint": outer[limb], "partner": None} for n, limb in rows]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", help="DATASET:ROOT:SPLIT")
    parser.add_argument("errors", type=Path, help="errors.json of the same")
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--first", type=int, default=60, help="of each ranking")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--wrong", help="numbers of the cards that are wrong: print the precision")
    parser.add_argument("--unclear", default="", help="and of those that cannot be told")
    arguments = parser.parse_args()
    source = parse_source(arguments.source)
    labels = source.open()
    rankings = {
        "pixels": json.loads(arguments.errors.read_text())["rows"][: arguments.first],
        "geometry": by_geometry(labels, arguments.first),
    }
    cards: dict[tuple, list[str]] = {}  # one that both name is judged once
    for name, rows in rankings.items():
        for row in rows:
            cards.setdefault((row["row"], row["joint"], row["partner"]), []).append(name)
    order = np.random.default_rng(arguments.seed).permutation(len(cards))
    deck = [list(cards.items())[n] for n in order]
    if arguments.wrong is not None:
        marked = (arguments.wrong, arguments.unclear)
        wrong, unclear = ({int(n) for n in of.split(",") if n} for of in marked)
        for name in rankings:
            mine = [n for n, (_, of) in enumerate(deck, start=1) if name in of]
            counts = f"{len(wrong & set(mine))} wrong, {len(unclear & set(mine))} unclear"
            people = len({deck[n - 1][0][0] for n in wrong & set(mine)})
            print(f"{name}: {counts} of {len(mine)}, the wrong ones of {people} persons")
        return
    arguments.output.mkdir(parents=True, exist_ok=True)
    reach, _, _ = reaches(labels, default_protocol(source.dataset))
    for begin in range(0, len(deck), A_SHEET):
        tiles, captions = [], []
        for n, ((row, joint, partner), _) in enumerate(deck[begin : begin + A_SHEET], begin + 1):
            person = labels.annotations[row]
            image = next(replace(labels, annotations=[person]).samples())[0]
            square = square_of_box(person.box)
            affine = crop_affine(*square, TILE)
            crop = extract_crop(image, affine, TILE)
            named = [labels.skeleton.index(of) for of in (joint, partner) if of]
            shown = np.isin(np.arange(len(labels.skeleton)), named)
            placed = apply_affine(affine, person.points)
            drawn = draw_labels(crop, placed, person.annotated, person.annotated, labels.skeleton)
            alone = draw_labels(crop, placed, shown, shown, labels.skeleton)
            radius = max(4, round(reach[row] * TILE / square[1]))
            for tile in (drawn, alone):
                ys, xs = np.mgrid[:TILE, :TILE]
                for x, y in placed[named]:
                    ring = np.abs(np.hypot(xs - x, ys - y) - radius) < 1
                    tile[ring] = 255, 0, 255
            words = " + ".join(filter(None, (joint, partner))).replace("_", " ")
            tiles += [drawn, alone]
            captions += [(f"{n}  {words}", person.image), ("", "")]
        sheet = contact_sheet(tiles, captions, columns=6, title="does the joint lie in the circle?")
        path = arguments.output / f"sheet-{begin // A_SHEET + 1:02d}.png"
        Image.fromarray(sheet).save(path)
    both = sum(len(of) == 2 for _, of in deck)
    print(f"{len(deck)} cards in {arguments.output}, {both} of them of both rankings")


if __name__ == "__main__":
    main()
