"""Trained networks that a run begins with or learns from (distillation)."""

import json
from collections.abc import Mapping
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
from spcnet.training.recipe import Recipe


def weights_of(field: str, name: str) -> Path:
    """The weights that a field of a recipe names."""
    try:
        return find_weights(name)
    except UserError as error:
        raise UserError(f"{field}: {error}") from None


def begin_with(network: nn.Module, recipe: Recipe, skeleton: Skeleton | None) -> dict[str, Any]:
    """Take over the weights that a recipe names, and give what their card says of their training.

    Those of another network, or without any of the labels' joints, are a `UserError`; a network
    that predicts no joints takes what fits.
    """
    if skeleton is None:
        return _begin_with_body(network, recipe)
    name = str(recipe.model.weights)
    trained, card = load_checkpoint(weights_of("model.weights", name))
    if not set(card.skeleton.joints) & set(skeleton.joints):
        nothing = f"which shares no joint with {skeleton.name!r} of the data"
        raise UserError(f"model.weights: {name} predicts {card.skeleton.name!r}, {nothing}")
    fresh, modules = network.state_dict(), [child for child, _ in network.named_modules()]
    for part in recipe.model.anew:
        if part not in modules[1:]:
            known = ", ".join(child for child, _ in network.named_children())
            there = f"it has {known} and their parts"
            raise UserError(f"model.anew: the network has no module {part!r}; {there}")
    try:
        fitted = _fitted(trained.state_dict(), fresh, card.skeleton, skeleton)
        anew = tuple(f"{part}." for part in recipe.model.anew)
        fitted |= {key: fresh[key] for key in fitted if key.startswith(anew)}
        network.load_state_dict(fitted)
    except (KeyError, RuntimeError):
        arguments = json.dumps(card.arguments)
        raise UserError(
            f"model.weights: {name} is a {card.variant} with arguments {card.arguments}, the "
            f"recipe's is a {recipe.model.variant} with {recipe.model.arguments}; take over the "
            f"former by --set model.variant={card.variant} --set 'model.arguments={arguments}'"
        ) from None
    return card.training


def _begin_with_body(network: nn.Module, recipe: Recipe) -> dict[str, Any]:
    """What fits by name and shape, whatever it predicts; the rest begins afresh."""
    name = str(recipe.model.weights)
    path = weights_of("model.weights", name)
    finds = path.suffix == ".safetensors" and FinderCard.key in read_metadata(path)
    trained, card = load_finder(path) if finds else load_checkpoint(path)
    fresh, own = network.state_dict(), trained.state_dict()
    fitting = {key: own[key] for key in own if key in fresh and fresh[key].shape == own[key].shape}
    if not any(key.startswith("stacks.") and fitting[key].ndim > 1 for key in fitting):
        raise UserError(
            f"model.weights: nothing of {name}, a {card.variant} with arguments {card.arguments}, "
            f"fits a {recipe.model.variant} with {recipe.model.arguments}"
        )
    network.load_state_dict({**fresh, **fitting})
    return card.training


def _fitted(
    trained: Mapping[str, Tensor], fresh: Mapping[str, Tensor], own: Skeleton, wanted: Skeleton
) -> dict[str, Tensor]:
    """Trained tensors for a network of other joints; new ones have fresh heads and no feedback."""
    if own.joints == wanted.joints:
        return {**trained}
    both = [joint for joint in wanted.joints if joint in own.joints]
    to, source = [wanted.index(joint) for joint in both], [own.index(joint) for joint in both]
    fitted: dict[str, Tensor] = {}
    for name, tensor in trained.items():
        module = name.rpartition(".")[0].rpartition(".")[2]
        if module == "head":  # (K, C, 1, 1) or (K,)
            fitted[name] = fresh[name].clone()
            fitted[name][to] = tensor[source].to(fresh[name])
        elif module == "of_heatmaps" and tensor.ndim > 1:  # (C, K, 1, 1)
            fitted[name] = torch.zeros_like(fresh[name])
            fitted[name][:, to] = tensor[:, source].to(fresh[name])
        else:
            fitted[name] = tensor
    return fitted


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
