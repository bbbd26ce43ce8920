"""What recipes of training share: YAML both ways, and errors that offer the near name."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, get_type_hints

import yaml

from segmetry.errors import ReadError, RecipeError, unknown_name
from segmetry.options import checked_value, option

_KINDS: dict[Any, Any] = {
    bool: option(False, ""),
    int: option(0, ""),
    int | None: option(None, "", kind="int"),
    float: option(0.0, ""),
    str: option("", "", kind="text"),
    tuple[int, ...]: option((), ""),
    tuple[float, float]: option((), ""),
}
"""How plain entries are checked, by their type; other ones check themselves."""


@dataclass(frozen=True)
class RecipeFile:
    """A record that is a YAML file; an entry whose default is a record is a table of its own in the file."""

    def as_dict(self) -> dict[str, Any]:
        """Return plain data for YAML and JSON; `from_dict` takes it back."""
        return {name: _plain(value) for name, value in dataclasses.asdict(self).items()}

    @classmethod
    def from_dict(cls, data: Any, *, where: str = "recipe") -> Self:
        """Return the recipe of a mapping; a misspelled name is an error that offers the near one."""
        values = entries_of(cls, data, where)
        for entry in dataclasses.fields(cls):
            part = entry.default_factory
            if entry.name in values and isinstance(part, type) and dataclasses.is_dataclass(part):
                values[entry.name] = part(**entries_of(part, values[entry.name] or {}, f"{entry.name} in {where}"))
        return cls(**values)

    def changed(self, settings: Mapping[str, Any]) -> Self:
        """Return the recipe with entries changed: its own, or those of its parts by their bare name.

        Examples
        --------
        >>> from segmetry.train.class_recipe import ClassRecipe
        >>> made = ClassRecipe().changed({"network": "unet", "steps": 400, "side": 128})
        >>> made.fit.steps, made.samples.side
        (400, 128)
        """
        data = self.as_dict()
        data |= {name: value for name, value in settings.items() if name in data}
        inside = self._inside(data)
        for name, value in settings.items():
            if name not in data:
                if name not in inside:
                    raise unknown_name("entry of the recipe", name, (*data, *inside))
                inside[name][name] = value
        return type(self).from_dict(data, where="the settings")

    def entry(self, name: str) -> Any:
        """Return the value of an entry, of the recipe or of its parts by its bare name; None where it has none.

        Examples
        --------
        >>> from segmetry.train.class_recipe import ClassRecipe
        >>> ClassRecipe().entry("network"), ClassRecipe().changed({"side": 128}).entry("side")
        ('unet', 128)
        """
        data = self.as_dict()
        return data[name] if name in data else self._inside(data).get(name, {}).get(name)

    def _inside(self, data: dict[str, Any]) -> dict[str, dict[str, Any]]:
        """Return the part of plain data that each entry of a part belongs into."""
        parts = [f.name for f in dataclasses.fields(self) if dataclasses.is_dataclass(f.default_factory)]
        return {name: data[part] for part in parts for name in data[part]}

    def to_yaml(self) -> str:
        """Return the text of a recipe file."""
        return yaml.safe_dump(self.as_dict(), sort_keys=False)

    @classmethod
    def load(cls, path: Path | str) -> Self:
        """Return the recipe in a YAML file."""
        return cls.from_dict(read_yaml(path), where=str(path))


def read_yaml(path: Path | str) -> Any:
    """Return what a recipe's YAML file holds."""
    try:
        return yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ReadError(f"cannot read the recipe of training {path}: {str(error).splitlines()[0]:.150}.") from error


def entries_of(record: type, data: Any, where: str) -> dict[str, Any]:
    """Return a mapping as the entries of a record, or raise the error that says which one is unknown or no number."""
    if not isinstance(data, Mapping):
        raise RecipeError(f"{where}: a recipe of training is a table such as network: unet; got {data!r:.60}.")
    types, entries = get_type_hints(record), {}
    for name, value in data.items():
        if name not in types:
            raise unknown_name(f"entry of {where}", str(name), types)
        kind = _KINDS.get(types[name])
        entries[name] = checked_value(where, name, value, kind.metadata) if kind else value
    return entries


def _plain(value: Any) -> Any:
    """Return a value with lists for tuples: YAML knows no others."""
    if isinstance(value, Mapping):
        return {k: _plain(v) for k, v in value.items()}
    return [_plain(v) for v in value] if isinstance(value, list | tuple) else value
