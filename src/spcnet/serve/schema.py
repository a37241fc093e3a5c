"""The forms of questions, and of answers beside results.

The service's OpenAPI description is made of them and of `spcnet.inference.documents`' schema.
"""

import base64
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, Json, WithJsonSchema
from pydantic_core import PydanticCustomError

from spcnet.inference.people import People

LONGEST_NAME = 255  # of a picture's file, in characters
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


class FileWishes(BaseModel):
    """What is asked of a picture or a video."""

    model_config = ConfigDict(extra="forbid")

    people: People = about("Without boxes: one, the main person, or all.", default="one")
    skeleton: str | None = about(
        "Whose joints are answered; by default the model's.", "coco17", default=None, max_length=40
    )
    file_name: str = about(
        "Of the file in the answer; by default that of a form's file.",
        "photo.jpg",
        default="",
        max_length=LONGEST_NAME,
    )


class Wishes(FileWishes):
    """What is asked of a picture."""

    boxes: Boxes | None = about("A tight box per person; without, people are found.", default=None)
    heatmaps: bool = about("Answer the heatmaps of each person too.", default=False)
    attention: bool = about("Answer how much each level is taken where, too.", default=False)


class Form(Wishes):
    """A picture, and what is asked of it, as a form."""

    image: bytes = about(f"The picture's file: {FORMATS}.", json_schema_extra={"format": "binary"})
    boxes: Json[Boxes] | None = about("As JSON: [[x0, y0, x1, y1], ...].", default=None)


class VideoForm(FileWishes):
    """A video, and what is asked of it, as a form."""

    video: bytes = about("The video's file.", json_schema_extra={"format": "binary"})
    pictures: bool = about("Send each frame back too, as a small JPEG.", default=False)


class Question(Wishes):
    """The same as JSON."""

    image: Annotated[bytes, BeforeValidator(_decoded), WithJsonSchema({"type": "string"})] = about(
        f"The picture's file in base64: {FORMATS}.", "/9j/4AAQSkZJRgABAQAAAQABAAD..."
    )


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


class LimitsAnswer(BaseModel):
    """What a request may take."""

    megabytes: float = about("Of a picture's file.", 20.0)
    megapixels: float = about("Of a picture.", 50.0)
    boxes: int = about("In one request.", 100)
    maps: int = about("Persons of a request with heatmaps or attention.", 16)
    seconds: float = about("From a request to its answer.", 30.0)
    video_seconds: float = about("Of a video; 0 where videos are not taken.", 20.0)
    video_frames: int = about("Of a video.", 600)


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
