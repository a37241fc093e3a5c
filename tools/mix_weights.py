"""Average two models' weights, and measure the statistics of the mixture anew.

    python tools/mix_weights.py NEW.safetensors OLD recipe.yaml --share 0.6 -o mixed.safetensors \
        --set data.root=PATH/lspet --set data.opinions=PATH/lspet.json ...

NEW is what a run by the recipe made, which began with OLD's weights, by however many runs. Between
the two most of what NEW learned is kept, and most of what it forgot comes back (Wortsman et al.,
"Robust fine-tuning of zero-shot models", CVPR 2022). Joints that OLD does not know are NEW's alone.
The batch norms' statistics are those of pictures that the recipe learns from.
"""

import argparse
from dataclasses import replace
from pathlib import Path

from torch import Tensor

from spcnet.checkpoints import find_weights, load_checkpoint, save_checkpoint
from spcnet.models.network import channels_last
from spcnet.training.data import open_stores
from spcnet.training.distributed import ProcessGroup
from spcnet.training.optimisation import measure_statistics
from spcnet.training.recentring import recentre
from spcnet.training.recipe import load_recipe
from spcnet.training.task import PoseTask
from spcnet.training.weights import begin_with

BATCHES, SIZE = 16, 32


def main() -> None:
    """Read the arguments, mix, and write the mixture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("new", type=Path)
    parser.add_argument("old")
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--share", type=float, required=True, help="of the new weights")
    parser.add_argument("--keep", action="append", default=[], help="a module that is NEW's alone")
    parser.add_argument("--set", action="append", default=[], dest="overrides")
    parser.add_argument("-o", "--output", type=Path, required=True)
    arguments = parser.parse_args()

    recipe = load_recipe(arguments.recipe, [*arguments.overrides, "loss.teacher=null"])
    store, _ = open_stores(recipe, ProcessGroup(), lambda *counts: None)
    task = PoseTask(recipe, store)
    network, card = load_checkpoint(arguments.new)
    new = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    # The network as a run would begin with the old weights: joints it does not know are fresh.
    begin = recipe.model_copy(
        update={"model": recipe.model.model_copy(update={"weights": arguments.old, "anew": []})}
    )
    begin_with(network, begin, store.skeleton)
    known = load_checkpoint(find_weights(arguments.old))[1].skeleton.joints
    fresh = [n for n, joint in enumerate(store.skeleton.joints) if joint not in known]
    mixed: dict[str, Tensor] = {}
    for name, old in network.state_dict().items():
        if not old.is_floating_point():
            mixed[name] = old
            continue
        if name.startswith(tuple(f"{part}." for part in arguments.keep)):
            mixed[name] = new[name]
            continue
        mixed[name] = arguments.share * new[name] + (1 - arguments.share) * old
        if ".head." in name or name.startswith("head."):
            mixed[name][fresh] = new[name][fresh]
        elif name.endswith("of_heatmaps.weight"):
            mixed[name][:, fresh] = new[name][:, fresh]
    network.load_state_dict(mixed)
    channels_last(network)
    measure_statistics(network, (task.random_images(n, SIZE) for n in range(BATCHES)))
    recentre(network.eval(), task.random_images(BATCHES, SIZE))  # averages are not about zero
    how = {"share": arguments.share, "with": arguments.old, "statistics_of": BATCHES * SIZE}
    card = replace(
        card,
        training={**card.training, "mixed": how},
        codec=replace(card.codec, calibration=None),
    )
    save_checkpoint(arguments.output, network.state_dict(), card)
    print(f"{arguments.output}: {arguments.share:g} of {arguments.new}, the rest {arguments.old}")


if __name__ == "__main__":
    main()
