"""The forms of questions and answers; the service's OpenAPI description is made of them."""

import base64
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, Json, WithJsonSchema
from pydantic_core import PydanticCustomError

from spcnet.inference.people import People

FORMATS = "JPEG, PNG, WebP, TIFF, BMP or GIF"


def about(description: str, *examples: Any, **more: Any) -> Any:
    """A field with what is said of it."""
    if examples:
        more["examples"] = list(examples)
    return Field(description=description, **more)


Box = Annotated[
    tuple[float, float, float, float],
    about("x0, y0, x1, y1 in pixels of the upright picture.", [180.0, 90.0, 470.0, 830.0]),
]
# The first faulty one is named, and no others are kept.
Boxes = Annotated[list[Box], Field(fail_fast=True)]


def _decoded(text: Any) -> Any:
    """A file from its base64, in lines or not, or from a data URI of it."""
    if not isinstance(text, str):
        return text
    encoded = text.partition(",")[2] if text.startswith("data:") else text
    try:
        return base64.b64decode("".join(encoded.split()), validate=True)
    except ValueError:
        raise PydanticCustomError("bad_base64", "not base64 of a picture's file") from None


class Wishes(BaseModel):
    """What is asked of a picture."""

    model_config = ConfigDict(extra="forbid")

    boxes: Boxes | None = about("A tight box per person; without, people are found.", default=None)
    people: People = about("Without boxes: one, the main person, or all.", default="one")
    skeleton: str | None = about(
        "Whose joints are answered; by default the model's.", "coco17", default=None, max_length=40
    )
    heatmaps: bool = about("Answer the heatmaps of each person too.", default=False)
    attention: bool = about("Answer how much each level is taken where, too.", default=False)


class Form(Wishes):
    """A picture, and what is asked of it, as a form."""

    image: bytes = about(f"The picture's file: {FORMATS}.", json_schema_extra={"format": "binary"})
    boxes: Json[Boxes] | None = about("As JSON: [[x0, y0, x1, y1], ...].", default=None)


class Question(Wishes):
    """The same as JSON."""

    image: Annotated[bytes, BeforeValidator(_decoded), WithJsonSchema({"type": "string"})] = about(
        f"The picture's file in base64: {FORMATS}.", "/9j/4AAQSkZJRgABAQAAAQABAAD..."
    )


class Keypoint(BaseModel):
    """One joint."""

    name: str = about("Of the joint.", "left_wrist")
    x: float = about("Pixels from the centre of the leftmost.", 412.25)
    y: float = about("Pixels from the centre of the topmost.", 385.5)
    score: float = about("In 0..1: how sure the network is.", 0.91)


class Maps(BaseModel):
    """Small maps of one square region of the picture, stacked in one grey PNG; 255 is 1."""

    png: str = about("A data URI; they lie one below the other.", "data:image/png;base64,iVBO...")
    count: int = about("How many maps there are.", 14)
    width: int = about("Cells across.", 32)
    height: int = about("Cells down, of each map.", 32)
    region: Box = about("Where they lie; may reach over the picture's edges.")


class Person(BaseModel):
    """One person's pose."""

    keypoints: list[Keypoint] = about("In the order of the skeleton's joints.")
    box: Box = about("As asked; without boxes, where the person was found.")
    score: float = about("Mean of the joints' scores.", 0.87)
    heatmaps: Maps | None = about("If asked for, of 16 persons: one per joint.", default=None)
    attention: Maps | None = about(
        "If asked for, of 16 persons: one per level, coarsest first; they sum to 1.", default=None
    )


class Size(BaseModel):
    """Of the upright picture, in pixels."""

    width: int = about("Across.", 672)
    height: int = about("Down.", 896)


class SkeletonAnswer(BaseModel):
    """The joints that are found, and how a drawing joins them."""

    name: str = about("Of the skeleton.", "lsp14")
    joints: list[str] = about("Their names.", ["right_ankle", "right_knee", "right_hip"])
    sides: list[str] = about("Their sides of the person, or centre.", ["right", "right", "right"])
    limbs: list[tuple[int, int]] = about("Pairs of joints, counted from 0.", [[0, 1], [1, 2]])


class ModelAnswer(BaseModel):
    """What the answers come from."""

    name: str = about("Of the model.", "default")
    description: str = about("In words.", "default (spcnet_s2_w192, 160 px), on cpu")
    version: str = about("Of the package.", "0.1.0")
    levels: int = about("Levels that attention chooses from; 0 where the network chooses none.", 4)


class Answer(BaseModel):
    """The poses in one picture."""

    image: Size
    poses: list[Person] = about("One per box, in that order; without, the surest person first.")
    skeleton: SkeletonAnswer
    model: ModelAnswer


class LimitsAnswer(BaseModel):
    """What a request may take."""

    megabytes: float = about("Of a picture's file.", 20.0)
    megapixels: float = about("Of a picture.", 50.0)
    boxes: int = about("In one request.", 100)
    maps: int = about("Persons of a request with heatmaps or attention.", 16)
    seconds: float = about("From a request to its answer.", 30.0)


class Service(BaseModel):
    """What this service is."""

    model: ModelAnswer
    skeleton: SkeletonAnswer
    limits: LimitsAnswer


class ErrorBody(BaseModel):
    """What was wrong."""

    code: str = about("One word for programs.", "not_a_picture")
    message: str = about("One line for people.", f"not a picture that can be read: {FORMATS} are")


class Error(BaseModel):
    """Every answer that is not the one asked for."""

    error: ErrorBody
