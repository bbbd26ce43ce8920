"""What the folder of a training run holds."""

from __future__ import annotations

from pathlib import Path

from segmetry.errors import OptionError
from segmetry.io.atomic import atomic
from segmetry.train.recipe_file import RecipeFile

RECIPE = "recipe.yaml"
MODEL = "model"
SPLIT = "split.json"
SCORES = "scores.json"


def claim(folder: Path, recipe: RecipeFile) -> None:
    """Make a folder that of a recipe's run.

    Raises
    ------
    OptionError
        If it holds a run of another recipe.
    """
    folder.mkdir(parents=True, exist_ok=True)
    kept = folder / RECIPE
    if kept.exists() and type(recipe).load(kept) != recipe:
        raise OptionError(f"{folder}: holds a run of another recipe; name another folder, or remove this one.")
    with atomic(kept) as temporary:
        temporary.write_text(recipe.to_yaml(), encoding="utf-8")
