"""Burned-in bars, footers and letters against their stated truth."""

from __future__ import annotations

import numpy as np
import pytest

from segmetry.errors import OptionError
from segmetry.synth import simulate
from segmetry.synth.annotate import BARS, FONTS, FOOTERS, nice_bar, text_alpha
from segmetry.units import METRES, parse_length

BLANK = {
    "n": 0,
    "dose": None,
    "bits": 0,
    "blur_px": 0.0,
    "film_depth": 0.0,
    "levels": (0.0, 1.0),
    "frame_shape": (300, 400),
}
"""Options of an image that is 1 everywhere."""


@pytest.mark.parametrize("pixel_size", [0.37, 0.5, 1.23])
@pytest.mark.parametrize("style", [s for s in BARS if s != "none"])
def test_bar_is_as_long_as_it_says(style, pixel_size):
    scene = simulate(seed=1, bar=style, pixel_size=pixel_size, bar_colour="dark", **BLANK)
    bar = scene.scale_bar
    value, unit = parse_length(bar.text)
    assert (value, unit) == (bar.value, bar.unit)
    assert bar.length_px == pytest.approx(value * METRES[unit] / (pixel_size * METRES["nm"]), rel=1e-9)
    # Integrated darkness along a row through the middle of the bar is its length: partly covered ends count partly.
    row = round((bar.y0 + bar.y1) / 2)
    dark = 1 - scene.image.pixels[row].astype(float)
    start, stop = int(bar.x0) - 2, int(bar.x1) + 4
    assert dark[start:stop].sum() == pytest.approx(bar.length_px, abs=1e-3)
    columns = np.arange(start, stop)
    middle = (dark[start:stop] * columns).sum() / dark[start:stop].sum()
    assert middle == pytest.approx((bar.x0 + bar.x1) / 2, abs=1e-3)


@pytest.mark.parametrize("style", ["columns", "light"])
def test_footer_bar_is_as_long_as_it_says(style):
    scene = simulate(seed=1, footer=style, pixel_size=0.8, **BLANK)
    bar = scene.scale_bar
    row = round((bar.y0 + bar.y1) / 2)
    line = scene.image.pixels[row].astype(float)
    bright = line if style == "columns" else 1 - line
    assert bright[int(bar.x0) - 2 : int(bar.x1) + 4].sum() == pytest.approx(bar.length_px, abs=1e-3)
    assert bar.length_px == pytest.approx(bar.value * METRES[bar.unit] / 0.8e-9, rel=1e-9)


def test_dots_span_the_stated_length():
    options = {**BLANK, "levels": (0.0, 2.0)}
    scene = simulate(seed=1, footer="dots", pixel_size=0.8, **options)
    bar = scene.scale_bar
    row = round((bar.y0 + bar.y1) / 2)
    bright = scene.image.pixels[row].astype(float) - 1
    lit = np.flatnonzero(bright > 1e-3)
    runs = np.split(lit, np.flatnonzero(np.diff(lit) > 1) + 1)
    centres = [float((bright[r] * r).sum() / bright[r].sum()) for r in runs]
    assert len(centres) == 11
    # The centroid of a dot 1.5 px wide misses its middle by up to 0.1 px, as pixels sum up what falls into them.
    assert centres[-1] - centres[0] == pytest.approx(bar.length_px, abs=0.2)
    assert np.diff(centres) == pytest.approx(np.full(10, bar.length_px / 10), abs=0.2)
    assert centres[0] == pytest.approx(bar.x0, abs=0.1)


@pytest.mark.parametrize(
    "options",
    [{"bar": s, "letter": "(b)"} for s in BARS if s != "none"] + [{"footer": f} for f in FOOTERS if f != "none"],
    ids=str,
)
def test_only_masked_pixels_were_drawn_on(options):
    plain = {**BLANK, "n": 25, "median_diameter": 15, "letter": ""}
    footer = options.get("footer", "none")
    with_text = simulate(seed=4, **{**plain, **options})
    rows = with_text.derived["specimen_rows"]
    without = simulate(seed=4, **{**plain, "frame_shape": (rows, 400)})
    changed = with_text.image.pixels[:rows] != without.image.pixels
    assert not (changed & ~with_text.annotation_mask[:rows]).any()
    assert changed.any() or footer in ("columns", "light")
    assert with_text.annotation_mask[rows:].all()
    assert not with_text.labels[rows:].any()


def test_the_frame_of_touching_ends_at_the_footer():
    scene = simulate(seed=4, n=60, arrangement="random", median_diameter=25, frame_shape=(300, 400), footer="columns")
    rows = scene.derived["specimen_rows"]
    low = scene.truth[scene.truth["label"].isin(np.unique(scene.labels[rows - 1])) & (scene.truth["label"] > 0)]
    assert rows < 300
    assert len(low) > 0
    assert low["touches_frame"].all()


def test_an_opaque_box_hides_what_lies_beneath():
    scene = simulate(seed=4, n=200, arrangement="random", frame_shape=(300, 400), bar="box", bar_colour="light")
    bar = scene.scale_bar
    box = np.s_[round(bar.y0) : round(bar.y1), round(bar.x0) : round(bar.x1)]
    assert not scene.labels[box].any()
    assert scene.annotation_mask[box].all()
    assert any(scene.whole(k)[box].any() for k in scene.truth["label"])


@pytest.mark.parametrize("font", [f for f in FONTS if f != "hershey"])
def test_micro_sign_is_drawn(font):
    micro, latin, missing = (text_alpha(t, 20, font)[0] for t in ("µ", "u", "\uffff"))
    assert micro.sum() > 0
    assert micro.shape != latin.shape or not np.array_equal(micro, latin)
    assert micro.shape != missing.shape or not np.array_equal(micro, missing)


@pytest.mark.parametrize("font", FONTS)
def test_capitals_have_about_the_asked_height(font):
    alpha, base = text_alpha("H", 30, font)
    rows = np.flatnonzero(alpha.max(axis=1) > 0.5)
    assert rows[-1] - rows[0] + 1 == pytest.approx(30, abs=3)
    assert rows[-1] == pytest.approx(base - 1, abs=2)


@pytest.mark.parametrize("unit", ["nm", "µm", "Å"])
@pytest.mark.parametrize("size", [0.0021, 0.37, 8.8, 97.0])
def test_nice_values_are_one_two_or_five(size, unit):
    value, to = nice_bar(640, size, unit)
    digits = f"{value:e}".split("e")[0].rstrip("0").rstrip(".")
    assert digits in ("1", "2", "5")
    share = value * METRES[to] / (640 * size * METRES[unit])
    assert 0.12 < share < 0.36


def test_a_bar_that_does_not_fit_is_refused():
    with pytest.raises(OptionError, match="does not fit"):
        simulate(n=0, bar="line", bar_value="2 µm", pixel_size=0.5)
    with pytest.raises(OptionError, match="unit of length"):
        simulate(n=0, bar="line", pixel_size=1.0, unit="px")
