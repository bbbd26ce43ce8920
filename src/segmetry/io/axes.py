"""Axes that are no lengths: their letters, and what their steps mean (times of flight, angles, times of frames)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from segmetry.errors import CalibrationError, ImageError
from segmetry.types import Image
from segmetry.units import METRES, normalise_unit

KEY = "axis_values"
"""Key of `Image.metadata`: a mapping from the letter of an axis to ``{"name", "unit", "values"}``."""

TIME = ("s", "sec", "ms", "msec", "us", "µs", "usec", "ns", "min", "h")
ENERGY = ("eV", "keV", "meV")

_SPECTRAL = ("tof", "time_of_flight", "time of flight", "energy", "ener", "wave", "awav", "lambda", "freq")
_ANGLE = ("theta", "angle", "rotation")

_FREE = "IJKLMNOPQRUVW"


@dataclass(frozen=True)
class AxisValues:
    """What the steps of an axis mean.

    Parameters
    ----------
    values : tuple of float
        One for each step, in the order of the array.
    unit : str
        ``"s"``, ``"deg"``, ``"eV"``; empty where nobody says.
    name : str
        ``"time of flight"``, ``"angle"``, ``"time"``.
    """

    values: tuple[float, ...]
    unit: str
    name: str

    def as_dict(self) -> dict[str, Any]:
        """Return plain data, as it is in `Image.metadata`."""
        return {"name": self.name, "unit": self.unit, "values": self.values}


def axis_values(image: Image, letter: str) -> AxisValues:
    """Return what the steps of an axis of an image mean, as the file said.

    Raises
    ------
    ImageError
        If the image has no such axis, the file did not say, or the number of values is not that of the steps.

    Examples
    --------
    >>> said = {"axis_values": {"E": {"name": "time of flight", "unit": "s", "values": (0.1, 0.2)}}}
    >>> axis_values(Image(np.zeros((2, 3, 3)), "EYX", metadata=said), "E").values
    (0.1, 0.2)
    """
    if letter not in image.axes:
        raise ImageError(f"{image.name}: it has the axes {image.axes}, none called {letter!r}.")
    said = image.metadata.get(KEY, {}).get(letter)
    if said is None:
        raise ImageError(f"{image.name}: the file does not say what the steps along {letter} are; give them yourself.")
    n_steps = image.shape[image.axes.index(letter)]
    if len(said["values"]) != n_steps:
        raise ImageError(f"{image.name}: {len(said['values'])} values for the {n_steps} steps along {letter}.")
    return AxisValues(tuple(said["values"]), said["unit"], said["name"])


def from_metadata(said: Any) -> dict[str, AxisValues]:
    """Return the entry `KEY` of an image's metadata as records; empty where there is none."""
    return {k: AxisValues(tuple(map(float, v["values"])), v["unit"], v["name"]) for k, v in dict(said or {}).items()}


def letter_of(name: str, unit: str) -> str:
    """Return the letter for an axis by its name and unit: ``E``, ``T``, ``Z``, or ``I`` where they tell nothing.

    Angles of a scan are ``T``: its steps follow each other in time.

    Examples
    --------
    >>> letter_of("time_of_flight", "s"), letter_of("", "ms"), letter_of("theta", "deg"), letter_of("z", "mm")
    ('E', 'T', 'T', 'Z')
    """
    known = name.lower()
    if known.startswith(_SPECTRAL) or unit in (*ENERGY, "Hz"):
        return "E"
    if known.startswith((*_ANGLE, "time", "frame_time")) or unit in TIME:
        return "T"
    return "Z" if is_length(unit) else "I"


def distinct(letters: Iterable[str]) -> str:
    """Return letters in which none comes twice: the second of two gets a free one.

    Examples
    --------
    >>> distinct("IIYX"), distinct("ZTTYX")
    ('IJYX', 'ZTIYX')
    """
    taken = ""
    for letter in letters:
        taken += letter if letter not in taken else next(f for f in _FREE if f not in taken)
    return taken


def is_length(unit: str) -> bool:
    """Return whether a unit is one of length."""
    try:
        return normalise_unit(unit) in METRES
    except CalibrationError:
        return False


def even_step(values: Sequence[float] | np.ndarray) -> float | None:
    """Return the step of evenly spaced values, None where they are not even within one in a thousand of a step.

    Examples
    --------
    >>> even_step([1.0, 1.5, 2.0]), even_step([0.0, 1.0, 3.0]), even_step([2.0])
    (0.5, None, None)
    """
    steps = np.diff(np.asarray(values, np.float64))
    if not steps.size or not np.isfinite(steps).all():
        return None
    step = float(np.mean(steps))
    return abs(step) if step and np.abs(steps - step).max() <= 1e-3 * abs(step) else None


def renamed(values: Mapping[str, AxisValues], before: str, after: str) -> dict[str, AxisValues]:
    """Return values under the new letters of their axes."""
    new = dict(zip(before, after, strict=True))
    return {new.get(letter, letter): said for letter, said in values.items()}
