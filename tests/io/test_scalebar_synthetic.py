"""Scale bars of every style drawn with known ends: found right, or not at all."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image as Picture
from PIL import ImageDraw, ImageFont

from segmetry.io.scalebar import find_annotations

STYLES = ("line", "box", "ticked", "outlined", "interrupted", "ruler", "label box", "beside")
BACKGROUNDS = ("flat", "noise", "dark particles", "bright particles", "stripes", "gradient")
LABELS = (
    ("500 nm", 500, "nm"), ("500nm", 500, "nm"), ("100 nm", 100, "nm"), ("20 nm", 20, "nm"), ("5 nm", 5, "nm"),
    ("1 µm", 1, "µm"), ("1.00um", 1, "µm"), ("0.5 µm", 0.5, "µm"), ("2.5 µm", 2.5, "µm"), ("10 µm", 10, "µm"),
    ("200 nm", 200, "nm"), ("50 µm", 50, "µm"), ("0.2 µm", 0.2, "µm"), ("2 mm", 2, "mm"), ("30 nm", 30, "nm"),
)  # fmt: skip


@dataclass(frozen=True)
class Drawn:
    """A picture and the truth of its bar."""

    image: np.ndarray
    value: float
    unit: str
    x0: float
    x1: float
    y: float
    what: str

    @property
    def length(self) -> float:
        return self.x1 - self.x0


@lru_cache
def font(name: str, size: int):
    import matplotlib

    return ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / f"{name}.ttf"), size)


def background(kind: str, rng: np.random.Generator, shape=(512, 680)) -> np.ndarray:
    rows, cols = np.mgrid[: shape[0], : shape[1]]
    level = rng.uniform(70, 180)
    image = np.full(shape, level)
    if kind == "gradient":
        image += rng.uniform(-50, 50) * cols / shape[1] + rng.uniform(-40, 40) * rows / shape[0]
    if kind == "stripes":
        image += 40 * (np.sin(rows / rng.uniform(4, 15) + rng.uniform(0, 6)) > 0)
    if kind.endswith("particles"):
        step = rng.uniform(50, 70) * (-1 if kind.startswith("dark") else 1)
        for _ in range(rng.integers(10, 60)):
            r, y, x = rng.uniform(6, 40), rng.uniform(0, shape[0]), rng.uniform(0, shape[1])
            inside = np.clip(r - np.hypot(rows - y, cols - x) + 0.5, 0, 1)
            image = np.where(inside > 0, image * (1 - inside) + (level + step) * inside, image)
    return image + rng.normal(0, rng.uniform(2, 20 if kind == "noise" else 8), shape)


def rectangle(shape, x0: float, x1: float, y0: float, y1: float) -> np.ndarray:
    """Share of every pixel that a rectangle covers; pixel i reaches from i - 0.5 to i + 0.5."""

    def cover(n: int, low: float, high: float) -> np.ndarray:
        i = np.arange(n)
        return np.clip(np.minimum(i + 0.5, high) - np.maximum(i - 0.5, low), 0, 1)

    return np.outer(cover(shape[0], y0, y1), cover(shape[1], x0, x1))


def write(shape, text: str, x: float, y: float, name: str, size: int) -> tuple[np.ndarray, tuple[int, int, int, int]]:
    """Coverage of a text whose ink begins at column x, row y, and its ink's box."""
    sheet = Picture.new("L", (shape[1], shape[0]), 0)
    pen = ImageDraw.Draw(sheet)
    left, top, right, bottom = pen.textbbox((0, 0), text, font=font(name, size))
    pen.text((x - left, y - top), text, fill=255, font=font(name, size))
    return np.asarray(sheet) / 255.0, (int(x), int(y), int(x + right - left), int(y + bottom - top))


def draw(style: str, kind: str, seed: int) -> Drawn:
    rng = np.random.default_rng(seed)
    shape = (512, 680)
    image = background(kind, rng, shape)
    text, value, unit = LABELS[rng.integers(len(LABELS))]
    name = str(rng.choice(["DejaVuSans", "DejaVuSans-Bold", "DejaVuSerif", "DejaVuSansMono"]))
    size = int(rng.integers(16, 36))
    length = rng.uniform(60, 240)
    _, ink_box = write(shape, text, 0, 0, name, size)
    width, height = ink_box[2], ink_box[3]
    thick = float(rng.uniform(2, 5)) if style != "box" else float(rng.uniform(6, 16))
    room = max(length, width) + 30
    left = rng.uniform(12, shape[1] - room - 12)
    x0, x1 = left + 8 + (room - 30 - length) * 0.5, 0.0
    x1 = x0 + length
    y = rng.uniform(shape[0] - 60, shape[0] - 30)
    ink = 255.0 if np.median(image[400:]) < 120 else 0.0
    if style in ("label box", "ruler"):
        paper = float(rng.choice([0.0, 255.0])) if style == "label box" else 0.0
        ink = 255.0 - paper
    centre = (x0 + x1) / 2
    gap = rng.uniform(4, 10)
    bar = np.zeros(shape)
    above = rng.random() < 0.7 or style == "label box"
    text_x, text_y = centre - width / 2, y - thick / 2 - gap - height if above else y - 18 - gap - height
    if not above:
        y = y - 18 - 2 * gap - height - thick
    if style in ("line", "box", "label box"):
        bar = rectangle(shape, x0, x1, y - thick / 2, y + thick / 2)
    elif style == "ticked":
        bar = rectangle(shape, x0, x1, y - thick / 2, y + thick / 2)
        tall = thick / 2 + 5
        bar = np.maximum(bar, rectangle(shape, x0, x0 + 2, y - tall, y + tall))
        bar = np.maximum(bar, rectangle(shape, x1 - 2, x1, y - tall, y + tall))
        text_y -= 5 if above else 0
    elif style == "outlined":
        bar = rectangle(shape, x0, x1, y - 5, y + 5) - rectangle(shape, x0 + 2, x1 - 2, y - 3, y + 3)
        text_y -= 5 if above else 0
    elif style == "interrupted":
        half = max(40.0, length / 3)
        x1 = x0 + 2 * half + width + 12
        if x1 > shape[1] - 15:
            x0, x1 = x0 - (x1 - shape[1] + 15), shape[1] - 15.0
        bar = rectangle(shape, x0, x0 + half, y - 1, y + 1) + rectangle(shape, x1 - half, x1, y - 1, y + 1)
        for edge in (x0, x1 - 2):
            bar = np.maximum(bar, rectangle(shape, edge, edge + 2, y - 5, y + 5))
        text_x, text_y = x0 + half + 6, y - height / 2
    elif style == "ruler":
        image[shape[0] - 44 :] = paper
        step = np.floor(length / 10)
        ticks = x0 + step * np.arange(11)
        y = shape[0] - 36.0
        for i, t in enumerate(ticks):
            bar = np.maximum(bar, rectangle(shape, t - 1, t + 1, y - (6 if i % 5 == 0 else 4), y + 4))
        x0, x1 = float(ticks[0]), float(ticks[-1])
        size = 16
        _, box = write(shape, text, 0, 0, name, size)
        text_x, text_y = x1 - box[2], y + 8
    elif style == "beside":
        bar = rectangle(shape, x0, x1, y - thick / 2, y + thick / 2)
        right = x1 + 12
        text_x = right if right + width < shape[1] - 10 else x0 - 12 - width
        text_y = y - height / 2
        if text_x < 5:
            text_x, text_y = centre - width / 2, y - thick - 6 - height
    letters, box = write(shape, text, round(text_x), round(text_y), name, size)
    if style == "label box":
        paper_at = rectangle(
            shape, min(x0, box[0]) - 9.5, max(x1, box[2]) + 9.5, min(box[1], y) - 8.5, y + thick / 2 + 8.5
        ).round()
        image = image * (1 - paper_at) + paper * paper_at
    cover = np.clip(bar + letters, 0, 1)
    image = image * (1 - cover) + ink * cover
    blur = rng.uniform(0, 0.7)
    if blur > 0.2:
        image = cv2.GaussianBlur(image, (0, 0), blur)
    pixels = np.clip(image.round(), 0, 255).astype(np.uint8)
    if rng.random() < 0.5:
        _, code = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(75, 98))])
        pixels = cv2.imdecode(code, cv2.IMREAD_GRAYSCALE)
    return Drawn(pixels, value, unit, x0, x1, y, f"{style}, {kind}, seed {seed}, {text!r} {size} px {name}")


def judge(drawn: Drawn) -> str:
    bar = find_annotations(drawn.image).scale_bar
    if bar is None:
        return "none"
    right = (bar.value, bar.unit) == (drawn.value, drawn.unit)
    near = abs(bar.length_px - drawn.length) <= 0.02 * drawn.length + 1.5
    return "right" if right and near else "wrong"


@pytest.mark.parametrize("style", STYLES)
def test_a_bar_of_every_style_is_read(style):
    drawn = draw(style, "gradient", 7000 + STYLES.index(style))
    bar = find_annotations(drawn.image).scale_bar
    assert bar is not None, drawn.what
    assert (bar.value, bar.unit) == (drawn.value, drawn.unit), drawn.what
    # Half a pixel: text, JPEG and the blur of a resampled image touch the ends. Upright ends are drawn 2 px wide inside
    # the length; half of one less is what the reader means to give there, known to whole pixels of their width.
    upright = style in ("ticked", "interrupted", "outlined")
    expected = drawn.length - (1.0 if upright else 0.0)
    assert bar.length_px == pytest.approx(expected, abs=0.75 if upright else 0.5), drawn.what
    assert bar.x0 == pytest.approx(drawn.x0, abs=0.8)
    assert bar.pixel_size == pytest.approx(drawn.value / drawn.length, rel=0.01)
    assert bar.rel_uncertainty * bar.length_px < 2.5


@pytest.mark.slow
def test_hundreds_of_bars_are_right_or_not_read():
    outcomes = [
        judge(draw(style, kind, seed * 1000 + STYLES.index(style) * 10 + BACKGROUNDS.index(kind)))
        for style in STYLES
        for kind in BACKGROUNDS
        for seed in range(3)
    ]
    assert outcomes.count("wrong") <= 0.01 * len(outcomes)
    assert outcomes.count("right") >= 0.95 * len(outcomes)


@pytest.mark.slow
def test_the_uncertainty_covers_the_errors():
    errors = []
    for seed in range(40):
        drawn = draw(("line", "box", "outlined", "label box")[seed % 4], BACKGROUNDS[seed % 6], 50_000 + seed)
        bar = find_annotations(drawn.image).scale_bar
        if bar is not None:
            errors.append((bar.length_px - drawn.length) / (bar.rel_uncertainty * bar.length_px))
    assert len(errors) >= 30
    assert np.sqrt(np.mean(np.square(errors))) < 1.2
    assert abs(np.mean(errors)) < 0.5, "lengths are not biased"


def texts_only(words: list[str], seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    image = background("gradient", rng)
    for i, word in enumerate(words):
        letters, _ = write(image.shape, word, 30 + 40 * i, 60 + 90 * i, "DejaVuSans", 26)
        image = image * (1 - letters) + 255 * letters
    return image.clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize("kind", BACKGROUNDS)
def test_no_bar_where_there_is_none(kind):
    pixels = background(kind, np.random.default_rng(3)).clip(0, 255).astype(np.uint8)
    found = find_annotations(pixels)
    assert found.scale_bar is None
    assert found.ignore.mean() < 0.002, "no particle is taken for text"
    assert found.notes


@pytest.mark.parametrize(
    "words",
    [
        ["(a)", "SiO2"],
        ["Sample 12", "200 °C"],
        ["mean 45 nm"],
        ["WD 10.2 mm", "mag 50 000 x"],
        ["HFW 5.97 µm"],
        ["500 nm"],
    ],
    ids=" ".join,
)
def test_text_alone_is_no_bar_but_is_marked(words):
    found = find_annotations(texts_only(words, 5))
    assert found.scale_bar is None
    assert found.texts
    assert 0.001 < found.ignore.mean() < 0.1


def test_two_panels_with_different_bars_give_no_scale():
    left, right = (np.full((256, 340), 80, np.uint8) for _ in range(2))
    for panel, length, text in ((left, 100, "100 nm"), (right, 150, "20 nm")):
        panel[220:226, 40 : 40 + length] = 255
        letters, _ = write(panel.shape, text, 50, 190, "DejaVuSans", 22)
        panel[letters > 0.5] = 255
    found = find_annotations(np.hstack([left, right]))
    assert found.scale_bar is None
    assert any("two labels disagree" in note for note in found.notes)
    assert found.ignore[222, 60]
    assert found.ignore[222, 400]


def test_a_bar_cut_by_the_frame_gives_no_scale():
    image = np.full((256, 340), 80, np.uint8)
    image[220:226, 260:] = 255
    letters, _ = write(image.shape, "100 nm", 240, 190, "DejaVuSans", 22)
    image[letters > 0.5] = 255
    found = find_annotations(image)
    assert found.scale_bar is None
    assert any("frame" in note for note in found.notes)


def footer(bar: bool) -> np.ndarray:
    """A footer with the fields of an electron microscope, and its bar."""
    rng = np.random.default_rng(8)
    image = rng.normal(120, 12, (512, 700))
    image[462:] = 0
    for x, name, value in (
        (10, "HV", "20.00 kV"),
        (120, "WD", "10.2 mm"),
        (225, "HFW", "5.97 µm"),
        (330, "mag", "50 000 x"),
    ):
        for y, word in ((466, name), (488, value)):
            letters, _ = write(image.shape, word, x, y, "DejaVuSans", 15)
            image = image * (1 - letters) + 255 * letters
    if bar:
        letters, _ = write(image.shape, "500 nm", 520, 466, "DejaVuSans", 15)
        image = image * (1 - letters) + 255 * letters
        image[489:491, 500:620] = 255
        image[484:496, 500:502] = image[484:496, 618:620] = 255
    return image.clip(0, 255).astype(np.uint8)


def test_a_footer_is_marked_whole_and_only_its_bar_is_the_bar():
    found = find_annotations(footer(bar=True))
    assert found.scale_bar is not None
    assert (found.scale_bar.value, found.scale_bar.unit) == (500, "nm")
    assert found.scale_bar.length_px == pytest.approx(119, abs=0.5)  # 120 outside, 118 between the ticks' centres
    assert found.ignore[462:].all()
    assert not found.ignore[:455].any()


def test_working_distance_field_width_and_magnification_are_no_bars():
    found = find_annotations(footer(bar=False))
    assert found.scale_bar is None
    assert found.ignore[462:].all()


@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
def test_other_kinds_of_pixels_give_the_same_bar(dtype):
    drawn = draw("box", "gradient", 77)
    expected = find_annotations(drawn.image).scale_bar
    scaled = (drawn.image.astype(np.float64) * 129 - (9000 if dtype != np.uint16 else 0)).astype(dtype)
    found = find_annotations(scaled).scale_bar
    assert expected is not None
    assert found is not None
    assert (found.value, found.unit) == (expected.value, expected.unit)
    assert found.length_px == pytest.approx(expected.length_px, abs=0.3)


@pytest.mark.parametrize(
    "pixels", [np.zeros((1, 1)), np.full((64, 64), np.nan), np.full((300, 300), 7), np.zeros((5, 400))]
)
def test_hopeless_images_have_no_annotations(pixels):
    found = find_annotations(pixels)
    assert found.scale_bar is None
    assert found.ignore.shape == pixels.shape
    assert not found.ignore.any()


def test_the_input_is_not_written_to():
    drawn = draw("line", "flat", 5)
    before = drawn.image.copy()
    drawn.image.setflags(write=False)
    find_annotations(drawn.image)
    assert np.array_equal(before, drawn.image)
