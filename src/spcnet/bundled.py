"""What comes with the package, or beside it in a clone, found without loading any of it."""

from importlib.resources import files
from pathlib import Path

# Too large for the package: their weights lie in the repository's weights/ alone.
IN_REPOSITORY = ("large",)


def weights_folder() -> Path:
    """Where the package's own weights lie."""
    return Path(str(files("spcnet") / "weights"))


def weights_files() -> dict[str, Path]:
    """The files of the models that come with trained weights, by their names."""
    found = {path.stem: path for path in weights_folder().glob("*.safetensors")}
    clone = weights_folder().parents[2]
    if (clone / "pyproject.toml").is_file():
        beside = {name: clone / "weights" / f"{name}.safetensors" for name in IN_REPOSITORY}
        found |= {name: path for name, path in beside.items() if path.is_file()}
    return dict(sorted(found.items()))


def weights_names() -> list[str]:
    """Names of the models that come with trained weights."""
    return list(weights_files())
