"""Options of the command line as a recipe."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import yaml

from segmetry.batch import check_output
from segmetry.errors import OptionError, WriteError, unknown_name
from segmetry.io.exports import EXPORTS
from segmetry.recipe import Recipe


def parse_settings(settings: Iterable[str]) -> dict[str, Any]:
    """Return ``KEY=VALUE`` texts as data; a value is read as YAML reads it.

    Examples
    --------
    >>> parse_settings(["window=65", "split=false", "value=[80, 120]", "polarity=dark"])
    {'window': 65, 'split': False, 'value': [80, 120], 'polarity': 'dark'}
    """
    found = {}
    for text in settings:
        key, equals, value = text.partition("=")
        if not equals or not key.strip():
            raise OptionError(f"--set {text!r} is not KEY=VALUE; write for example --set window=65.")
        try:
            found[key.strip().replace("-", "_")] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise OptionError(f"--set {text!r}: the value cannot be read; quote it, or check its brackets.") from error
    return found


def recipe_from(
    file: Path | None,
    method: str | None,
    settings: Iterable[str] | None,
    *,
    scale: str | None = None,
    pixel_size: str | None = None,
    page: int | None = None,
    axes: str | None = None,
) -> Recipe:
    """Return the recipe that a command's options ask for; they outrank what a recipe file says."""
    base = Recipe.load(file) if file else Recipe()
    chosen = base.with_options(method, parse_settings(settings or ()))
    return replace(
        chosen,
        scale=scale if scale is not None else base.scale,  # type: ignore[arg-type]  # checked by Recipe
        pixel_size=pixel_size if pixel_size is not None else base.pixel_size,
        page=page if page is not None else base.page,
        axes=axes if axes is not None else base.axes,
    )


def exports_from(names: Iterable[str] | None) -> tuple[str, ...]:
    """Return the exports asked for, each once."""
    wanted = tuple(dict.fromkeys(names or ()))
    for name in wanted:
        if name not in EXPORTS:
            raise unknown_name("export", name, EXPORTS)
    return wanted


def open_output(out: Path) -> None:
    """Make the output folder; one that cannot be used was asked for wrongly, unlike a disk that fills up later."""
    try:
        check_output(out)
    except WriteError as error:
        raise OptionError(str(error)) from error


def field_rows(record: type) -> list[tuple[str, str, str]]:
    """Return name, default and meaning of each option of a record."""
    rows = []
    for f in fields(record):
        unit = f.metadata.get("unit", "")
        default = "" if f.default is None else str(f.default)
        choices = " | ".join(f.metadata.get("choices", ()))
        extra = "".join(f" ({text})" for text in (unit, choices) if text)
        rows.append((f.name, default, f.metadata.get("meaning", "") + extra))
    return rows
