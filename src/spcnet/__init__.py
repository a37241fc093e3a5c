"""SPCNet: single-person human pose estimation.

    from spcnet import PoseEstimator
    poses = PoseEstimator().predict("photo.jpg")

Names are loaded when they are first used, so that importing the package is quick and imports
no torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from spcnet.checkpoints import list_models
    from spcnet.errors import UserError
    from spcnet.inference.estimator import PoseEstimator
    from spcnet.inference.pose import Pose
    from spcnet.models.registry import create_model
    from spcnet.skeletons import Skeleton

__version__ = "0.1.0"

__all__ = [
    "Pose",
    "PoseEstimator",
    "Skeleton",
    "UserError",
    "__version__",
    "create_model",
    "list_models",
]

_HOMES = {
    "Pose": "spcnet.inference.pose",
    "PoseEstimator": "spcnet.inference.estimator",
    "Skeleton": "spcnet.skeletons",
    "UserError": "spcnet.errors",
    "create_model": "spcnet.models.registry",
    "list_models": "spcnet.checkpoints",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'spcnet' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
