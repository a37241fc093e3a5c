"""What comes with the package, found without loading any of it."""

from importlib.resources import files
from pathlib import Path


def weights_folder() -> Path:
    """Where the package's own weights lie."""
    return Path(str(files("spcnet") / "weights"))


def weights_names() -> list[str]:
    """Names of the models that come with trained weights."""
    return sorted(path.stem for path in weights_folder().glob("*.safetensors"))
