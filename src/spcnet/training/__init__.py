"""Training: recipes, runs, and the loop that they go through."""

from typing import Any


def __getattr__(name: str) -> Any:
    """`train_recipe`, without importing the loop for those who want a recipe alone."""
    if name == "train_recipe":
        from spcnet.training.run import train_recipe

        return train_recipe
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
