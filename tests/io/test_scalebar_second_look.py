"""Strips beside bars, ink on its own grey, noise, letters that nobody can read, floats of any size."""

from __future__ import annotations

from pathlib import Path

import matplotlib
import numpy as np
import pytest
from PIL import Image as Picture
from PIL import ImageDraw, ImageFont
from scipy.ndimage import gaussian_filter

from segmetry.io.scalebar import find_annotations
from segmetry.io.scalebar.bars import Bar, measure_bars, propose_bars
from segmetry.io.scalebar.find import _as_bytes
from segmetry.io.scalebar.mask import unread_letters
from segmetry.io.scalebar.match import _drop_twins
from segmetry.io.scalebar.ocr import Box, Line, Reading
from segmetry.io.scalebar.parse import usual_number
from segmetry.io.scalebar.second import noise

SHAPE = (400, 520)


def lettered(image: np.ndarray, text: str, x: int, y: int, ink: float, *, size: int = 26, font: str = "DejaVuSans"):
    """The image with a text whose ink begins at column x, row y."""
    file = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / f"{font}.ttf"
    face = ImageFont.truetype(str(file), size)
    sheet = Picture.new("L", (image.shape[1], image.shape[0]), 0)
    pen = ImageDraw.Draw(sheet)
    left, top, _, _ = pen.textbbox((0, 0), text, font=face)
    pen.text((x - left, y - top), text, fill=255, font=face)
    letters = np.asarray(sheet) / 255.0
    return image * (1 - letters) + ink * letters


def as_bytes(image: np.ndarray) -> np.ndarray:
    return image.round().clip(0, 255).astype(np.uint8)


def drawn(x0: float, x1: float, rows: tuple[int, int], level: float, contrast: float, quality: float) -> Bar:
    return Bar(x0, x1, *rows, level=level, contrast=contrast, quality=quality, u_length=0.5)


def test_of_a_bar_and_the_strip_beside_it_the_bar_stays():
    # A black bar 13 rows above the frame: the paper below it stands out against "nothing" by as much as it does.
    bar, strip = drawn(467, 667, (495, 499), 0, -220, 1.0), drawn(327, 680, (499, 512), 220, 220.4, 0.4)
    assert _drop_twins([bar, strip], ink=0, paper=220) == [bar]
    # A white bar along a gap between bright particles: the gap has more contrast than the bar has.
    bar, gap = drawn(370, 515, (341, 351), 248, 91.5, 1.0), drawn(412, 510, (352, 358), 22, -139.5, 0.92)
    assert _drop_twins([bar, gap], ink=250, paper=150) == [bar]
    # Without the same ink the one that stands out more stays: white bars are seen with black letters.
    bar, gap = drawn(528, 613, (473, 487), 226, 222, 1.0), drawn(522, 630, (467, 472), 9, -100.7, 0.9)
    assert _drop_twins([bar, gap], ink=3, paper=116) == [bar]


def test_black_ink_on_a_black_particle_is_read():
    rows, cols = np.mgrid[: SHAPE[0], : SHAPE[1]]
    image = np.where(np.hypot(rows - 330, cols - 90) < 130, 17.0, 210.0)
    image = gaussian_filter(image, 1.0) + np.random.default_rng(1).normal(0, 1.5, SHAPE)
    image[362:376, 60:140] = 0
    image = lettered(image, "200 nm", 48, 330, 0, size=24)
    bar = find_annotations(as_bytes(image)).scale_bar
    assert bar is not None
    assert (bar.value, bar.unit) == (200, "nm")
    assert bar.length_px == pytest.approx(80, abs=1.5)


@pytest.mark.slow
def test_bars_in_noise_are_read_or_left():
    n_right = 0
    for seed in range(8):
        rng = np.random.default_rng(seed)
        length = rng.uniform(80, 200)
        image = np.full(SHAPE, 110.0)
        x0 = rng.uniform(100, 300)
        cover = np.clip(np.minimum(np.arange(520) + 0.5, x0 + length) - np.maximum(np.arange(520) - 0.5, x0), 0, 1)
        image[370:375] = 110 + 120 * cover
        image = lettered(image, "50 nm", int(x0) + 10, 335, 230, size=22)
        bar = find_annotations(as_bytes(image + rng.normal(0, 45, SHAPE))).scale_bar
        if bar is not None:
            assert (bar.value, bar.unit) == (50, "nm")
            assert bar.length_px == pytest.approx(length, rel=0.02, abs=1.5)
            n_right += 1
    assert n_right >= 6


def test_noise_alone_holds_no_bars_and_breaks_nothing():
    for seed in range(6):
        image = as_bytes(np.random.default_rng(seed).normal(120, 45, (150, 400)))
        assert all(bar.quality < 0.7 for bar in measure_bars(image, propose_bars(image)))


@pytest.mark.parametrize("sigma", [3.0, 10.0, 25.0])
def test_noise_is_measured_beside_edges(sigma):
    rng = np.random.default_rng(4)
    image = np.where(np.arange(400)[:, None] % 40 < 20, 90.0, 160.0) + rng.normal(0, sigma, (400, 500))
    assert noise(image) == pytest.approx(sigma, rel=0.15)


def test_an_unread_letter_in_the_corner_is_masked_and_a_particle_is_not():
    rng = np.random.default_rng(3)
    plain = rng.normal(110, 6, (512, 700))
    place = Box(15, 13, 75, 66)
    line, unread = Line(place, place, 0.88), Reading("II", 0.3, (0.3, 0.3))
    image = as_bytes(lettered(plain, "II", 20, 18, 255, size=56, font="DejaVuSerif-Bold"))
    assert unread_letters(image, [(line, unread)]) == [place]
    assert unread_letters(image, [(line._replace(score=0.7), unread)]) == [], "the detector is not sure either"
    rows, cols = np.mgrid[:512, :700]
    grey = as_bytes(np.where(np.hypot(rows - 40, cols - 45) < 22, 235.0, plain))
    assert unread_letters(grey, [(line, unread)]) == [], "bright, but not of one pure grey"
    cut = as_bytes(np.where(np.hypot(rows - 40, cols - 60) < 40, 255.0, plain))
    assert unread_letters(cut, [(line, unread)]) == [], "it goes on beyond the box"


@pytest.mark.parametrize("scale", [1.0, 1e38, 1e300, 4e307])
def test_floats_of_any_size_become_the_same_bytes(scale):
    pixels = np.random.default_rng(0).uniform(-4, 4, (60, 80))
    assert np.array_equal(_as_bytes(pixels * scale), _as_bytes(pixels))


def test_infinite_pixels_are_black_and_white():
    pixels = np.random.default_rng(0).uniform(-8e307, 8e307, (60, 80))
    pixels[0, :2] = np.inf, -np.inf
    assert _as_bytes(pixels)[0, :2].tolist() == [255, 0]


def test_numbers_that_scale_bars_have():
    assert [n for n in ("1", "20", "0.5", "500", "3", "37", "2.5", "0", "0,2") if usual_number(n)] == [
        "1", "20", "0.5", "500", "0,2",
    ]  # fmt: skip
