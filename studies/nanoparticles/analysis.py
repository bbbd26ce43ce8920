"""From what was found in each micrograph to tables, and from these to the figures of the study.

What counts as a size distribution reproduced was fixed before the results were looked at: `TOLERANCE`.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from segmetry.evaluate.paired import Difference, paired_difference
from segmetry.evaluate.physical import distances
from segmetry.evaluate.uncertain import mean_over_images
from segmetry.measure.weighted import Sample
from segmetry.types import Estimate

from .run import METHODS, PICKS

FACTORS = ("size", "material", "support", "modality", "instrument")
FEWEST = 5
"""True particles below which an image gives no size distribution."""
STANDS_OUT = 2.0
"""Median contrast over noise from which on the particles of an image are said to stand out."""
CLASSES = (4.0, 5.7, 8.0, 11.3, 16.0, 22.6, 32.0, 45.3, 64.0, 90.5, 181.0)
"""Edges of the classes of diameter (px), a factor of the root of two apart; the last one is wider."""
TOLERANCE, APART = 0.05, 0.1
"""A method reproduces the sizes of a modality where its pooled D50 is within `TOLERANCE` of the true one and its
distribution within a Wasserstein distance of `APART` times the true D50."""


def image_table(rows: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """Return one row per image and method: the image's factors, contrast and size, and all scores of the method."""
    out = []
    for row in rows:
        image = {k: row[k] for k in ("image", *FACTORS, "pixel_size", "n_truth", "diameter_px")}
        image |= {k: row[k] for k in ("contrast", "contrast_to_noise")}
        for method, found in row["methods"].items():
            told = found["scores_polarity_told"]
            line = image | {"method": method, "polarity_right": found["polarity_right"]}
            line |= found["scores"] | {f"{k}_polarity_told": told[k] for k in ("jaccard", "ap50")}
            for pick in PICKS:
                line |= {f"{k}_{pick}": v for k, v in size_scores(row["truth"][pick], found[pick]).items()}
            out.append(line | {"seconds": found["seconds"]})
    return pd.DataFrame(out)


def size_scores(truth: Sequence[float], found: Sequence[float]) -> dict[str, float]:
    """Return how far found diameters are from the true ones of the same image.

    Relative errors of D50, mean and number; the Kolmogorov-Smirnov distance; and the Wasserstein distance over the true
    D50. nan where there are fewer than `FEWEST` true particles, and, but for the number, where nothing was found.
    """
    names = ("d50_error", "mean_error", "count_error", "ks", "wasserstein")
    if len(truth) < FEWEST:
        return dict.fromkeys(names, math.nan)
    count = len(found) / len(truth) - 1
    if not len(found):
        return dict.fromkeys(names, math.nan) | {"count_error": count}
    d50 = float(np.median(truth))
    area, height = distances(_counted(truth), _counted(found))
    return {
        "d50_error": float(np.median(found)) / d50 - 1,
        "mean_error": float(np.mean(found)) / float(np.mean(truth)) - 1,
        "count_error": count,
        "ks": height,
        "wasserstein": area / d50,
    }


def _counted(values: Sequence[float] | np.ndarray) -> Sample:
    """Return values that count alike: here the frame takes large particles from truth and found alike."""
    return Sample(np.asarray(values, float), np.ones(len(values)))


def object_table(rows: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """Return one row per true particle and method: its diameter (px), contrast, whether it is isolated, and its IoU.

    This is what later methods are to be held against: with the same seed the same particles come back.
    """
    parts = []
    for row in rows:
        truth = row["truth"]
        n = len(truth["diameter_px"])
        isolated = np.isin(np.arange(1, n + 1), truth["isolated_at"])
        for method, found in row["methods"].items():
            part = {"image": row["image"], "modality": row["modality"], "support": row["support"], "method": method}
            part |= {"truth": np.arange(1, n + 1), "diameter_px": truth["diameter_px"], "contrast": truth["contrast"]}
            part |= {"contrast_to_noise": truth["contrast_to_noise"], "isolated": isolated, "iou": found["object_iou"]}
            part |= {"iou_polarity_told": found["object_iou_polarity_told"]}
            parts.append(pd.DataFrame(part))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def diameter_table(rows: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """Return one row per measured particle: image, modality, method (or ``"truth"``), pick, diameter (nm).

    `relative` is the diameter over the true D50 of its image and pick, so that images of all mean sizes can be pooled;
    images with fewer than `FEWEST` true particles of the pick are left out.
    """
    parts = []
    for row in rows:
        for pick in PICKS:
            truth = row["truth"][pick]
            if len(truth) < FEWEST:
                continue
            d50 = float(np.median(truth))
            for who, found in (("truth", truth), *((m, f[pick]) for m, f in row["methods"].items())):
                part = {"image": row["image"], "modality": row["modality"], "size": row["size"], "method": who}
                part |= {"pick": pick, "diameter": np.array(found, float), "relative": np.array(found, float) / d50}
                parts.append(pd.DataFrame(part))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def wide(images: pd.DataFrame, score: str) -> pd.DataFrame:
    """Return a score with one row per image and one column per method."""
    return images.pivot(index="image", columns="method", values=score)[list(METHODS)]


def means(images: pd.DataFrame, score: str, *, bounds: tuple[float, float] | None = None) -> dict[str, Estimate]:
    """Return the mean of a score over images for each method, with its interval."""
    return mean_over_images(wide(images, score), bounds=bounds)


def median_estimate(values: np.ndarray, name: str = "median", level: float = 0.95) -> Estimate:
    """Return the median over images with the distribution-free interval of its order statistics."""
    seen = np.asarray(values, float)
    seen = seen[np.isfinite(seen)]
    if not seen.size:
        return Estimate(name, math.nan, note="no image has this score")
    low, high = stats.quantile_test(seen, q=float(np.median(seen)), p=0.5).confidence_interval(level)
    return Estimate(
        name, float(np.median(seen)), float(low), float(high), level=level, method="order statistics", n=seen.size
    )


def differences(images: pd.DataFrame, score: str, best: str = "hybrid") -> dict[str, Difference]:
    """Return for each method how much `best` is above it on the same images, with interval and p."""
    table = wide(images, score)
    return {
        m: paired_difference(table[m].to_numpy(), table[best].to_numpy(), name=f"{best} - {m}")
        for m in METHODS
        if m != best
    }


def iou_by_size(objects: pd.DataFrame, column: str = "iou") -> pd.DataFrame:
    """Return the mean IoU of true particles, 0 where missed, in classes of diameter (px), with 95 % intervals.

    Particles of one image are drawn together. The classes are `CLASSES`; empty ones have no row.
    """
    out = []
    for method, part in objects.groupby("method", sort=False):
        which = np.digitize(part["diameter_px"], CLASSES) - 1
        for k, (low, high) in enumerate(itertools.pairwise(CLASSES)):
            rows = part[which == k]
            if rows.empty:
                continue
            mean = mean_over_images(rows[column].to_numpy(), groups=rows["image"].to_numpy(), bounds=(0, 1))
            out.append(
                {
                    "method": method,
                    "from_px": low,
                    "to_px": high,
                    "n": len(rows),
                    "n_images": rows["image"].nunique(),
                    "diameter_px": float(rows["diameter_px"].median()),
                    "iou": mean.value,
                    "low": mean.low,
                    "high": mean.high,
                }
            )
    return pd.DataFrame(out)


def joint_slopes(
    images: pd.DataFrame, score: str = "jaccard", *, n_resamples: int = 2000, seed: int = 0
) -> dict[str, dict[str, Estimate]]:
    """Return for each method how a score changes per doubling of contrast at equal size, and of size at equal contrast.

    Least squares of the score on the logarithms of both; the intervals are percentiles over images drawn again.
    """
    out = {}
    for method in METHODS:
        part = images[images["method"] == method]
        x = np.log2(part[["contrast", "diameter_px"]].to_numpy(float))
        y = part[score].to_numpy(float)
        seen = np.isfinite(x).all(axis=1) & np.isfinite(y)
        design, y = np.column_stack([np.ones(seen.sum()), x[seen]]), y[seen]
        draws = np.random.default_rng(seed).integers(0, len(y), (n_resamples, len(y)))
        normal = np.einsum("bni,bnj->bij", design[draws], design[draws])
        right = np.einsum("bni,bn->bi", design[draws], y[draws])
        drawn = np.linalg.solve(normal + 1e-12 * np.eye(3), right[..., None])[:, 1:, 0]
        value = np.linalg.lstsq(design, y, rcond=None)[0][1:]
        low, high = np.quantile(drawn, (0.025, 0.975), axis=0)
        how = f"least squares on both; percentiles, {len(y)} images drawn {n_resamples} times"
        out[method] = {
            name: Estimate(name, float(value[k]), float(low[k]), float(high[k]), method=how, n=len(y))
            for k, name in enumerate(("contrast", "diameter_px"))
        }
    return out


def pooled_sizes(diameters: pd.DataFrame, *, n_resamples: int = 1000, seed: int = 0) -> pd.DataFrame:
    """Return for each modality, pick and method how far the pooled relative diameters are from the true ones.

    The columns are relative errors of D50 and mean with their 95 % interval (images drawn again, percentiles), the
    Kolmogorov-Smirnov and Wasserstein distances, numbers, and whether the sizes are `reproduced`.
    """
    out: list[dict[str, Any]] = []
    for (modality, pick), part in diameters.groupby(["modality", "pick"], sort=False):
        by_image = {m: _by_image(part, m) for m in ("truth", *METHODS)}
        names = list(by_image["truth"])
        draws = np.random.default_rng(seed).integers(0, len(names), (n_resamples, len(names)))
        true = np.concatenate(list(by_image["truth"].values()))
        for method in METHODS:
            found = np.concatenate([by_image[method].get(i, np.zeros(0)) for i in names])
            errors = np.array([_errors(by_image["truth"], by_image[method], [names[k] for k in d]) for d in draws])
            low, high = np.nanquantile(errors, (0.025, 0.975), axis=0)
            d50, mean = _errors(by_image["truth"], by_image[method], names)
            area, height = distances(_counted(true), _counted(found)) if found.size else (math.nan, math.nan)
            out.append(
                {
                    "modality": modality,
                    "pick": pick,
                    "method": method,
                    "n_images": len(names),
                    "n_truth": true.size,
                    "n_found": found.size,
                    "d50_error": d50,
                    "d50_low": low[0],
                    "d50_high": high[0],
                    "mean_error": mean,
                    "mean_low": low[1],
                    "mean_high": high[1],
                    "ks": height,
                    "wasserstein": area,
                    "reproduced": bool(abs(d50) <= TOLERANCE and area <= APART),
                }
            )
    return pd.DataFrame(out)


def _by_image(part: pd.DataFrame, method: str) -> dict[str, np.ndarray]:
    rows = part[part["method"] == method]
    return {str(i): d.to_numpy() for i, d in rows.groupby("image", sort=False)["relative"]}


def _errors(truth: dict[str, np.ndarray], found: dict[str, np.ndarray], names: list[str]) -> tuple[float, float]:
    true = np.concatenate([truth[i] for i in names])
    seen = np.concatenate([found.get(i, np.zeros(0)) for i in names])
    if not seen.size:
        return math.nan, math.nan
    return float(np.median(seen) / np.median(true) - 1), float(seen.mean() / true.mean() - 1)
