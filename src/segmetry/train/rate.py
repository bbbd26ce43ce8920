"""A learning rate by trial: the losses of steps at rising rates, and the rate at which the loss falls most steeply."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from segmetry.errors import ReadError
from segmetry.io.json_file import write_json

RATE = "rate.json"

RATES = np.geomspace(1e-6, 10, 100)
"""Rates that are tried, a step each: 14 in a factor of ten."""

WINDOW = 15
"""Steps that are taken together: a factor of ten."""

CLEAR = 5.0
"""Standard errors that the loss must fall: noise alone came to 4.6 in one search of a thousand."""

RECENT = 5
"""Steps by which divergence is told."""


@dataclass(frozen=True)
class RateSearch:
    """What a search found.

    Parameters
    ----------
    rates, losses : sequence of float
        One of each step, in the order of the steps.
    seconds : float
        That it took.
    """

    rates: Sequence[float]
    losses: Sequence[float]
    seconds: float

    @property
    def found(self) -> float:
        """The rate at which the loss falls most steeply; nan where it does not fall clearly, see `steepest`."""
        return steepest(self.rates, self.losses)

    def windows(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the middle rate and the mean loss of each `WINDOW` steps with finite losses."""
        return _windows(self.rates, self.losses)[:2]

    def save(self, path: Path) -> None:
        """Write it as JSON, with the rate that was found and the smoothed losses."""
        rates, means = self.windows()
        lines = {"window_rates": rates.tolist(), "window_losses": means.tolist()}
        write_json(path, {"found": self.found if math.isfinite(self.found) else None} | asdict(self) | lines)

    @classmethod
    def load(cls, path: Path) -> RateSearch:
        """Return what `save` wrote."""
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
            return cls(data["rates"], [math.nan if x is None else x for x in data["losses"]], data["seconds"])
        except (OSError, ValueError, KeyError) as error:
            raise ReadError(f"{path}: cannot be read ({error!s:.100}); remove it to search again.") from error


def steepest(rates: Sequence[float], losses: Sequence[float]) -> float:
    """Return the rate at which the loss falls most steeply against the logarithm of the rate.

    Parameters
    ----------
    rates, losses : (n,) sequences of float
        Rates rise by a constant factor; `losses` is that of the batch of each step, before the step.

    Returns
    -------
    rate : float
        nan where there are fewer than `WINDOW` steps with a finite loss, or the loss does not fall clearly: by
        `CLEAR` standard errors of the difference of two windows.

    Notes
    -----
    A straight line is laid through the losses of each `WINDOW` steps, and the middle of the window with the steepest
    fall is taken, of those up to the window with the least mean loss. Windows look to both sides, so that the rate is
    not shifted upwards, as it is by a running mean of the steps before.

    References
    ----------
    Smith, WACV 2017, doi:10.1109/WACV.2017.58, who raises the rate linearly and reads the range off a curve of the
    accuracy.

    Examples
    --------
    >>> rates = np.geomspace(1e-6, 10, 100)
    >>> losses = 1 / (1 + (rates / 1e-3) ** 2) + (rates / 0.1) ** 2
    >>> bool(0.7e-3 < steepest(rates, losses) < 1.3e-3)
    True
    """
    rate, mean, slope, noise = _windows(rates, losses)
    if not rate.size:
        return math.nan
    least = int(mean.argmin())
    error = float(np.median(noise[: least + 1])) * math.sqrt(2 / WINDOW)
    if least == 0 or mean[0] - mean[least] <= CLEAR * error:
        return math.nan
    return float(rate[slope[: least + 1].argmin()])


def _windows(rates: Sequence[float], losses: Sequence[float]) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return of each window of steps with finite losses: middle rate, mean, slope a step, deviation from the line."""
    finite = np.isfinite(np.asarray(losses, float))
    n = len(finite) if finite.all() else int(finite.argmin())
    if n < WINDOW:
        return (np.empty(0),) * 4
    parts = np.lib.stride_tricks.sliding_window_view(np.asarray(losses, float)[:n], WINDOW)
    steps = np.arange(WINDOW) - WINDOW // 2
    mean, slope = parts.mean(axis=1), parts @ steps / (steps @ steps)
    rest = parts - mean[:, None] - slope[:, None] * steps
    middle = np.asarray(rates, float)[WINDOW // 2 :][: len(parts)]
    return middle, mean, slope, np.sqrt((rest**2).sum(axis=1) / (WINDOW - 2))


def diverged(losses: Sequence[float]) -> bool:
    """Return whether the last loss is no number, or the last few are above the first and four times the least few."""
    if not math.isfinite(losses[-1]):
        return True
    if len(losses) < 2 * RECENT:
        return False
    levels = np.convolve(losses, np.full(RECENT, 1 / RECENT), mode="valid")
    return bool(levels[-1] > max(levels[0], 4 * levels.min()))
