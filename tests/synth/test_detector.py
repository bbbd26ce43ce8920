"""Each stage of the detector against what is known of it: kernels, variances, shares."""

from __future__ import annotations

import math

import numpy as np
import pytest

from segmetry.synth import detector


def impulse(n=41):
    image = np.zeros((n, n), np.float32)
    image[n // 2, n // 2] = 1
    return image


def second_moment(image):
    """Return the variance of a kernel along the columns."""
    at = np.arange(image.shape[1]) - image.shape[1] // 2
    return float((image.sum(axis=0) * at**2).sum() / image.sum())


@pytest.mark.parametrize("width", [1.0, 3.0, 8.0])
def test_a_penumbra_is_a_disk(width):
    kernel = detector.penumbra(impulse(), width)
    assert kernel.sum() == pytest.approx(1, abs=1e-5)
    # A disk of diameter w has the variance w^2 / 16 along an axis; the pixel that a ray leaves and the one that it
    # meets add 1/12 each. Below 2 px a ray off by u moves a share |u|, whose mean is 2 w / (3 pi).
    expected = width**2 / 16 + 1 / 6 if width > 2 else 2 * width / (3 * math.pi)
    assert second_moment(kernel) == pytest.approx(expected, rel=0.03)
    np.testing.assert_allclose(kernel, kernel.T, atol=1e-7)


def test_the_light_spreads_as_a_gaussian_with_a_tail():
    near = detector.scintillator(impulse(), 1.5, 0.0, 4.0)
    assert second_moment(near) == pytest.approx(1.5**2, rel=0.02)
    both = detector.scintillator(impulse(81), 1.5, 0.2, 4.0)
    assert both.sum() == pytest.approx(1, abs=1e-5)
    # exp(-r / a) in the plane has the variance 3 a^2 along an axis; cutting it at 6 a takes 6 % of the second moment.
    assert second_moment(both) == pytest.approx(0.8 * 1.5**2 + 0.2 * 3 * 16, rel=0.1)
    at = 40 + np.array([12, 20])
    assert both[40, at[0]] / both[40, at[1]] == pytest.approx(math.exp(2), rel=0.01)


def test_scatter_is_a_share_of_what_the_specimen_takes():
    beam = np.full((120, 160), 100, np.float32)
    behind = beam.copy()
    behind[40:80, 60:100] = 20
    added = detector.scatter(beam, behind, 0.1, 12.0) - behind
    assert added.sum() == pytest.approx(0.1 * (beam - behind).sum(), rel=0.02)
    assert added[60, 80] == added.max()
    np.testing.assert_array_equal(detector.scatter(beam, behind, 0.0, 12.0), behind)


def test_counts_have_the_variance_of_the_chain():
    # Unblurred: N neutrons, g electrons each, r of read noise: variance g^2 N + g N + r^2.
    rng = np.random.default_rng(0)
    neutrons, g, r = np.full((300, 300), 200, np.float32), 12.0, 30.0
    options = {"electrons_per_neutron": g, "tail_share": 0.0, "tail_px": 1.0}
    electrons = detector.expose(neutrons, sigma=0.0, rng=rng, **options)
    noise = rng.standard_normal(neutrons.shape, dtype=np.float32)
    counted = detector.counts(electrons, read_noise=r, per_count=2.0, offset=100.0, noise=noise).astype(float)
    assert counted.mean() == pytest.approx(100 + 200 * g / 2, rel=1e-3)
    assert counted.var() == pytest.approx((g * g * 200 + g * 200 + r * r) / 4 + 1 / 12, rel=0.02)
    # Blurred by a Gaussian, the neutrons' share falls to 1 / (4 pi sigma^2); that of the electrons stays.
    blurred = detector.expose(neutrons, sigma=2.0, rng=rng, **options)
    assert blurred.var() == pytest.approx(g * g * 200 / (4 * math.pi * 4) + g * 200, rel=0.03)


def test_digits_saturate():
    signal = np.array([[-1e6, 0, 10.4, 1e6]], np.float32)
    counted = detector.counts(signal, read_noise=0, per_count=1, offset=300, noise=np.zeros_like(signal))
    assert counted.tolist() == [[0, 300, 310, 65535]]
    assert counted.dtype == np.uint16


def spots(n, *, seed=0, shape=(200, 200), streak_share=0.0, longest=1.0, sigma=0.4, gsd=1.0, charge=1000.0):
    return detector.gamma_spots(
        shape,
        n,
        charge=charge,
        gsd=gsd,
        streak_share=streak_share,
        longest=longest,
        sigma=sigma,
        rng=np.random.default_rng(seed),
    )


def test_spots_keep_their_charge_and_are_blurred_by_the_camera_alone():
    found = spots(40)
    assert found.electrons.sum() <= 40 * 1000 * (1 + 1e-5)
    assert found.electrons.sum() > 38 * 1000  # one or two lie at the border
    one = spots(1, seed=3)
    row, col = np.unravel_index(one.electrons.argmax(), one.electrons.shape)
    window = one.electrons[row - 4 : row + 5, col - 4 : col + 5]
    at = np.arange(9)
    mean = (window.sum(axis=0) * at).sum() / window.sum()
    assert (window.sum(axis=0) * (at - mean) ** 2).sum() / window.sum() == pytest.approx(0.4**2 + 1 / 12, abs=0.09)
    assert (window > 0.03 * window.sum()).sum() <= 5  # of some px
    assert set(np.unique(one.owner)) == {0, 1}


def test_tracks_are_long_and_thin():
    found = spots(1, seed=4, streak_share=1.0, longest=40.0)
    rows, cols = np.nonzero(found.electrons > 1)
    length = math.hypot(np.ptp(rows), np.ptp(cols))
    assert length == pytest.approx(found.length[0], abs=3.5)
    assert found.electrons.sum() == pytest.approx(found.charge[0], rel=1e-4)


def test_the_law_of_the_charge_has_a_heavy_tail():
    charge = spots(1500, gsd=2.5).charge
    assert np.median(charge) == pytest.approx(1000, rel=0.09)
    assert np.log(charge).std() == pytest.approx(math.log(2.5), rel=0.06)


def test_a_sensor_has_the_shares_asked_for():
    found = detector.sensor(
        (500, 500),
        gain_spread=0.02,
        ring_share=0.05,
        ring_gain=0.1,
        hot_share=0.01,
        hot_electrons=5000.0,
        dead_share=0.004,
        rng=np.random.default_rng(1),
    )
    assert found.gain.std() == pytest.approx(0.02, rel=0.02)
    assert found.dead.mean() == pytest.approx(0.004, rel=0.15)
    assert (found.hot > 0).mean() == pytest.approx(0.01, rel=0.1)
    assert np.median(found.hot[found.hot > 0]) == pytest.approx(5000, rel=0.1)
    drifting = found.drifted != found.gain
    assert drifting.mean() == pytest.approx(0.05, rel=0.05)
    assert (found.drifted / found.gain - 1)[drifting].std() == pytest.approx(0.1, rel=0.05)
    assert found.bad.sum() == (found.dead | drifting | (found.hot > 0)).sum()


def test_the_beam_is_uneven_about_one():
    beam = detector.open_beam_shape((90, 120), 0.4, np.random.default_rng(0))
    assert beam.mean() == pytest.approx(1, abs=1e-5)
    assert 0.15 < np.ptp(beam) < 0.8
    assert np.ptp(detector.open_beam_shape((90, 120), 0.0, np.random.default_rng(0))) < 1e-6
