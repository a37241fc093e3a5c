"""Make a finished run's model one that comes with the package.

    python tools/install_weights.py runs/lspet_cpu/model.safetensors default --root PATH/lspet

Scores the model on the validation images of LSP extended, with and without flip, writes the
scores into its model card and saves it as src/spcnet/weights/NAME.safetensors. A network that the
recipe described as a variant with other arguments, and that is registered, gets its own name.
"""

import argparse
from dataclasses import replace
from pathlib import Path
from typing import get_args

from spcnet.bundled import weights_folder
from spcnet.checkpoints import load_checkpoint, save_checkpoint
from spcnet.data.leeds import read_lspet
from spcnet.heatmaps import Refinement
from spcnet.inference.estimator import PoseEstimator
from spcnet.inference.evaluate import evaluate
from spcnet.models.registry import create_model, variant_names


def main() -> None:
    """Read the arguments, score, and write the weights."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("name")
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--refinement", choices=get_args(Refinement), help="by default the run's")
    arguments = parser.parse_args()

    scores = []
    for flip in (False, True):
        estimator = PoseEstimator(
            str(arguments.model), device="cpu", flip=flip, refinement=arguments.refinement
        )
        dataset = read_lspet(arguments.root, "val")
        score = evaluate(estimator, dataset, protocol="lspet-pck").score
        print(f"flip {flip}: {score.mean_limbs:.2f} over the limbs, {score.mean:.2f} over all")
        scores.append(
            {
                "data": "lspet val (images 8061-8860)",
                "flip": flip,
                "refinement": estimator.refinement,
                "command": f"spcnet evaluate --model {arguments.name} --dataset lspet "
                "--root PATH/lspet --split val" + (" --flip" if flip else ""),
                "score": score.to_dict(),
            }
        )
    network, card = load_checkpoint(arguments.model)
    card = replace(card, refinement=arguments.refinement or card.refinement)
    for variant in variant_names():
        if str(create_model(variant, num_joints=len(card.skeleton))) == str(network):
            card = replace(card, variant=variant, arguments={})
    target = weights_folder() / f"{arguments.name}.safetensors"
    save_checkpoint(target, network.state_dict(), replace(card, scores=card.scores + scores))
    print(f"{target}: {target.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
