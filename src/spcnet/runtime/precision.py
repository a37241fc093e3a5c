"""What runs a network, and in which precision: the names that a user may say."""

from typing import Literal, TypeAlias

Precision: TypeAlias = Literal["fp32", "bf16", "int8", "auto"]
Runtime: TypeAlias = Literal["auto", "torch", "onnxruntime", "openvino"]
