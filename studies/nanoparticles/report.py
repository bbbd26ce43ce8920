"""What the study says: tables in words for the page, and the figures beside them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from segmetry.evaluate.dependence import Trend, trend
from segmetry.report.figures import svg
from segmetry.report.score_figures import Curve, curves, violins
from segmetry.report.trust_figures import trends
from segmetry.types import Estimate

from . import analysis, figures
from .run import METHODS, PICKS
from .scenes import Setting
from .tables import Tables

PROPERTIES = {
    "contrast": "contrast (share of the grey range)",
    "contrast_to_noise": "contrast to noise",
    "diameter_px": "diameter",
}
UNITS = {"diameter_px": "px"}
SHOWN = 3
"""Micrographs in the picture of agreement."""


def image_trends(tables: Tables, against: str, score: str = "jaccard") -> dict[str, Trend]:
    """Return how the Jaccard coefficient of each method goes with a property of the images."""
    return {
        method: trend(
            part[score].to_numpy(),
            part[against].to_numpy(),
            name="Jaccard coefficient",
            against_name=PROPERTIES[against],
            unit=UNITS.get(against, ""),
            scale="log2",
        )
        for method, part in _methods(tables.images)
    }


def object_trends(tables: Tables, against: str) -> dict[str, Trend]:
    """Return how the IoU of each true particle goes with a property of it; particles of an image go together."""
    return {
        method: trend(
            part["iou"].to_numpy(),
            part[against].to_numpy(),
            name="IoU of a particle (0: missed)",
            against_name=PROPERTIES[against],
            unit=UNITS.get(against, ""),
            scale="log2",
            groups=part["image"].to_numpy(),
            n_bins=12,
            n_resamples=300,
        )
        for method, part in _methods(tables.objects)
    }


def parts_of(tables: Tables, chosen: Sequence[Setting], side: int) -> dict[str, bytes]:
    """Return the figures by file name."""
    jaccard = analysis.wide(tables.images, "jaccard")
    order = list(jaccard.median().sort_values(ascending=False).index)
    means = analysis.means(tables.images, "jaccard", bounds=(0, 1))
    drawn = {
        "jaccard.svg": violins({m: jaccard[m].to_numpy() for m in order}, name="Jaccard coefficient", means=means),
        "jaccard-contrast.svg": trends(image_trends(tables, "contrast")),
        "jaccard-noise.svg": trends(image_trends(tables, "contrast_to_noise")),
        "jaccard-diameter.svg": trends(image_trends(tables, "diameter_px")),
        "iou-diameter.svg": curves(_size_curves(tables), name="mean IoU of a particle", against="diameter (px)"),
        "sizes.svg": figures.size_histograms(tables.diameters, tables.sizes),
    }
    parts = {name: svg(figure).encode() for name, figure in drawn.items() if figure is not None}
    return parts | {
        "supports.jpg": figures.supports_picture(),
        "agreement.png": figures.agreement_picture(typical(tables, chosen), side),
    }


def _size_curves(tables: Tables) -> dict[str, Curve]:
    of = dict(iter(tables.iou_by_size.groupby("method", sort=False)))
    return {m: Curve(*(of[m][c].to_numpy() for c in ("diameter_px", "iou", "low", "high"))) for m in METHODS if m in of}


def typical(tables: Tables, chosen: Sequence[Setting]) -> list[Setting]:
    """Return the settings whose Jaccard coefficient, mean over the methods, is at the quartiles."""
    mean = analysis.wide(tables.images, "jaccard").mean(axis=1).sort_values()
    at = (np.linspace(0, 1, SHOWN + 2)[1:-1] * (len(mean) - 1)).round().astype(int)
    by_name = {s.name: s for s in chosen}
    return [by_name[name] for name in mean.index[np.unique(at)]]


def summary_of(tables: Tables) -> str:
    """Return the tables of the page, in Markdown."""
    parts = (_scores, _standing_out, _told, _dependence, _by_size, _levels, _sizes, _per_image)
    return "\n\n".join(part(tables) for part in parts) + "\n"


def _scores(tables: Tables) -> str:
    jaccard = analysis.wide(tables.images, "jaccard")
    means = analysis.means(tables.images, "jaccard", bounds=(0, 1))
    ap = analysis.means(tables.images, "ap50", bounds=(0, 1))
    gaps = analysis.differences(tables.images, "jaccard")
    rows = []
    for method in METHODS:
        values = jaccard[method].to_numpy()
        low, high = np.nanquantile(values, (0.1, 0.9))
        gap = gaps.get(method)
        rows.append(
            [
                method,
                _shown(analysis.median_estimate(values)),
                _shown(means[method]),
                f"{low:.2f} to {high:.2f}",
                _shown(ap[method]),
                _shown(gap.estimate, sign=True) + f", p {_p(gap.p_value)}" if gap else "",
            ]
        )
    head = [
        "method",
        "Jaccard, median",
        "mean",
        "10th to 90th percentile",
        "AP50, mean",
        "hybrid - method (Jaccard, mean)",
    ]
    title = "**Jaccard coefficient of the foreground**, per image; in brackets 95 % intervals over images."
    return f"{title}\n\n{_table(head, rows)}"


def _standing_out(tables: Tables) -> str:
    one = tables.images.drop_duplicates("image")
    clear = tables.images[tables.images["contrast_to_noise"] >= analysis.STANDS_OUT]
    quartiles = one["contrast_to_noise"].quantile([0.05, 0.25, 0.5, 0.75, 0.95])
    gaps = analysis.differences(clear, "jaccard")
    found = analysis.means(clear, "jaccard", bounds=(0, 1))
    rows = []
    for method in METHODS:
        values = analysis.wide(clear, "jaccard")[method].to_numpy()
        gap = gaps.get(method)
        rows.append(
            [
                method,
                _shown(analysis.median_estimate(values)),
                _shown(found[method]),
                f"{float((values >= 0.8).mean()):.2f}",
                _shown(gap.estimate, sign=True) + f", p {_p(gap.p_value)}" if gap else "",
            ]
        )
    title = (
        f"**Images whose particles stand out**: the median contrast is at least {analysis.STANDS_OUT:g} standard "
        f"deviations of its surroundings; {clear['image'].nunique()} of {len(one)}. (Contrast to noise of all: "
        f"{', '.join(f'{q:.2g}' for q in quartiles)} at the 5th, 25th, 50th, 75th and 95th percentile.)"
    )
    head = ["method", "Jaccard, median", "mean", "share of images from 0.8 on", "hybrid - method (mean)"]
    return f"{title}\n\n{_table(head, rows)}"


def _told(tables: Tables) -> str:
    images = tables.images
    told = analysis.means(images, "jaccard_polarity_told", bounds=(0, 1))
    right = images.groupby("method")["polarity_right"].mean()
    rows = [
        [
            method,
            f"{right[method]:.3f}",
            _shown(analysis.median_estimate(analysis.wide(images, "jaccard_polarity_told")[method].to_numpy())),
            _shown(told[method]),
        ]
        for method in METHODS
    ]
    title = "**The same, with the polarity told** where the guess was wrong: what naming the modality gives."
    return f"{title}\n\n{_table(['method', 'polarity right', 'Jaccard, median', 'mean'], rows)}"


def _dependence(tables: Tables) -> str:
    rows = []
    by_property = {p: image_trends(tables, p) for p in PROPERTIES}
    of_objects = object_trends(tables, "diameter_px")
    joint = analysis.joint_slopes(tables.images)
    for method in METHODS:
        row = [method]
        for prop, found in by_property.items():
            row.append(_slope(found[method], -1 if prop != "diameter_px" else 1))
        both = joint[method]
        contrast, size = _turned(both["contrast"]), both["diameter_px"]
        rows.append([*row, f"{_shown(contrast, sign=True)}; {_shown(size, sign=True)}", _slope(of_objects[method], 1)])
    head = [
        "method",
        "Jaccard per halving of contrast",
        "per halving of contrast to noise",
        "per doubling of diameter",
        "both together: per halving of contrast; per doubling of diameter",
        "IoU of a particle per doubling of its diameter",
    ]
    title = "**Dependence**: slope of the least-squares line, with its 95 % interval and Spearman's rank correlation."
    return f"{title}\n\n{_table(head, rows)}"


def _slope(of: Trend, sign: int) -> str:
    slope = of.slope
    low, high = sorted((sign * slope.low, sign * slope.high))
    return f"{sign * slope.value:+.3f} [{low:+.3f}, {high:+.3f}], rho {of.rho.value:+.2f}"


def _by_size(tables: Tables) -> str:
    rows = []
    for (low, high), part in tables.iou_by_size.groupby(["from_px", "to_px"]):
        of = part.set_index("method")
        one = of.iloc[0]
        shown = [f"{of.loc[m, 'iou']:.2f} [{of.loc[m, 'low']:.2f}, {of.loc[m, 'high']:.2f}]" for m in METHODS]
        rows.append([f"{low:g} to {high:g}", f"{one['n']:.0f}", f"{one['n_images']:.0f}", *shown])
    title = "**Mean IoU of the true particles by diameter**, 0 where missed; images drawn as a whole."
    return f"{title}\n\n{_table(['diameter, px', 'particles', 'images', *METHODS], rows)}"


def _levels(tables: Tables) -> str:
    out = []
    for factor in analysis.FACTORS:
        medians = tables.images.pivot_table(
            index=factor, columns="method", values="jaccard", aggfunc="median", sort=False
        )
        if factor in ("size", "instrument"):
            medians = medians.sort_index()
        for level, row in medians.iterrows():
            name = f"{factor} {level:g} nm" if factor == "size" else f"{factor} {level}"
            out.append([name, *(f"{row[m]:.2f}" for m in METHODS)])
    return f"**Median Jaccard coefficient by level.**\n\n{_table(['level', *METHODS], out)}"


def _sizes(tables: Tables) -> str:
    rows = []
    for (modality, pick), part in tables.sizes.groupby(["modality", "pick"], sort=False):
        for of in part.itertuples():
            rows.append(
                [
                    modality,
                    figures.PICK_WORDS[pick],
                    of.method,
                    f"{of.n_found} of {of.n_truth}",
                    _percent(of.d50_error, of.d50_low, of.d50_high),
                    _percent(of.mean_error, of.mean_low, of.mean_high),
                    f"{of.ks:.3f}",
                    f"{of.wasserstein:.3f}",
                    "**yes**" if of.reproduced else "no",
                ]
            )
    order = {m: k for k, m in enumerate(tables.images["modality"].unique())}
    rows.sort(key=lambda r: (r[1], order[r[0]]))
    head = [
        "modality",
        "of",
        "method",
        "found of true",
        "D50 error",
        "mean error",
        "KS",
        "Wasserstein / D50",
        "reproduced",
    ]
    title = "**Size distributions**, diameters over the true D50 of their image, pooled over the images of a modality."
    return f"{title}\n\n{_table(head, rows)}"


def _per_image(tables: Tables) -> str:
    rows = []
    for pick in PICKS:
        for method in METHODS:
            part = tables.images[tables.images["method"] == method]
            error = part[f"d50_error_{pick}"].abs()
            ks = part[f"ks_{pick}"]
            n = int(part[f"count_error_{pick}"].notna().sum())
            rows.append(
                [
                    figures.PICK_WORDS[pick],
                    method,
                    f"{int(error.notna().sum())} of {n}",
                    _shown(analysis.median_estimate(part[f"d50_error_{pick}"].to_numpy()), sign=True),
                    _shown(analysis.median_estimate(error.to_numpy())),
                    f"{float((error <= analysis.TOLERANCE).sum()) / max(n, 1):.2f}",
                    f"{ks.median():.3f}",
                ]
            )
    head = [
        "of",
        "method",
        "images with a D50",
        "D50 error, median",
        "without its sign",
        "share of images within 5 %",
        "KS, median",
    ]
    return f"**Size distributions image by image**, unpooled, in all modalities.\n\n{_table(head, rows)}"


def _methods(table: pd.DataFrame) -> Iterable[tuple[str, pd.DataFrame]]:
    return ((method, table[table["method"] == method]) for method in METHODS)


def _turned(of: Estimate) -> Estimate:
    """Return a slope per doubling as one per halving."""
    return dataclasses.replace(of, value=-of.value, low=-of.high, high=-of.low)


def _shown(of: Estimate, sign: bool = False) -> str:
    form = "+.3f" if sign else ".3f"
    return f"{of.value:{form}} [{of.low:{form}}, {of.high:{form}}]"


def _percent(value: float, low: float, high: float) -> str:
    return f"{100 * value:+.1f} % [{100 * low:+.1f}, {100 * high:+.1f}]"


def _p(p: float) -> str:
    return "< .001" if p < 0.001 else f"{p:.3f}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
