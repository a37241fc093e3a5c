"""What a result was made by, as facts."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from spcnet.errors import UserError, in_words


@dataclass(frozen=True, kw_only=True)
class PersonSource:
    """Where the boxes of persons come from: given ones, a file of them, a detector, or a finder."""

    kind: Literal["boxes", "file", "detector", "finder"]
    name: str = field(default="", compare=False)  # for people
    digest: str  # of the boxes, or of the file's content
    threshold: float | None = None  # least score of a box, where that alone decides
    presence: float | None = None  # least presence of a person: finder and joints decide
    people: str | None = None

    @classmethod
    def of_boxes(cls, boxes: Iterable[Sequence[float]]) -> "PersonSource":
        """Boxes x0, y0, x1, y1 that were given."""
        text = " ".join(",".join(f"{side:g}" for side in box) for box in boxes)
        return cls(kind="boxes", name=text, digest=digest_of(text))


@dataclass(frozen=True, kw_only=True)
class Method:
    """What keypoints were predicted by: results of equal methods differ by rounding alone.

    An ``.onnx`` of a model, or one in int8, has other `weights`; runtimes of one ``.onnx`` differ
    in `precision`, as they multiply int8 each in its own way. Batch sizes and devices are no part.
    """

    version: str
    model: str = field(compare=False)  # name of the weights, for people
    weights: str  # digest of their file, and so of the network and all that it takes and says
    precision: str  # fp32 or bf16; in onnxruntime the file's own, float32 or int8
    refinement: str
    flip: bool
    scales: tuple[float, ...] | None
    rotations: tuple[float, ...]
    smoothing: str | None = None  # of a video's joints over its frames, such as "one-euro"
    skeleton: str
    persons: PersonSource

    def to_dict(self) -> dict[str, Any]:
        """The method as plain values, for JSON."""
        values: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return values

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Method":
        """Read what `to_dict` gave; a `ValueError` where it is something else."""
        try:
            persons = PersonSource(**values["persons"])
            scales = None if values["scales"] is None else tuple(values["scales"])
            lists = {"scales": scales, "rotations": tuple(values["rotations"])}
            return cls(**{**values, **lists, "persons": persons})
        except (TypeError, KeyError) as error:
            raise ValueError(f"not a method: {in_words(error)}") from None

    def differences(self, other: "Method") -> list[str]:
        """Names of the fields in which two methods differ; those of `persons` after a point."""
        both = ((self, other, ""), (self.persons, other.persons, "persons."))
        return [
            prefix + each.name
            for one, two, prefix in both
            for each in fields(one)
            if each.compare and each.name != "persons"
            if getattr(one, each.name) != getattr(two, each.name)
        ]


def digest_of(content: Path | str) -> str:
    """A digest of a file's content, or of a text: 16 hexadecimal digits of its SHA-256."""
    if isinstance(content, str):
        return hashlib.sha256(content.encode()).hexdigest()[:16]
    try:
        with content.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()[:16]
    except OSError as error:
        raise UserError(f"{content}: cannot be read: {error.strerror}") from None
