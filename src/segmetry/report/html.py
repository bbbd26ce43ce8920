"""Reports as one HTML file each, that needs no network: `report`, and what a run leaves in its folders."""

from __future__ import annotations

import base64
import functools
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import cv2
import numpy as np

from segmetry.errors import OptionError, WriteError
from segmetry.io.atomic import atomic
from segmetry.report import figures, page
from segmetry.report.overlay import (
    BAR,
    MAX_NUMBERS,
    Layers,
    encode_drawing,
    encode_jpeg,
    encode_png,
    layers,
    legend_entries,
    stretch,
    with_legend,
)
from segmetry.report.prose import batch_paragraph, methods_paragraph, pixel_words
from segmetry.report.text import format_share, format_significant, plural, print_estimate

if TYPE_CHECKING:
    from jinja2 import Environment

    from segmetry.gather import BatchResult
    from segmetry.pipeline import Result

MAX_TARGETS = 600
"""Particles that answer to the pointer; beyond, the page would grow heavy."""
MAX_THUMBNAILS = 400
MAX_JPEG = 900_000


class Drawn(NamedTuple):
    """An image's picture and figures, made once for the page and for the files beside it."""

    layers: Layers
    labels: np.ndarray
    legend: list[tuple[str, str]]
    figures: dict[str, str]  # name: SVG
    plane: str


def report(results: Result | BatchResult | Iterable[Result], path: str | Path) -> Path:
    """Write a report as one HTML file that needs no network, and return its path.

    Parameters
    ----------
    results : Result, BatchResult or several Result
        What `segmetry.analyse` gave, once or more often. Several results get a page each, in a folder each beside the
        page over all.
    path : path
        An HTML file, or a folder that gets ``report.html``. Folders are made.

    Raises
    ------
    WriteError
        If the place cannot be written.
    OptionError
        If `results` is none of these.
    """
    path = Path(path)
    if path.suffix.lower() not in (".html", ".htm"):
        path = path / "report.html"
    text = _page_of(results, path.parent)
    _make(path.parent)
    _write(path, text.encode())
    return path


def _page_of(results: Any, folder: Path) -> str:
    """Return the page of a result or a batch; several results become a batch whose pages go into `folder`."""
    if hasattr(results, "image"):
        return image_page(results, draw(results))
    if hasattr(results, "rows"):
        return batch_page(results, folder, batch_figures(results))
    several = list(results) if isinstance(results, Iterable) else []
    if not several or not all(hasattr(r, "image") for r in several):
        raise OptionError(f"report: give a result of analyse(), or several in a list; got {results!r:.60}.")
    from segmetry.report.several import as_batch

    batch = as_batch(several)
    for row, result in zip(batch.rows, several, strict=True):
        write_result(result, folder / row["folder"])
    return batch_page(batch, folder, batch_figures(batch))


def write_result(result: Result, folder: str | Path) -> list[Path]:
    """Write ``overlay.png``, ``report.html`` and ``figures/*.svg`` of one image into a folder; return their paths."""
    folder = Path(folder)
    _make(folder / "figures")
    drawn = draw(result)
    picture = with_legend(drawn.layers.flat(), drawn.legend)
    files = {folder / "overlay.png": encode_png(picture), folder / "report.html": image_page(result, drawn).encode()}
    files |= {folder / "figures" / f"{n}.svg": f.encode() for n, f in drawn.figures.items()}
    for path, data in files.items():
        _write(path, data)
    return list(files)


def write_batch(batch: BatchResult, folder: str | Path) -> list[Path]:
    """Write ``report.html`` and ``figures/*.svg`` over all images of a batch into its folder; return their paths."""
    folder = Path(folder)
    _make(folder / "figures")
    drawn = batch_figures(batch)
    files = {folder / "report.html": batch_page(batch, folder, drawn).encode()}
    files |= {folder / "figures" / f"{n}.svg": f.encode() for n, f in drawn.items()}
    for path, data in files.items():
        _write(path, data)
    return list(files)


def draw(result: Result) -> Drawn:
    """Return the picture and the figures of a result."""
    pixels, labels, ignore, plane = _flat(result)
    table, bar = result.table, result.annotations.scale_bar
    dropped = _dropped(result)
    bar = bar if pixels.shape == result.annotations.ignore.shape else None
    made = layers(pixels, labels, dropped=dropped, ignore=ignore, bar=bar)
    hatched = ignore is not None and bool(ignore.any())
    legend = legend_entries(len(table) > len(dropped), len(dropped) > 0, hatched, bar is not None)
    drawings: dict[str, Any] = {}
    number = result.distributions.get("number")
    if number is not None and number.n > 0:
        drawings["size-distribution"] = figures.size_distribution(number)
        drawings["size-distribution-by-weight"] = figures.weightings(result.distributions)
    if result.radial is not None and np.isfinite(np.asarray(result.radial.g, float)).any():
        drawings["radial-distribution"] = figures.radial(result.radial)
    drawings["shape"] = figures.shape_scatter(table)
    drawings["picking"] = figures.picking_of(result.segmentation.info, result.image.calibration)
    return Drawn(made, labels, legend, {n: figures.svg(f) for n, f in drawings.items() if f is not None}, plane)


def image_page(result: Result, drawn: Drawn) -> str:
    """Return the page of one image."""
    table, number = result.table, result.distributions.get("number")
    heads, cells = page.table_head(table, _meanings())
    d50 = result.estimates.get("d50")
    paragraph = methods_paragraph(result)
    height, width = drawn.layers.base.shape
    targets = _targets(result, drawn) if 0 < len(table) <= MAX_TARGETS else []
    return _environment().get_template("image.html.j2").render(
        title=result.image.name,
        source=result.image.source.path.name if result.image.source else "",
        warnings=page.warnings_of(result),
        notes=[n for n in page.notes_of(result) if not n.startswith("WARNING")],
        n_found=len(table),
        n_counted=number.n if number is not None else len(table),
        n_dropped=number.n_dropped if number is not None else 0,
        key=[(k.upper(), page.estimate_row(k, result.estimates[k])) for k in ("d10", "d50", "d90")
             if k in result.estimates],
        d50=print_estimate(d50.value, d50.low, d50.high, d50.unit) if d50 is not None else None,
        level=format_share(d50.level) if d50 is not None else "",
        pixel=pixel_words(result.image.calibration),
        calibration=result.image.calibration,
        shape=" × ".join(str(n) for n in result.image.spatial_shape[::-1]),
        plane=drawn.plane,
        width=width,
        height=height,
        scale=drawn.layers.scale,
        base=_data("jpeg", _small_jpeg(drawn.layers.base)),
        drawing=_data("png", encode_drawing(drawn.layers.drawing)),
        targets=targets,
        legend=drawn.legend,
        max_numbers=MAX_NUMBERS,
        bar=result.annotations.scale_bar,
        bar_crop=_bar_crop(result),
        figures={n: figures.inline(f, n) for n, f in drawn.figures.items()},
        weighted={w: [page.estimate_row(k, d.estimates[k]).printed if k in d.estimates else "" for k in
                      ("d10", "d50", "d90", "mean", "span")]
                  for w, d in result.distributions.items() if d.n > 0},
        estimates=page.estimate_rows(result.estimates),
        heads=heads,
        cells=cells,
        n_columns=len(table.columns),
        paragraph=paragraph,
        recipe=result.recipe.to_yaml(),
        provenance=page.provenance_rows(result.provenance.as_dict()),
        software=f"{result.provenance.software} {result.provenance.version}",
    )  # fmt: skip


def batch_page(batch: BatchResult, folder: Path, drawn: Mapping[str, str]) -> str:
    """Return the page over all images; pictures are made from ``<folder>/<image>/overlay.png`` where that is there."""
    number = batch.distributions.get("number")
    rows = []
    for index, row in enumerate(batch.rows):
        own = str(row.get("folder") or "")
        pixel = row.get("pixel_size") or {}
        rows.append(
            {
                "name": row.get("image") or own,
                "folder": own,
                "link": "/".join(_quote(p) for p in (*Path(own).parts, "report.html")) if own else "",
                "thumbnail": _thumbnail(folder / own / "overlay.png") if own and index < MAX_THUMBNAILS else "",
                "n": row.get("n") or 0,
                "d50": page.row_estimate(row, "d50"),
                "pixel": f"{format_significant(pixel['value'], 4)} {pixel['unit']}"
                if pixel.get("value")
                else "unknown",
                "source": pixel.get("source") if pixel.get("value") else "",
                "flags": _row_flags(row),
            }
        )
    d50 = batch.estimates.get("d50")
    return _environment().get_template("batch.html.j2").render(
        title=plural(len(batch.rows), "image"),
        n_failed=len(batch.failures),
        n_found=sum(r["n"] for r in rows),
        n_counted=number.n if number is not None else 0,
        warnings=list(batch.notes),
        notes=list(number.notes) if number is not None else [],
        d50=print_estimate(d50.value, d50.low, d50.high, d50.unit) if d50 is not None else None,
        level=format_share(d50.level) if d50 is not None else "",
        key=[(k.upper(), page.estimate_row(k, batch.estimates[k])) for k in ("d10", "d50", "d90")
             if k in batch.estimates],
        rows=rows,
        max_thumbnails=MAX_THUMBNAILS,
        failures=batch.failures,
        figures={n: figures.inline(f, n) for n, f in drawn.items()},
        estimates=page.estimate_rows(batch.estimates),
        paragraph=batch_paragraph(batch),
        recipe=batch.recipe.to_yaml(),
        provenance=page.provenance_rows(batch.provenance.as_dict()),
        software=f"{batch.provenance.software} {batch.provenance.version}",
    )  # fmt: skip


def batch_figures(batch: BatchResult) -> dict[str, str]:
    """Return the figures over all images as SVG, by name."""
    number = batch.distributions.get("number")
    pooled = batch.estimates.get("d50")
    made = {
        "size-distribution": figures.size_distribution(number) if number is not None and number.n > 0 else None,
        "d50-per-image": figures.batch_d50(batch.rows, pooled=pooled.as_dict() if pooled is not None else None),
    }
    return {name: figures.svg(figure) for name, figure in made.items() if figure is not None}


@functools.cache
def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("segmetry.report"), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    environment.filters["plural"] = plural
    environment.filters["share"] = format_share
    environment.filters["digits"] = format_significant
    return environment


@functools.cache
def _meanings() -> dict[str, str]:
    from segmetry.measure import MEASURES

    return {name: measure.meaning for name, measure in MEASURES.items()}


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
    """Return the labels of the particles that do not enter the statistics: they touch the frame, so have no weight."""
    settings = result.recipe.as_dict().get("statistics", {})
    if not settings.get("edge_correction", True) or "edge_weight" not in result.table:
        return np.zeros(0, np.int64)
    weight = result.table["edge_weight"].to_numpy(float)
    return result.table["label"].to_numpy()[~(np.isfinite(weight) & (weight > 0))]


def _targets(result: Result, drawn: Drawn) -> list[dict[str, str]]:
    """Return an outline in display pixels and a line of words for each particle, to show under the pointer."""
    from scipy.ndimage import find_objects

    table = result.table
    units = table.attrs.get("units", {})
    words = {}
    columns = [c for c in ("equivalent_diameter", "aspect_ratio", "circularity") if c in table]
    for label, *values in table[["label", *columns]].itertuples(index=False):
        parts = [
            f"{page.HEADS.get(c, c).replace('_', ' ')} {format_significant(float(v))} {units.get(c, '')}".strip()
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


def _bar_crop(result: Result) -> str:
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
    return _data("jpeg", encode_jpeg(crop, 90))


def _thumbnail(path: Path) -> str:
    """Return a small picture of an overlay as a data URI; empty where there is none."""
    picture = cv2.imread(str(path), cv2.IMREAD_COLOR) if path.is_file() else None
    if picture is None:
        return ""
    scale = 132 / max(picture.shape[:2])
    small = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return _data("jpeg", encode_jpeg(cv2.cvtColor(small, cv2.COLOR_BGR2RGB), 70))


def _row_flags(row: Mapping[str, Any]) -> list[str]:
    flags = [] if (row.get("pixel_size") or {}).get("value") else ["not calibrated"]
    n = row.get("n") or 0
    if n == 0:
        flags.append("no particles")
    elif n < page.FEW:
        flags.append("few particles")
    return flags + [
        note.partition("WARNING")[2].lstrip(": ") for note in row.get("notes", ()) if note.startswith("WARNING")
    ]


def _small_jpeg(picture: np.ndarray) -> bytes:
    data = b""
    for quality in (85, 70, 50):
        data = encode_jpeg(picture, quality)
        if len(data) <= MAX_JPEG:
            break
    return data


def _data(kind: str, data: bytes) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def _quote(part: str) -> str:
    from urllib.parse import quote

    return quote(part)


def _make(folder: Path) -> None:
    """Make a folder and those above it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = "a part of this path is a file" if isinstance(error, FileExistsError | NotADirectoryError) else None
        raise WriteError(
            f"{folder}: this folder cannot be made ({reason or error.strerror}); name another place."
        ) from error


def _write(path: Path, data: bytes) -> None:
    with atomic(path) as temporary:
        temporary.write_bytes(data)
