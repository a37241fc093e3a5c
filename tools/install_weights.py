"""Make a calibrated model one that comes with the package.

    python tools/install_weights.py MODEL.safetensors default --root PATH/lspet \
        --source coco:PATH/mpii:val --source coco:PATH/studio:val

Scores the model on the validation images of LSP extended by lspet-pck and on all sources by
torso-pck, with and without flip, writes the scores into its model card and saves it as
src/spcnet/weights/NAME.safetensors, or in weights/ where the package leaves it out. A network that
the recipe described as a variant with other arguments, and that is registered, gets its own name.
"""

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

from spcnet.bundled import IN_REPOSITORY, weights_folder
from spcnet.checkpoints import load_checkpoint, save_checkpoint
from spcnet.data.datasets import open_pictures
from spcnet.evaluation.evaluate import evaluate
from spcnet.evaluation.sources import Source, evaluate_sources, parse_source, protocol_of
from spcnet.inference.estimator import PoseEstimator
from spcnet.models.registry import create_model
from spcnet.models.variants import variant_names


def main() -> None:
    """Read the arguments, score, and write the weights."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("name")
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--source", type=parse_source, action="append", default=[])
    parser.add_argument("--precision", default="fp32")
    arguments = parser.parse_args()

    sources = [Source("lspet", str(arguments.root), "val"), *arguments.source]
    scores: list[dict[str, Any]] = []
    for flip in (False, True):
        estimator = PoseEstimator(
            str(arguments.model), device="cpu", flip=flip, precision=arguments.precision
        )
        command = f"spcnet evaluate --model {arguments.name}{' --flip' if flip else ''}"
        if arguments.precision != "fp32":
            command += f" --precision {arguments.precision}"
        how = {"flip": flip, "refinement": estimator.codec.refinement}
        labels = open_pictures("lspet", arguments.root, "val")
        score = evaluate(estimator, labels, protocol="lspet-pck").score
        print(f"flip {flip}: lspet-pck {score.mean_limbs:.2f} limbs, {score.mean:.2f} all")
        scores.append(
            {
                "data": "lspet val (images 8061-8860)",
                **how,
                "command": f"{command} --dataset lspet --root PATH/lspet --split val",
                "score": score.to_dict(),
            }
        )
        for scored, source in zip(evaluate_sources(estimator, sources), sources, strict=False):
            group = scored.group
            print(f"  {group.name}: {group.score:.2f} {group.interval}, {group.persons} persons")
            folder = f"PATH/{Path(source.root).name}"
            scores.append(
                {
                    "data": group.name,
                    **how,
                    "command": f"{command} --source {source.dataset}:{folder}:{source.split}",
                    "score": {
                        "protocol": protocol_of([source]),
                        "mean": group.score,
                        "interval": list(group.interval),
                        "persons": group.persons,
                    },
                }
            )
    network, card = load_checkpoint(arguments.model)
    for variant in variant_names():
        if str(create_model(variant, num_joints=len(card.skeleton))) == str(network):
            card = replace(card, variant=variant, arguments={})
    large = arguments.name in IN_REPOSITORY
    folder = Path(__file__).parents[1] / "weights" if large else weights_folder()
    target = folder / f"{arguments.name}.safetensors"
    save_checkpoint(target, network.state_dict(), replace(card, scores=card.scores + scores))
    print(f"{target}: {target.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
