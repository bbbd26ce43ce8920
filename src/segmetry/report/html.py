"""Reports as one HTML file each, that needs no network: `report`, and what a run leaves in its folders."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segmetry.errors import OptionError, WriteError
from segmetry.io.atomic import atomic
from segmetry.report import figures, page
from segmetry.report.doubt_panel import doubt_panels
from segmetry.report.drawn import (
    MAX_TARGETS,
    MIN_RADIAL,
    Drawn,
    bar_crop,
    batch_figures,
    data_uri,
    draw,
    small_jpeg,
    targets_of,
    thumbnail,
)
from segmetry.report.overlay import MAX_NUMBERS, with_legend
from segmetry.report.picture import encode_drawing, encode_png
from segmetry.report.prose import batch_paragraph, methods_paragraph, pixel_words
from segmetry.report.text import count_here, format_share, format_significant, plural, print_estimate, print_fraction

if TYPE_CHECKING:
    from jinja2 import Environment

    from segmetry.gather import BatchResult
    from segmetry.pipeline import Result

MAX_THUMBNAILS = 400


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


def image_page(result: Result, drawn: Drawn) -> str:
    """Return the page of one image."""
    from segmetry.pipeline import PRECISION

    table, number = result.table, result.distributions.get("number")
    heads, cells = page.table_head(table, _meanings())
    d50 = result.estimates.get("d50")
    paragraph = methods_paragraph(result)
    height, width = drawn.layers.base.shape
    targets = targets_of(result, drawn) if 0 < len(table) <= MAX_TARGETS and not result.phases else []
    return environment().get_template("image.html.j2").render(
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
        base=data_uri("jpeg", small_jpeg(drawn.layers.base)),
        drawing=data_uri("png", encode_drawing(drawn.layers.drawing)),
        targets=targets,
        doubt=doubt_panels(result.maps),
        classes=result.segmentation.kind == "semantic",
        legend=drawn.legend,
        max_numbers=MAX_NUMBERS,
        method_words=page.method_words(result),
        bar=result.annotations.scale_bar,
        bar_crop=bar_crop(result),
        figures={n: figures.inline(f, n) for n, f in drawn.figures.items()},
        few_for_radial=MIN_RADIAL if result.radial is not None and result.radial.n < MIN_RADIAL else 0,
        weighted={w: [page.estimate_row(k, d.estimates[k]).printed if k in d.estimates else "" for k in
                      ("d10", "d50", "d90", "mean", "span")]
                  for w, d in result.distributions.items() if d.n > 0},
        needed=page.needed_sentence(result.needed, PRECISION, d50)
        if result.needed is not None and d50 is not None and d50.n
        else "",
        phases=page.table_of_phases(result.phases) if result.phases else None,
        own_phases=any(e.this_image for p in result.phases for e in p.estimates.values()),
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
                "thumbnail": thumbnail(folder / own / "overlay.png") if own and index < MAX_THUMBNAILS else "",
                "n": row.get("n") or 0,
                "phases": [
                    (p["class"], print_fraction(p.get("area_fraction") or p["volume_fraction"]))
                    for p in row.get("phases") or ()
                ],
                "n_here": count_here((row.get("estimates") or {}).get("count")),
                "d50": page.row_estimate(row, "d50"),
                "pixel": f"{format_significant(pixel['value'], 4)} {pixel['unit']}"
                if pixel.get("value")
                else "unknown",
                "source": pixel.get("source") if pixel.get("value") else "",
                "flags": _row_flags(row),
            }
        )
    d50 = batch.estimates.get("d50")
    return environment().get_template("batch.html.j2").render(
        title=plural(len(batch.rows), "image"),
        n_failed=len(batch.failures),
        n_found=sum(r["n"] for r in rows if not r["phases"]),
        n_phased=sum(bool(r["phases"]) for r in rows),
        phases=page.table_of_phases(batch.phases) if batch.phases else None,
        own_phases=any(e.this_image for p in batch.phases for e in p.estimates.values()),
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


@functools.cache
def environment() -> Environment:
    """Return the templates of the pages."""
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


def _row_flags(row: Mapping[str, Any]) -> list[str]:
    flags = [] if (row.get("pixel_size") or {}).get("value") else ["not calibrated"]
    n = row.get("n") or 0
    if row.get("phases"):
        pass  # numbers of particles say nothing of it
    elif n == 0:
        flags.append("no particles")
    elif n < page.FEW:
        flags.append("few particles")
    return flags + [
        note.partition("WARNING")[2].lstrip(": ") for note in row.get("notes", ()) if note.startswith("WARNING")
    ]


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
