"""Denoising: the stabilised noise is 1, its inverse keeps the mean at few counts, and detail survives."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import poisson

from segmetry.errors import ImageError, OptionError
from segmetry.prepare.counting import Detector
from segmetry.prepare.denoise import Denoise, denoise_counts, destabilise, stabilise, unsharp_mask


def test_the_inverse_is_unbiased_at_one_to_twenty_counts():
    k = np.arange(150)[None]
    root = stabilise(k)[0].astype(float)
    for mean in [*range(1, 21), 59, 61]:
        stable = float(root @ poisson.pmf(k[0], mean))
        assert destabilise(np.array([stable]))[0] == pytest.approx(mean, abs=0.001)
        assert (stable / 2) ** 2 - 0.375 < mean - 0.17  # the algebraic inverse
    assert destabilise(np.array([0.3, 2 * 0.375**0.5]))[1] == pytest.approx(0, abs=1e-4)
    above, below = destabilise(np.array([15.53, 15.52]))
    assert 0 < above - below < 0.1  # the table goes on smoothly as the formula


@pytest.mark.parametrize(("gain", "read_noise"), [(1.0, 0.0), (7.0, 0.0), (2.0, 3.0)])
def test_noise_is_one_and_the_mean_is_kept(gain, read_noise):
    rng = np.random.default_rng(0)
    detector = Detector(gain=gain, read_noise=read_noise)
    for mean in (3, 12, 150):
        frame = gain * rng.poisson(mean, (200, 200)) + rng.normal(0, read_noise, (200, 200))
        stable = stabilise(frame, detector)
        assert stable.std() == pytest.approx(1, abs=0.07 if mean == 3 else 0.02)
        back = float(destabilise(np.array([stable.mean(dtype=float)]), detector)[0])
        error = (gain * gain * mean + read_noise**2) ** 0.5 / 200
        assert back == pytest.approx(gain * mean, abs=4 * error)


@pytest.mark.parametrize("method", ["nlm", "tv"])
def test_noise_falls_and_edges_and_means_stay(method):
    rng = np.random.default_rng(1)
    row, col = np.indices((96, 96))
    truth = np.where(np.hypot(row - 40, col - 45) < 24, 10.0, 40.0)
    truth[70:84] *= 0.6
    noisy = rng.poisson(truth).astype(np.float32)
    found = denoise_counts(noisy, options=Denoise(method=method))
    assert found.dtype == np.float32
    assert np.sqrt(np.mean((found - truth) ** 2)) < 0.35 * np.sqrt(np.mean((noisy - truth) ** 2))
    inner = np.hypot(row - 40, col - 45) < 18
    assert found[inner].mean() == pytest.approx(noisy[inner].mean(), abs=0.1)
    assert found[2:14].mean() == pytest.approx(noisy[2:14].mean(), abs=0.1)
    assert found[40, 72:76].mean() - found[40, 63:67].mean() > 26  # the edge is at 69
    holed = noisy.copy()
    holed[5:7, 50] = np.nan
    with_nan = denoise_counts(np.stack([noisy, holed]), options=Denoise(method=method))
    np.testing.assert_array_equal(np.isnan(with_nan[1]), np.isnan(holed))
    np.testing.assert_allclose(with_nan[0], found, rtol=1e-5)


def test_unsharp_mask_is_marked_and_overshoots():
    step = np.where(np.arange(40) < 20, 10.0, 20.0) * np.ones((30, 1))
    sharp = unsharp_mask(step)
    assert "display only" in sharp.note
    assert sharp.pixels.max() > 21
    assert sharp.pixels.min() < 9
    np.testing.assert_allclose(sharp.pixels[:, [0, 39]], step[:, [0, 39]], rtol=1e-3)
    np.testing.assert_allclose(unsharp_mask(step, amount=0).pixels, step, rtol=1e-6)
    assert np.isnan(unsharp_mask(np.where(step > 15, np.nan, step)).pixels).sum() == 600


def test_bad_input():
    with pytest.raises(OptionError, match="did you mean 'nlm'"):
        Denoise(method="nln")
    with pytest.raises(OptionError, match="gain"):
        Detector(gain=0)
    with pytest.raises(OptionError, match="sigma"):
        unsharp_mask(np.ones((5, 5)), sigma=0)
    with pytest.raises(ImageError, match="missing"):
        denoise_counts(None)
    assert np.isnan(denoise_counts(np.full((8, 8), np.nan))).all()
