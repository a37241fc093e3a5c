"""Recipes: everything that decides a training run, as one validated YAML."""

import contextlib
import difflib
import os
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

from spcnet.codec import SIZES, Codec, HeatmapKind
from spcnet.data.augmentation import Augmentation
from spcnet.data.datasets import DATASETS, UNSCORED, source_title
from spcnet.data.regions import CropRule
from spcnet.errors import UserError
from spcnet.models.network import FUSIONS, MODULES, NO_FUSION
from spcnet.skeletons import SKELETONS, Skeleton
from spcnet.training.losses import LabelNoise


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


Count = Annotated[int, Field(strict=True, ge=1)]


def _check_module(name: str) -> str:
    if not MODULES.knows(name):
        raise ValueError(MODULES.unknown(name))
    return name


def _check_fusion(name: str) -> str:
    if name != NO_FUSION and not FUSIONS.knows(name):
        raise ValueError(FUSIONS.unknown(name, NO_FUSION))
    return name


@with_config(ConfigDict(extra="forbid"))
class NetworkArguments(TypedDict, total=False):
    """What a recipe may change of `spcnet.models.network.PoseNetwork`."""

    stacks: Count
    channels: Count
    module: Annotated[str, AfterValidator(_check_module)]
    depth: Count
    dilation: Count
    fusion: Annotated[str, AfterValidator(_check_fusion)]


class ModelSection(Section):
    """Which network, and what it looks at."""

    variant: str = Field("spcnet_s8_w256", description="a name of `spcnet models`")
    arguments: NetworkArguments = Field(
        NetworkArguments(),
        description="what to change of the variant: "
        + ", ".join(f"`{name}`" for name in NetworkArguments.__annotations__),
    )
    input_size: int = Field(
        256, ge=SIZES[0], le=SIZES[1], description="side of the square input, pixels"
    )
    weights: str | None = Field(
        None, description="a model or .safetensors whose weights the run begins with"
    )
    anew: list[str] = Field(
        [], description="modules that begin anew all the same, such as `distribute.squeeze`"
    )
    squeeze: Literal["zero", "literal"] = Field(
        "zero",
        description="how SIM's squeeze begins: at zero, which weighs all levels alike, or as any "
        "other convolution",
    )


def _check_dataset(name: str) -> str:
    others = ("synthetic", "store", *UNSCORED)
    if name not in others and not DATASETS.knows(name):
        raise ValueError(DATASETS.unknown(name, *others))
    return name


DatasetName = Annotated[str, AfterValidator(_check_dataset)]


class MoreData(Section):
    """Persons of another data set to learn from; joints of the same names are taken."""

    dataset: DatasetName = Field(description="as `data.dataset`")
    root: str | None = Field(None, description="as `data.root`; --set data.more.0.root=PATH")
    split: str = Field("train", description="as `data.train`")
    holdout: str | None = Field(None, description="as `data.holdout`")
    crop: CropRule | None = Field(None, description="as `data.crop`")
    share: float | None = Field(None, gt=0, le=1, description="as `data.share`")
    opinions: str | None = Field(None, description="as `data.opinions`")
    doubt: float = Field(0, ge=0, lt=1, description="as `data.doubt`")
    taught: float | None = Field(None, ge=0, le=1, description="as `data.taught`")
    complete: bool = Field(False, description="as `data.complete`")

    @property
    def title(self) -> str:
        """What the source is called: the data set, and its folder where it may be any."""
        return source_title(self.dataset, self.root)


class DataSection(Section):
    """Which persons to learn from."""

    dataset: DatasetName = Field(
        "lspet",
        description="mpii, lsp, lspet, flic, coco, or one of yours; `synthetic`; `store` for one "
        "that `spcnet data pack` wrote; `unlabelled`, a "
        "folder of pictures of one person each; `nobody`, the pictures of a COCO file that have no "
        "annotation",
    )
    root: str | None = Field(None, description="folder of the data set, as its authors lay it out")
    train: str = Field(
        "train", description="split or image numbers to learn from; of a store, its folder"
    )
    holdout: str | None = Field(
        None, description="the same, of others than `train`, to be scored while training"
    )
    crop: CropRule | None = Field(
        None, description="rule of the crops; by default the data set's own"
    )
    skeleton: str | None = Field(
        None, description="whose joints are learned, such as body19; by default `dataset`'s"
    )
    share: float | None = Field(
        None,
        gt=0,
        le=1,
        description="share of an epoch that is drawn from this data set; data "
        "sets without one divide the rest by their sizes",
    )
    opinions: str | None = Field(
        None,
        description="a JSON of another model's points (person -> 17 x [x, y, probability]), "
        "which teach joints without a label",
    )
    doubt: float = Field(
        0,
        ge=0,
        lt=1,
        description="share of labels believed to be wrong where an opinion differs; "
        "for the softmax kinds",
    )
    taught: float | None = Field(
        None,
        ge=0,
        le=1,
        description="share of its persons' loss that asks for what loss.teacher sees; by default "
        "loss.teacher_share",
    )
    complete: bool = Field(
        False, description="whether every person in its pictures has a box, for `task: finder`"
    )
    side: int = Field(256, gt=0, description="largest side of a packed person's crop, pixels")
    more: list[MoreData] = Field(
        [],
        description="further data sets to learn from, each with `dataset`, `root`, `split`, "
        "`holdout`, `crop`, `share`, `opinions`, `doubt`, `taught`, `complete`",
    )

    @property
    def parts(self) -> list[MoreData]:
        """Everything to learn from, the first data set included."""
        shared = MoreData.model_fields.keys() & DataSection.model_fields.keys()
        first = MoreData(split=self.train, **{name: getattr(self, name) for name in shared})
        return [first, *self.more]

    @property
    def believes_opinions(self) -> bool:
        """Whether another model's points are learned from."""
        return any(part.opinions is not None for part in self.parts)

    @field_validator("skeleton")
    @classmethod
    def _check_skeleton(cls, name: str | None) -> str | None:
        if name is not None and name not in SKELETONS:
            raise ValueError(f"unknown skeleton {name!r}; there are {', '.join(SKELETONS)}")
        return name


class AugmentationSection(Section):
    """How far training crops stray; see `spcnet.data.augmentation.Augmentation`."""

    rotation: float = Field(
        60, ge=0, le=180, description="largest rotation, degrees; half of it is the deviation"
    )
    rotation_probability: float = Field(0.6, ge=0, le=1, description="share of rotated crops")
    full_circle_probability: float = Field(
        0, ge=0, le=1, description="share of crops that turn by any angle instead"
    )
    scale: float = Field(
        0.25, ge=0, lt=1, description="the side is multiplied by 1 - scale to 1 + scale"
    )
    shift: float = Field(
        0, ge=0, lt=1, description="deviation of the middle in each direction, shares of the side"
    )
    flip_probability: float = Field(0.5, ge=0, le=1, description="share of mirrored crops")
    part_probability: float = Field(
        0, ge=0, le=1, description="share of close-ups: crops about some of the joints"
    )
    brightness: float = Field(
        0, ge=0, le=1, description="largest common shift of the channels, of full range"
    )
    contrast: float = Field(0, ge=0, le=1, description="deviations from grey times 1 +- this")
    tint: float = Field(0.2, ge=0, le=1, description="each channel times its own 1 +- this")
    grey_probability: float = Field(0, ge=0, le=1, description="share of crops without colour")
    dark_probability: float = Field(0, ge=0, le=1, description="share of underexposed crops")
    blur_probability: float = Field(0, ge=0, le=1, description="share of crops out of focus")
    jpeg_probability: float = Field(0, ge=0, le=1, description="share of crops worn by JPEG")
    cut_probability: float = Field(
        0,
        ge=0,
        le=1,
        description="share of pictures that end in the middle of the person; what "
        "lies beyond is absent",
    )
    neighbour_probability: float = Field(
        0, ge=0, le=1, description="share of crops with a part of another person pasted in"
    )

    def build(self) -> Augmentation:
        """The augmentation these fields describe."""
        return Augmentation(**self.model_dump())


class LossSection(Section):
    """What the network is asked for."""

    kind: HeatmapKind = Field(
        "gaussian",
        description="gaussian: squared error to Gaussian heatmaps (eq. 6); "
        "softmax: cross-entropy of the softmax over the map to the normalised Gaussian; "
        "softmax_absent: the same with one more place, for joints that the crop cut off",
    )
    sigma: float = Field(1.0, gt=0, description="of the target, heatmap cells")
    astray: float = Field(
        0, ge=0, lt=1, description="share of labels that may be anywhere; for the softmax kinds"
    )
    swapped: float = Field(
        0,
        ge=0,
        lt=1,
        description="share of left-right pairs labelled the wrong way round; for the softmax kinds",
    )

    teacher: str | None = Field(
        None, description="a model or .safetensors of the same joints to learn from too"
    )
    teacher_share: float = Field(
        0.5, ge=0, le=1, description="of the loss that asks for what the teacher sees"
    )

    @model_validator(mode="after")
    def _check_noise(self) -> "LossSection":
        if self.kind == "gaussian" and (self.astray or self.swapped):
            raise ValueError(
                "`astray` and `swapped` need a likelihood: kind softmax or softmax_absent"
            )
        return self

    def noise(self, skeleton: Skeleton) -> LabelNoise | None:
        """What labels are forgiven, if anything."""
        if not self.astray and not self.swapped:
            return None
        return LabelNoise(self.astray, self.swapped, skeleton.flip_permutation)


class OptimizerSection(Section):
    """How the weights move."""

    name: Literal["rmsprop", "adamw", "muon"] = Field(
        "rmsprop", description="the optimiser; muon orthogonalises the kernels' momentum"
    )
    lr: float = Field(1e-3, gt=0, description="highest learning rate")
    alpha: float = Field(0.99, gt=0, lt=1, description="RMSProp's smoothing")
    eps: float = Field(1e-8, gt=0, description="added to the denominator")
    weight_decay: float = Field(0, ge=0, description="of kernels; norms and biases have none")
    squeeze_rate: float | None = Field(
        None,
        gt=0,
        description="learning rate of SIM's squeeze over that of the rest; by default 2 / channels",
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
    accumulate: int = Field(
        1, gt=0, description="parts that a step's persons go through the network in"
    )
    precision: Literal["fp32", "bf16", "fp16", "fp64"] = Field(
        "fp32", description="of the network's arithmetic; bf16 and fp16 keep fp32 weights"
    )
    checkpointing: bool = Field(
        False, description="keep only each stack's input, and compute it again for the gradient"
    )
    compile: bool = Field(False, description="torch.compile, on a GPU")
    frozen_batchnorm: bool = Field(
        False, description="normalise by the running statistics, and leave them as they are"
    )
    sync_batchnorm: bool = Field(
        False, description="statistics over all processes' persons; on GPUs"
    )
    ema: float | None = Field(
        None, gt=0, lt=1, description="decay a step of an average of the weights, which is kept"
    )
    precise_batchnorm: int = Field(
        0, ge=0, description="batches that measure the kept network's statistics anew, as its own"
    )
    recentre_every: int = Field(
        0, ge=0, description="steps between two times that residual sums get mean zero; 0 is never"
    )
    evaluate_every: int = Field(1, gt=0, description="epochs between scores of `holdout`")
    keep_best: bool = Field(
        True, description="keep the model with the best score of `holdout` as best.safetensors"
    )
    tensorboard: bool = Field(False, description="write TensorBoard's files too")
    save_minutes: float = Field(5, gt=0, description="minutes between checkpoints")


class Recipe(Section):
    """One training run."""

    name: str = Field(
        pattern=r"^[^/\\]*[^/\\.][^/\\]*$",
        description="what the run is called; its directory is runs/NAME",
    )
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
        """What the trained model takes and says.

        Where heatmaps are probabilities, the mass about a point says more than the highest cell.
        """
        return Codec(
            input_size=self.model.input_size,
            heatmap=self.loss.kind,
            sigma=self.loss.sigma,
            refinement="dark" if self.loss.kind == "gaussian" else "mass",
        )

    @model_validator(mode="after")
    def _check_holdouts(self) -> "Recipe":
        for part in self.data.parts:
            if self.task == "pose" and part.holdout is not None and part.dataset in UNSCORED:
                raise ValueError(
                    f"holdout: {part.dataset!r} has no joints to be scored by; leave it out"
                )
        return self

    def identity(self) -> dict[str, Any]:
        """What makes two runs the same run: all fields, wherever the data lies."""
        places: dict[str, Any] = {
            "root": True, "opinions": True, "more": {"__all__": {"root", "opinions"}},
        }  # fmt: skip
        if self.data.dataset == "store":  # whose splits are folders
            places |= {"train": True, "holdout": True}
        return self.model_dump(mode="json", exclude={"data": places})


def load_recipe(path: str | os.PathLike[str], overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe and override fields.

    Args:
        path: a YAML file.
        overrides: ``"optimizer.lr=5e-4"`` and the like; values are YAML.

    Raises:
        UserError: the file cannot be read, or a field is unknown or ill-typed; the message names
            the field, what it accepts, and the nearest right name.
    """
    path = Path(path)
    try:
        values = yaml.load(path.read_text(), _OnceLoader)
    except OSError as error:
        raise UserError(f"{path}: cannot read the recipe: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{path}: not a YAML file: {reason}") from None
    if not isinstance(values, dict):
        raise UserError(f"{path}: a recipe is a YAML mapping with a `name`")
    for override in overrides:
        _apply_override(values, override)
    return parse_recipe(values, source=str(path))


class _OnceLoader(yaml.SafeLoader):
    """YAML in which a key that stands twice is an error: else the last one silently wins."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key) for key, _ in node.value]
        for key, (where, _) in zip(keys, node.value, strict=True):
            if keys.count(key) > 1:
                raise yaml.constructor.ConstructorError(
                    problem=f"{key!r} stands twice", problem_mark=where.start_mark
                )
        return super().construct_mapping(node, deep)


def parse_recipe(values: dict[str, Any], *, source: str) -> Recipe:
    """Validate plain values as a recipe.

    Raises:
        UserError: a field is unknown, missing or ill-typed.
    """
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
            parts.append(f"{within}{name} is {there} there and {here} here")
    return ", ".join(filter(None, parts))


def _apply_override(values: dict[str, Any], override: str) -> None:
    field, equals, text = override.partition("=")
    if not equals or not field:
        raise UserError(f"--set {override}: write it as field=value, such as optimizer.lr=5e-4")
    *sections, last = field.split(".")
    target: Any = values
    for section in sections:
        if isinstance(target, list):
            target = target[_place(target, section, override)]
        else:
            target = target.setdefault(section, {})
        if not isinstance(target, (dict, list)):
            raise UserError(f"--set {override}: {section!r} is a value, not a section")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        raise UserError(f"--set {override}: {text!r} is not a YAML value") from None
    # YAML 1.1 reads 5e-4 as text; a person who types it means a number.
    if isinstance(value, str):
        with contextlib.suppress(ValueError):
            value = float(value)
    if isinstance(target, list):
        target[_place(target, last, override)] = value
    else:
        target[last] = value


def _place(values: list[Any], text: str, override: str) -> int:
    """An index into a list, as a part of a field's name."""
    if not text.isdecimal() or int(text) >= len(values):
        raise UserError(
            f"--set {override}: {text!r} is no place in a list of {len(values)}; they count from 0"
        )
    return int(text)


def _explain(problem: Any) -> str:
    location = [str(part) for part in problem["loc"]]
    field = ".".join(location)
    kind, got = problem["type"], problem["input"]
    if kind == "extra_forbidden":
        known = _fields(location[:-1])
        near = difflib.get_close_matches(location[-1], known, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        return f"unknown field {field!r}; {hint}known here: {', '.join(known)}"
    if kind == "missing":
        return f"{field}: field required"
    if kind in ("model_type", "dict_type"):
        known = _fields(location)
        return (
            f"{field}: a section with {', '.join(known)}, such as {field}.{known[0]}; got {got!r}"
        )
    if kind == "list_type" and isinstance(got, dict):
        return f"{field}: the recipe has no such list; write it there, or --set {field}=[{{...}}]"
    if kind == "string_pattern_mismatch":
        return f"{field}: should name one folder, without / and not only dots; got {got!r}"
    message = problem["msg"].removeprefix("Value error, ")
    shown = "" if isinstance(got, dict) else f", got {got!r}"
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
