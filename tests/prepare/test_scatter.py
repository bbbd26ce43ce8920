"""Black bodies: a planted pedestal of scattered counts is found within its error, and the bias of T goes away."""

from __future__ import annotations

import numpy as np
import pytest

from segmetry.errors import ImageError, OptionError
from segmetry.prepare.filters import gaussian
from segmetry.prepare.normalise import attenuation, transmission
from segmetry.prepare.scatter import Dots, find_dots, scatter_field

SHAPE = (150, 180)
ROWS, COLS = np.indices(SHAPE)
Y, X = ROWS / 75 - 1, COLS / 90 - 1
BEAM = 5000 * (1 - 0.1 * X**2)
DARK = np.full(SHAPE, 200.0)
OPEN_SCATTER = 300 + 40 * X - 30 * Y - 60 * (X**2 + Y**2)
SAMPLE_SCATTER = 500 + 25 * Y + 50 * X * Y - 90 * X**2
SHARE = np.where(np.abs(ROWS - 75) < 35, 0.2, 1.0)
CENTRES = np.array([(r, c) for r in range(18, 140, 27) for c in range(20, 170, 28)]) + 0.4


def _grid() -> np.ndarray:
    grid = np.ones(SHAPE, np.float32)
    for row, col in CENTRES:
        grid[np.hypot(ROWS - row, COLS - col) <= 6] = 0
    return gaussian(grid, 0.7)


def _frames(rng: np.random.Generator, signal: np.ndarray, n: int = 5) -> np.ndarray:
    return rng.poisson(DARK + signal, (n, *SHAPE)).astype(np.float32)


@pytest.fixture(scope="module")
def run() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    grid = _grid()
    return {
        "dark": DARK,
        "open": _frames(rng, BEAM + OPEN_SCATTER),
        "sample": _frames(rng, BEAM * SHARE + SAMPLE_SCATTER),
        "open_grid": _frames(rng, BEAM * grid + OPEN_SCATTER),
        "sample_grid": _frames(rng, BEAM * SHARE * grid + SAMPLE_SCATTER),
    }


def test_dots_are_where_they_were_drawn(run):
    dots = find_dots(run["open_grid"], run["open"], run["dark"])
    assert len(dots.radii) == len(CENTRES)
    gap = np.hypot(*(dots.centres[:, None] - CENTRES[None]).transpose(2, 0, 1)).min(1)
    assert gap.max() < 0.3
    np.testing.assert_allclose(dots.radii, 6, atol=0.5)


@pytest.mark.parametrize("which", ["open", "sample"])
def test_a_polynomial_pedestal_is_found_within_its_error(run, which):
    dots = find_dots(run["open_grid"], run["open"], run["dark"])
    truth = OPEN_SCATTER if which == "open" else SAMPLE_SCATTER
    field = scatter_field(run[f"{which}_grid"], dots, run["dark"])
    pull = (field.pixels - truth) / field.standard_error
    assert 0.3 < np.sqrt(np.mean(pull**2)) < 2  # six coefficients only: the pulls move together
    assert np.abs(field.pixels - truth).max() < 15
    assert field.standard_error.max() < 5
    assert field.pixels.dtype == np.float32


def test_the_stated_error_of_the_field_is_right_on_average():
    rng = np.random.default_rng(1)
    dots = Dots(CENTRES, np.full(len(CENTRES), 6.0))
    pulls = []
    for _ in range(30):
        field = scatter_field(rng.poisson(SAMPLE_SCATTER).astype(float), dots)
        pulls.append(((field.pixels - SAMPLE_SCATTER) / field.standard_error)[::29, ::29])
    # Student's t of 24 degrees of freedom has a deviation of 1.04; 30 fields of six coefficients give it to 5 %.
    assert np.sqrt(np.mean(np.square(pulls))) == pytest.approx(1.04, abs=0.15)


def test_a_spline_follows_what_no_polynomial_does():
    dots = Dots(CENTRES, np.full(len(CENTRES), 6.0))
    wave = 400 + 80 * np.sin(ROWS / 22) * np.cos(COLS / 25)
    inside = (slice(20, 130), slice(22, 160))
    spline, plain = (scatter_field(wave, dots, model=m) for m in ("spline", "polynomial"))
    off_spline, off_plain = (np.abs(f.pixels - wave)[inside].mean() for f in (spline, plain))
    assert off_spline < 0.4 * off_plain
    assert off_spline < spline.standard_error.min() < 4 * np.abs(spline.pixels - wave)[inside].max()
    np.testing.assert_allclose(spline.residuals, 0, atol=1e-6)


def test_transmission_without_its_scatter_is_the_true_one(run):
    dots = find_dots(run["open_grid"], run["open"], run["dark"])
    fields = [scatter_field(run[f"{k}_grid"], dots, run["dark"]).pixels for k in ("sample", "open")]
    air = (2, 2, 30, 178)
    kwargs = {"open_beam": run["open"], "dark": run["dark"], "air": air}
    sample = np.median(run["sample"], axis=0)
    biased, corrected = transmission(sample, **kwargs), transmission(sample, **kwargs, scatter=tuple(fields))
    opaque = SHARE < 0.5
    assert biased.pixels[opaque].mean() > 0.25
    assert corrected.pixels[opaque].mean() == pytest.approx(0.2, abs=0.002)
    assert attenuation(corrected).pixels[opaque].mean() == pytest.approx(np.log(5), rel=0.005)
    assert corrected.dose[0] == pytest.approx(1, abs=0.002)
    assert (corrected.variance[opaque] > biased.variance[opaque]).mean() > 0.99  # the beam below it is weaker


def test_bad_input(run):
    dots = find_dots(run["open_grid"], run["open"], run["dark"])
    with pytest.raises(ImageError, match="no round shadow"):
        find_dots(run["open"][0], run["open"], run["dark"])
    with pytest.raises(ImageError, match="no round shadow"):
        find_dots(np.full(SHAPE, 900.0), np.full(SHAPE, 900.0))
    with pytest.raises(ImageError, match="needs 7 dots"):
        scatter_field(run["open"], Dots(dots.centres[:6], dots.radii[:6]))
    line = Dots(np.column_stack([np.full(9, 50.0), np.arange(9) * 15 + 20]), np.full(9, 5.0))
    for model in ("polynomial", "spline"):
        with pytest.raises(ImageError, match="line"):
            scatter_field(run["open"], line, model=model)
    with pytest.raises(OptionError, match="did you mean 'spline'"):
        scatter_field(run["open"], dots, model="splin")
    with pytest.raises(OptionError, match="core"):
        scatter_field(run["open"], dots, core=0)
    with pytest.raises(ImageError, match="no usable pixel"):
        scatter_field(np.full(SHAPE, np.nan), dots)
