"""What recipes of training share: YAML both ways, and errors that offer the near name."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import yaml

from segmetry.errors import ReadError, RecipeError, unknown_name


class RecipeFile:
    """A record that is a YAML file; a subclass gives `as_dict` and `from_dict`."""

    def as_dict(self) -> dict[str, Any]:
        """Return plain data for YAML and JSON; `from_dict` takes it back."""
        raise NotImplementedError

    @classmethod
    def from_dict(cls, data: Any, *, where: str = "recipe") -> Self:
        """Return the recipe of a mapping; a misspelled name is an error that offers the near one."""
        raise NotImplementedError

    def to_yaml(self) -> str:
        """Return the text of a recipe file."""
        return yaml.safe_dump(self.as_dict(), sort_keys=False)

    @classmethod
    def load(cls, path: Path | str) -> Self:
        """Return the recipe in a YAML file."""
        try:
            data = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise ReadError(f"cannot read the recipe of training {path}: {str(error).splitlines()[0]:.150}.") from error
        return cls.from_dict(data, where=str(path))


def entries_of(record: type, data: Any, where: str) -> dict[str, Any]:
    """Return a mapping as the entries of a record, or raise the error that says which one is unknown."""
    if not isinstance(data, Mapping):
        raise RecipeError(f"{where}: a recipe of training is a table such as network: unet; got {data!r:.60}.")
    known = [f.name for f in dataclasses.fields(record)]
    for name in data:
        if name not in known:
            raise unknown_name(f"entry of {where}", str(name), known)
    return dict(data)
