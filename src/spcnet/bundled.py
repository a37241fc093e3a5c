"""What comes with the package, found without loading any of it."""

from importlib.resources import files
from pathlib import Path

from spcnet.files import INDEX, shard_of


def weights_folder() -> Path:
    """Where the package's own weights lie."""
    return Path(str(files("spcnet") / "weights"))


def weights_names() -> list[str]:
    """Names of the models that come with trained weights."""
    folder = weights_folder()
    names = [path.name for path in folder.glob("*.safetensors") if not shard_of(path.name)]
    names += [path.name.removesuffix(INDEX) for path in folder.glob(f"*.safetensors{INDEX}")]
    return sorted(name.removesuffix(".safetensors") for name in names)
