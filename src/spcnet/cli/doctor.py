"""``spcnet doctor``: what a bug report needs."""

import json
import platform
import sys
from importlib import import_module, metadata
from pathlib import Path
from typing import Annotated

from typer import Exit

from spcnet import __version__
from spcnet.bundled import weights_names
from spcnet.cli.options import AS_JSON
from spcnet.errors import counted

PACKAGES = (
    "torch", "numpy", "opencv-python-headless", "pillow", "scipy", "safetensors", "pyyaml",
    "pydantic", "typer", "rich", "matplotlib", "filelock",
)  # fmt: skip
EXTRAS = {
    "train": ("tensorboard",),
    "trackers": ("wandb", "mlflow-skinny"),
    "h5": ("h5py",),
    "onnx": ("onnx", "onnxscript", "onnxruntime"),
    "openvino": ("openvino",),
    "video": ("av",),
    "mocap": ("c3d",),
    "serve": ("fastapi", "uvicorn", "python-multipart", "prometheus-client"),
}


def doctor(as_json: Annotated[bool, AS_JSON] = False) -> None:
    """Print versions, extras, devices and weights, and try the default model.

    Example: spcnet doctor
    """
    from spcnet.data.datasets import cache_folder

    report = {
        "spcnet": f"{__version__} in {Path(__file__).parents[1]}",
        "python": f"{platform.python_version()} ({sys.executable})",
        "system": platform.platform(),
        **{package: _version(package) or "not installed" for package in PACKAGES},
        **{f"extra {name}": _extra(name) for name in EXTRAS},
        "devices": _devices(),
        "cache": str(cache_folder()),
        **_weights(),
    }
    if as_json:
        print(json.dumps(report))
    else:
        width = max(map(len, report))
        print("\n".join(f"{name.ljust(width)}  {value}" for name, value in report.items()))
    if any(value.startswith("broken") for value in report.values()):
        raise Exit(1)


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _extra(name: str) -> str:
    """The versions that an extra brings, or what is missing and how to get it."""
    found = {package: _version(package) for package in EXTRAS[name]}
    if missing := [package for package, version in found.items() if version is None]:
        return f"no {', '.join(missing)}: pip install 'spcnet[{name}]'"
    return ", ".join(f"{package} {version}" for package, version in found.items())


def _devices() -> str:
    try:
        torch = import_module("torch")
        import_module("cv2")
    except ImportError as error:
        return f"broken: {error}"
    threads = counted(torch.get_num_threads(), "thread")
    cpu = f"cpu ({threads}, {torch.backends.cpu.get_cpu_capability()})"
    cuda = [f"cuda:{n} ({torch.cuda.get_device_name(n)})" for n in range(torch.cuda.device_count())]
    return ", ".join([cpu, *cuda])


def _weights() -> dict[str, str]:
    """One entry for each weights file that comes along: what it is, or what is wrong with it."""
    found = {}
    for name in weights_names():
        try:
            import numpy as np

            from spcnet.inference.estimator import PoseEstimator

            estimator = PoseEstimator(name, device="cpu")
            estimator.predict(np.zeros((64, 64, 3), dtype=np.uint8))
            card = estimator.card
            found[f"weights {name}"] = f"{card.variant}, {card.codec.input_size} px, runs"
        except Exception as error:
            found[f"weights {name}"] = f"broken: {error}"
    return found or {"weights": "none come with this installation"}
