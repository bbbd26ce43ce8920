"""Global thresholds from the histogram."""

from __future__ import annotations

import numba
import numpy as np

_BINS = 256


@numba.njit(cache=True, nogil=True)
def _count(values, low, scale, bins):
    """Number and mean of the values in each bin."""
    counts, sums = np.zeros(bins), np.zeros(bins)
    for value in values:
        k = min(int((value - low) * scale), bins - 1)
        counts[k] += 1
        sums[k] += value
    return counts, sums


def _histogram(values: np.ndarray, bins: int) -> tuple[np.ndarray, np.ndarray]:
    """Return counts and means of the bins that hold something."""
    flat = np.ascontiguousarray(values, np.float32).ravel()
    low, high = float(flat.min()), float(flat.max())
    counts, sums = _count(flat, low, bins / (high - low) if high > low else 0.0, bins)
    filled = counts > 0
    return counts[filled], sums[filled] / counts[filled]


def otsu_threshold(values: np.ndarray) -> float:
    """Return the threshold that splits values into the two classes of largest variance between them.

    Values above the threshold are the upper class: none of a constant. 256 bins between the extremes.

    References
    ----------
    Otsu, IEEE Trans. SMC 9, 62 (1979), doi:10.1109/TSMC.1979.4310076.

    Examples
    --------
    >>> import numpy as np
    >>> 10 < otsu_threshold(np.array([9, 10, 10, 90, 91.0])) < 90
    True
    """
    levels = multi_otsu_thresholds(values, 2)
    return levels[0] if levels else float(values.max())


def multi_otsu_thresholds(values: np.ndarray, n_classes: int, *, bins: int = _BINS) -> tuple[float, ...]:
    """Return the ``n_classes - 1`` thresholds of largest variance between classes, in rising order.

    Exact over the histogram by dynamic programming: the cost grows linearly with the number of classes.

    Parameters
    ----------
    values : array of float
    n_classes : int
        At least 2.
    bins : int
        Bins of the histogram.

    Returns
    -------
    thresholds : tuple of float
        Fewer than asked where the histogram has fewer filled bins; empty for a constant.

    References
    ----------
    Liao, Chen, Chung, J. Inf. Sci. Eng. 17, 713 (2001).
    """
    counts, centres = _histogram(values, bins)
    n = counts.size
    n_classes = min(n_classes, n)
    if n_classes < 2:
        return ()
    zero = np.concatenate([[0], np.cumsum(counts)])
    first = np.concatenate([[0], np.cumsum(counts * (centres - centres.mean()))])
    # gain[i, j]: what the class of bins i..j-1 adds, (sum of values)^2 / count.
    weight, moment = zero[None, :] - zero[:, None], first[None, :] - first[:, None]
    with np.errstate(invalid="ignore", divide="ignore"):
        gain = np.where(weight > 0, moment**2 / weight, -np.inf)
    best = gain[0].copy()  # best[j]: the bins below j in one class
    back = []
    for _ in range(n_classes - 1):
        total = best[:, None] + gain
        back.append(np.argmax(total, axis=0))
        best = np.max(total, axis=0)
    cuts, j = [], n
    for step in reversed(back):
        j = int(step[j])
        cuts.append(j)
    return tuple(float((centres[k - 1] + centres[k]) / 2) for k in reversed(cuts))


def robust_range(values: np.ndarray) -> float:
    """Return the width of the range that holds all but the outermost half per cent at each end.

    Of at most some 100,000 values, evenly chosen.
    """
    flat = values.ravel()
    low, high = np.quantile(flat[:: max(1, flat.size // 100_000)], (0.005, 0.995))
    return float(high - low)
