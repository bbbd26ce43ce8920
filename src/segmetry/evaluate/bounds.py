"""How unlikely the losses seen would be if their mean were too high: p-values that hold for any number of cases."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from segmetry.errors import OptionError

_CAP = 0.9
"""Largest bet, as a share of all that is owned: one loss of 1 costs nine tenths of it at most."""


def binomial_p(losses: Any, alpha: float) -> np.ndarray:
    """Return the p-value of "the mean is above alpha" for losses that are 0 or 1: exact.

    Parameters
    ----------
    losses : (n,) or (n, T) array
        Independent cases along the first axis.
    alpha : float
        In (0, 1).

    Returns
    -------
    p : (T,) array or scalar array
        ``P(Bin(n, alpha) <= sum of losses)``.

    Raises
    ------
    OptionError
        If a loss is neither 0 nor 1, or alpha is not in (0, 1).

    Examples
    --------
    >>> float(binomial_p(np.zeros(10), 0.2).round(4))  # 0.8 ** 10
    0.1074
    """
    losses = _checked(losses, alpha)
    if not np.isin(losses, (0, 1)).all():
        raise OptionError("the exact binomial bound is for losses of 0 or 1; use betting or hoeffding-bentkus.")
    from scipy.special import bdtr

    return bdtr(losses.sum(0), len(losses), alpha)


def hoeffding_bentkus_p(losses: Any, alpha: float) -> np.ndarray:
    """Return the p-value of "the mean is above alpha" for losses in [0, 1], from their mean alone.

    Parameters
    ----------
    losses, alpha
        As for `binomial_p`.

    Notes
    -----
    With the mean loss r, the smaller of Hoeffding's ``exp(-n h(min(r, alpha), alpha))``, where
    ``h(a, b) = a log(a / b) + (1 - a) log((1 - a) / (1 - b))``, and Bentkus's ``e P(Bin(n, alpha) <= ceil(n r))``. It
    knows nothing of the spread of the losses, so it takes each for the worst: all 0 or 1.

    References
    ----------
    Hoeffding, J. Am. Stat. Assoc. 58, 13 (1963), doi:10.1080/01621459.1963.10500830; Bentkus, Ann. Probab. 32, 1650
    (2004), doi:10.1214/009117904000000360; joined in Bates et al., J. ACM 68, 43 (2021), doi:10.1145/3478535.
    """
    losses = _checked(losses, alpha)
    from scipy.special import bdtr, xlogy

    n, total = len(losses), losses.sum(0)
    low = np.minimum(total / n, alpha)
    distance = xlogy(low, low / alpha) + xlogy(1 - low, (1 - low) / (1 - alpha))
    # A sum of shares that should be whole may come out a rounding above it.
    bentkus = math.e * bdtr(np.ceil(total - 1e-9 * n), n, alpha)
    return np.minimum(np.exp(-n * distance), np.minimum(bentkus, 1.0))


def betting_p(losses: Any, alpha: float) -> np.ndarray:
    """Return the p-value of "the mean is above alpha" for losses in [0, 1], from a game that nobody wins by skill.

    Parameters
    ----------
    losses, alpha
        As for `binomial_p`. The order of the cases counts, and must not depend on their losses.

    Notes
    -----
    Before each case a share of what is owned is bet on its loss being below alpha: what is owned becomes
    ``K_i = K_{i-1} (1 + b_i (alpha - L_i))`` from ``K_0 = 1``. If the mean is alpha or more, no way to bet by what was
    seen before gains on average, and K ever reaches 1/p with probability p at most (Ville's inequality). So
    ``p = 1 / max K``.

    The bet is ``(alpha - m) / (v + (alpha - m)^2)`` with mean m and variance v of the cases before, which hardly loses
    to the best bet in hindsight; m and v start as of one case with mean ``alpha / 2`` and mean square ``alpha / 2``,
    and the bet ends at ``.9 / (1 - alpha)``. Losses that vary little are believed sooner than by
    `hoeffding_bentkus_p`; for losses of 0 or 1 that bound is the better one.

    References
    ----------
    Waudby-Smith & Ramdas, J. R. Stat. Soc. B 86, 1 (2024), doi:10.1093/jrsssb/qkad009 (their approximate GRAPA bet).
    """
    losses = _checked(losses, alpha)
    n = len(losses)
    seen = np.arange(1, n + 1).reshape(-1, *[1] * (losses.ndim - 1))  # the case to start from, and those before
    before = np.cumsum(losses, 0) - losses
    mean = (alpha / 2 + before) / seen
    square = (alpha / 2 + np.cumsum(losses**2, 0) - losses**2) / seen
    gap = np.maximum(alpha - mean, 0)
    variance = np.maximum(square - mean**2, 1e-4)
    bet = np.minimum(gap / (variance + gap**2), _CAP / (1 - alpha))
    owned = np.cumsum(np.log1p(bet * (alpha - losses)), 0)
    return np.exp(-np.maximum(owned.max(0), 0))


BOUNDS: dict[str, Callable[[Any, float], np.ndarray]] = {
    "betting": betting_p,
    "hoeffding-bentkus": hoeffding_bentkus_p,
    "binomial": binomial_p,
}
"""Every bound by its name."""


def _checked(losses: Any, alpha: float) -> np.ndarray:
    losses = np.asarray(losses, float)
    if not (0 < alpha < 1):
        raise OptionError(f"alpha is a share in (0, 1), got {alpha}.")
    if not (losses.ndim and len(losses)):
        raise OptionError("there are no losses to judge by.")
    if not (losses.min() >= 0 and losses.max() <= 1):
        raise OptionError(f"losses must lie in [0, 1], got {losses.min()} to {losses.max()}.")
    return losses
