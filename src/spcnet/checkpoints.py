"""Checkpoints: one ``.safetensors`` whose metadata rebuilds and explains the network.

Never a pickle. Weights that come with the package lie in ``spcnet/weights``; `find_weights` turns
a name into a file.
"""

import difflib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor

from spcnet.boxmaps import CHANNELS
from spcnet.bundled import IN_REPOSITORY, weights_files, weights_names
from spcnet.calibration import Calibration
from spcnet.codec import MEAN, PADDING, STD, Codec, check_size
from spcnet.errors import UserError, in_words
from spcnet.models.network import PoseNetwork
from spcnet.models.registry import create_model
from spcnet.models.variants import variant_names
from spcnet.skeletons import Skeleton
from spcnet.tensor_files import read_tensors, write_tensors

METADATA_KEY = "spcnet"
FINDER_KEY = "spcnet-finder"

# Said to other programs that use a model, and the same for all of them.
FIXED = {"box_padding": PADDING, "mean": list(MEAN), "std": list(STD)}


@dataclass(frozen=True, kw_only=True)
class ModelCard:
    """All that is needed to rebuild, use and judge a trained network."""

    variant: str  # registered architecture
    arguments: dict[str, Any]  # in place of the variant's own
    skeleton: Skeleton  # the joints of the heatmaps, in order
    codec: Codec  # what it takes and says
    training: dict[str, Any] = field(default_factory=dict)  # data, recipe, seed, duration, machine
    scores: list[dict[str, Any]] = field(default_factory=list)  # each with protocol and command
    version: str = ""  # of the package that wrote the file
    licence: str = ""  # terms of the weights

    key = METADATA_KEY

    def __post_init__(self) -> None:
        _check_types(self)

    def to_json(self) -> str:
        """The card as JSON text, with all that another program needs to use the model."""
        values = asdict(self) | {"skeleton": self.skeleton.to_dict()}
        return json.dumps(values.pop("codec") | FIXED | values)

    @classmethod
    def from_json(cls, text: str) -> "ModelCard":
        """Read what `to_json` wrote.

        Raises:
            ValueError: it is not that, or a value is out of its range.
        """
        with _as_value_errors():
            values = _card_values(text, curve="calibration")
            of_codec = {field.name for field in fields(Codec)} & set(values)
            codec = Codec(**{name: values.pop(name) for name in of_codec})
            skeleton = Skeleton.from_dict(values.pop("skeleton"))
            return cls(skeleton=skeleton, codec=codec, **values)

    def build(self) -> PoseNetwork:
        """The network of this card with fresh weights."""
        return create_model(self.variant, num_joints=len(self.skeleton), **self.arguments)


@dataclass(frozen=True, kw_only=True)
class FinderCard:
    """The same of a network of `spcnet.boxmaps`, which finds persons."""

    variant: str
    arguments: dict[str, Any]
    input_size: int  # longer side of a picture as the network takes it, pixels
    threshold: float  # least score of a person
    # Least presence, by which poses say whether somebody is there (`inference.people.confirm`);
    # 0 where it was not fitted.
    present: float = 0.0
    # From the score of the surest box to the probability that somebody is there.
    presence: Calibration | None = None
    training: dict[str, Any] = field(default_factory=dict)
    scores: list[dict[str, Any]] = field(default_factory=list)
    version: str = ""
    licence: str = ""

    key = FINDER_KEY

    def __post_init__(self) -> None:
        _check_types(self)
        check_size(self.input_size)
        for name in ("threshold", "present"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must lie in 0..1, got {getattr(self, name)!r}")

    def to_json(self) -> str:
        """The card as JSON text."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "FinderCard":
        """Read what `to_json` wrote; raises as that of a `ModelCard`."""
        with _as_value_errors():
            return cls(**_card_values(text, curve="presence"))

    def build(self) -> PoseNetwork:
        """The network of this card with fresh weights."""
        return create_model(self.variant, num_joints=CHANNELS, **self.arguments)


@contextmanager
def _as_value_errors() -> Iterator[None]:
    """What values of other types than a card's make Python raise."""
    try:
        yield
    except (TypeError, AttributeError, ArithmeticError, LookupError, RecursionError) as error:
        raise ValueError(in_words(error)) from None


def _check_types(card: ModelCard | FinderCard) -> None:
    """Check the types of what both cards have."""
    kinds = {"variant": str, "arguments": dict, "training": dict, "scores": list, "version": str}
    called = {str: "a text", dict: "an object", list: "a list"}
    for name, kind in {**kinds, "licence": str}.items():
        if not isinstance(value := getattr(card, name), kind):
            raise ValueError(f"{name} must be {called[kind]}, got {value!r:.60}")


def _card_values(text: str, *, curve: str) -> dict[str, Any]:
    """The fields of a card's JSON text, of which one is a `Calibration` or None."""
    values: dict[str, Any] = json.loads(text)
    for name, fixed in FIXED.items():
        if (given := values.pop(name, fixed)) != fixed:
            raise ValueError(
                f"{name} must be {fixed}, as every model of ours has it, got {given!r}"
            )
    if (found := values.get(curve)) is not None:
        peaks, shares = tuple(found["peaks"]), tuple(found["shares"])
        values[curve] = Calibration(peaks, shares, found.get("fitted_on") or found.get("told", ""))
    return values


Card = TypeVar("Card", ModelCard, FinderCard)


def save_checkpoint(
    path: str | os.PathLike[str], network: Mapping[str, Tensor], card: ModelCard | FinderCard
) -> None:
    """Write a network's state with its card.

    Kernels are written in fp16; norms and biases, whose values have no such bound, in fp32.

    Raises:
        UserError: a value is not finite, or a kernel's is too large for fp16.
    """
    halves = {
        name: tensor.half() if tensor.ndim > 1 else tensor.to(_narrow(tensor))
        for name, tensor in network.items()
        if not name.endswith("num_batches_tracked")
    }
    for name, tensor in halves.items():
        if not tensor.isfinite().all():
            raise UserError(
                f"{path}: not written: {name} holds values that are not finite or too large for "
                "fp16; train with a lower optimizer.lr, or with optimizer.clip"
            )
    write_tensors(path, halves, {card.key: card.to_json()})


def _narrow(tensor: Tensor) -> torch.dtype:
    """The number type that a norm's or bias's tensor is written in."""
    return torch.float32 if tensor.is_floating_point() else tensor.dtype


def load_checkpoint(path: str | os.PathLike[str]) -> tuple[PoseNetwork, ModelCard]:
    """Rebuild the network of a checkpoint, in float32 and evaluation mode.

    Raises:
        UserError: the file is missing, broken, or not a checkpoint of this package.
    """
    if Path(path).suffix == ".onnx":
        raise UserError(
            f"{path}: an .onnx file can only be run; name the .safetensors that it was made from"
        )
    return _load(path, ModelCard)


def load_finder(path: str | os.PathLike[str]) -> tuple[PoseNetwork, FinderCard]:
    """Rebuild a network that finds persons, in float32 and evaluation mode.

    Raises:
        UserError: the file is missing, broken, or holds no finder.
    """
    return _load(path, FinderCard)


def _load(path: str | os.PathLike[str], kind: type[Card]) -> tuple[PoseNetwork, Card]:
    tensors, metadata = read_tensors(path)
    if kind.key not in metadata:
        others = {METADATA_KEY: "a model of poses", FINDER_KEY: "a finder of persons"}
        held = next((f", but {what}" for key, what in others.items() if key in metadata), "")
        raise UserError(f"{path}: holds no {kind.key} model card{held}; not a checkpoint of ours")
    try:
        card = kind.from_json(metadata[kind.key])
    except ValueError as error:
        raise UserError(f"{path}: its model card cannot be read: {in_words(error)}") from None
    try:
        with torch.device("meta"):  # its weights are those of the file, and no others
            network = card.build()
        size = card.codec.input_size if isinstance(card, ModelCard) else card.input_size
        if size % network.divisor:
            raise ValueError(f"input_size must be a multiple of {network.divisor}, got {size}")
        own = network.state_dict()
        weights: dict[str, Tensor] = {
            name: torch.zeros((), dtype=torch.long)
            for name in own
            if name.endswith("num_batches_tracked")
        }
        for name in list(tensors):
            tensor = tensors.pop(name)
            if name in own and own[name].is_floating_point():
                if not tensor.is_floating_point() or not tensor.isfinite().all():
                    raise ValueError(f"{name} holds values that are no finite numbers")
                tensor = tensor.float()
            weights[name] = tensor
        network.load_state_dict(weights, assign=True)
    except (RuntimeError, TypeError, KeyError, ValueError) as error:
        raise UserError(f"{path}: weights and model card do not agree: {in_words(error)}") from None
    return network.eval(), card


def find_weights(name: str) -> Path:
    """The weights file of a name such as ``"default"``, or of a .safetensors or .onnx path.

    Raises:
        UserError: there are none; the message names the models that have weights.
    """
    if name.endswith((".safetensors", ".onnx")):
        path = Path(name)
        if not path.is_file():
            raise UserError(f"{name}: no such file")
        return path
    if (known := weights_files().get(name)) is not None:
        return known
    if (inside := Path(name) / "model.safetensors").is_file():
        raise UserError(f"{name}: a folder; its model is {inside}")
    if Path(name).exists():
        raise UserError(f"{name}: a model's file ends in .safetensors or .onnx")
    trained = list_models(pretrained=True)
    have = f"these have: {', '.join(trained)}" if trained else "none has"
    if name in variant_names():
        raise UserError(
            f"model {name!r} has no trained weights; {have}; or name a .safetensors or .onnx"
        )
    if name in IN_REPOSITORY:
        raise UserError(
            f"model {name!r} comes with the repository and not with the package; {have}; or name "
            f"its file, weights/{name}.safetensors in a clone"
        )
    near = difflib.get_close_matches(name, [*trained, *variant_names()], n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    raise UserError(
        f"unknown model {name!r}; {hint}{have} (`spcnet models` lists all); or name a "
        ".safetensors or .onnx"
    )


def list_models(pattern: str = "*", *, pretrained: bool = False) -> list[str]:
    """Names of the models that match a shell pattern, such as ``"spcnet*"``.

    With `pretrained` those that come with weights, under the names that `PoseEstimator` takes.
    """
    if not pretrained:
        return variant_names(pattern)
    return [name for name in weights_names() if fnmatchcase(name, pattern)]
