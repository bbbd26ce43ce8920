"""Second derivatives against their analytic values, closed-form eigenvalues against LAPACK, and laws."""

from __future__ import annotations

import math

import numpy as np
import pytest

from segmetry.errors import ImageError, OptionError
from segmetry.prepare.hessian import hessian, hessian_eigenvalues, symmetric_eigenvalues


@pytest.mark.parametrize("ndim", [2, 3])
def test_eigenvalues_are_those_of_lapack(ndim):
    rng = np.random.default_rng(ndim)
    matrices = rng.normal(size=(500, ndim, ndim))
    matrices = matrices + matrices.swapaxes(1, 2)
    matrices[0], matrices[1] = 0, np.eye(ndim)  # equal ones: no digit may be lost to a division by zero
    matrices[2] = np.diag([1, 1, -2][:ndim])
    upper = np.triu_indices(ndim)
    found = symmetric_eigenvalues(matrices[:, upper[0], upper[1]].T)
    np.testing.assert_allclose(found.T, np.linalg.eigvalsh(matrices), atol=2e-6)
    with pytest.raises(ImageError, match="3 parts"):
        symmetric_eigenvalues(np.zeros((4, 5)))


@pytest.mark.parametrize(("shape", "spacing"), [((41, 61), (1.5, 1.0)), ((31, 51, 51), (2.0, 1.0, 1.0))])
def test_a_gaussian_blob_bends_as_it_must(shape, spacing):
    # exp(-r² / 2 w²) smoothed by sigma: height (w² / (w² + sigma²))^(d/2), second derivative -height / (w² + sigma²).
    w, sigma = 4.0, 3.0
    axes = [(np.arange(n) - n // 2) * s for n, s in zip(shape, spacing)]
    square = sum(a**2 for a in np.meshgrid(*axes, indexing="ij"))
    parts = hessian(np.exp(-square / (2 * w * w)), sigma, spacing=spacing)
    centre = parts[(slice(None), *(n // 2 for n in shape))]
    var = w * w + sigma * sigma
    bend = -((w * w / var) ** (len(shape) / 2)) * sigma**2 / var
    expected = [bend, 0, bend] if len(shape) == 2 else [bend, 0, 0, bend, 0, bend]
    np.testing.assert_allclose(centre, expected, atol=2e-4)


def test_a_parabola_has_its_curvature_however_narrow_the_gaussian():
    y, x = np.mgrid[-12:13, -12:13].astype(float)
    for sigma in (0.2, 0.6, 1.0, 2.0):
        parts = hessian(3 * y * y + y * x - x * x, sigma)[:, 12, 12] / sigma**2
        np.testing.assert_allclose(parts, [6, 1, -2], rtol=1e-3)


def test_a_constant_has_none_and_an_offset_changes_nothing():
    assert not hessian(np.full((5, 6, 7), 3e4), 1.5).any()
    image = np.random.default_rng(0).normal(size=(20, 25))
    np.testing.assert_allclose(hessian(image + 3e4, 1), hessian(image, 1), atol=1e-6)


def test_transposing_the_image_transposes_the_answer():
    volume = np.random.default_rng(1).normal(size=(6, 9, 12))
    before = hessian_eigenvalues(volume, 1.2, spacing=(2, 1, 1))
    after = hessian_eigenvalues(volume.transpose(2, 0, 1), 1.2, spacing=(1, 2, 1))
    np.testing.assert_allclose(after, before.transpose(0, 3, 1, 2), atol=1e-5)


def test_what_cannot_be_derived_is_refused():
    image = np.zeros((5, 5))
    image[2, 2] = np.nan
    with pytest.raises(ImageError, match="not finite"):
        hessian(image, 1)
    with pytest.raises(ImageError, match="2D or 3D"):
        hessian(np.zeros(5), 1)
    with pytest.raises(OptionError, match="sigma"):
        hessian(np.zeros((5, 5)), 0)
    with pytest.raises(OptionError, match="spacing"):
        hessian(np.zeros((5, 5)), 1, spacing=(1, math.nan))
