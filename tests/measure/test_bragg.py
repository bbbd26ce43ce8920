"""Bragg edges: the law against quadrature, derivatives against differences, errors against drawn counts, bad input."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import exponnorm

from segmetry.errors import OptionError, ShapeMismatchError
from segmetry.measure import bragg
from segmetry.measure.bragg import UNITS, fit_edge_map, fit_edges
from segmetry.measure.spectra import Spectra
from segmetry.synth.crystal import NEUTRON_SPEED

PATH, WIDTH, N = 24.0, 29.4e-6, 120
TRUE = np.array([0.5, 0.001, 0.9, 0.002, 3.3, np.log(2.0), np.log(3.4)])
"""Parameters of the law in bins from the middle."""


def axis(n=N):
    """Return times of a window round 4 Å, bins of equal length, and the wavelength in its middle."""
    middle = 4.0 * PATH / NEUTRON_SPEED
    return middle + WIDTH * (np.arange(n) - (n - 1) / 2)


def law(x, p=TRUE):
    """Return the transmission, mean over each bin, by scipy's law of the pulse."""
    inside = (x[:, None] + (np.arange(41) - 20) / 41) if x.size > 1 else x[:, None]
    s, tau = np.exp(p[5:])
    b = exponnorm.cdf(inside - p[4], tau / s, scale=s)
    inner = np.exp(-(p[2] + p[3] * inside))
    return (np.exp(-(p[0] + p[1] * inside)) * (inner + (1 - inner) * b)).mean(1)


def drawn(n, neutrons, seed=0, p=TRUE, dose_ratio=1.0):
    """Return n drawn spectra and the true wavelength of their edge."""
    rng = np.random.default_rng(seed)
    x = np.arange(N) - (N - 1) / 2
    beam = rng.poisson(neutrons, (n, N))
    counts = rng.poisson(neutrons * dose_ratio * law(x, p), (n, N))
    time = axis()
    position = (time.mean() + p[4] * WIDTH) * NEUTRON_SPEED / PATH
    return Spectra(np.arange(1, n + 1), np.ones(n, int), counts, beam, dose_ratio), position


@pytest.mark.parametrize("x", [-30.0, -2.0, 0.0, 0.7, 5.0, 60.0])
@pytest.mark.parametrize(("sigma", "tau"), [(1.0, 3.0), (4.0, 0.2), (0.05, 2.0)])
def test_the_step_is_a_gaussian_after_a_decay(x, sigma, tau):
    b, tail, _ = bragg._step.py_func(x, sigma, tau)
    by_hand, _ = quad(
        lambda e: np.exp(-e) * 0.5 * (1 + math.erf((x - tau * e) / sigma / 2**0.5)),
        0, 60, limit=400, points=sorted({min(max(x / tau, 0), 60), 1.0}),
    )  # fmt: skip
    assert b == pytest.approx(by_hand, abs=1e-7)
    assert tail / tau == pytest.approx(exponnorm.pdf(x, tau / sigma, scale=sigma), rel=1e-6, abs=1e-12)


def test_derivatives_are_those_of_differences():
    slopes, other = np.empty(7), np.empty(7)
    for x in (-20.0, -1.0, 2.0, 4.0, 9.0, 30.0):
        bragg._model(x, TRUE, slopes)
        for k in range(7):
            step = np.zeros(7)
            step[k] = 1e-5
            up, down = bragg._model(x, TRUE + step, other), bragg._model(x, TRUE - step, other)
            assert slopes[k] == pytest.approx((up - down) / 2e-5, rel=1e-5, abs=1e-9)


def test_without_noise_everything_comes_back():
    x = np.arange(N) - (N - 1) / 2
    spectra = Spectra(np.array([1]), np.array([1]), 1e9 * law(x)[None], np.full((1, N), 1e9))
    found = fit_edges(spectra, axis(), PATH, 4.0, half_width=0.1).iloc[0]
    time = axis().mean() + TRUE[4] * WIDTH
    assert found["time"] == pytest.approx(time, abs=1e-3 * WIDTH)
    assert found["position"] == pytest.approx(time * NEUTRON_SPEED / PATH, abs=2e-6)
    assert found["d_spacing"] == found["position"] / 2
    assert found["width"] == pytest.approx(2.0 * WIDTH, rel=2e-3)
    assert found["asymmetry"] == pytest.approx(3.4 * WIDTH, rel=2e-3)
    t0 = TRUE[4]
    height = np.exp(-(0.5 + 0.001 * t0)) * (1 - np.exp(-(0.9 + 0.002 * t0)))
    assert found["height"] == pytest.approx(height, rel=1e-3)
    assert found["converged"]
    assert found["reason"] == ""


@pytest.mark.parametrize(("neutrons", "shape"), [(40, True), (200, True), (40_000, False)])
def test_errors_hold_in_two_of_three_fits(neutrons, shape):
    n = 600
    spectra, position = drawn(n, neutrons, seed=1, dose_ratio=1.5)
    known = (2.0 * WIDTH, 3.4 * WIDTH) if shape else None
    found = fit_edges(spectra, axis(), PATH, 4.0, half_width=0.1, shape=known)
    assert found.converged.mean() > 0.99
    z = ((found.position - position) / found.position_error).dropna()
    assert np.mean(np.abs(z) < 1) == pytest.approx(0.683, abs=0.05)
    assert z.mean() == pytest.approx(0, abs=0.15)
    assert found.chi2_dof.mean() == pytest.approx(1, abs=0.03)


def test_what_neutrons_cannot_tell_is_not_told():
    spectra, _ = drawn(40, 60, seed=2)
    found = fit_edges(spectra, axis(), PATH, 4.0, half_width=0.1)
    bad = found[~found.converged]
    assert len(bad) > 20
    assert bad.position.isna().all()
    assert (bad.reason != "").all()


def test_no_edge_no_position():
    rng = np.random.default_rng(0)
    flat, beam = np.full((1, N), 50.0), np.full((1, N), 100.0)
    noisy = rng.poisson(50, (30, N)).astype(float)
    shape = (2 * WIDTH, 3 * WIDTH)
    for counts, open_beam in ((flat, beam), (noisy, np.repeat(beam, 30, 0))):
        spectra = Spectra(np.arange(len(counts)), np.ones(len(counts), int), counts, open_beam)
        found = fit_edges(spectra, axis(), PATH, 4.0, half_width=0.1, shape=shape)
        assert not found.converged.any()
        assert found.position.isna().all()
        assert (found.reason != "").all()


def test_bins_without_neutrons_are_left_out():
    spectra, position = drawn(1, 5000, seed=3)
    for cube in (spectra.counts, spectra.open_beam):
        cube[:, 5:15] = 0
    found = fit_edges(spectra, axis(), PATH, 4.0, half_width=0.1).iloc[0]
    assert abs(found.position - position) < 4 * found.position_error
    none = Spectra(np.array([1, 2]), np.ones(2, int), np.zeros((2, N)), np.array([np.zeros(N), np.full(N, 9.0)]))
    reasons = fit_edges(none, axis(), PATH, 4.0, half_width=0.1).reason.tolist()
    assert reasons == [bragg.REASONS[1], bragg.REASONS[2]]


def test_the_map_of_a_mask():
    rng = np.random.default_rng(5)
    x = np.arange(N) - (N - 1) / 2
    moved = TRUE.copy()
    moved[4] += 1.5
    truth = np.stack([law(x), law(x, moved)], axis=1)[:, :, None]
    beam = rng.poisson(2000, (N, 2, 60))
    counts = rng.poisson(2000 * np.broadcast_to(truth, beam.shape))
    mask = np.ones((2, 60), bool)
    mask[0, :5] = False
    table = fit_edge_map(counts, mask, beam, axis(), PATH, 4.0, half_width=0.1)
    assert list(table.columns) == ["row", "col", *UNITS]
    assert len(table) == 115
    shift = table[table.row == 1].time.mean() - table[table.row == 0].time.mean()
    assert shift / WIDTH == pytest.approx(1.5, abs=0.1)
    flat = fit_edge_map(
        np.full((N, 2, 2), 50), np.ones((2, 2), bool), np.full((N, 2, 2), 100), axis(), PATH, 4.0, half_width=0.1
    )
    assert flat.reason.str.startswith("of the whole mask").all()
    assert flat.position.isna().all()


def test_what_cannot_be_fitted_is_refused():
    spectra, _ = drawn(1, 100)
    with pytest.raises(ShapeMismatchError, match="119 values but the cube 120"):
        fit_edges(spectra, axis()[:-1], PATH, 4.0)
    with pytest.raises(OptionError, match="no edge near 2 Å"):
        fit_edges(spectra, axis(), PATH, 2.0)
    with pytest.raises(OptionError, match="holds 8 bins"):
        fit_edges(spectra, axis(), PATH, 4.0, half_width=0.005)
    with pytest.raises(OptionError, match="between 0 and 1"):
        fit_edges(spectra, axis(), PATH, 4.0, half_width=2.0)
