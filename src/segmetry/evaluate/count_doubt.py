"""How far the number of particles that a method found may lie from the number there is."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from segmetry.errors import OptionError, unknown_name
from segmetry.evaluate.scored import ScoredImage
from segmetry.measure.uncertainty import student

_COVERED = 0.95
"""Share of images that the factor is made for."""


@dataclass(frozen=True, slots=True)
class CountDoubt:
    """What the chances of an image's candidates say of the number of its particles, and how much more it varies.

    Parameters
    ----------
    unseen : float
        True particles that are no candidate, per candidate that is right.
    factor : float
        So many times larger than the chances say is what a count is off by.
    n_images, n_groups : int
        What both were made from.

    Notes
    -----
    Were the chances p of all candidates right and independent, and the particles that are no candidate a Poisson number
    of mean ``unseen * sum(p)``, the true number N would have the mean ``mu = (1 + unseen) sum(p)`` and the variance
    ``sum(p (1 - p)) + unseen sum(p)`` (a Poisson-binomial number and a Poisson one). Of the n particles that were kept,
    N is then off by ``sqrt(E (N - n)^2)``, with ``E (N - n)^2 = var N + (mu - n)^2``: n stays the estimate, and what
    the chances of the dropped and of the kept ones say against it is part of its doubt.

    But candidates of one image are right or wrong together. `factor` is for that: it is what widens the interval until
    it holds the true number in 95 % of images of publications that were held out (`calibrate_count`).
    """

    unseen: float
    factor: float
    n_images: int = 0
    n_groups: int = 0

    def __post_init__(self) -> None:
        for name in ("unseen", "factor"):
            value = getattr(self, name)
            if not (isinstance(value, int | float) and 0 <= value < math.inf):
                raise OptionError(f"{name} of a count's doubt must be a number of 0 or more, got {value!r}.")

    def sd(self, chances: Any, n: int) -> float:
        """Return the standard uncertainty of a count.

        Parameters
        ----------
        chances : (P,) array of float in [0, 1]
            Of all candidates in the image to be right, those that were dropped too.
        n : int
            How many particles were kept.

        Examples
        --------
        >>> round(CountDoubt(unseen=0.0, factor=1.0).sd([0.5, 0.5, 1.0, 0.0], 2), 4)  # one of two coins, and no bias
        0.7071
        >>> CountDoubt(unseen=0.0, factor=2.0).sd([1.0, 1.0, 1.0], 2)  # one was dropped that is surely there
        2.0
        """
        return self.factor * _off(chances, n, self.unseen)

    def as_dict(self) -> dict[str, Any]:
        """Return plain data for JSON, all that `from_dict` needs."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> CountDoubt:
        """Return what `as_dict` gave as data."""
        names = [f.name for f in dataclasses.fields(cls)]
        for name in data:
            if name not in names:
                raise unknown_name("field of a count's doubt", name, names)
        return cls(**data)


def calibrate_count(images: Sequence[ScoredImage], found: Sequence[int]) -> CountDoubt | None:
    """Return how far counts are off, from images whose particles are known.

    Parameters
    ----------
    images : sequence of ScoredImage
        With *chances* as scores, of all candidates. The network did not learn from these images.
    found : sequence of int
        How many particles the method kept in each.

    Returns
    -------
    doubt : CountDoubt or None
        None where there are fewer than 19 groups, of which no 95 % can be told, or none of the candidates is right.

    Raises
    ------
    OptionError
        If there is not one number for each image.

    Notes
    -----
    Each image gives the ratio of what its count is off by to what its chances say. `factor` is the smallest for which
    1.96 factors hold 95 % of the ratios, where each of the K groups has the weight 1 / (K + 1), shared equally by its
    images, and the group to come lies beyond all of them with the same weight. So the 95 % interval of a count holds
    the true number with a chance of 95 % at least, over the draw of the K + 1 groups and of an image in the new one, if
    groups are exchangeable; however wrong the chances are, or how much images of a group resemble each other. For other
    levels the law is taken for a Gaussian, which it is not: its tails are longer.

    References
    ----------
    Lee, Barber & Willett 2023, arXiv:2306.06342 (conformal prediction for an image of a new group); ratios to what a
    model expects: Lei et al. 2018, doi:10.1080/01621459.2017.1307116. Here `unseen` is from the same images, a mean
    that no one of them moves much.
    """
    if len(found) != len(images):
        raise OptionError(f"each image has one number of found particles, got {len(found)} for {len(images)} images.")
    right = sum(int(one.right.sum()) for one in images)
    if not right:
        return None
    unseen = sum(one.n_truth for one in images) / right - 1
    off = np.array([abs(one.n_truth - n) for one, n in zip(images, found)], float)
    said = np.array([_off(one.scores, n, unseen) for one, n in zip(images, found)])
    ratios = np.divide(off, said, out=np.where(off > 0, np.inf, 0.0), where=said > 0)
    names, code = np.unique([one.group for one in images], return_inverse=True)
    order = np.argsort(ratios)
    held = np.cumsum(1 / ((len(names) + 1) * np.bincount(code)[code[order]]))
    at = int(np.searchsorted(held, _COVERED - 1e-9))
    if at == len(held) or not math.isfinite(ratios[order[at]]):
        return None
    return CountDoubt(unseen, float(ratios[order[at]]) / student(_COVERED, math.inf), len(images), len(names))


def _off(chances: Any, n: int, unseen: float) -> float:
    """Return the root mean square of what a count is off by, if its chances are right and independent."""
    p = np.asarray(chances, np.float64)
    seen = float(p.sum())
    return math.sqrt(float((p * (1 - p)).sum()) + unseen * seen + ((1 + unseen) * seen - n) ** 2)
