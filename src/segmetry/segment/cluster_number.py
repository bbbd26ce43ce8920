"""How many clusters are there? Several criteria side by side, with how stable each answer is."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from segmetry.errors import OptionError
from segmetry.segment.gmm import fit_mixture
from segmetry.segment.kmeans import kmeans, nearest

if TYPE_CHECKING:
    import pandas as pd

_FOR_MIXTURE = 5
"""Scores that the mixture is fitted to: a covariance of more takes more pixels than the subset has."""


def compare_numbers(
    scores: np.ndarray,
    numbers: Sequence[int] = range(2, 11),
    *,
    n_sample: int = 2000,
    n_references: int = 5,
    n_repeats: int = 6,
    seed: int = 0,
) -> pd.DataFrame:
    """Return what several criteria say of each number of clusters; no one of them decides.

    Parameters
    ----------
    scores : (n, d) array of float
        Principal components, as in ``cluster_pixels(...).scores``.
    numbers : sequence of int
        Numbers of clusters to compare, each at least 2 and below the number of pixels.
    n_sample : int
        Pixels drawn for all criteria.
    n_references : int
        Samples without clusters that the gap is measured against.
    n_repeats : int
        Single random starts that are compared with each other, and divisions in halves.
    seed : int

    Returns
    -------
    table : pandas.DataFrame
        One row per number ``k``:

        - ``inertia``: of the sample; it always falls.
        - ``silhouette``: mean over pixels of (b - a) / max(a, b), with the mean distances to the own (a) and the next
          cluster (b). Large is good.
        - ``gap``, ``gap_error``: mean log inertia of points spread evenly over the scores' box minus that of the
          scores; the least k whose gap is at least the next one's minus its error is proposed.
        - ``bic``: of a Gaussian mixture of the first five scores, per pixel. Small is good.
        - ``ari_starts``: mean adjusted Rand index between single random starts. 1 where they all agree.
        - ``ari_halves``: the same between centres from two halves of the sample, both applied to all of it.

    Raises
    ------
    OptionError
        If a number is below 2, or there are not more pixels than it.

    References
    ----------
    Rousseeuw, J. Comput. Appl. Math. 20, 53 (1987), doi:10.1016/0377-0427(87)90125-7; Tibshirani, Walther & Hastie,
    J. R. Stat. Soc. B 63, 411 (2001), doi:10.1111/1467-9868.00293; Schwarz, Ann. Stat. 6, 461 (1978),
    doi:10.1214/aos/1176344136; Hubert & Arabie, J. Classif. 2, 193 (1985), doi:10.1007/BF01908075.
    """
    import pandas as pd
    from sklearn.metrics import adjusted_rand_score, silhouette_score

    rng = np.random.default_rng(seed)
    scores = np.asarray(scores, np.float64)
    if len(scores) > n_sample:
        scores = scores[np.sort(rng.choice(len(scores), n_sample, replace=False))]
    n, d = scores.shape
    few = min(d, _FOR_MIXTURE)
    halves = [rng.permutation(n) < n // 2 for _ in range(n_repeats)]
    references = [rng.uniform(scores.min(0), scores.max(0), scores.shape) for _ in range(n_references)]
    rows = []
    for k in numbers:
        if not 2 <= k < n // 2:
            raise OptionError(f"numbers of clusters to compare are from 2 to below half of the {n} pixels, got {k}.")
        found = kmeans(scores, k, seed=seed)
        logs = np.log([max(kmeans(r, k, n_starts=3, seed=seed).inertia, 1e-300) for r in references])
        starts = [kmeans(scores, k, n_starts=1, seed=seed + i).labels for i in range(n_repeats)]
        divided = []
        for half in halves:
            one, two = (nearest(scores, kmeans(scores[h], k, n_starts=3, seed=seed).centres)[0] for h in (half, ~half))
            divided.append(adjusted_rand_score(one, two))
        free = k * (1 + few + few * (few + 1) // 2) - 1
        several = found.labels.max() > 0
        rows.append(
            {
                "k": k,
                "inertia": found.inertia,
                "silhouette": float(silhouette_score(scores, found.labels)) if several else np.nan,
                "gap": float(logs.mean() - np.log(max(found.inertia, 1e-300))),
                "gap_error": float(logs.std() * np.sqrt(1 + 1 / n_references)),
                "bic": free * np.log(n) / n - 2 * fit_mixture(scores[:, :few], k, seed=seed).log_likelihood,
                "ari_starts": float(np.mean([adjusted_rand_score(*p) for p in itertools.combinations(starts, 2)])),
                "ari_halves": float(np.mean(divided)),
            }
        )
    return pd.DataFrame(rows)
