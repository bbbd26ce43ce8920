"""How a network is fitted, as data: the same record is the recipe of a run, a line of its card and the command line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from segmetry.errors import OptionError, unknown_name

OPTIMISERS = ("adamw", "adam", "sgd")
SCHEDULES = ("cosine", "plateau", "constant")
PRECISIONS = ("auto", "bf16-mixed", "32-true")
KEPT = ("last", "best")


def check_shares(owner: str, record: Any, *names: str) -> None:
    """Raise the error that names an option that is no share."""
    for name in names:
        if not 0 <= getattr(record, name) <= 1:
            raise OptionError(f"{owner}: {name} is a share in [0, 1], got {getattr(record, name)!r}.")


def zoom_range(owner: str, ends: Sequence[float]) -> tuple[float, ...]:
    """Return the two ends of a range of zooms as numbers, or raise the error that says what is wanted."""
    zoom = tuple(float(z) for z in ends)
    if len(zoom) != 2 or not 0 < zoom[0] <= zoom[1]:
        raise OptionError(f"{owner}: zoom must be two positive numbers, low <= high, got {zoom!r}.")
    return zoom


@dataclass(frozen=True)
class FitOptions:
    """How long and how a network is fitted.

    Parameters
    ----------
    steps : int
        Optimiser steps in all.
    batch : int
        Samples of a step, over all devices.
    learning_rate : float
        Largest one of the schedule; 0 searches for one before the first step, see `segmetry.train.rate.steepest`.
    weight_decay : float
    warmup : int
        Steps in which the learning rate rises from 0.
    schedule : {"cosine", "plateau", "constant"}
        ``cosine`` falls to zero at the last step; ``plateau`` halves the rate after `plateau` checks without a better
        score.
    optimiser : {"adamw", "adam", "sgd"}
    clip : float
        Largest norm of the gradient; 0 clips nothing.
    average : float
        Decay of the running mean of the weights that is saved as the model; 0 saves the weights themselves.
    precision : {"auto", "bf16-mixed", "32-true"}
        ``auto`` multiplies 16-bit floats where the device does that itself, else those of 32 bits.
    seed : int
    save_every : float
        Seconds between checkpoints.
    check_every : int
        Steps between checks on what is held out: an epoch; 0 checks at every checkpoint.
    plateau : int
        Checks without a better score after which the rate is halved, where the schedule is ``plateau``.
    patience : int
        Checks without a better score after which the run ends; 0 never.
    keep : {"last", "best"}
        Weights that become the model: those of the last step, or those of the best check. The scores of a model that
        was chosen by them flatter it.
    freeze : int
        Steps in which the encoder stays as it is, for transfer; -1 for all.
    """

    steps: int = 10_000
    batch: int = 12
    learning_rate: float = 2e-3
    weight_decay: float = 1e-2
    warmup: int = 200
    schedule: str = "cosine"
    optimiser: str = "adamw"
    clip: float = 5.0
    average: float = 0.999
    precision: str = "auto"
    seed: int = 0
    save_every: float = 120.0
    check_every: int = 0
    plateau: int = 5
    patience: int = 0
    keep: str = "last"
    freeze: int = 0

    def __post_init__(self) -> None:
        words = {"schedule": SCHEDULES, "optimiser": OPTIMISERS, "precision": PRECISIONS, "keep": KEPT}
        for name, known in words.items():
            if getattr(self, name) not in known:
                raise unknown_name(name, getattr(self, name), known)
        least_of = {"steps": 1, "batch": 1, "learning_rate": 0, "warmup": 0, "clip": 0}
        least_of |= {"check_every": 0, "plateau": 1, "patience": 0, "freeze": -1}
        for name, least in least_of.items():
            if not getattr(self, name) >= least:
                raise OptionError(f"fit: {name} must be at least {least:g}, got {getattr(self, name)!r}.")
        if not 0 <= self.average < 1:
            raise OptionError(f"fit: average must lie in [0, 1), got {self.average!r}.")


EPOCHS = 300
BATCH = 5


def published_fit(n_images: int, *, seed: int = 0) -> FitOptions:
    """Return the published way to fit: Adam at a constant 3e-4, batches of 5, 300 epochs, single precision.

    Examples
    --------
    >>> published_fit(366).steps
    21960
    """
    return FitOptions(
        steps=max(1, EPOCHS * n_images // BATCH),
        batch=BATCH,
        learning_rate=3e-4,
        weight_decay=0.0,
        warmup=0,
        schedule="constant",
        optimiser="adam",
        clip=0.0,
        average=0.0,
        precision="32-true",
        seed=seed,
    )
