"""Transmission and attenuation: wedges whose answer is a formula, and variances against many drawn frames."""

from __future__ import annotations

import numpy as np
import pytest

from segmetry.errors import ImageError, OptionError, ShapeMismatchError
from segmetry.prepare.counting import Detector, detector_noise, signal_to_noise
from segmetry.prepare.frames import average_frames
from segmetry.prepare.normalise import attenuation, transmission

ROWS, COLS = np.indices((24, 60))
BEAM = 4000 + 900 * np.sin(ROWS / 9) + 20 * COLS
DARK = 100 + (ROWS * 7 + COLS * 3) % 11
LENGTH = COLS * 0.05
AIR = (2, 0, 22, 1)


def test_wedge_has_the_transmission_of_beer_and_lambert():
    passed = transmission(DARK + BEAM * np.exp(-1.1 * LENGTH), DARK + BEAM, DARK)
    np.testing.assert_allclose(passed.pixels, np.exp(-1.1 * LENGTH), rtol=2e-5)
    found = attenuation(passed)
    np.testing.assert_allclose(found.pixels, 1.1 * LENGTH, atol=1e-4)
    assert passed.valid.all()
    assert not found.repaired.any()
    assert found.pixels.dtype == found.variance.dtype == np.float32
    np.testing.assert_allclose(found.variance, passed.variance / passed.pixels**2, rtol=1e-5)


@pytest.mark.parametrize(("n_open", "n_dark"), [(1, 1), (4, 3), (5, 7), (8, 6)])
@pytest.mark.parametrize("share", [0.15, 0.9])
def test_variance_is_that_of_many_drawn_frames(n_open, n_dark, share):
    # Every pixel is a draw of its own: 32,000 of sample, open beam and dark.
    rng = np.random.default_rng(n_open)
    detector, shape = Detector(gain=2.5, read_noise=30.0), (2000, 16)

    def frames(n, quanta):
        return 1000 + 2.5 * rng.poisson(quanta, (n, *shape)) + rng.normal(0, 30, (n, *shape))

    sample = frames(1, share * 600)[0]
    passed = transmission(sample, frames(n_open, 600), frames(n_dark, 0), detector=detector)
    assert passed.pixels.mean() == pytest.approx(share, rel=0.01)
    # Deviation of a variance from 32,000 values: 0.8 %; the formula is of first order in the noise.
    assert passed.variance.mean() == pytest.approx(passed.pixels.var(), rel=0.04)


def test_variance_of_attenuation_and_its_shared_dark():
    rng = np.random.default_rng(0)
    detector = Detector(gain=1.0, read_noise=40.0)
    dark = 500 + rng.normal(0, 40, (400, 100))
    sample = 500 + rng.poisson(9500, dark.shape) + rng.normal(0, 40, dark.shape)
    opened = 500 + rng.poisson(10000, dark.shape) + rng.normal(0, 40, dark.shape)
    found = attenuation(transmission(sample, opened, dark, detector=detector))
    assert found.variance.mean() == pytest.approx(found.pixels.var(), rel=0.03)
    # Two darks in place of one would add 40^2 (1/9500^2 + 1/10000^2), a tenth of the whole.
    assert found.variance.mean() + 1600 * (9500.0**-2 + 1e-8) > found.pixels.var() * 1.08


def test_medians_share_of_the_variance():
    rng = np.random.default_rng(1)
    for n in (5, 6, 7, 9, 10, 15):
        average = average_frames(rng.normal(0, 1, (n, 250, 200)))
        assert average.pixels.var() == pytest.approx(average.share, rel=0.025)  # 0.63 % is one deviation
    assert average_frames(rng.normal(0, 1, (4, 3, 3))).share == 0.25


def test_spots_in_the_open_beam_do_no_harm():
    rng = np.random.default_rng(2)
    frames = np.repeat((DARK + BEAM)[None], 5, 0)
    hit = rng.random(frames.shape) < 0.01
    hit &= hit.sum(0) < 3
    clean = transmission(DARK + BEAM, np.where(hit, 60000, frames), DARK)
    np.testing.assert_allclose(clean.pixels, 1, rtol=1e-6)


def test_drift_of_the_dose_is_undone():
    rng = np.random.default_rng(3)
    doses = np.array([1.0, 0.7, 1.25, 0.4])
    share = np.where(COLS < 20, 1, np.exp(-1.1 * (LENGTH - 1)))
    frames = rng.poisson(DARK + doses[:, None, None] * BEAM * share).astype(float)
    frames[1, 5, 8] = 65535  # a spot in the air region
    air = (0, 0, 24, 20)
    passed = transmission(frames, DARK + BEAM, DARK, air=air)
    assert (np.abs(passed.dose - doses) < 4 * passed.dose_error).all()
    assert (passed.dose_error < 0.005).all()
    inner = passed.pixels[:, :, 30:]
    np.testing.assert_allclose(inner.mean((1, 2)), share[:, 30:].mean(), rtol=0.01)
    raw = transmission(frames, DARK + BEAM, DARK).pixels[:, :, 30:]
    assert np.ptp(raw.mean((1, 2))) > 0.2
    one = transmission(frames[3], DARK + BEAM, DARK, air=air)
    np.testing.assert_array_equal(one.pixels, passed.pixels[3])


def test_zero_flux_in_some_pixels_and_nan_never_become_numbers():
    opened = (DARK + BEAM).astype(float)
    opened[3:5, 7] = DARK[3:5, 7]
    opened[9, 9] = np.nan
    sample = DARK + 0.5 * BEAM
    sample[11, 11] = np.inf
    before = sample.copy()
    passed = transmission(sample, opened, DARK)
    wrong = np.zeros(sample.shape, bool)
    wrong[[3, 4, 9, 11], [7, 7, 9, 11]] = True
    found = attenuation(passed)
    for array in (passed.pixels, passed.variance, found.pixels, found.variance):
        np.testing.assert_array_equal(np.isnan(array), wrong)
    np.testing.assert_array_equal(passed.valid, ~wrong)
    np.testing.assert_array_equal(found.valid, ~wrong)
    np.testing.assert_array_equal(sample, before)


def test_opaque_pixels_are_filled_and_opaque_things_are_not():
    share = np.exp(-(0.4 + 0.02 * COLS))  # a ramp of attenuation
    share[10, 20] = 0.001
    share[15, 30:32] = -0.004
    share[2:9, 40:47] = 0.002  # 49 px of lead
    found = attenuation(transmission(1000 * np.maximum(share, 0), np.full(share.shape, 1000.0)))
    assert found.pixels[10, 20] == pytest.approx(0.8, abs=1e-4)
    np.testing.assert_allclose(found.pixels[15, 30:32], [1.0, 1.02], atol=0.011)
    assert np.isnan(found.pixels[2:9, 40:47]).all()
    assert found.repaired.sum() == 3
    assert np.isnan(found.variance[found.repaired]).all()
    assert np.count_nonzero(~found.valid) == 49


def test_bad_input_is_told_in_one_line():
    sample, opened = DARK + 0.5 * BEAM, DARK + BEAM
    cases = [
        (ImageError, "open beam is missing", lambda: transmission(sample, None)),
        (ImageError, "sample is missing", lambda: transmission(np.zeros((0, 5)), opened)),
        (ImageError, "real numbers", lambda: transmission(sample + 1j, opened)),
        (ImageError, "no flux", lambda: transmission(sample, DARK, DARK)),
        (ImageError, "negative counts", lambda: transmission(sample - 3000, opened, DARK)),
        (ImageError, "negative counts", lambda: transmission(DARK, (opened - 9000).astype(np.int16))),
        (ShapeMismatchError, "open beam has frames", lambda: transmission(sample, opened[:-1])),
        (ShapeMismatchError, "dark has frames", lambda: transmission(sample, opened, DARK[:, 1:])),
        (OptionError, "leaves the frame", lambda: transmission(sample, opened, air=(0, 50, 10, 61))),
        (OptionError, "is empty", lambda: transmission(sample, opened, air=(5, 5, 5, 9))),
        (ImageError, "no flux in the air", lambda: transmission(DARK + 0 * BEAM, opened, DARK, air=AIR)),
        (ImageError, "no usable pixel", lambda: transmission(np.full(DARK.shape, np.nan), opened, DARK, air=AIR)),
        (OptionError, "floor", lambda: attenuation(transmission(sample, opened), floor=0)),
    ]
    for error, words, call in cases:
        with pytest.raises(error, match=words) as caught:
            call()
        assert "\n" not in str(caught.value)
    float_noise = transmission(BEAM - 5000, BEAM)  # the dark is off already: noise below 0 is no error
    assert np.isfinite(float_noise.pixels).all()


@pytest.mark.parametrize("quanta", [4, 60, 2500])
def test_gain_read_noise_and_signal_to_noise_of_known_counts(quanta):
    rng = np.random.default_rng(quanta)
    frames = 200 + 3.0 * rng.poisson(quanta, (6, 100, 150)) * np.array([1, 1.1, 0.9, 1, 0.95, 1.05])[:, None, None]
    darks = 200 + rng.normal(0, 2, (6, 100, 150))
    frames += rng.normal(0, 2, frames.shape)
    frames[:, ::37, ::41] += rng.exponential(5000, frames[:, ::37, ::41].shape)  # spots
    found = detector_noise(frames, darks)
    assert found.gain == pytest.approx(3, rel=0.05 if quanta > 10 else 0.25)
    assert found.read_noise == pytest.approx(2, rel=0.02)
    repeated = signal_to_noise(frames, dark=darks, gain=3.0)
    assert repeated.expected == pytest.approx(quanta**0.5, rel=0.03)
    assert repeated.measured == pytest.approx(quanta / (quanta + 4 / 9) ** 0.5, rel=0.06 if quanta > 10 else 0.2)
    single = signal_to_noise(frames[0], dark=darks, gain=3.0, box=(0, 0, 100, 150))
    assert single.ratio == pytest.approx((quanta / (quanta + 4 / 9)) ** 0.5, rel=0.06)


def test_smoothed_frames_beat_the_root_of_their_counts():
    rng = np.random.default_rng(5)
    counts = rng.poisson(100, (200, 200)).astype(float)
    binned = (counts[:, ::2] + counts[:, 1::2]) / 2
    assert signal_to_noise(counts).ratio == pytest.approx(1, rel=0.04)
    assert signal_to_noise(binned).ratio == pytest.approx(2**0.5, rel=0.04)
    with pytest.raises(ImageError, match="no signal"):
        signal_to_noise(np.zeros((9, 9)))
    with pytest.raises(ImageError, match="two frames"):
        detector_noise(counts)
