"""What a method is: a frozen record of options that check themselves, go to JSON and back, and explain themselves."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

import numpy as np

from segmetry.errors import ImageError, OptionError, unknown_name
from segmetry.types import Segmentation


@dataclass(frozen=True, slots=True)
class Scene:
    """Pixels as a method gets them: finite float32, with the places that hold no specimen marked.

    Parameters
    ----------
    pixels : (M, N) or (P, M, N) array of float32
        Intensities as they were read; not-a-number and infinite pixels are replaced and not `valid`.
    valid : bool array of that shape, or None
        False where pixels are not specimen; None where all are.
    spacing : tuple of float
        Length of a pixel along each axis; ones where unknown.
    unit : str
        Unit of `spacing`; ``"px"`` where unknown.
    channels : (C, M, N) or (C, P, M, N) array of float32
        All channels, of which `pixels` is the first; that alone unless told.
    """

    pixels: np.ndarray
    valid: np.ndarray | None
    spacing: tuple[float, ...]
    unit: str
    channels: np.ndarray = None  # type: ignore[assignment]  # filled in __post_init__

    def __post_init__(self) -> None:
        if self.channels is None:
            object.__setattr__(self, "channels", self.pixels[np.newaxis])


def option(
    default: Any,
    meaning: str,
    *,
    unit: str = "",
    low: float = -math.inf,
    high: float = math.inf,
    choices: Sequence[str] = (),
    kind: str = "",
) -> Any:
    """Return a field of a method's record, with what help texts, web forms and checks need.

    Parameters
    ----------
    default : bool, int, float, str, tuple of float or None
        Everyday value.
    meaning : str
        What it does, in a phrase.
    unit : str
        ``"px"``, ``"intensity"``, or empty for a pure number.
    low, high : float
        Smallest and largest value allowed.
    choices : sequence of str
        All values allowed, for a word.
    kind : {"bool", "int", "float", "choice", "numbers", "text"}
        Kind of value; read off `default` where it is empty (a word is then one of `choices`).
    """
    if not kind:
        kind = {bool: "bool", int: "int", float: "float", str: "choice", tuple: "numbers"}[type(default)]
    return field(
        default=default,
        metadata={
            "meaning": meaning,
            "unit": unit,
            "low": low,
            "high": high,
            "choices": tuple(choices),
            "kind": kind,
            "optional": default is None,
        },
    )


_WORDS = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}


def checked_value(owner: str, name: str, value: Any, about: Mapping[str, Any]) -> Any:
    """Return a value in the type of an option, or raise the error that says what is wanted; `about` is its metadata."""
    kind, low, high = about["kind"], about["low"], about["high"]
    null = isinstance(value, str) and value.strip().lower() in ("none", "null") and value not in about["choices"]
    if value is None or null:
        if about["optional"]:
            return None
        raise OptionError(f"{owner}: {name} needs a value; leave it out to get the default.")
    if kind == "text":
        return str(value)
    if kind == "choice":
        if value not in about["choices"]:
            raise unknown_name(f"{name} of {owner}", value, about["choices"])
        return value
    if kind == "bool":
        if isinstance(value, bool | np.bool_):
            return bool(value)
        word = _WORDS.get(str(value).strip().lower())
        if word is None:
            raise OptionError(f"{owner}: {name} is true or false, got {value!r}.")
        return word
    if kind == "numbers":
        parts = value.replace("[", "").replace("]", "").split(",") if isinstance(value, str) else value
        parts = [parts] if np.isscalar(parts) else list(parts)
        return tuple(_number(owner, name, v, low, high) for v in parts)
    number = _number(owner, name, value, low, high)
    if kind == "int":
        if number != int(number):
            raise OptionError(f"{owner}: {name} is a whole number, got {value!r}.")
        return int(number)
    return number


def _number(owner: str, name: str, value: Any, low: float, high: float) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise OptionError(f"{owner}: {name} is a number, got {value!r}.") from None
    if isinstance(value, bool) or not math.isfinite(number):
        raise OptionError(f"{owner}: {name} is a finite number, got {value!r}.")
    if not low <= number <= high:
        span = f"at least {low:g}" if high == math.inf else f"in [{low:g}, {high:g}]"
        raise OptionError(f"{owner}: {name} must be {span}, got {value!r}.")
    return number


@dataclass(frozen=True, kw_only=True)
class Options:
    """A record of options that check themselves; a subclass sets `name` and declares its fields with `option`."""

    name: ClassVar[str] = ""

    def __post_init__(self) -> None:
        for f in dataclasses.fields(self):
            object.__setattr__(self, f.name, checked_value(self.name, f.name, getattr(self, f.name), f.metadata))

    def values(self) -> dict[str, Any]:
        """Return the options as plain data for JSON: ``{"min_size": 30, ...}``."""
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        return {k: list(v) if isinstance(v, tuple) else v for k, v in values.items()}

    @classmethod
    def from_options(cls, options: Mapping[str, Any] | None = None) -> Self:
        """Return the record with some options changed; texts such as ``"0.5"`` become the option's type.

        Raises
        ------
        OptionError
            If an option does not exist (the near name is offered) or its value is out of range.
        """
        names = [f.name for f in dataclasses.fields(cls)]
        for key in options or {}:
            if key not in names:
                raise unknown_name(f"option of {cls.name}", key, names)
        return cls(**dict(options or {}))


@dataclass(frozen=True, kw_only=True)
class Method(Options):
    """A way to turn an image into labels: its options are its fields.

    A subclass sets `name`, `summary` and `ndims`, declares its options with `option`, and gives `run`.
    """

    summary: ClassVar[str] = ""
    ndims: ClassVar[tuple[int, ...]] = (2,)

    def as_dict(self) -> dict[str, Any]:
        """Return the record as plain data for JSON: ``{"method": "otsu", "min_size": 30, ...}``."""
        return {"method": self.name} | self.values()

    def run(self, scene: Scene) -> Segmentation:
        """Return labels; `segment` adds the record and checks the pixels."""
        raise NotImplementedError

    @property
    def n_channels(self) -> int:
        """How many channels of an image the method looks at."""
        return 1

    def check(self) -> None:
        """Raise the error that every image would meet, such as a model that cannot be read."""

    def forecast(self, shape: tuple[int, ...]) -> str:
        """Return what an image of this shape will take, for the user; empty where that is little."""
        return ""

    def for_ndim(self, ndim: int) -> Method:
        """Return the method that is run on an image of so many axes: this one, unless it leaves the choice open."""
        return self

    def check_ndim(self, ndim: int) -> None:
        """Raise an `ImageError` where the method cannot take an image of so many dimensions."""
        if ndim not in self.ndims:
            can = " or ".join(f"{n}D" for n in self.ndims)
            raise ImageError(
                f"method {self.name} takes {can} images, got {ndim}D; use otsu, local or ndnt, or pick one page."
            )
