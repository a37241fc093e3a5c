"""What a result was made by, as facts."""

import hashlib
import json
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from spcnet.errors import UserError


@dataclass(frozen=True, kw_only=True)
class PersonSource:
    """Where the boxes of persons come from: given ones, a file of them, a detector, or our finder.

    Its name is for people, and no part of what makes two of them equal; the digest is of the boxes
    or of the file's content, the threshold the least score of a box.
    """

    kind: Literal["boxes", "file", "detector", "finder"]
    name: str = field(default="", compare=False)
    digest: str
    threshold: float | None = None
    people: str | None = None


@dataclass(frozen=True, kw_only=True)
class Method:
    """What keypoints were predicted by: results of equal methods differ by rounding alone.

    Runtimes differ in it as far as their results do by more: torch and an ``.onnx`` of the same
    model, or one in int8, in `weights`; those of one ``.onnx`` in `precision`, as each multiplies
    int8 in its own way. Batch sizes and devices are no part of it.

    Attributes:
        model: name of the weights, for people; no part of what makes two methods equal.
        weights: digest of their file, and so of the network and all that it takes and says.
        precision: that the network runs in: fp32 or bf16; in onnxruntime the file's own, float32
            or int8.
        refinement: of the heatmaps' peaks.
        flip, scales, rotations: test-time augmentation, as of `PoseEstimator`.
        skeleton: name of the joints.
    """

    version: str
    model: str = field(compare=False)
    weights: str
    precision: str
    refinement: str
    flip: bool
    scales: tuple[float, ...] | None
    rotations: tuple[float, ...]
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
            raise ValueError(f"not a method: {error}") from None

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
