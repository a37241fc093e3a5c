"""The names of the numbers that a network is run in."""

from typing import Literal, TypeAlias

Precision: TypeAlias = Literal["fp32", "bf16", "int8", "auto"]
