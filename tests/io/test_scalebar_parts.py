"""The parts by themselves: labels, ends to a fraction of a pixel, rows of ticks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segmetry.io.scalebar.bars import measure_bars, propose_bars
from segmetry.io.scalebar.ocr import Box
from segmetry.io.scalebar.parse import parse_label
from segmetry.io.scalebar.ticks import find_ticks


@pytest.mark.parametrize(
    ("text", "value", "unit"),
    [
        ("500nm", 500, "nm"), ("1.00um", 1, "µm"), ("1 µm", 1, "µm"), ("0.5 μm", 0.5, "µm"), ("0,5µm", 0.5, "µm"),
        (".5 µm", 0.5, "µm"), ("5.00 urn", 5, "µm"), ("100 nrn", 100, "nm"), ("1O nm", 10, "nm"), ("l00 nm", 100, "nm"),
        ("50.Dum", 50, "µm"),
        ("|-- 2 µm --|", 2, "µm"), ("2 mm", 2, "mm"), ("5 Å", 5, "Å"), ("1 cm", 1, "cm"), ("10 000 nm", 10000, "nm"),
        ("100 nm.", 100, "nm"), ("[200 nm]", 200, "nm"), ("2.5µm", 2.5, "µm"),
    ],
)  # fmt: skip
def test_labels_of_bars(text, value, unit):
    label = parse_label(text)
    assert label is not None
    assert (label.value, label.unit) == (value, unit)


@pytest.mark.parametrize(
    "text",
    ["", "nm", "500", "kV", "20.00 kV", "WD = 7.5 mm", "WD 10.2mm", "HFW 5.97 µm", "x 50 000", "7.0 ± 3.1°", "122 mrad",
     "0 nm", "05 µm", "SiO2", "10 min", "5 m", "3 months", "Il nm", "1.2.3 nm", "HFW: 19.9 µm", "Au@Ag NP-5",
     "pixel size 2 nm"],
)  # fmt: skip
def test_what_is_no_label(text):
    assert parse_label(text) is None


@given(st.integers(1, 9999), st.sampled_from(["nm", "µm", "um", "mm"]), st.sampled_from(["", " ", "  "]))
def test_every_whole_number_is_read_back(number, unit, space):
    label = parse_label(f"{number}{space}{unit}")
    assert label is not None
    assert label.value == number


@pytest.mark.parametrize("bright", [True, False])
@pytest.mark.parametrize("thickness", [1, 2, 3, 8, 20])
def test_ends_to_a_tenth_of_a_pixel(thickness, bright):
    rng = np.random.default_rng(thickness)
    for _ in range(10):
        x0, length = rng.uniform(20, 40), rng.uniform(40, 120)
        columns = np.arange(220)
        cover = np.clip(np.minimum(columns + 0.5, x0 + length) - np.maximum(columns - 0.5, x0), 0, 1)
        image = np.full((80, 220), 100.0)
        image[40 : 40 + thickness] += (1 if bright else -1) * 90 * cover
        pixels = image.round().astype(np.uint8)
        best = measure_bars(pixels, propose_bars(pixels))[0]
        # Half height of a bar drawn by area coverage is its edge; 8 bits leave 0.01 px.
        assert best.x0 == pytest.approx(x0, abs=0.02)
        assert best.x1 == pytest.approx(x0 + length, abs=0.02)
        assert (best.top, best.bottom) == (40, 40 + thickness)


def test_a_step_between_two_fields_is_no_bar():
    image = np.full((100, 200), 60, np.uint8)
    image[70:] = 200
    assert not measure_bars(image, propose_bars(image))


@pytest.mark.parametrize("step", [6.0, 9.0, 21.4])
def test_ticks_from_the_first_to_the_last_centre(step):
    x0 = 20.3
    columns = np.arange(300)
    image = np.zeros((40, 300))
    for i in range(11):
        tick = x0 + i * step
        cover = np.clip(np.minimum(columns + 0.5, tick + 1) - np.maximum(columns - 0.5, tick - 1), 0, 1)
        image[20 : 24 if i % 5 else 28] += 255 * cover
    (row, *_) = find_ticks(image.clip(0, 255).astype(np.uint8), Box(0, 0, 300, 40))
    assert row.quality == 1
    assert row.x0 == pytest.approx(x0, abs=0.1)
    assert row.length == pytest.approx(10 * step, abs=0.1)


def test_ten_ticks_are_not_trusted():
    image = np.zeros((40, 300), np.uint8)
    image[20:26, 20:200:20] = 255
    image[20:26, 21:200:20] = 255
    assert all(row.quality < 0.45 for row in find_ticks(image, Box(0, 0, 300, 40)))
