"""What `spcnet predict` does in a second on a folder of JPEGs, from its first picture to its last.

    python benchmarks/folder.py --pictures 200 --precision auto

Draws the pictures, one person in each with a box, and runs the command on them: once writing JSON
alone, once overlays too, and once without boxes (a quarter of the pictures). Start and loading are
measured by a run on one picture, and taken off. Run it on an otherwise idle machine.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from spcnet.synthetic.figure import render_figure


def draw(folder: Path, count: int, megapixels: float) -> Path:
    """Pictures of figures on a grey ground; the file of their boxes."""
    folder.mkdir()
    height = round((megapixels * 1e6 * 2 / 3) ** 0.5)
    width = round(height * 1.5)
    boxes = []
    for number in range(count):
        figure = Image.fromarray(render_figure(number).image).resize((height, height))
        random = np.random.default_rng(number)
        picture = Image.fromarray(random.integers(90, 130, (height, width, 3), dtype=np.uint8))
        left = int(random.integers(0, width - height))
        picture.paste(figure, (left, 0))
        name = f"{number:05}.jpg"
        picture.save(folder / name, quality=90)
        boxes.append({"file_name": name, "bbox": [left, 0, height, height]})
    file = folder.with_suffix(".json")
    file.write_text(json.dumps(boxes))
    return file


def run(folder: Path, *arguments: str) -> tuple[float, float]:
    """Seconds of the command, and of all processors' work for it."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as results:
        command = [sys.executable, "-m", "spcnet", "predict", str(folder), "-o", results]
        subprocess.run([*command, *arguments], check=True, capture_output=True)
    seconds = time.perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Print a line a way of predicting."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--pictures", type=int, default=200)
    parser.add_argument("--megapixels", type=float, default=1.0)
    parser.add_argument("--model", default="default")
    parser.add_argument("--precision", default="fp32")
    options = parser.parse_args()
    common = ["--model", options.model, "--precision", options.precision, "--device", "cpu"]
    with tempfile.TemporaryDirectory() as place:
        every, few, one = (Path(place) / name for name in ("all", "few", "one"))
        count, fewer = options.pictures, max(2, options.pictures // 4)
        boxes = ["--boxes", str(draw(every, count, options.megapixels))]
        draw(few, fewer, options.megapixels)
        draw(one, 1, options.megapixels)
        start, work_at_start = run(one, *common, "--save", "json")
        print(f"one picture, from the start of the command: {start:.2f} s")
        for text, folder, number, arguments in (
            ("boxes, JSON", every, count, [*boxes, "--save", "json"]),
            ("boxes, JSON and overlays", every, count, boxes),
            ("no boxes, JSON", few, fewer, ["--save", "json"]),
        ):
            seconds, work = run(folder, *common, *arguments)
            seconds, work = max(1e-9, seconds - start), max(0.0, work - work_at_start)
            busy = work / seconds / (os.cpu_count() or 1)
            print(f"{text}: {(number - 1) / seconds:.1f} pictures/s, processors {busy:.0%} busy")


if __name__ == "__main__":
    main()
