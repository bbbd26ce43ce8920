"""A promise instead of a magic number: the threshold on a particle's score, chosen so that a guarantee holds."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from segmetry.errors import OptionError, unknown_name
from segmetry.evaluate.bounds import BOUNDS
from segmetry.evaluate.scored import ScoredImage, Shares, shares

Kind = Literal["false", "missed"]

ALPHAS = (0.01, 0.02, 0.05, 0.1, 0.2)
"""Levels that a model's card has promises for."""

_ODDS = np.linspace(9.2, -4.6, 277)
THRESHOLDS = tuple(float(t) for t in (*(1 / (1 + np.exp(-_ODDS))), 0.0))
"""Thresholds that are tested for the false share, strictest first: equal steps of log-odds, .9999 to .01, then all.

They are fixed beforehand; thresholds chosen from the calibration scores would break the guarantee."""

_ROUNDING = 1e-12


@dataclass(frozen=True, slots=True)
class Promise:
    """A threshold on the score of a particle, and what is guaranteed by it.

    Parameters
    ----------
    kind : {"false", "missed"}
        What is kept low: the share of false particles among those kept, or of true particles that are missed.
    alpha : float
        The share promised, at most.
    threshold : float or None
        Particles with this score or more are kept; None where no threshold can keep the promise.
    delta : float or None
        Chance that the calibration images mislead and the promise is wrong; None where the promise is of the mean over
        calibrations, too.
    how : str
        The procedure and its bound.
    n_groups, n_images, n_particles : int
        What it was calibrated on.
    false_share, miss_rate, empty : float or None
        On the calibration images, at the threshold: share of false particles, of missed ones, and of images in which
        nothing is kept (mean over groups of the mean over their images).
    least_alpha : float or None
        Where there is no threshold: the smallest share that these calibration images can promise.
    reason : str
        Why there is no threshold; else empty.
    unit : str
        What a group is: the promise is for new ones.
    """

    kind: Kind
    alpha: float
    threshold: float | None
    delta: float | None
    how: str
    n_groups: int
    n_images: int
    n_particles: int
    false_share: float | None = None
    miss_rate: float | None = None
    empty: float | None = None
    least_alpha: float | None = None
    reason: str = ""
    unit: str = "publication"

    @property
    def what(self) -> str:
        """The promise in a phrase."""
        noun = "false particles" if self.kind == "false" else "missed particles"
        return f"at most {_percent(self.alpha)} {noun}"

    @property
    def sentence(self) -> str:
        """What is guaranteed, over which chance, and what was seen."""
        calibrated = f"{self.n_groups} calibration {self.unit}s ({self.n_images} images)"
        if self.threshold is None:
            least = "" if self.least_alpha is None else f" The least they can promise is {_percent(self.least_alpha)}."
            return f"No threshold promises {self.what} from {calibrated}: {self.reason}.{least}"
        share, other, empty = (_percent(x or 0.0) for x in (self.false_share, self.miss_rate, self.empty))
        if self.kind == "false":
            claim = (
                f"with {_percent(1 - (self.delta or 0.0))} confidence over the draw of the {calibrated}, the expected "
                f"share of false particles among those reported in an image of a new {self.unit} is at most "
                f"{_percent(self.alpha)} (0 where none is reported)"
            )
        else:
            claim = (
                f"on average over the draw of the {calibrated} and of a new {self.unit}, the expected share of missed "
                f"particles among the true ones in an image of the new {self.unit} is at most {_percent(self.alpha)}"
            )
        return (
            f"{self.what[0].upper()}{self.what[1:]}: {claim}, if the new {self.unit} is drawn like those. Kept are "
            f"particles with a score of {self.threshold:.4g} or more; of the calibration images that left {share} of "
            f"the particles false and {other} missed, and {empty} of the images empty. ({self.how})"
        )

    def keep(self, scores: Any) -> np.ndarray:
        """Return which particles are kept.

        Raises
        ------
        OptionError
            If no threshold can keep the promise.
        """
        if self.threshold is None:
            raise OptionError(self.sentence)
        return np.asarray(scores, np.float64) >= self.threshold

    def as_dict(self) -> dict[str, Any]:
        """Return plain data for JSON, all that `from_dict` needs."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Promise:
        """Return the promise that `as_dict` gave as data."""
        names = [f.name for f in dataclasses.fields(cls)]
        for name in data:
            if name not in names:
                raise unknown_name("field of a promise", name, names)
        return cls(**data)


def promise_misses(images: Sequence[ScoredImage], alpha: float, *, unit: str = "publication") -> Promise:
    """Return the highest threshold that misses at most a share `alpha` of the true particles, on average.

    Parameters
    ----------
    images : sequence of ScoredImage
        Calibration images; the method was neither trained nor tuned on them.
    alpha : float
        Share of missed particles, in (0, 1).
    unit : str
        What a group is, in words.

    Returns
    -------
    promise : Promise
        Without a threshold where even keeping everything misses too many.

    Notes
    -----
    Conformal risk control: the loss of a group is the mean over its images of the share of true particles that no kept
    one matches, so it falls, or stays, as the threshold falls. With R(t) its mean over n groups, the threshold is the
    highest t with ``n R(t) / (n + 1) + 1 / (n + 1) <= alpha``. Then the expected loss of a new group is at most alpha,
    over the draw of all n + 1, if these are exchangeable. A calibration that yields no threshold promises nothing, and
    counts as no loss in this expectation.

    References
    ----------
    Angelopoulos, Bates, Fisch, Lei & Schuster, ICLR 2024, arXiv:2208.02814.
    """
    _check(images, alpha)
    names, code = np.unique([one.group for one in images], return_inverse=True)
    n = len(names)
    weights = 1 / (n * np.bincount(code)[code])
    parts = [
        (one.scores[one.right], np.full(np.count_nonzero(one.right), weight / max(one.n_truth, 1)))
        for one, weight in zip(images, weights)
    ]
    scores, gains = (np.concatenate(column) for column in zip(*parts))
    order = np.argsort(-scores, kind="stable")
    scores = scores[order]
    everything = float(sum(weight for one, weight in zip(images, weights) if one.n_truth))
    risk = everything - np.cumsum(gains[order])
    last = np.append(scores[1:] != scores[:-1], True)[: scores.size]  # one risk for equal scores
    scores, bound = scores[last], (n * risk[last] + 1) / (n + 1)
    enough = np.flatnonzero(bound <= alpha + _ROUNDING)
    how = "conformal risk control"
    if enough.size:
        return _kept("missed", images, alpha, float(scores[enough[0]]), None, how, unit)
    least = float(bound[-1]) if bound.size else (n * everything + 1) / (n + 1)
    if not scores.size:
        reason = "no predicted particle is right"
    elif alpha < 1 / (n + 1):
        reason = f"{n} {unit}s can promise {_percent(1 / (n + 1))} at best, even if nothing is missed"
    else:
        reason = f"keeping every particle still misses {_percent(((n + 1) * least - 1) / n)}"
    return _none("missed", images, alpha, None, how, unit, least if least < 1 else None, reason)


def promise_false_share(
    images: Sequence[ScoredImage],
    alpha: float,
    *,
    delta: float = 0.1,
    bound: str = "betting",
    thresholds: Sequence[float] = THRESHOLDS,
    unit: str = "publication",
) -> Promise:
    """Return the lowest threshold at which at most a share `alpha` of the kept particles is shown to be false.

    Parameters
    ----------
    images : sequence of ScoredImage
        Calibration images; the method was neither trained nor tuned on them.
    alpha : float
        Share of false particles, in (0, 1).
    delta : float
        Chance of a wrong promise, in (0, 1).
    bound : {"betting", "hoeffding-bentkus", "binomial"}
        Test of each threshold; choose before looking. "binomial" needs losses that are 0 or 1.
    thresholds : sequence of float
        Tested in this order, falling; not chosen from these images.
    unit : str
        What a group is, in words.

    Returns
    -------
    promise : Promise
        Without a threshold where none, or only one that keeps nothing, passes its test.

    Notes
    -----
    Learn-then-Test with a fixed sequence: the loss of a group is the mean over its images of the share of the kept
    particles that is false, 0 where none is kept. It neither only rises nor only falls with the threshold, so
    conformal risk control does not apply. From the strictest threshold down, each is tested against "its expected loss
    is above alpha" at level delta, until one fails; the last that passed is taken. Then, with probability 1 - delta
    over the draw of independent calibration groups, the expected loss at the threshold, *and at every stricter one
    tested*, is at most alpha. The groups enter the betting in an order that depends on their names alone.

    That nothing false is said where nothing is said is true, and could make a promise empty: so the share of empty
    images and the miss rate at the threshold belong to the record, and to its sentence.

    References
    ----------
    Angelopoulos, Bates, Candès, Jordan & Lei, Ann. Appl. Stat. 19, 1641 (2025), doi:10.1214/24-AOAS1998.
    """
    (promise,) = _false_promises(images, (alpha,), delta, bound, thresholds, unit)
    return promise


def promise_table(
    images: Sequence[ScoredImage],
    *,
    alphas: Sequence[float] = ALPHAS,
    delta: float = 0.1,
    unit: str = "publication",
) -> tuple[Promise, ...]:
    """Return promises of both kinds for several shares: what goes into a model's card.

    Parameters
    ----------
    images, delta, unit
        As for `promise_false_share`.
    alphas : sequence of float
        Shares, rising.

    Returns
    -------
    promises : tuple of Promise
        False share first, then misses, in the order of `alphas`. A larger false share never has a higher threshold, nor
        a larger miss rate a lower one. Each promise holds by itself; all together are less sure.
    """
    if list(alphas) != sorted(set(alphas)):
        raise OptionError(f"alphas must rise, got {list(alphas)}.")
    missed = (promise_misses(images, alpha, unit=unit) for alpha in alphas)
    return (*_false_promises(images, alphas, delta, "betting", THRESHOLDS, unit), *missed)


def find_promise(table: Sequence[Promise], kind: Kind, alpha: float) -> Promise:
    """Return the promise of a table that keeps what is asked: that of the largest share not above `alpha`.

    Raises
    ------
    OptionError
        If the table has no promise so strict.
    """
    fit = [p for p in table if p.kind == kind and p.alpha <= alpha + _ROUNDING]
    if not fit:
        known = ", ".join(_percent(p.alpha) for p in table if p.kind == kind) or "none"
        name = "false share" if kind == "false" else "miss rate"
        raise OptionError(f"there is no promise of a {name} of {_percent(alpha)} or less; known: {known}.")
    return max(fit, key=lambda p: p.alpha)


def _false_promises(
    images: Sequence[ScoredImage],
    alphas: Sequence[float],
    delta: float,
    bound: str,
    thresholds: Sequence[float],
    unit: str,
) -> list[Promise]:
    """Return a promise for each of rising shares."""
    for alpha in alphas:
        _check(images, alpha)
    if not (0 < delta < 1):
        raise OptionError(f"delta is a chance in (0, 1), got {delta}.")
    if bound not in BOUNDS:
        raise unknown_name("bound", bound, BOUNDS)
    steps = np.asarray(thresholds, np.float64)
    if steps.ndim != 1 or not steps.size or (np.diff(steps) >= 0).any():
        raise OptionError("thresholds must fall, and there must be one.")
    seen = shares(images, steps)
    losses = seen.false[np.random.default_rng(0).permutation(len(seen.groups))]  # they come in the order of names
    somewhere = np.flatnonzero(seen.empty.min(0) < 1)
    how = f"Learn-then-Test, fixed sequence, {bound} bound"
    promises: list[Promise] = []
    best = steps.size - 1
    for alpha in reversed(alphas):
        # All thresholds that passed are as good as the last one, so a smaller share can be given that of a larger one.
        best = min(best, _n_passed(losses, alpha, delta, bound) - 1)
        if somewhere.size and best >= somewhere[0]:
            promises.append(_kept("false", images, alpha, float(steps[best]), delta, how, unit, seen, best))
            continue
        least, reason = _why_none(losses, alpha, delta, bound, somewhere, unit)
        promises.append(_none("false", images, alpha, delta, how, unit, least, reason))
    return promises[::-1]


def _n_passed(losses: np.ndarray, alpha: float, delta: float, bound: str) -> int:
    """Return how many thresholds pass before one fails."""
    failed = np.flatnonzero(BOUNDS[bound](losses, alpha) > delta)
    return int(failed[0]) if failed.size else losses.shape[1]


def _why_none(
    losses: np.ndarray, alpha: float, delta: float, bound: str, somewhere: np.ndarray, unit: str
) -> tuple[float | None, str]:
    """Return the least share that can be promised, and why the one asked cannot."""
    if not somewhere.size:
        return None, "no particle was predicted in any of the images"
    n = len(losses)
    perfect = _least(np.zeros((n, 1)), delta, bound)
    least = _least(losses[:, : somewhere[0] + 1], delta, bound)
    if perfect is None or alpha < perfect:
        at_best = "nothing" if perfect is None else f"{_percent(perfect)} at best, even if no particle is false"
        return least, f"{n} {unit}s can promise {at_best}"
    return least, "too many of even the surest particles are false"


def _least(losses: np.ndarray, delta: float, bound: str) -> float | None:
    """Return the smallest share at which all thresholds pass, within a ten-thousandth of itself, from above."""
    low, high = 1e-9, 1 - 1e-9
    if _n_passed(losses, high, delta, bound) < losses.shape[1]:
        return None
    while high - low > 1e-4 * high:
        middle = (low + high) / 2
        if _n_passed(losses, middle, delta, bound) == losses.shape[1]:
            high = middle
        else:
            low = middle
    return high


def _kept(
    kind: Kind,
    images: Sequence[ScoredImage],
    alpha: float,
    threshold: float,
    delta: float | None,
    how: str,
    unit: str,
    seen: Shares | None = None,
    at: int = 0,
) -> Promise:
    """Return a promise with its threshold, and what that does to the calibration images."""
    seen = seen or shares(images, np.array([threshold]))
    false, missed, empty = (float(table[:, at].mean()) for table in (seen.false, seen.missed, seen.empty))
    return Promise(kind, float(alpha), threshold, delta, how, *_sizes(images), false, missed, empty, unit=unit)


def _none(
    kind: Kind,
    images: Sequence[ScoredImage],
    alpha: float,
    delta: float | None,
    how: str,
    unit: str,
    least: float | None,
    reason: str,
) -> Promise:
    """Return a promise that cannot be kept."""
    return Promise(kind, float(alpha), None, delta, how, *_sizes(images), least_alpha=least, reason=reason, unit=unit)


def _sizes(images: Sequence[ScoredImage]) -> tuple[int, int, int]:
    return len({one.group for one in images}), len(images), sum(one.scores.size for one in images)


def _check(images: Sequence[ScoredImage], alpha: float) -> None:
    if not images:
        raise OptionError("there are no calibration images: nothing can be promised.")
    if not (0 < alpha < 1):
        raise OptionError(f"a promise is of a share in (0, 1), got {alpha}; 5 % is 0.05.")


def _percent(share: float) -> str:
    """Return a share in per cent, three digits at most."""
    return f"{100 * share:.3g} %"
