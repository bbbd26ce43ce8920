"""What the options of every kind of scene share: plain data both ways, and ranges that are checked once."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any, Self

from segmetry.errors import OptionError, unknown_name
from segmetry.units import normalise_unit

LEAST_SIDE = 4  # px; slopes need neighbours
LENGTH = (1e-12, 1e12)
"""Range of what must be above 0 and finite, in any unit."""
Range = tuple[str, float, float]
"""Name of an option, its least and its largest value."""


class Record:
    """Base of a frozen record of options; the same record is a scene's recipe."""

    seed: int
    unit: str

    @classmethod
    def from_dict(cls, options: Mapping[str, Any]) -> Self:
        """Return the record of a mapping of options; a misspelled name is an error that offers the near one."""
        known = [f.name for f in dataclasses.fields(cls)]  # type: ignore[arg-type]
        for name in options:
            if name not in known:
                raise unknown_name("option of simulate", name, known)
        return cls(**options)

    def as_dict(self) -> dict[str, Any]:
        """Return plain data for JSON; `from_dict` takes it back."""
        out: dict[str, Any] = {}
        for f in dataclasses.fields(self):  # type: ignore[arg-type]
            value = getattr(self, f.name)
            out[f.name] = (
                list(value) if isinstance(value, tuple) else dict(value) if isinstance(value, Mapping) else value
            )
        return out

    def tidy(self, pairs: Iterable[str], ranges: Iterable[Range]) -> None:
        """Bring the unit and options of two values into their form, and check every number against its range."""
        object.__setattr__(self, "unit", normalise_unit(self.unit))
        for name in pairs:
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, tuple(value))
                if len(value) != 2:
                    raise OptionError(f"simulate: {name} needs two values, got {value}.")
        for name, low, high in ranges:
            value = getattr(self, name)
            if value is None:
                continue
            for v in value if isinstance(value, tuple) else (value,):
                if not (low <= v <= high):
                    raise OptionError(f"simulate: {name} must be from {low:g} to {high:g}, got {value}.")
