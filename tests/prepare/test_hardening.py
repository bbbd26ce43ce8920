"""Beam hardening: two energies, whose attenuation is a formula, made one straight line again."""

from __future__ import annotations

import numpy as np
import pytest

from segmetry.errors import ImageError, OptionError, ShapeMismatchError
from segmetry.prepare.hardening import Linearisation, fit_hardening, linearise

LENGTH = np.linspace(0, 10, 41)  # mm


def _two_energies(length: np.ndarray) -> np.ndarray:
    return -np.log(0.6 * np.exp(-0.30 * length) + 0.4 * np.exp(-0.08 * length))


def test_hardened_attenuation_becomes_proportional_to_length():
    found = fit_hardening(_two_energies(LENGTH), LENGTH)
    thin = 0.6 * 0.30 + 0.4 * 0.08  # the slope at no thickness, in 1/mm
    assert found.coefficient == pytest.approx(thin, rel=0.01)
    between = np.linspace(0.5, 9.7, 60)[None]
    measured = _two_energies(between)
    straight = linearise(measured, found).pixels / between
    assert np.ptp(measured / between) / thin > 0.2
    assert np.ptp(straight) / thin < 0.01
    assert found.residual < 0.001


def test_a_straight_line_stays_and_units_of_length_only_change_the_coefficient():
    line = fit_hardening(0.25 * LENGTH, LENGTH)
    np.testing.assert_allclose(line.coefficients, 0, atol=1e-9)
    assert line.coefficient == pytest.approx(0.25)
    in_mm, in_cm = (fit_hardening(_two_energies(LENGTH), LENGTH * k) for k in (1, 0.1))
    np.testing.assert_allclose(in_mm.coefficients, in_cm.coefficients, rtol=1e-6)
    assert in_cm.coefficient == pytest.approx(10 * in_mm.coefficient)


def test_given_coefficients_variance_and_what_lies_beyond():
    given = Linearisation((0.1,), limit=2.0)
    p = np.array([[-0.3, 0.0, 1.0, 2.0, 3.0, np.nan]])
    found = linearise(p, given, variance=np.full(p.shape, 0.01))
    np.testing.assert_allclose(found.pixels, [[-0.3, 0, 1.1, 2.4, 2.4 + 1.4, np.nan]], rtol=1e-6)
    np.testing.assert_allclose(found.variance, 0.01 * np.array([[1, 1, 1.2, 1.4, 1.4, np.nan]]) ** 2, rtol=1e-6)
    assert found.beyond.tolist() == [[False] * 4 + [True, False]]
    rng = np.random.default_rng(0)
    noisy = linearise(1.5 + rng.normal(0, 0.05, (200, 200)), given, variance=np.full((200, 200), 0.0025))
    assert noisy.pixels.var() == pytest.approx(noisy.variance.mean(), rel=0.03)


def test_bad_input():
    with pytest.raises(ShapeMismatchError, match="pairs"):
        fit_hardening(LENGTH, LENGTH[1:])
    with pytest.raises(OptionError, match="thicknesses above 0"):
        fit_hardening([0.1, 0.2, 0.2], [1, 2, 2], degree=3)
    with pytest.raises(ImageError, match="must attenuate"):
        fit_hardening(-LENGTH, LENGTH)
    with pytest.raises(OptionError, match="turns back"):
        Linearisation((-0.3,), limit=2.0)
    with pytest.raises(OptionError, match="limit"):
        Linearisation((0.1,), limit=np.nan)
