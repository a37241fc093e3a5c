"""Trained networks that a run begins with or learns from (distillation)."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from spcnet.checkpoints import FinderCard, find_weights, load_checkpoint, load_finder
from spcnet.errors import UserError
from spcnet.models.network import channels_last
from spcnet.skeletons import Skeleton
from spcnet.tensor_files import read_metadata
from spcnet.training.optimisation import find_modules, is_of_joints
from spcnet.training.recipe import Recipe


def weights_of(field: str, name: str) -> Path:
    """The weights that a field of a recipe names."""
    try:
        return find_weights(name)
    except UserError as error:
        raise UserError(f"{field}: {error}") from None


@dataclass(frozen=True)
class Taken:
    """What a run took over from the weights that its recipe names."""

    name: str
    training: dict[str, Any]  # what their card says of their training
    share: float  # of the network's weights that were taken over
    anew: tuple[str, ...]  # modules of which some weight begins anew, but for heads of new joints
    joints: dict[str, str]  # joints whose maps were taken over, and what they were called there
    new_joints: tuple[str, ...]  # those that begin anew


def begin_with(network: nn.Module, recipe: Recipe, skeleton: Skeleton | None) -> Taken:
    """Take over what fits of the weights that a recipe names; the rest begins anew.

    What fits has the same name and shape; a joint's maps are those of the joint of its name, or of
    the one that ``model.joints`` gives for it. It is a `UserError` where nothing of the stacks
    fits, or a joint or module that the recipe names is not there.
    """
    name, plan = str(recipe.model.weights), recipe.model
    path = weights_of("model.weights", name)
    finds = path.suffix == ".safetensors" and FinderCard.key in read_metadata(path)
    trained, card = load_finder(path) if finds else load_checkpoint(path)
    theirs = None if isinstance(card, FinderCard) else card.skeleton
    joints = _shared_joints(plan.joints, theirs, skeleton)
    fresh, own = network.state_dict(), trained.state_dict()
    fitted: dict[str, Tensor] = {}
    to = [skeleton.index(joint) for joint in joints] if skeleton else []
    source = [theirs.index(joint) for joint in joints.values()] if theirs else []
    for key, tensor in own.items():
        if skeleton and theirs and is_of_joints(key):
            fitted |= _maps_of(key, tensor, fresh, to, source)
        elif key in fresh and fresh[key].shape == tensor.shape:
            fitted[key] = tensor
    if not any(key.startswith("stacks.") and fitted[key].ndim > 1 for key in fitted):
        arguments = json.dumps(card.arguments)
        raise UserError(
            f"model.weights: nothing of {name}, a {card.variant} with arguments {card.arguments}, "
            f"fits a {plan.variant} with {plan.arguments}; take over the former by "
            f"--set model.variant={card.variant} --set 'model.arguments={arguments}'"
        )
    find_modules(network, "model.anew", plan.anew)
    anew = tuple(f"{part}." for part in plan.anew)
    fitted = {key: tensor for key, tensor in fitted.items() if not key.startswith(anew)}
    network.load_state_dict({**fresh, **fitted})
    weights = {key: parameter.numel() for key, parameter in network.named_parameters()}
    missing = [key for key in weights if key not in fitted]
    known = len(to) / len(skeleton) if skeleton and theirs else 1.0  # of a head's rows
    shares = {key: known if is_of_joints(key) else 1.0 for key in weights.keys() - set(missing)}
    return Taken(
        name=name,
        training=card.training,
        share=sum(part * weights[key] for key, part in shares.items()) / sum(weights.values()),
        anew=tuple(dict.fromkeys(_module_of(key) for key in missing)),
        joints=joints,
        new_joints=tuple(j for j in (skeleton.joints if skeleton else ()) if j not in joints),
    )


def _shared_joints(
    given: Mapping[str, str], theirs: Skeleton | None, ours: Skeleton | None
) -> dict[str, str]:
    """Our joints that weights know, and what they are called there."""
    if theirs is None or ours is None:
        return {}
    for mine, other in given.items():
        for joint, skeleton in ((mine, ours), (other, theirs)):
            if joint not in skeleton.joints:
                where = "the labels" if skeleton is ours else "the weights"
                names = ", ".join(skeleton.joints)
                raise UserError(f"model.joints: {where} have no joint {joint!r}, but {names}")
    named = {joint: given.get(joint, joint) for joint in ours.joints}
    return {joint: other for joint, other in named.items() if other in theirs.joints}


def _maps_of(
    key: str, tensor: Tensor, fresh: Mapping[str, Tensor], to: list[int], source: list[int]
) -> dict[str, Tensor]:
    """A head of other joints, (K, C, 1, 1) or (K,), or the feedback of their maps, (C, K, 1, 1).

    New joints have fresh heads and no feedback.
    """
    ours, feedback = fresh.get(key), key.endswith("of_heatmaps.weight")
    joints = int(feedback)  # the dimension that counts them
    if ours is None or not to or ours.shape[1 - joints :][:1] != tensor.shape[1 - joints :][:1]:
        return {}  # of another width
    ours = torch.zeros_like(ours) if feedback else ours.clone()
    known = tensor.index_select(joints, torch.tensor(source)).to(ours)
    return {key: ours.index_copy_(joints, torch.tensor(to).to(ours.device), known)}


def _module_of(key: str) -> str:
    """The module that a person would name, such as ``collect.0`` or ``stacks.1``."""
    first, second, *_ = key.split(".")
    return f"{first}.{second}" if second.isdecimal() else first


class Teacher:
    """Says where a trained network sees the joints of training crops, all of which have labels.

    Its `joints` are the channels of the labels' joints that it knows, in the order of its maps.
    """

    def __init__(self, name: str, *, skeleton: Skeleton, device: torch.device) -> None:
        network, self.card = load_checkpoint(weights_of("loss.teacher", name))
        own = self.card.skeleton.joints
        if not set(own) <= set(skeleton.joints):
            predicted = f"{name} predicts {self.card.skeleton.name!r}"
            labels = f"the data are annotated with {skeleton.name!r}"
            raise UserError(f"loss.teacher: {predicted}, and {labels}")
        self.joints = [skeleton.index(joint) for joint in own]
        self.network = channels_last(network.to(device)).eval()

    @torch.no_grad()
    def look(self, images: Tensor, *, cells: int) -> Tensor:
        """Probabilities (B, J, cells, cells) for images (B, 3, S, S); a map's sum is at most 1."""
        codec = self.card.codec
        if images.shape[-1] != codec.input_size:
            images = _resized(images, codec.input_size)
        raw = self.network(images.contiguous(memory_format=torch.channels_last))
        places = codec.activate(raw).clamp_min(0) / codec.mass
        if places.shape[-1] != cells:
            # The mass of a cell is that of the area it covers.
            places = (places.shape[-1] / cells) ** 2 * _resized(places, cells)
        return places / places.sum((-1, -2), keepdim=True).clamp_min(1)


def _resized(maps: Tensor, side: int) -> Tensor:
    return F.interpolate(maps, (side, side), mode="bilinear", align_corners=False, antialias=True)
