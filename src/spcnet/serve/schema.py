"""The forms of questions and answers; the service's OpenAPI description is made of them."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, Json

from spcnet.inference.people import People

Box = Annotated[
    tuple[float, float, float, float],
    Field(
        description="x0, y0, x1, y1 in pixels of the upright picture.",
        examples=[[180.0, 90.0, 470.0, 830.0]],
    ),
]
# The first faulty one is named, and no others are kept.
Boxes = Annotated[list[Box], Field(fail_fast=True)]


class Wishes(BaseModel):
    """What is asked of a picture."""

    model_config = ConfigDict(extra="forbid")

    boxes: Boxes | None = Field(
        None, description="One tight box per person. Without, people are found in the picture."
    )
    people: People = Field(
        "one", description="Without boxes: one, the main person, or all. Nobody is an answer too."
    )
    skeleton: str | None = Field(
        None,
        max_length=40,
        description="Whose joints are answered, such as coco17; by default all of the model's.",
        examples=["coco17"],
    )
    heatmaps: bool = Field(False, description="Answer the heatmaps of each person too.")
    attention: bool = Field(False, description="Answer how much each level is taken where, too.")


class Question(Wishes):
    """A picture, and what is asked of it."""

    image: str = Field(
        description="The picture's file in base64: JPEG, PNG, WebP, TIFF, BMP or GIF.",
        examples=["/9j/4AAQSkZJRgABAQAAAQABAAD..."],
    )


class Form(Wishes):
    """The same as a form."""

    image: bytes = Field(
        description="The picture's file: JPEG, PNG, WebP, TIFF, BMP or GIF.",
        json_schema_extra={"format": "binary"},
    )
    boxes: Json[Boxes] | None = Field(
        None, description="The JSON of one tight box per person, [[x0, y0, x1, y1], ...]."
    )


class Keypoint(BaseModel):
    """One joint."""

    name: str = Field(examples=["left_wrist"])
    x: float = Field(description="Pixels from the centre of the leftmost.", examples=[412.25])
    y: float = Field(description="Pixels from the centre of the topmost.", examples=[385.5])
    score: float = Field(description="In 0..1: how sure the network is.", examples=[0.91])


class Maps(BaseModel):
    """Several small maps of one square region of the picture, stacked in one grey PNG."""

    png: str = Field(
        description="A data URI. The maps lie one below the other; 255 is 1.",
        examples=["data:image/png;base64,iVBORw0KGgo..."],
    )
    count: int = Field(description="How many maps there are.", examples=[14])
    width: int = Field(description="Cells across.", examples=[32])
    height: int = Field(description="Cells down, of each map.", examples=[32])
    region: Box = Field(description="Where they lie; may reach over the picture's edges.")


class Person(BaseModel):
    """One person's pose."""

    keypoints: list[Keypoint] = Field(description="In the order of the skeleton's joints.")
    box: Box = Field(description="As asked; without boxes, where the person was found.")
    score: float = Field(description="Mean of the joints' scores.", examples=[0.87])
    heatmaps: Maps | None = Field(
        None, description="One map per joint, where asked for; of the first 16 persons."
    )
    attention: Maps | None = Field(
        None,
        description="One map per level, coarsest first, where asked for; they sum to 1 in each "
        "cell; of the first 16 persons.",
    )


class Size(BaseModel):
    """Of the upright picture, in pixels."""

    width: int = Field(examples=[672])
    height: int = Field(examples=[896])


class SkeletonAnswer(BaseModel):
    """The joints that are found, and how a drawing joins them."""

    name: str = Field(examples=["lsp14"])
    joints: list[str] = Field(examples=[["right_ankle", "right_knee", "right_hip"]])
    sides: list[str] = Field(
        description="left, right or centre for each joint: the person's own sides.",
        examples=[["right", "right", "right"]],
    )
    limbs: list[tuple[int, int]] = Field(
        description="Pairs of joints, counted from 0.", examples=[[[0, 1], [1, 2]]]
    )


class ModelAnswer(BaseModel):
    """What the answers come from."""

    name: str = Field(examples=["default"])
    description: str = Field(examples=["default (spcnet_s2_w192, 160 px), mass refinement, on cpu"])
    version: str = Field(description="Of the package.", examples=["0.1.0"])
    levels: int = Field(
        description="Levels that attention chooses from; 0 where the network chooses none.",
        examples=[4],
    )


class Answer(BaseModel):
    """The poses in one picture."""

    image: Size
    poses: list[Person] = Field(
        description="One per box, in that order; without boxes one per person found, surest first."
    )
    skeleton: SkeletonAnswer
    model: ModelAnswer


class LimitsAnswer(BaseModel):
    """What a request may take."""

    megabytes: float = Field(description="Of a picture's file.", examples=[20.0])
    megapixels: float = Field(description="Of a picture.", examples=[50.0])
    boxes: int = Field(description="In one request.", examples=[100])
    maps: int = Field(description="Persons of a request with heatmaps or attention.", examples=[16])
    seconds: float = Field(description="From a request to its answer.", examples=[30.0])


class Service(BaseModel):
    """What this service is."""

    model: ModelAnswer
    skeleton: SkeletonAnswer
    limits: LimitsAnswer


class ErrorBody(BaseModel):
    """What was wrong."""

    code: str = Field(description="One word for programs.", examples=["not_a_picture"])
    message: str = Field(
        description="One line for people.",
        examples=["not a picture that can be read; JPEG, PNG, WebP, TIFF, BMP and GIF are"],
    )


class Error(BaseModel):
    """Every answer that is not the one asked for."""

    error: ErrorBody
