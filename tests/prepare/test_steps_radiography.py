"""Steps for radiographs: a scan of a cylinder comes out with its attenuation; what is missing is named."""

from __future__ import annotations

import numpy as np
import pytest

from segmetry.errors import ImageError, OptionError, SegmetryError
from segmetry.prepare.table import step_from
from segmetry.types import Calibration, Image

N, ROWS, RADIUS, MU = 64, 3, 18.0, 0.02
DARK, BEAM = 100.0, 20_000.0


def scan(*, axis=33.0, shift=6.0, angles=None, noise=None, stuck=False):
    """Return counts (T, M, N) behind a cylinder whose middle goes round the axis, and its angles."""
    angles = np.linspace(0, 180, 91) if angles is None else angles
    columns = np.arange(N)
    middle = axis + shift * np.cos(np.radians(angles))[:, None]
    path = 2 * np.sqrt(np.maximum(RADIUS**2 - (columns - middle) ** 2, 0))
    counts = np.repeat((BEAM * np.exp(-MU * path))[:, None], ROWS, axis=1) + DARK
    if noise is not None:
        counts = noise.poisson(counts).astype(float)
    if stuck:
        counts[:, :, 26] *= 0.9
    return counts, angles


def beam(level=BEAM, n=5):
    return np.full((n, ROWS, N), level + DARK)


def test_counts_become_a_volume_with_the_attenuation_of_the_cylinder():
    counts, angles = scan()
    told = {"axis_values": {"T": {"name": "angle", "unit": "deg", "values": tuple(angles)}}}
    image = Image(counts, "TYX", Calibration((0.5, 0.5), "mm"), metadata=told)
    flat = step_from("flat-field").run(image, {"open_beam": beam(), "dark": np.full((ROWS, N), DARK)})
    assert flat.pixels.max() == pytest.approx(2 * RADIUS * MU, rel=0.01)
    volume = step_from("reconstruct").run(flat, {})
    assert (volume.axes, volume.shape, volume.calibration.spacing) == ("ZYX", (ROWS, N, N), (0.5, 0.5, 0.5))
    assert "column 33.0" in volume.notes[-1]
    assert "two opposite projections" in volume.notes[-1]
    assert "axis_values" not in volume.metadata
    rows, cols = np.indices((N, N))
    # The cylinder stands at angle 0 to the right of the axis, which is at N // 2.
    inside = np.hypot(rows - N // 2, cols - N // 2 - 6) < RADIUS - 4
    assert np.median(volume.pixels[1][inside]) == pytest.approx(MU / 0.5, rel=0.01)  # 1 / mm
    outside = (np.hypot(rows - N // 2, cols - N // 2 - 6) > RADIUS + 3) & np.isfinite(volume.pixels[1])
    assert abs(np.median(volume.pixels[1][outside])) < 0.02 * MU / 0.5


def test_angles_and_centre_are_taken_as_given_and_said():
    counts, _ = scan(axis=31.5, shift=0.0, angles=np.linspace(0, 178, 90))
    flat = step_from("flat-field").run(Image(counts, "TYX"), {"open_beam": beam(), "dark": np.full((ROWS, N), DARK)})
    middle = step_from({"step": "reconstruct", "last": 178}).run(flat, {})
    assert "the middle: no two projections are opposite" in middle.notes[-1]
    given = step_from({"step": "reconstruct", "last": 178, "centre": 31.5}).run(flat, {})
    assert "as given" in given.notes[-1]
    np.testing.assert_allclose(given.pixels, middle.pixels)
    every = step_from("reconstruct").run(flat, {})  # 90 projections over a half turn are 2 degrees apart
    np.testing.assert_allclose(every.pixels, middle.pixels)


def test_a_stuck_column_makes_a_ring_that_stripes_takes_away():
    counts, _ = scan(shift=0.0, stuck=True, noise=np.random.default_rng(3))
    clean, _ = scan(shift=0.0)
    found = {}
    for name, frames, steps in (("clean", clean, []), ("ring", counts, []), ("mended", counts, ["stripes"])):
        image = Image(frames, "TYX")
        image = step_from("flat-field").run(image, {"open_beam": beam(), "dark": np.full((ROWS, N), DARK)})
        for step in steps:
            image = step_from(step).run(image, {})
        found[name] = step_from({"step": "reconstruct", "last": 180, "centre": 33}).run(image, {}).pixels[1]
    rows, cols = np.indices((N, N))
    away = np.abs(np.hypot(rows - N // 2, cols - N // 2) - 7)  # from the circle of column 26, 7 from the axis
    off = {}
    for name, slice_ in found.items():
        error = slice_ - found["clean"]
        off[name] = abs(float(np.nanmean(error[away < 1]) - np.nanmean(error[(away > 2) & (away < 4)])))
    assert off["ring"] > 0.05 * MU
    assert off["mended"] < 0.6 * off["ring"], "how much is left, on frames of usual width, is for test_stripes"


def test_transmission_comes_out_where_it_is_asked_for_and_air_undoes_a_drift():
    counts = np.stack([np.full((ROWS, N), level * 0.5) for level in (BEAM, 0.8 * BEAM)])
    counts[:, :, :10] *= 2  # air
    step = step_from({"step": "flat-field", "quantity": "transmission", "air": [0, 0, ROWS, 10]})
    done = step.run(Image(counts, "TYX"), {"open_beam": beam() - DARK})
    np.testing.assert_allclose(done.pixels[:, :, 10:], 0.5, atol=1e-5)


def test_spots_and_bad_pixels_go_and_are_counted():
    rng = np.random.default_rng(0)
    frame = rng.poisson(1000, (60, 80)).astype(np.float32)
    frame[30, 40] = 9000
    done = step_from("spots").run(Image(frame), {})
    assert done.pixels[30, 40] < 1300
    assert "were replaced" in done.notes[-1]
    dark = rng.normal(100, 2, (5, 60, 80)).astype(np.float32)
    dark[:, 10, 10] = 3000
    given = {"open_beam": rng.poisson(5000, (5, 60, 80)).astype(np.float32), "dark": dark}
    done = step_from("bad-pixels").run(Image(np.stack([frame] * 2), "TYX"), given)
    assert done.shape == (2, 60, 80)
    assert "bad pixels of the camera" in done.notes[-1]


def test_hardening_is_undone_by_a_wedge():
    length = np.linspace(0.2, 4, 12)
    measured = length - 0.05 * length**2  # it hardens
    step = step_from({"step": "hardening", "attenuation": measured.tolist(), "thickness": length.tolist()})
    done = step.run(Image(np.array([[1 - 0.05, 2 - 0.2], [3 - 0.45, 9.0]], np.float32)), {})
    ratio = done.pixels[0, 1] / done.pixels[0, 0]
    assert ratio == pytest.approx(2, rel=0.01)
    assert "extrapolated" in done.notes[-1]


def test_denoise_lowers_the_noise_and_keeps_the_mean():
    counts = np.random.default_rng(5).poisson(30, (64, 64)).astype(np.float32)
    done = step_from({"step": "denoise", "method": "tv"}).run(Image(counts), {})
    assert done.pixels.std() < 0.5 * counts.std()
    assert done.pixels.mean() == pytest.approx(counts.mean(), rel=0.02)


@pytest.mark.parametrize(
    ("data", "image", "words"),
    [
        ("flat-field", Image(np.ones((4, 4))), "open_beam is missing"),
        ({"step": "flat-field", "air": [0, 0, 1]}, Image(np.ones((4, 4))), "air is top, left, bottom, right"),
        ("bad-pixels", Image(np.ones((4, 4))), "open_beam is missing"),
        ("hardening", Image(np.ones((4, 4))), "thicknesses above 0"),
    ],
)
def test_what_is_missing_is_named(data, image, words):
    given = {"open_beam": np.ones((4, 4))} if isinstance(data, dict) else {}
    with pytest.raises((OptionError, ImageError), match=words):
        step_from(data).run(image, given)


def test_steps_of_scans_want_frames():
    for name in ("stripes", "reconstruct"):
        with pytest.raises(SegmetryError, match=f"step {name} takes images with the axes TYX"):
            step_from(name).check_axes(Image(np.ones((4, 4))))
