"""Recipes: everything that decides a training run, as one validated YAML."""

import contextlib
import difflib
import json
import os
import reprlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
    with_config,
)
from typing_extensions import TypedDict  # pydantic wants this one before Python 3.12

from spcnet.codec import SIZES, Codec, HeatmapKind, Refinement
from spcnet.data.augmentation import Augmentation, PartialShare, Share
from spcnet.data.datasets import DATASETS, source_title
from spcnet.data.regions import CropRule
from spcnet.data.yaml_files import load_yaml
from spcnet.errors import UserError, in_words
from spcnet.models.network import FUSIONS, MODULES, NO_FUSION, PoseNetwork
from spcnet.models.registry import create_model
from spcnet.registries import Registry
from spcnet.skeletons import SKELETONS
from spcnet.training.trackers import TRACKERS


def _known(things: Registry[Any], *others: str) -> AfterValidator:
    """A name of one of the things, or one of the others."""

    def check(name: str | None) -> str | None:
        if name is not None and name not in others and not things.knows(name):
            raise ValueError(things.unknown(name, *others))
        return name

    return AfterValidator(check)


Count = Annotated[int, Field(ge=1, strict=True)]
SkeletonName = Annotated[str | None, _known(Registry("skeleton", SKELETONS))]
TrackerName = Annotated[str, _known(TRACKERS)]
DatasetName = Annotated[str, _known(DATASETS)]


class Section(BaseModel):
    """A part of a recipe: unknown fields are refused, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @field_validator("*", mode="before")
    @classmethod
    def _check_bool(cls, value: Any, info: ValidationInfo) -> Any:
        """To Python true is 1; a person who writes it means something else."""
        field = cls.model_fields[info.field_name or ""].annotation
        if isinstance(value, bool) and field is not bool:
            raise ValueError("neither true nor false belongs here")
        return value


@with_config(ConfigDict(extra="forbid"))
class NetworkArguments(TypedDict, total=False):
    """What a recipe may change of `spcnet.models.network.PoseNetwork`."""

    stacks: Count
    channels: Count
    module: Annotated[str, _known(MODULES)]
    depth: Count
    dilation: Count
    fusion: Annotated[str, _known(FUSIONS, NO_FUSION)]


class ModelSection(Section):
    """Which network, and what it looks at."""

    variant: str = Field("spcnet_s8_w256", description="a name of `spcnet models`")
    arguments: NetworkArguments = Field(
        NetworkArguments(), description=f"changes: {', '.join(NetworkArguments.__annotations__)}"
    )
    input_size: int = Field(256, ge=SIZES[0], le=SIZES[1], description="side of the input, pixels")
    weights: str | None = Field(None, description="a model or .safetensors to begin with")
    anew: list[str] = Field([], description="modules that begin anew, such as `distribute.squeeze`")
    joints: dict[str, str] = Field(
        {}, description="what joints are called in `weights`, such as {right_foot: right_ankle}"
    )
    freeze: list[str] = Field([], description="modules that keep their weights, such as `stem`")
    squeeze: Literal["zero", "literal"] = Field(
        "zero", description="SIM's squeeze begins at zero, all levels alike, or as any convolution"
    )

    @model_validator(mode="after")
    def _check_weights(self) -> "ModelSection":
        if self.weights is None and (self.joints or self.freeze):
            raise ValueError("`joints` and `freeze` go with `weights`")
        return self

    def build(self, joints: int) -> PoseNetwork:
        """The network of so many maps, with fresh weights."""
        return create_model(self.variant, num_joints=joints, **self.arguments)


class Source(Section):
    """A data set to learn from."""

    dataset: DatasetName = Field(
        description="mpii, lsp, lspet, flic, coco, or one of yours; `synthetic`; `store` for one "
        "that `spcnet data pack` wrote; `unlabelled`, a folder of pictures of one person each; "
        "`nobody`, the pictures of a COCO file that have no annotation",
    )
    root: str | None = Field(None, description="folder of the data set, as its authors lay it out")
    holdout: str | None = Field(None, description="another part, to be scored while training")
    crop: CropRule | None = Field(None, description="rule of the crops; by default its own")
    share: float | None = Field(None, gt=0, le=1, description="part of an epoch; else by its size")
    opinions: str | None = Field(None, description="a JSON file of another model's points")
    doubt: PartialShare = Field(0, description="share of labels wrong where an opinion differs")
    taught: float | None = Field(None, ge=0, le=1, description="in place of loss.teacher_share")
    complete: bool = Field(False, description="whether every person has a box, for `task: finder`")


class MoreData(Source):
    """A further data set; joints of the same names are learned."""

    split: str = Field("train", description="as `data.train`")

    @property
    def title(self) -> str:
        """What the source is called: the data set, and its folder where it may be any."""
        return source_title(self.dataset, self.root)


class DataSection(Source):
    """Which persons to learn from."""

    dataset: DatasetName = Field("lspet", description=Source.model_fields["dataset"].description)
    train: str = Field("train", description="split or numbers to learn from; a store's folder")
    skeleton: SkeletonName = Field(None, description="joints to learn; by default the data set's")
    mirror: list[tuple[str, str]] | None = Field(
        None, description="left and right joints that mirror each other, where names do not say so"
    )
    side: int = Field(256, gt=0, description="largest side of a packed person's crop, pixels")
    more: list[MoreData] = Field([], description="further data sets to learn from")

    @property
    def parts(self) -> list[MoreData]:
        """Everything to learn from, the first data set included."""
        shared = {name: getattr(self, name) for name in Source.model_fields}
        return [MoreData(split=self.train, **shared), *self.more]

    @property
    def believes_opinions(self) -> bool:
        """Whether another model's points are learned from."""
        return any(part.opinions is not None for part in self.parts)


class AugmentationSection(Section, Augmentation):
    """How far training crops stray; see `spcnet.data.augmentation.Augmentation`."""


class LossSection(Section):
    """What the network is asked for."""

    kind: HeatmapKind = Field(
        "gaussian",
        description="gaussian: squared error to heatmaps (eq. 6); softmax: cross-entropy over the "
        "map; softmax_absent: the same with one more place, for joints that the crop cut off",
    )
    sigma: float = Field(1.0, gt=0, description="of the target, heatmap cells")
    astray: PartialShare = Field(0, description="share of labels that may be anywhere, for softmax")
    swapped: PartialShare = Field(0, description="share of left-right pairs swapped, for softmax")
    teacher: str | None = Field(None, description="a model or .safetensors to learn from too")
    teacher_share: Share = Field(0.5, description="of the loss that asks for what the teacher sees")

    @model_validator(mode="after")
    def _check_noise(self) -> "LossSection":
        if self.kind == "gaussian" and (self.astray or self.swapped):
            likely = "kind softmax or softmax_absent"
            raise ValueError(f"`astray` and `swapped` need a likelihood: {likely}")
        return self


class OptimizerSection(Section):
    """How the weights move."""

    name: Literal["rmsprop", "adamw", "muon"] = Field("rmsprop", description="the optimiser")
    lr: float = Field(1e-3, gt=0, description="highest learning rate")
    alpha: float = Field(0.99, gt=0, lt=1, description="RMSProp's smoothing")
    eps: float = Field(1e-8, gt=0, description="added to the denominator")
    weight_decay: float = Field(0, ge=0, description="of kernels; norms and biases have none")
    squeeze_rate: float | None = Field(
        None, gt=0, description="learning rate of SIM's squeeze over lr; by default 2 / channels"
    )
    body_rate: float | None = Field(
        None, gt=0, le=1, description="learning rate of all but the heads over lr, by default 1"
    )
    clip: float | None = Field(None, gt=0, description="largest norm of the gradient")
    schedule: Literal["step", "cosine"] = Field(
        "step", description="divided by 10 at `milestones`, or a cosine to 0 over the whole run"
    )
    milestones: list[int] = Field([120, 150], description="epochs at which `step` divides by 10")
    warmup_steps: int = Field(0, ge=0, description="steps of linear warm-up")


class TrainingSection(Section):
    """How long and in what precision."""

    epochs: int = Field(170, gt=0, description="times that every person is seen")
    batch_size: int = Field(12, gt=0, description="persons a step, over all processes")
    accumulate: int = Field(1, gt=0, description="parts in which a step's persons are learned")
    precision: Literal["fp32", "bf16", "fp16", "fp64"] = Field(
        "fp32", description="of the network's arithmetic; bf16 and fp16 keep fp32 weights"
    )
    checkpointing: bool = Field(False, description="compute stacks again, to keep less of them")
    compile: bool = Field(False, description="torch.compile, on a GPU")
    frozen_batchnorm: bool = Field(False, description="leave the running statistics as they are")
    sync_batchnorm: bool = Field(False, description="statistics over all processes; on GPUs")
    ema: float | None = Field(None, gt=0, lt=1, description="decay a step of an average to keep")
    precise_batchnorm: int = Field(0, ge=0, description="batches for the kept model's statistics")
    recentre_every: int = Field(0, ge=0, description="steps between two recentrings; 0 is never")
    evaluate_every: int = Field(1, gt=0, description="epochs between scores of `holdout`")
    keep_best: bool = Field(True, description="keep the best score's model as best.safetensors")
    trackers: list[TrackerName] = Field(
        [], description="records beside log.jsonl: tensorboard, wandb (offline), mlflow"
    )
    save_minutes: float = Field(5, gt=0, description="minutes between checkpoints")

    @model_validator(mode="before")
    @classmethod
    def _read_tensorboard(cls, values: Any) -> Any:
        """Recipes of before other trackers had `tensorboard`, true or false."""
        if isinstance(values, Mapping) and isinstance(values.get("tensorboard"), bool):
            values = dict(values)
            if values.pop("tensorboard"):
                values["trackers"] = [*values.get("trackers", []), "tensorboard"]
        return values


class Recipe(Section):
    """One training run."""

    name: str = Field(pattern=r"^[^/\\]*[^/\\.][^/\\]*$", description="its directory is runs/NAME")
    description: str = Field("", description="for people")
    task: Literal["pose", "finder"] = Field(
        "pose", description="joints in crops of persons, or persons' boxes in whole pictures"
    )
    seed: int = Field(0, ge=0, description="of weights, order and augmentation")
    model: ModelSection = ModelSection()
    data: DataSection = DataSection()
    augmentation: AugmentationSection = AugmentationSection()
    loss: LossSection = LossSection()
    optimizer: OptimizerSection = OptimizerSection()
    training: TrainingSection = TrainingSection()

    @property
    def codec(self) -> Codec:
        """What the trained model takes and says."""
        size, kind, sigma = self.model.input_size, self.loss.kind, self.loss.sigma
        # Where heatmaps are probabilities, the mass about a point says more than the highest cell.
        refinement: Refinement = "dark" if kind == "gaussian" else "mass"
        return Codec(input_size=size, heatmap=kind, sigma=sigma, refinement=refinement)

    @model_validator(mode="after")
    def _check_holdouts(self) -> "Recipe":
        for part in self.data.parts if self.task == "pose" else ():
            if part.holdout is not None and DATASETS[part.dataset].teaches != "joints":
                lacking = f"{part.dataset!r} has no joints to be scored by"
                raise ValueError(f"holdout: {lacking}; leave it out")
        return self

    def identity(self) -> dict[str, Any]:
        """What makes two runs the same run: all fields, wherever the data lies."""
        splits = {"train", "holdout"} if DATASETS[self.data.dataset].packed else set()  # folders
        places: dict[str, Any] = dict.fromkeys({"root", "opinions"} | splits, True)
        places["more"] = {"__all__": {"root", "opinions"}}
        return self.model_dump(mode="json", exclude={"data": places})


def load_recipe(path: str | os.PathLike[str], overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe from a YAML file and override fields: ``"optimizer.lr=5e-4"`` and the like."""
    path = Path(path)
    values = load_yaml(path)
    if not isinstance(values, dict):
        raise UserError(f"{path}: a recipe is a YAML mapping with a `name`")
    for override in overrides:
        _apply_override(values, override)
    return parse_recipe(values, source=str(path))


def parse_recipe(values: dict[str, Any], *, source: str) -> Recipe:
    """Validate plain values as a recipe; a `UserError` begins with the source."""
    try:
        return Recipe.model_validate(values)
    except ValidationError as error:
        problems = "; ".join(_explain(problem) for problem in error.errors())
        raise UserError(f"{source}: {problems}") from None


def differences(one: Mapping[str, Any], other: Mapping[str, Any], within: str = "") -> str:
    """The fields in which two recipes differ, in words; empty where they are the same."""
    parts = []
    for name in {**one, **other}:
        there, here = one.get(name), other.get(name)
        if isinstance(there, dict) and isinstance(here, dict):
            parts.append(differences(there, here, f"{within}{name}."))
        elif there != here:
            parts.append(f"{within}{name} is {in_yaml(there)} there and {in_yaml(here)} here")
    return ", ".join(filter(None, parts))


def in_yaml(value: Any) -> str:
    """A value as a recipe has it."""
    return value if isinstance(value, str) else json.dumps(value, default=str)


def _apply_override(values: dict[str, Any], override: str) -> None:
    field, equals, text = override.partition("=")
    if not equals or not field:
        raise UserError(f"--set {override}: write it as field=value, such as optimizer.lr=5e-4")

    def key(within: Any, part: str) -> Any:
        if isinstance(within, dict):
            return part
        if not part.isdecimal() or int(part) >= len(within):
            places = f"a list of {len(within)}; they count from 0"
            raise UserError(f"--set {override}: {part!r} is no place in {places}")
        return int(part)

    *sections, last = field.split(".")
    target: Any = values
    for part in sections:
        if isinstance(target, dict):
            target.setdefault(part, {})
        target = target[key(target, part)]
        if not isinstance(target, (dict, list)):
            raise UserError(f"--set {override}: {part!r} is a value, not a section")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        raise UserError(f"--set {override}: {text!r} is not a YAML value") from None
    # YAML 1.1 reads 5e-4 as text; a person who types it means a number.
    if isinstance(value, str):
        with contextlib.suppress(ValueError):
            value = float(value)
    target[key(target, last)] = value


def _explain(problem: Any) -> str:
    location = [str(part) for part in problem["loc"]]
    field = ".".join(location)
    kind, given = problem["type"], problem["input"]
    got = in_yaml(given) if given in (None, True, False) else reprlib.repr(given)  # it may be huge
    if kind == "extra_forbidden":
        known = _fields(location[:-1])
        near = difflib.get_close_matches(location[-1], known, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        return f"unknown field {field!r}; {hint}known here: {', '.join(known)}"
    if kind in ("model_type", "dict_type"):
        known = _fields(location)
        inside = f"{', '.join(known)}, such as {field}.{known[0]}"
        return f"{field}: a section with {inside}; got {got}"
    if kind == "list_type" and isinstance(given, dict):
        return f"{field}: the recipe has no such list; write it there, or --set {field}=[{{...}}]"
    if kind == "string_pattern_mismatch":
        return f"{field}: should name one folder, without / and not only dots; got {got}"
    message = in_words(problem["msg"])
    shown = "" if isinstance(given, dict) else f", got {got}"
    return f"{field}: {message[0].lower()}{message[1:]}{shown}"


def _fields(location: Sequence[str]) -> list[str]:
    """Names of a section's fields."""
    section: Any = Recipe
    for part in location:
        if not part.isdecimal():  # of a list, where each has the same fields
            section = section.model_fields[part].annotation
        if get_origin(section) is list:
            (section,) = get_args(section)
    return list(getattr(section, "model_fields", None) or section.__annotations__)
