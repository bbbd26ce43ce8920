"""What can be compared: methods with their options, recipes, and folders of predictions made elsewhere."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from segmetry.errors import OptionError, ReadError, unknown_name
from segmetry.recipe import Recipe
from segmetry.segment import METHODS


@dataclass(frozen=True)
class Competitor:
    """One way to segment.

    Parameters
    ----------
    name : str
        Its name in tables and folders.
    recipe : Recipe or None
        How it segments; None where label files are there already.
    folder : Path or None
        The label files.
    """

    name: str
    recipe: Recipe | None = None
    folder: Path | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return {"name": self.name, "folder": str(self.folder) if self.folder else None} | (
            {"recipe": self.recipe.as_dict()} if self.recipe else {}
        )


def parse_competitors(texts: Sequence[str], base: Recipe) -> list[Competitor]:
    """Return the competitors that texts name.

    Parameters
    ----------
    texts : sequence of str
        ``otsu``; ``local:window=31,polarity=dark`` with options; ``mine.yaml``, a recipe of an earlier run; or a folder
        of label images that another program made.
    base : Recipe
        Where the pixel size comes from, the same for all.

    Raises
    ------
    OptionError, RecipeError, ReadError
        If a method, option or file does not exist, or two competitors have one name.

    Examples
    --------
    >>> [c.name for c in parse_competitors(["otsu", "local:window=31"], Recipe())]
    ['otsu', 'local-window=31']
    """
    found = [_parse(text, base) for text in texts]
    for name in {c.name for c in found}:
        if (n := sum(c.name == name for c in found)) > 1:
            raise OptionError(f"{n} competitors are called {name!r}; give each once, or rename its file or folder.")
    return found


def _parse(text: str, base: Recipe) -> Competitor:
    path = Path(text)
    if path.is_dir():
        return Competitor(path.resolve().name, folder=path)
    if path.suffix.lower() in (".yaml", ".yml", ".json"):
        recipe = Recipe.load(path)
        return Competitor(path.stem, replace(base, method=recipe.method))
    name, _, settings = text.partition(":")
    if name not in METHODS:
        if path.exists() or "/" in text:
            raise ReadError(f"{text}: is no folder of label images and no recipe; name a method, or check the path.")
        raise unknown_name("method", name, METHODS)
    options = {}
    for part in re.split(r",(?![^\[]*\])", settings) if settings else ():
        key, equals, value = part.partition("=")
        if not equals:
            raise OptionError(f"{text!r}: {part!r} is not KEY=VALUE; write for example {name}:window=31.")
        options[key.strip().replace("-", "_")] = yaml.safe_load(value)
    recipe = Recipe.build(name, options=options)
    label = name + "".join(f"-{key}={value}" for key, value in options.items())
    return Competitor(re.sub(r"[^\w=.+-]+", "_", label), replace(base, method=recipe.method))
