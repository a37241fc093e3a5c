"""What each ingredient of a recipe of many sources gives: one left out at a time.

    python benchmarks/ingredients.py recipes/people_cpu.yaml --seeds 0 1 --out runs/ingredients \
        --set data.root=PATH/lspet --set data.more.0.root=PATH/mpii ...

Trains a small network for each arm and seed, one after the other (`spcnet train`, so that a stopped
study goes on where it was), and prints the held-out scores of each source, the mean over the seeds,
and the difference to the whole recipe with its standard error over the paired seeds.
"""

import argparse
import json
import math
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import yaml

# A network that learns in minutes; the same for all arms.
SMALL = {
    "model": {"variant": "spcnet_s2_w96", "input_size": 96, "weights": None, "anew": []},
    "optimizer": {"lr": 5.0e-3},
}


def without(recipe: dict[str, Any], arm: str) -> dict[str, Any]:
    """The recipe of an arm: whole, or with one ingredient left out."""
    changed: dict[str, Any] = json.loads(json.dumps(recipe))
    data, augmentation = changed["data"], changed["augmentation"]
    more = data["more"]
    sources = [data, *more]
    if arm == "sources":  # the first data set alone, scored on all
        for source in more:
            if source.get("holdout"):
                source["share"] = 1e-6
        data["more"] = [source for source in more if source.get("holdout")]
        data["share"] = 1 - 1e-6 * len(data["more"])
    elif arm == "opinions":
        for source in sources:
            source["opinions"], source["doubt"] = None, 0
        data["more"] = [source for source in more if source["dataset"] != "unlabelled"]
        _share_out(data)
    elif arm == "doubt":
        for source in sources:
            source["doubt"] = 0
    elif arm == "absent":
        augmentation["cut_probability"] = augmentation["part_probability"] = 0
        data["more"] = [source for source in more if source["dataset"] != "nobody"]
        _share_out(data)
    elif arm == "neighbours":
        augmentation["neighbour_probability"] = 0
    elif arm != "nothing":
        raise SystemExit(f"unknown arm {arm!r}; there are {', '.join(ARMS)}")
    return changed


ARMS = ("nothing", "sources", "opinions", "doubt", "absent", "neighbours")


def _share_out(data: dict[str, Any]) -> None:
    """Let the shares that are left add up to 1."""
    sources = [data, *data["more"]]
    total = sum(source["share"] for source in sources)
    for source in sources:
        source["share"] /= total


def scores_of(run: Path) -> dict[str, float]:
    """The last held-out score of each source, and their mean."""
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    sources = [line["sources"] for line in lines if "sources" in line][-1]
    found = {title: float(score["mean"]) for title, score in sources.items()}
    return {**found, "mean": mean(found.values())}


def train(recipe: dict[str, Any], run: Path, device: str) -> None:
    """Train a recipe into a directory, or go on with it."""
    path = run.with_suffix(".yaml")
    path.write_text(yaml.safe_dump(recipe, sort_keys=False))
    resume = ["--resume"] if (run / "state.safetensors").exists() else []
    command = [sys.executable, "-m", "spcnet", "train", path, "--run-dir", run, "--device", device]
    subprocess.run([*map(str, command), *resume], check=True)


def report(found: dict[tuple[str, int], dict[str, float]], seeds: Sequence[int]) -> None:
    """Print a line per arm: its scores, and what leaving the ingredient out cost."""
    titles = list(next(iter(found.values())))
    print(f"{'without':12}", *(f"{title:>12}" for title in titles), "   mean, difference")
    for arm in ARMS:
        rows = {seed: found[arm, seed] for seed in seeds if (arm, seed) in found}
        if not rows:
            continue
        cells = [f"{mean(row[title] for row in rows.values()):12.2f}" for title in titles]
        paired = [
            row["mean"] - found["nothing", seed]["mean"]
            for seed, row in rows.items()
            if ("nothing", seed) in found
        ]
        error = stdev(paired) / math.sqrt(len(paired)) if len(paired) > 1 else math.nan
        text = "" if arm == "nothing" else f"   {mean(paired):+.2f} +- {error:.2f}"
        print(f"{arm:12}", *cells, text, f"({len(rows)} seeds)")


def main() -> None:
    """Read the arguments, train what is missing, and report."""
    from spcnet.training.recipe import load_recipe

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--arms", nargs="+", default=list(ARMS))
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("runs/ingredients"))
    parser.add_argument("--device", default="auto")
    parser.add_argument("--set", dest="overrides", action="append", default=[])
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)

    base = load_recipe(arguments.recipe, arguments.overrides).model_dump(mode="json")
    for section, fields in SMALL.items():
        base[section] |= fields
    base["training"] |= {"epochs": arguments.epochs, "evaluate_every": arguments.epochs}
    found = {}
    for seed in arguments.seeds:
        for arm in arguments.arms:
            run = arguments.out / f"{arm}-seed{seed}"
            train({**without(base, arm), "name": run.name, "seed": seed}, run, arguments.device)
            found[arm, seed] = scores_of(run)
            report(found, arguments.seeds)


if __name__ == "__main__":
    main()
