"""Bragg edges in transmission spectra: position, height, width and asymmetry with errors, of regions or pixels."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numba import njit

from segmetry.errors import OptionError
from segmetry.measure.spectra import Spectra, check_time, label_spectra, pixel_spectra, wavelength_of
from segmetry.synth.crystal import NEUTRON_SPEED

if TYPE_CHECKING:
    import pandas as pd

_N = 7  # a0, b0, ah, bh, t0, ln sigma, ln tau; times in bins, from the middle of the window
_MOST_STEPS = 100
_NARROW = math.log(0.05)  # least ln of a width in bins
_SEEN = 5.0
"""Standard errors that a height has to have for there to be an edge: it is searched for in many places."""

_KNOWN = 0.5
"""Largest error of a fitted width, as a share of it; beyond, the position leans on a width that nobody knows."""

_OK, _FEW, _DARK, _SLOW, _SINGULAR, _WEAK, _END, _BLUNT = range(8)
REASONS = (
    "",
    "the window holds too few bins with neutrons",
    "no neutron came through",
    "the fit did not stand still",
    "the spectrum does not tell the parameters apart",
    "no edge: the height is less than 5 standard errors",
    "the edge lies at the end of the window",
    "too few neutrons to tell width and asymmetry; give the shape of the pulse, or fit a larger region",
)
"""Why an edge has no position; the first is that it has one."""

UNITS = {
    "position": "Å",
    "position_error": "Å",
    "time": "s",
    "time_error": "s",
    "d_spacing": "Å",
    "d_spacing_error": "Å",
    "height": "",
    "height_error": "",
    "width": "s",
    "width_error": "s",
    "asymmetry": "s",
    "asymmetry_error": "s",
    "chi2_dof": "",
    "converged": "",
    "reason": "",
}
"""Columns that a fit gives, and their units."""


def fit_edges(
    spectra: Spectra,
    time: np.ndarray,
    flight_path: float,
    near: float,
    *,
    half_width: float = 0.05,
    shape: tuple[float, float] | None = None,
) -> pd.DataFrame:
    """Return the Bragg edge of each spectrum.

    Parameters
    ----------
    spectra : Spectra
        Of L regions, over T bins.
    time : (T,) array
        Middle of each bin, s; all equally long.
    flight_path : float
        m.
    near : float
        Wavelength (Å) that the edge is near to: twice the spacing of the planes.
    half_width : float
        Half of the window that is fitted, as a share of `near`. It should hold no other edge.
    shape : (width, asymmetry), optional
        Standard deviation and time constant of the pulse in s, where they are known; else they are fitted.

    Returns
    -------
    table : pandas.DataFrame
        One row per region: ``label`` and the columns of `UNITS`. Where a fit failed the numbers are nan, and
        ``reason`` says why.

    Raises
    ------
    ShapeMismatchError
        If the time axis is not as long as the spectra.
    OptionError
        If the window lies outside of the time axis, or is none.

    Notes
    -----
    The transmission at time t is exp(-(a0 + b0 t)) {exp(-(ah + bh t)) + [1 - exp(-(ah + bh t))] B(t)}, where B is a
    step at t0 that was blurred by a Gaussian (width σ) and an exponential decay (asymmetry τ),
    B = ½ [erfc(-x / √2σ) - exp(-x/τ + σ²/2τ²) erfc(-x / √2σ + σ / √2τ)] with x = t - t0. The position is t0, where the
    first neutrons of the pulse are; the height is the jump of the transmission there. The length of a bin, which blurs
    too, is not part of the width.

    The counts N of a bin, of all S = N + N0 with and without specimen, are binomial with chance rT / (1 + rT) (r is the
    dose ratio): the open beam needs no fit of its own, and bins with few or no neutrons need no correction. The
    likelihood of that is maximised by Levenberg and Marquardt's steps with derivatives in closed form; errors are
    from the Fisher information, for counting alone: they do not grow where the law does not hold. ``chi2_dof``
    (Pearson) says whether it does; regions of many thousands of neutrons per bin see that attenuation is not quite
    linear in time within the window, and a smaller `half_width` helps.

    References
    ----------
    Santisteban, Edwards, Steuwer & Withers, J. Appl. Crystallogr. 34, 289 (2001), doi:10.1107/S0021889801003260. Theirs
    is a least-squares fit in three stages, outer parts first; here all parameters are fitted at once.
    """
    time = check_time(time, spectra.counts.shape[1])
    use, middle, width = _window(time, flight_path, near, half_width)
    counts = np.ascontiguousarray(spectra.counts[:, use], np.float64)
    open_beam = np.ascontiguousarray(spectra.open_beam[:, use], np.float64)
    first = (
        np.array([1.5, 3.0]) if shape is None else np.maximum(np.asarray(shape, np.float64) / width, math.exp(_NARROW))
    )
    x = (time[use] - middle) / width
    found, error, chi2, state = _fit_all(x, counts, open_beam, spectra.dose_ratio, np.log(first), shape is None)
    return _table(spectra.labels, found, error, chi2, state, middle, width, flight_path)


def fit_edge_map(
    counts: np.ndarray,
    mask: np.ndarray,
    open_beam: np.ndarray,
    time: np.ndarray,
    flight_path: float,
    near: float,
    *,
    half_width: float = 0.05,
    dose_ratio: float = 1.0,
) -> pd.DataFrame:
    """Return the Bragg edge of each pixel of a mask; the pulse's shape is that of the whole mask.

    Parameters
    ----------
    counts, open_beam : (T, M, N) arrays
        Neutrons with and without the specimen.
    mask : (M, N) array of bool
        Pixels of one material.
    time, flight_path, near, half_width
        As for `fit_edges`.
    dose_ratio : float
        As for `label_spectra`.

    Returns
    -------
    table : pandas.DataFrame
        One row per pixel: ``row``, ``col``, and the columns of `UNITS`. Where the whole mask shows no edge, all rows
        say so.

    Notes
    -----
    A pixel has too few neutrons to tell width, asymmetry and position apart. The first two belong to the instrument
    and the sample as a whole, so they are fitted once, to the sum. What error they have moves all positions alike,
    which a strain against another place of the map does not see.
    """
    import pandas as pd

    mask = np.asarray(mask) > 0
    whole = label_spectra(counts, mask, open_beam, dose_ratio=dose_ratio)
    fit = fit_edges(whole, time, flight_path, near, half_width=half_width).iloc[0]
    row, col = np.nonzero(mask)
    each = pixel_spectra(counts, mask, open_beam, dose_ratio=dose_ratio)
    if fit["converged"]:
        table = fit_edges(each, time, flight_path, near, half_width=half_width, shape=(fit["width"], fit["asymmetry"]))
        table = table.drop(columns="label")
        table[["width_error", "asymmetry_error"]] = fit["width_error"], fit["asymmetry_error"]
    else:
        table = pd.DataFrame(dict.fromkeys(UNITS, np.nan), index=range(row.size))
        table = table.assign(converged=False, reason=f"of the whole mask: {fit['reason']}")
    table.insert(0, "row", row)
    table.insert(1, "col", col)
    table.attrs["units"] = {"row": "px", "col": "px"} | UNITS
    return table


def _window(time: np.ndarray, flight_path: float, near: float, half_width: float) -> tuple[slice, float, float]:
    """Return the bins to fit, the time in their middle, and the length of a bin."""
    wavelength = wavelength_of(time, flight_path)
    if not 0 < half_width < 1:
        raise OptionError(f"bragg: half_width is a share of the wavelength between 0 and 1, got {half_width}.")
    low, high = np.searchsorted(wavelength, [near * (1 - half_width), near * (1 + half_width)])
    if not wavelength[0] <= near <= wavelength[-1]:
        raise OptionError(
            f"bragg: no edge near {near:g} Å can be seen between {wavelength[0]:.3f} and {wavelength[-1]:.3f} Å; "
            "check the flight path, and that wavelengths are in Å."
        )
    if high - low < 2 * _N:
        raise OptionError(
            f"bragg: the window of {near:g} Å ± {half_width:.1%} holds {high - low} bins, and a fit takes {2 * _N}; "
            "raise half_width."
        )
    width = float(time[high - 1] - time[low]) / (high - low - 1)
    return slice(int(low), int(high)), float(time[low] + time[high - 1]) / 2, width


def _table(
    labels: np.ndarray,
    found: np.ndarray,
    error: np.ndarray,
    chi2: np.ndarray,
    state: np.ndarray,
    middle: float,
    width: float,
    flight_path: float,
) -> pd.DataFrame:
    import pandas as pd

    speed = NEUTRON_SPEED / flight_path
    time, time_error = middle + width * found[:, 0], width * error[:, 0]
    columns = {
        "position": time * speed,
        "position_error": time_error * speed,
        "time": time,
        "time_error": time_error,
        "d_spacing": time * speed / 2,
        "d_spacing_error": time_error * speed / 2,
        "height": found[:, 1],
        "height_error": error[:, 1],
        "width": found[:, 2] * width,
        "width_error": error[:, 2] * width,
        "asymmetry": found[:, 3] * width,
        "asymmetry_error": error[:, 3] * width,
    }
    good = state == _OK
    columns = {name: np.where(good, values, np.nan) for name, values in columns.items()}
    reasons = [REASONS[k] for k in state]
    table = pd.DataFrame({"label": labels, **columns, "chi2_dof": chi2, "converged": good, "reason": reasons})
    table.attrs["units"] = {"label": ""} | UNITS
    return table


@njit(cache=True, nogil=True)
def _scaled_erfc(z):
    """Return exp(z²) erfc(z) for z >= 0, also where erfc is too small for a number."""
    if z < 20:
        return math.exp(z * z) * math.erfc(z)
    square = 1 / (z * z)
    return (1 - square / 2 + 0.75 * square * square) / (z * math.sqrt(math.pi))


@njit(cache=True, nogil=True)
def _step(x, sigma, tau):
    """Return the blurred step B at x, τ times its slope, and the Gaussian density times σ."""
    u = x / sigma
    bell = math.exp(-0.5 * u * u)
    z = (sigma / tau - u) / math.sqrt(2.0)
    if z > 0:
        tail = 0.5 * bell * _scaled_erfc(z)
    else:
        tail = 0.5 * math.exp(0.5 * (sigma / tau) ** 2 - x / tau) * math.erfc(z)
    return max(0.5 * math.erfc(-u / math.sqrt(2.0)) - tail, 0.0), tail, bell / math.sqrt(2 * math.pi)


@njit(cache=True, nogil=True)
def _model(x, p, slopes):
    """Return the transmission at x, and set its derivatives by the parameters."""
    own, tau = math.exp(p[5]), math.exp(p[6])
    sigma = math.sqrt(own * own + 1 / 12)  # a bin is a box of length 1
    away = x - p[4]
    b, tail, bell = _step(away, sigma, tau)
    outer, inner = math.exp(-(p[0] + p[1] * x)), math.exp(-(p[2] + p[3] * x))
    value = outer * (inner + (1 - inner) * b)
    by_b = outer * (1 - inner)
    slopes[0] = -value
    slopes[1] = -x * value
    slopes[2] = -outer * inner * (1 - b)
    slopes[3] = x * slopes[2]
    slopes[4] = -by_b * tail / tau
    slopes[5] = by_b * (bell / tau - sigma * tail / tau**2) * own * own / sigma
    slopes[6] = -by_b * (tail * (away / tau**2 - sigma**2 / tau**3) + bell * sigma / tau**2) * tau
    return value


@njit(cache=True, nogil=True)
def _deviance(x, counts, open_beam, ratio, p, slopes):
    """Return minus twice the log-likelihood, up to a constant."""
    total = 0.0
    for i in range(x.size):
        odds = ratio * _model(x[i], p, slopes)
        total += (counts[i] + open_beam[i]) * math.log1p(odds) - counts[i] * math.log(odds)
    return 2 * total


@njit(cache=True, nogil=True)
def _information(x, counts, open_beam, ratio, p, slopes, gradient, fisher):
    """Set the gradient of the log-likelihood and the Fisher information; return Pearson's chi² and the deviance."""
    for a in range(_N):
        gradient[a] = 0
        for b in range(_N):
            fisher[a, b] = 0
    chi2 = deviance = 0.0
    for i in range(x.size):
        value = _model(x[i], p, slopes)
        both = counts[i] + open_beam[i]
        if both == 0:
            continue
        odds = ratio * value
        chance = odds / (1 + odds)
        away = counts[i] - both * chance
        chi2 += away * away / (both * chance * (1 - chance))
        deviance += 2 * (both * math.log1p(odds) - counts[i] * math.log(odds))
        # d ln(odds) = d value / value
        for a in range(_N):
            step = slopes[a] / value
            gradient[a] += away * step
            weight = both * chance * (1 - chance) * step
            for b in range(a + 1):
                fisher[a, b] += weight * slopes[b] / value
    for a in range(_N):
        for b in range(a):
            fisher[b, a] = fisher[a, b]
    return chi2, deviance


@njit(cache=True, nogil=True)
def _invert(matrix, free, out):
    """Set the inverse over the free parameters (0 elsewhere) by Gauss and Jordan; return whether there is one."""
    index, m = np.empty(_N, np.int64), 0
    for a in range(_N):
        if free[a]:
            index[m] = a
            m += 1
    scale = np.empty(m)
    for i in range(m):
        scale[i] = matrix[index[i], index[i]]
        if not scale[i] > 0:
            return False
        scale[i] = 1 / math.sqrt(scale[i])
    work = np.zeros((m, 2 * m))
    for i in range(m):
        for j in range(m):
            work[i, j] = matrix[index[i], index[j]] * scale[i] * scale[j]
        work[i, m + i] = 1
    for i in range(m):
        pivot = work[i, i]  # positive definite: no exchange of rows is needed
        if not pivot > 1e-11:
            return False
        for c in range(2 * m):
            work[i, c] /= pivot
        for j in range(m):
            factor = work[j, i]
            if j != i:
                for c in range(2 * m):
                    work[j, c] -= factor * work[i, c]
    for i in range(_N):
        for j in range(_N):
            out[i, j] = 0
    for i in range(m):
        for j in range(m):
            out[index[i], index[j]] = work[i, m + j] * scale[i] * scale[j]
    return True


@njit(cache=True, nogil=True)
def _line(x, counts, open_beam, ratio, first, last):
    """Return offset and slope of the attenuation over some bins, each by its neutrons."""
    s = sx = sxx = sy = sxy = 0.0
    for i in range(first, last):
        if open_beam[i] > 0:
            w = counts[i] + 0.5
            y = math.log(ratio * (open_beam[i] + 0.5) / w)
            s, sx, sxx, sy, sxy = s + w, sx + w * x[i], sxx + w * x[i] * x[i], sy + w * y, sxy + w * x[i] * y
    spread = s * sxx - sx * sx
    if not spread > 0:
        return 0.0, 0.0
    slope = (s * sxy - sx * sy) / spread
    return (sy - slope * sx) / s, slope


@njit(cache=True, nogil=True)
def _start(x, counts, open_beam, ratio, p):
    """Set first parameters: lines through the two ends, and the place where a change from one to the other fits."""
    n = x.size
    third = n // 3
    left, right = _line(x, counts, open_beam, ratio, 0, third), _line(x, counts, open_beam, ratio, n - third, n)
    p[0], p[1] = right
    p[2], p[3] = left[0] - right[0], left[1] - right[1]
    cost = least = 0.0
    at = third
    for i in range(n):
        if open_beam[i] > 0:
            seen = counts[i] / (ratio * open_beam[i])
            before = seen - math.exp(-(left[0] + left[1] * x[i]))
            after = seen - math.exp(-(right[0] + right[1] * x[i]))
            cost += (before * before - after * after) * open_beam[i]
        if n // 8 <= i < n - n // 8 and cost < least:
            least, at = cost, i
    p[4] = x[at] - math.exp(p[6])


@njit(cache=True, nogil=True)
def _fit(x, counts, open_beam, ratio, p, free, covariance):
    """Move p to the largest likelihood; return the state and Pearson's chi², and set the covariance."""
    n_free = 0
    for a in range(_N):
        n_free += free[a]
    n_bins, passed = 0, 0.0
    for i in range(x.size):
        n_bins += open_beam[i] > 0
        passed += counts[i]
    if n_bins < n_free + 3:
        return _FEW, np.nan
    if passed == 0:
        return _DARK, np.nan
    slopes, gradient, new = np.empty(_N), np.empty(_N), np.empty(_N)
    fisher, damped, inverse = np.empty((_N, _N)), np.empty((_N, _N)), np.empty((_N, _N))
    moves = np.empty(_N, np.bool_)
    _start(x, counts, open_beam, ratio, p)
    widest = math.log(x.size)
    damping, now, chi2 = 1e-2, np.inf, np.inf
    stands = False
    for n_steps in range(_MOST_STEPS + 1):
        chi2, now = _information(x, counts, open_beam, ratio, p, slopes, gradient, fisher)
        for a in range(_N):
            at_end = (p[a] <= _NARROW and gradient[a] < 0) or (p[a] >= widest and gradient[a] > 0)
            moves[a] = free[a] and not (a >= 5 and at_end)
        if stands or n_steps == _MOST_STEPS:
            break
        after = np.inf
        while damping < 1e10 and after > now:
            for a in range(_N):
                for b in range(_N):
                    damped[a, b] = fisher[a, b]
                damped[a, a] *= 1 + damping
            if _invert(damped, moves, inverse):
                for a in range(_N):
                    new[a] = p[a]
                    for b in range(_N):
                        new[a] += inverse[a, b] * gradient[b]
                for a in range(5, _N):
                    new[a] = min(max(new[a], _NARROW), widest)
                if x[0] < new[4] < x[-1] and abs(new[0]) < 50 and abs(new[2]) < 50:
                    after = _deviance(x, counts, open_beam, ratio, new, slopes)
            if not after <= now:
                damping *= 5
        stands = not now - after > 1e-7  # also where no step leads further down
        if after <= now:
            for a in range(_N):
                p[a] = new[a]
        damping = max(damping / 8, 1e-9)
    chi2 /= n_bins - n_free
    if not _invert(fisher, moves, covariance):
        return _SINGULAR, chi2
    return (_OK if stands else _SLOW), chi2


@njit(cache=True, nogil=True)
def _fit_all(x, counts, open_beam, ratio, shape, shape_is_free):
    """Return t0, height, sigma, tau and their errors (n, 4), chi² per degree of freedom and state of every spectrum."""
    n = counts.shape[0]
    found, error = np.full((n, 4), np.nan), np.full((n, 4), np.nan)
    chi2, state = np.full(n, np.nan), np.zeros(n, np.int64)
    covariance, p, by = np.empty((_N, _N)), np.empty(_N), np.empty(_N)
    free = np.ones(_N, np.bool_)
    free[5:] = shape_is_free
    for k in range(n):
        p[5:] = shape
        state[k], chi2[k] = _fit(x, counts[k], open_beam[k], ratio, p, free, covariance)
        if state[k] != _OK:
            continue
        outer, inner = math.exp(-(p[0] + p[1] * p[4])), math.exp(-(p[2] + p[3] * p[4]))
        height = outer * (1 - inner)
        by[:] = 0
        by[0], by[1] = -height, -height * p[4]
        by[2], by[3] = outer * inner, outer * inner * p[4]
        by[4] = -height * p[1] + outer * inner * p[3]
        found[k, 0], found[k, 1], found[k, 2], found[k, 3] = p[4], height, math.exp(p[5]), math.exp(p[6])
        error[k, 0] = math.sqrt(max(covariance[4, 4], 0.0))
        variance = 0.0
        for a in range(_N):
            for b in range(_N):
                variance += by[a] * covariance[a, b] * by[b]
        error[k, 1] = math.sqrt(max(variance, 0.0))
        error[k, 2] = found[k, 2] * math.sqrt(max(covariance[5, 5], 0.0))
        error[k, 3] = found[k, 3] * math.sqrt(max(covariance[6, 6], 0.0))
        if height < _SEEN * error[k, 1]:
            state[k] = _WEAK
        elif not x[0] + 3 < p[4] < x[-1] - 3 or error[k, 0] > x.size / 4:
            state[k] = _END
        elif shape_is_free:
            # A variance of 0 is that of a width at the end of its range.
            least, most = min(covariance[5, 5], covariance[6, 6]), max(covariance[5, 5], covariance[6, 6])
            if not (least > 0 and most < _KNOWN**2):
                state[k] = _BLUNT
    return found, error, chi2, state
