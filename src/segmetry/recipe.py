"""A recipe: a whole run as data. The same record is the command line, the YAML file and a line of the report."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal, get_args

import yaml

import segmetry
from segmetry.errors import OptionError, ReadError, RecipeError, SegmetryError, unknown_name
from segmetry.prepare.step import Step
from segmetry.prepare.table import step_from
from segmetry.segment import METHODS, Method, method_from
from segmetry.segment.auto import CHOICE, Auto
from segmetry.segment.table import method_named
from segmetry.types import Calibration

Scale = Literal["auto", "metadata", "bar", "none"]

DEFAULT_METHOD = Auto.name

AXES = ("", "YX", "ZYX", "TYX", "EYX")
"""What axes can be said to be."""

PARTS = ("segmetry", "read", "prepare", "segment", "measure", "statistics")
"""What a recipe may hold; the first is the version that wrote it."""


@dataclass(frozen=True)
class Statistics:
    """How numbers and intervals are made from the table of objects."""

    level: float = field(
        default=0.95, metadata={"meaning": "coverage that the intervals aim at", "range": (0.5, 0.999)}
    )
    edge_correction: bool = field(
        default=True,
        metadata={"meaning": "weigh objects by Miles-Lantuéjoul, since large ones touch the frame more often"},
    )
    seed: int = field(default=0, metadata={"meaning": "seed of the resampling", "range": (0, 2**32 - 1)})

    def __post_init__(self) -> None:
        for f in fields(self):
            value = getattr(self, f.name)
            kind = type(f.default)
            if kind is float and isinstance(value, int) and not isinstance(value, bool):
                object.__setattr__(self, f.name, float(value))
            elif type(value) is not kind:
                raise OptionError(f"option {f.name} must be {kind.__name__}, got {value!r}.")
            if "range" in f.metadata and not (f.metadata["range"][0] <= value <= f.metadata["range"][1]):
                raise OptionError(f"option {f.name} must lie in {f.metadata['range']}, got {value!r}.")


STATISTICS_OPTIONS = tuple(f.name for f in fields(Statistics))


@dataclass(frozen=True)
class Recipe:
    """Everything that decides a result, apart from the image.

    Parameters
    ----------
    method : Method
        How the image is segmented; ``auto``, the default, leaves it to the kind of image, see `for_ndim`.
    scale : {"auto", "metadata", "bar", "none"}
        Where the pixel size is taken from.
    pixel_size : str or None
        The user's own pixel size, such as ``"0.52 nm"``, or one length for each axis (``"0.5 nm, 0.6 nm"``: rows,
        columns; planes of a volume first); it outranks `scale`.
    page : int or None
        Page of a file with several; None reads them all as one stack.
    measures : tuple of str or None
        Names of the measures in the table, beside those that the statistics rest on; None takes all.
    statistics : Statistics
        How intervals are made.
    named : bool
        False where the method is the one for whoever names none, with options: the recipe then says ``auto``.
    prepare : tuple of Step
        What is done to the image before it is segmented, one after the other; names and plain data become records.
    axes : {"", "YX", "ZYX", "TYX", "EYX"}
        What the axes of a file are, where its reader cannot know; empty leaves it to the file.

    Raises
    ------
    RecipeError, OptionError, CalibrationError
        If a value cannot be used.
    """

    method: Method = field(default_factory=lambda: method_from(DEFAULT_METHOD))
    scale: Scale = "auto"
    pixel_size: str | None = None
    page: int | None = None
    measures: tuple[str, ...] | None = None
    statistics: Statistics = field(default_factory=Statistics)
    named: bool = True
    prepare: tuple[Step, ...] = ()
    axes: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "prepare", tuple(step_from(step) for step in self.prepare))
        if self.method.name == Auto.name:
            object.__setattr__(self, "named", True)
        if self.axes not in AXES:
            raise unknown_name("axes", self.axes, AXES[1:])
        if self.scale not in get_args(Scale):
            raise unknown_name("scale", self.scale, get_args(Scale))
        if self.pixel_size is not None:
            Calibration.from_text(str(self.pixel_size))
        if self.page is not None and (not isinstance(self.page, int) or self.page < 0):
            raise RecipeError(f"page must be a whole number from 0, got {self.page!r}.")
        if self.measures is not None:
            from segmetry.measure import MEASURES

            for name in self.measures:
                if name not in MEASURES:
                    raise unknown_name("measure", name, MEASURES)

    @classmethod
    def build(
        cls,
        method: str = DEFAULT_METHOD,
        *,
        options: Mapping[str, Any] | None = None,
        scale: Scale = "auto",
        pixel_size: str | None = None,
        page: int | None = None,
        measures: tuple[str, ...] | None = None,
    ) -> Recipe:
        """Return a recipe from names and one flat set of options: the method's own and those of the statistics."""
        plain = cls(scale=scale, pixel_size=pixel_size, page=page, measures=measures)
        return plain.with_options(method, options)

    def with_options(self, method: str | None = None, options: Mapping[str, Any] | None = None) -> Recipe:
        """Return the recipe with another method, or with some options changed.

        Parameters
        ----------
        method : str, optional
            Where it is the recipe's own, or not given, the recipe's options hold unless they are changed.
        options : mapping, optional
            Options of the method and of the statistics; one that both have (the seed) is for both. Those of a method
            that is not named are options of ``particles``.

        Raises
        ------
        OptionError
            If a method or an option does not exist, or a value is out of range.
        """
        name, given = method or self.method.name, dict(options or {})
        own = {k: v for k, v in given.items() if k not in STATISTICS_OPTIONS}
        kept = {k: v for k, v in self.method.as_dict().items() if k != "method"} if name == self.method.name else {}
        chosen, model = (CHOICE[2], {}) if name == Auto.name and own else method_named(name)
        named = name != Auto.name and (method is not None or self.named)
        known = {f.name for f in fields(chosen)}
        for key in own:
            if key not in known:
                raise _unknown_option(key, chosen, named=name != Auto.name)
        own |= {k: v for k, v in given.items() if k in known}
        statistics = replace(self.statistics, **{k: v for k, v in given.items() if k in STATISTICS_OPTIONS})
        return replace(self, method=chosen.from_options(kept | model | own), statistics=statistics, named=named)

    def for_ndim(self, ndim: int) -> Recipe:
        """Return the recipe for an image of so many axes: ``auto`` becomes the method that it stands for."""
        return replace(self, method=self.method.for_ndim(ndim), named=True)

    def as_dict(self) -> dict[str, Any]:
        """Return plain data: what the YAML file holds."""
        return {
            "segmetry": segmetry.__version__,
            "read": {"scale": self.scale, "pixel_size": self.pixel_size, "page": self.page}
            | ({"axes": self.axes} if self.axes else {}),
            **({"prepare": [step.as_dict() for step in self.prepare]} if self.prepare else {}),
            "segment": self.method.as_dict() | ({} if self.named else {"method": Auto.name}),
            "measure": list(self.measures) if self.measures is not None else "all",
            "statistics": {f.name: getattr(self.statistics, f.name) for f in fields(self.statistics)},
        }

    def to_yaml(self) -> str:
        """Return the recipe as YAML text."""
        return yaml.safe_dump(self.as_dict(), sort_keys=False, allow_unicode=True)

    @property
    def sha256(self) -> str:
        """Hash of the recipe, the version of the software in it: equal hash and equal input give an equal result."""
        return hashlib.sha256(json.dumps(self.as_dict(), sort_keys=True).encode()).hexdigest()

    @classmethod
    def from_dict(cls, data: Any, *, where: str = "recipe") -> Recipe:
        """Return the recipe that `as_dict` gave as data."""
        if not isinstance(data, Mapping):
            raise RecipeError(f"{where}: a recipe is a table of {', '.join(PARTS[1:])}; got {data!r:.60}.")
        for key in data:
            if key not in (known := PARTS):
                raise unknown_name(f"part of a recipe in {where}", key, known)
        read, segment = _table(data, "read", where), _table(data, "segment", where)
        for key in read:
            if key not in (entries := ("scale", "pixel_size", "page", "axes")):
                raise unknown_name(f"entry of read in {where}", key, entries)
        statistics = _table(data, "statistics", where)
        for key in statistics:
            if key not in STATISTICS_OPTIONS:
                raise unknown_name(f"entry of statistics in {where}", key, STATISTICS_OPTIONS)
        measures = data.get("measure", "all")
        if measures != "all" and not (isinstance(measures, list) and all(isinstance(m, str) for m in measures)):
            raise RecipeError(f"{where}: measure is 'all' or a list of names, got {measures!r}.")
        prepare = data.get("prepare") or []
        if not isinstance(prepare, list):
            raise RecipeError(f"{where}: prepare is a list of steps, got {prepare!r:.60}.")
        name = segment.pop("method", DEFAULT_METHOD)
        if not isinstance(name, str):
            raise RecipeError(f"{where}: method is a name such as {DEFAULT_METHOD}, got {name!r:.60}.")
        try:
            return cls(
                method_from(name, segment),
                read.get("scale", "auto"),
                read.get("pixel_size"),
                read.get("page"),
                None if measures == "all" else tuple(measures),
                Statistics(**statistics),
                name != DEFAULT_METHOD,
                tuple(prepare),
                read.get("axes") or "",
            )
        except SegmetryError as error:
            raise RecipeError(f"{where}: {error}") from error

    @classmethod
    def from_yaml(cls, text: str, *, where: str = "recipe") -> Recipe:
        """Return the recipe in a YAML (or JSON) text."""
        try:
            data = yaml.safe_load(text)
        except yaml.YAMLError as error:
            place = getattr(error, "problem_mark", None)
            line = f" in line {place.line + 1}" if place is not None else ""
            raise RecipeError(
                f"{where}: this is not YAML{line}; compare with recipe.yaml of an earlier run."
            ) from error
        return cls.from_dict(data, where=where)

    @classmethod
    def load(cls, path: Path | str) -> Recipe:
        """Return the recipe in a file."""
        try:
            text = Path(path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "it is not text"
            raise ReadError(f"cannot read the recipe {path}: {reason}.") from error
        return cls.from_yaml(text, where=str(path))


def _unknown_option(key: str, method: type[Method], *, named: bool) -> OptionError:
    """Return the error for an option that a method does not have; others that have it are named."""
    others = [n for n, m in METHODS.items() if key in {f.name for f in fields(m)}]
    if named or not others:
        return unknown_name(f"option of {method.name}", key, {*(f.name for f in fields(method)), *STATISTICS_OPTIONS})
    return OptionError(
        f"{method.name}, the method unless another is named, has no option {key!r}; {', '.join(others)} "
        f"{'has' if len(others) == 1 else 'have'}: name one with -m."
    )


def _table(data: Mapping[str, Any], key: str, where: str) -> dict[str, Any]:
    """Return one part of a recipe as a fresh dictionary; absent is empty."""
    part = data.get(key) or {}
    if not isinstance(part, Mapping):
        raise RecipeError(f"{where}: {key} must be a table of names and values, got {part!r:.60}.")
    return dict(part)
