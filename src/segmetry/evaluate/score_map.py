"""From a score that ranks to a score that can be read: the chance that a particle is right."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from segmetry.errors import ImageError, OptionError, ShapeMismatchError, unknown_name

Form = Literal["none", "logistic", "isotonic"]

FORMS: tuple[Form, ...] = ("none", "logistic", "isotonic")
"""Forms of a map, the simplest first."""

N_BINS = 20
"""Bins of equally many particles that an isotonic map is made from: it has so many knots at most, and two ends."""

_N_FOLDS = 5
_FARTHEST = 1e-6  # how near 0 and 1 a score counts, before its log-odds are taken


@dataclass(frozen=True, slots=True)
class ScoreMap:
    """A rising map from scores to chances.

    Parameters
    ----------
    form : {"none", "logistic", "isotonic"}
        The score itself; ``1 / (1 + exp(-(slope * log-odds + offset)))``; or straight lines between knots.
    slope, offset : float
        Of the logistic form.
    knots, values : tuple of float
        Of the isotonic form, rising.
    log_loss : mapping of str to float
        Mean of ``-log(chance of what happened)`` on groups that were held out, of each form that was tried.
    n, n_groups : int
        Particles and groups it was made from.
    """

    form: Form
    slope: float = 1.0
    offset: float = 0.0
    knots: tuple[float, ...] = ()
    values: tuple[float, ...] = ()
    log_loss: Mapping[str, float] = dataclasses.field(default_factory=dict)
    n: int = 0
    n_groups: int = 0

    def apply(self, scores: Any) -> np.ndarray:
        """Return the chance of each score, float64; nan stays nan."""
        scores = np.asarray(scores, np.float64)
        if self.form == "none":
            return scores.copy()
        if self.form == "isotonic":
            return np.interp(scores, self.knots, self.values)
        return _sigmoid(self.slope * _log_odds(scores) + self.offset)

    def as_dict(self) -> dict[str, Any]:
        """Return plain data for JSON, all that `from_dict` needs."""
        data = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        return data | {"knots": list(self.knots), "values": list(self.values), "log_loss": dict(self.log_loss)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> ScoreMap:
        """Return the map that `as_dict` gave as data."""
        names = [f.name for f in dataclasses.fields(cls)]
        for name in data:
            if name not in names:
                raise unknown_name("field of a score map", name, names)
        if data.get("form") not in FORMS:
            raise unknown_name("form of a score map", data.get("form"), FORMS)
        return cls(**{**data, "knots": tuple(data.get("knots", ())), "values": tuple(data.get("values", ()))})


def calibrate_scores(scores: Any, right: Any, groups: Sequence[Any]) -> ScoreMap:
    """Return the map from a particle's score to the chance that it is right.

    Parameters
    ----------
    scores : (P,) array of float in [0, 1]
    right : (P,) array of bool
    groups : (P,) sequence
        What each particle comes from: a publication, a specimen. A group is never parted.

    Raises
    ------
    ShapeMismatchError
        If there is not one verdict and one group for each score.
    ImageError
        If a score is not in [0, 1].
    OptionError
        If there is no particle.

    Notes
    -----
    Three forms are fitted to four fifths of the groups and judged on the last one, in turn: the score as it is, a
    logistic curve in its log-odds (Platt 1999; slope 1 over a temperature, and an offset), and a rising line through
    the shares of right particles in 20 bins of equally many (pooled where they would fall; Zadrozny & Elkan 2002), from
    half the lowest share at 0 to half way between the highest and 1. The one with the smallest log-loss is fitted to
    all; the log-loss, because it asks for right chances everywhere and not only on average. Every particle counts the
    same, as in a reliability diagram. Of fewer than five groups nothing can be held out, and the logistic curve is
    taken: two numbers do not overfit much.

    A rising map keeps the order of particles, so it changes no promise; but promises are to be made on scores as they
    were *before*: thresholds must not come from the calibration images.

    References
    ----------
    Platt, Advances in Large Margin Classifiers, 61 (1999); Zadrozny & Elkan, KDD 2002, doi:10.1145/775047.775151;
    Niculescu-Mizil & Caruana, ICML 2005, doi:10.1145/1102351.1102430 (which of the two, when).
    """
    scores, right = np.asarray(scores, np.float64), np.asarray(right, np.bool_)
    if scores.ndim != 1 or scores.shape != right.shape or len(groups) != scores.size:
        raise ShapeMismatchError(
            f"each score has one verdict and one group, got {scores.shape}, {right.shape} and {len(groups)}."
        )
    if not scores.size:
        raise OptionError("there are no particles to calibrate scores with.")
    if not ((scores >= 0) & (scores <= 1)).all():
        raise ImageError("scores must lie in [0, 1], and not be nan.")
    names, code = np.unique([str(g) for g in groups], return_inverse=True)
    losses: dict[str, float] = {}
    form: Form = "logistic"
    if len(names) >= _N_FOLDS:
        fold = np.random.default_rng(0).permutation(len(names))[code] % _N_FOLDS
        for each in FORMS:
            chance = np.empty(scores.size)
            for k in range(_N_FOLDS):
                held = fold == k
                chance[held] = _FIT[each](scores[~held], right[~held]).apply(scores[held])
            losses[each] = _log_loss(chance, right)
        form = min(FORMS, key=lambda f: losses[f])
    found = _FIT[form](scores, right)
    return dataclasses.replace(found, log_loss=losses, n=scores.size, n_groups=len(names))


def _as_it_is(scores: np.ndarray, right: np.ndarray) -> ScoreMap:
    return ScoreMap("none")


def _logistic(scores: np.ndarray, right: np.ndarray) -> ScoreMap:
    """Return the logistic curve of largest likelihood, of targets a little inside 0 and 1 (Platt 1999)."""
    n_right, n = np.count_nonzero(right), right.size
    target = np.where(right, (n_right + 1) / (n_right + 2), 1 / (n - n_right + 2))
    x = _log_odds(scores)
    design = np.stack([x, np.ones(n)])
    beta = np.array([1.0, 0.0])

    def cost(beta: np.ndarray) -> float:
        z = beta @ design
        return float((np.logaddexp(0, z) - target * z).sum())

    for _ in range(100):  # Newton; the step is halved until it gains
        chance = _sigmoid(beta @ design)
        gradient = design @ (chance - target)
        curvature = (design * (chance * (1 - chance))) @ design.T
        step = np.linalg.lstsq(curvature, gradient, rcond=None)[0]
        now, size = cost(beta), 1.0
        while size > 1e-6 and cost(beta - size * step) > now:
            size /= 2
        beta = beta - size * step
        if size <= 1e-6 or np.abs(size * step).max() < 1e-9:
            break
    if beta[0] <= 0:  # the score tells nothing, or the wrong way round: every particle has the same chance
        mean = target.mean()
        beta = np.array([0.0, np.log(mean / (1 - mean))])
    return ScoreMap("logistic", float(beta[0]), float(beta[1]))


def _isotonic(scores: np.ndarray, right: np.ndarray) -> ScoreMap:
    """Return straight lines through the shares of right particles of bins of equally many, pooled where they fall."""
    order = np.argsort(scores, kind="stable")
    scores, right = scores[order], right[order].astype(float)
    edges = np.unique(np.searchsorted(scores, scores[np.arange(1, N_BINS) * scores.size // N_BINS]))  # ties together
    starts = np.unique(np.append(0, edges))
    n = np.diff(np.append(starts, scores.size)).astype(float)
    blocks: list[tuple[float, float, float]] = []  # particles, sum of scores, right ones
    for block in zip(n, np.add.reduceat(scores, starts), np.add.reduceat(right, starts)):
        blocks.append(block)
        while len(blocks) > 1 and _share(blocks[-2]) >= _share(blocks[-1]):
            last = blocks.pop()
            blocks[-1] = tuple(a + b for a, b in zip(blocks[-1], last))  # type: ignore[assignment]
    inner = [(b[1] / b[0], _share(b)) for b in blocks if 0 < b[1] < b[0]]
    # Beyond the outermost knots the order of scores is kept, and no chance of 0 or 1 is stated.
    knots, values = zip((0.0, _share(blocks[0]) / 2), *inner, (1.0, (1 + _share(blocks[-1])) / 2))
    return ScoreMap("isotonic", knots=tuple(map(float, knots)), values=tuple(map(float, values)))


def _share(block: tuple[float, float, float]) -> float:
    """Return the share of right particles of a block, a little inside 0 and 1."""
    return (block[2] + 0.5) / (block[0] + 1)


_FIT: dict[Form, Callable[[np.ndarray, np.ndarray], ScoreMap]] = {
    "none": _as_it_is,
    "logistic": _logistic,
    "isotonic": _isotonic,
}


def _log_odds(scores: np.ndarray) -> np.ndarray:
    scores = np.clip(scores, _FARTHEST, 1 - _FARTHEST)
    return np.log(scores / (1 - scores))


def _sigmoid(z: np.ndarray) -> np.ndarray:
    from scipy.special import expit

    return expit(z)


def _log_loss(chance: np.ndarray, right: np.ndarray) -> float:
    chance = np.clip(chance, _FARTHEST, 1 - _FARTHEST)
    return float(-np.log(np.where(right, chance, 1 - chance)).mean())
