"""What is drawn of a result: its picture, figures, and the pieces that a page embeds."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import cv2
import numpy as np

from segmetry.report import figures
from segmetry.report.overlay import BAR, DOUBTFUL, Layers, layers, legend_entries
from segmetry.report.page import HEADS
from segmetry.report.picture import class_colours, encode_jpeg, painted, resize_nearest, stretch
from segmetry.report.text import format_significant

if TYPE_CHECKING:
    from pandas import DataFrame

    from segmetry.gather import BatchResult
    from segmetry.pipeline import Result

MAX_TARGETS = 600
"""Particles that answer to the pointer; beyond, the page would grow heavy."""


MIN_RADIAL = 10
"""Fewer centres than this have no g(r) worth a look."""


MAX_JPEG = 900_000

VEIL = 110
"""How much of a class's colour lies over the grey, of 255."""


class Drawn(NamedTuple):
    """An image's picture and figures, made once for the page and for the files beside it."""

    layers: Layers
    labels: np.ndarray
    legend: list[tuple[str, str]]
    figures: dict[str, str]  # name: SVG
    plane: str


def draw(result: Result) -> Drawn:
    """Return the picture and the figures of a result."""
    pixels, labels, ignore, plane = _flat(result)
    table, bar = result.table, result.annotations.scale_bar
    if result.phases:
        return _draw_phases(result, pixels, labels, ignore, plane)
    dropped = _dropped(result)
    bar = bar if pixels.shape == result.annotations.ignore.shape else None
    doubtful = _doubtful(table, dropped)
    made = layers(pixels, labels, dropped=dropped, doubtful=doubtful, ignore=ignore, bar=bar)
    hatched = ignore is not None and bool(ignore.any())
    sure = len(table) > len(dropped) + len(doubtful)
    legend = legend_entries(sure, len(doubtful) > 0, len(dropped) > 0, hatched, bar is not None)
    drawings: dict[str, Any] = {}
    number = result.distributions.get("number")
    if number is not None and number.n > 0:
        drawings["size-distribution"] = figures.size_distribution(number)
        drawings["size-distribution-by-weight"] = figures.weightings(result.distributions)
    if result.radial is not None and result.radial.n >= MIN_RADIAL:
        drawings["radial-distribution"] = figures.radial(result.radial)
    drawings["shape"] = figures.shape_scatter(table)
    drawings["picking"] = figures.picking_of(result.segmentation.info, result.image.calibration)
    return Drawn(made, labels, legend, {n: figures.svg(f) for n, f in drawings.items() if f is not None}, plane)


def _draw_phases(
    result: Result, pixels: np.ndarray, labels: np.ndarray, ignore: np.ndarray | None, plane: str
) -> Drawn:
    """Return the picture of an image whose labels are classes: each in its colour, the grey shining through."""
    bar = result.annotations.scale_bar if pixels.shape == result.annotations.ignore.shape else None
    made = layers(pixels, np.zeros(labels.shape, np.int32), ignore=ignore, bar=bar, numbers=False)
    colours = class_colours(len(result.phases))
    shown = resize_nearest(labels, made.base.shape)
    free = made.drawing[..., 3] == 0
    made.drawing[free, :3] = painted(shown, colours)[free]
    made.drawing[free, 3] = VEIL
    legend = [(colour, phase.name) for colour, phase in zip(colours, result.phases, strict=True)]
    return Drawn(made, labels, legend, {}, plane)


def batch_figures(batch: BatchResult) -> dict[str, str]:
    """Return the figures over all images as SVG, by name."""
    number = batch.distributions.get("number")
    pooled = batch.estimates.get("d50")
    made = {
        "size-distribution": figures.size_distribution(number) if number is not None and number.n > 0 else None,
        "d50-per-image": figures.batch_d50(batch.rows, pooled=pooled.as_dict() if pooled is not None else None),
    }
    return {name: figures.svg(figure) for name, figure in made.items() if figure is not None}


def _flat(result: Result) -> tuple[np.ndarray, np.ndarray, np.ndarray | None, str]:
    """Return pixels, labels and ignored pixels of one plane, and words that say which plane of a stack it is."""
    pixels, labels, ignore = result.image.pixels, result.segmentation.labels, result.image.ignore
    words = ""
    axes = result.image.axes
    if "C" in axes and pixels.ndim > labels.ndim:
        pixels = pixels.mean(axis=axes.index("C"))
    if labels.ndim > 2:
        labels = labels.reshape(-1, *labels.shape[-2:])
        plane = int(np.argmax(np.count_nonzero(labels, axis=(1, 2))))
        words = f"plane {plane + 1} of {len(labels)}, the one that particles fill most"
        pixels = pixels.reshape(-1, *pixels.shape[-2:])[min(plane, pixels.size // labels[0].size - 1)]
        labels = labels[plane]
        if ignore is not None:
            ignore = ignore.reshape(-1, *ignore.shape[-2:])[min(plane, ignore.size // labels.size - 1)]
    elif pixels.ndim > 2:
        pixels = pixels.reshape(-1, *pixels.shape[-2:])[0]
    return pixels, labels, ignore, words


def _dropped(result: Result) -> np.ndarray:
    """Return the labels of the particles that do not enter the statistics: not seen whole, they have no weight."""
    settings = result.recipe.as_dict().get("statistics", {})
    if not settings.get("edge_correction", True) or "edge_weight" not in result.table:
        return np.zeros(0, np.int64)
    weight = result.table["edge_weight"].to_numpy(float)
    return result.table["label"].to_numpy()[~(np.isfinite(weight) & (weight > 0))]


def _doubtful(table: DataFrame, dropped: np.ndarray) -> np.ndarray:
    """Return the labels of the particles that count although their score is low."""
    if "score" not in table:
        return np.zeros(0, np.int64)
    label = table["label"].to_numpy()
    return label[(table["score"].to_numpy(float) < DOUBTFUL) & ~np.isin(label, dropped)]


def targets_of(result: Result, drawn: Drawn) -> list[dict[str, str]]:
    """Return an outline in display pixels and a line of words for each particle, to show under the pointer."""
    from scipy.ndimage import find_objects

    table = result.table
    units = table.attrs.get("units", {})
    words = {}
    columns = [c for c in ("equivalent_diameter", "aspect_ratio", "circularity", "score") if c in table]
    for label, *values in table[["label", *columns]].itertuples(index=False):
        parts = [
            f"{HEADS.get(c, c).replace('_', ' ')} {format_significant(float(v))} {units.get(c, '')}".strip()
            for c, v in zip(columns, values, strict=True)
        ]
        words[int(label)] = f"No. {label}: {', '.join(parts)}"
    scale = drawn.layers.scale
    targets = []
    for index, box in enumerate(find_objects(drawn.labels)):
        if box is None or index + 1 not in words:
            continue
        own = (drawn.labels[box] == index + 1).view(np.uint8)
        offset = (box[1].start, box[0].start)
        outlines, _ = cv2.findContours(own, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE, offset=offset)
        paths = []
        for outline in outlines:
            points = (cv2.approxPolyDP(outline, 0.8, True)[:, 0] + 0.5) * scale
            paths.append("M" + " ".join(f"{x:.0f},{y:.0f}" for x, y in points) + "Z")
        targets.append({"path": "".join(paths), "words": words[index + 1]})
    return targets


def bar_crop(result: Result) -> str:
    """Return the piece of the image that holds the scale bar, its ends marked, as a data URI; empty without a bar."""
    bar = result.annotations.scale_bar
    pixels, _, ignore, _ = _flat(result)
    if bar is None or pixels.shape != result.annotations.ignore.shape:
        return ""
    reach = np.array([max(24, round(0.12 * pixels.shape[0])), max(12, round(0.15 * bar.length_px))])
    ends = np.array([[bar.y0, bar.x0], [bar.y1, bar.x1]])
    low = np.maximum(np.floor(ends.min(0)).astype(int) - reach, 0)
    high = np.minimum(np.ceil(ends.max(0)).astype(int) + reach + 1, pixels.shape)
    if (high - low < 2).any():
        return ""
    crop = stretch(pixels, ignore=ignore)[low[0] : high[0], low[1] : high[1]]
    zoom = float(np.clip(420 / crop.shape[1], 0.25, 4))
    crop = cv2.resize(crop, None, fx=zoom, fy=zoom, interpolation=cv2.INTER_AREA if zoom < 1 else cv2.INTER_CUBIC)
    crop = cv2.cvtColor(crop, cv2.COLOR_GRAY2RGB)
    for x in (bar.x0, bar.x1):
        at = round((x - low[1] + 0.5) * zoom)
        y = round((ends[:, 0].mean() - low[0] + 0.5) * zoom)
        cv2.line(crop, (at, y - 18), (at, y + 18), BAR, 2)
    return data_uri("jpeg", encode_jpeg(crop, 90))


def thumbnail(path: Path) -> str:
    """Return a small picture of an overlay as a data URI; empty where there is none."""
    picture = cv2.imread(str(path), cv2.IMREAD_COLOR) if path.is_file() else None
    if picture is None:
        return ""
    scale = 132 / max(picture.shape[:2])
    small = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return data_uri("jpeg", encode_jpeg(cv2.cvtColor(small, cv2.COLOR_BGR2RGB), 70))


def small_jpeg(picture: np.ndarray) -> bytes:
    data = b""
    for quality in (85, 70, 50):
        data = encode_jpeg(picture, quality)
        if len(data) <= MAX_JPEG:
            break
    return data


def data_uri(kind: str, data: bytes) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
