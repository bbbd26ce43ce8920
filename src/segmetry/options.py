"""Records of options that check themselves, go to JSON and back, and explain themselves: methods, steps, simulators."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

import numpy as np

from segmetry.errors import OptionError, unknown_name


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
