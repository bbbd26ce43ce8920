"""The scores of many images together: every number with an interval and the name of its average."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from segmetry.errors import OptionError
from segmetry.evaluate.instance_counts import InstanceCounts
from segmetry.evaluate.judgement import FAMILIES, POOLED, Family, ImageScores
from segmetry.evaluate.semantic import SEMANTIC, SemanticCounts
from segmetry.evaluate.uncertain import mean_over_images, pooled
from segmetry.types import Estimate
from segmetry.units import PIXEL, convert

if TYPE_CHECKING:
    import pandas as pd


def same_classes(images: Sequence[ImageScores]) -> list[ImageScores]:
    """Return the images with their pixel scores taken over the classes that any of them has.

    An image judged alone shows what it has: where only one class lies on the background, `precision` is that class's,
    and where there are more it is their mean. Means over images need one of the two.

    Examples
    --------
    >>> from segmetry.evaluate.judgement import Rules, judge
    >>> truth = np.array([[0, 0, 1, 1], [0, 0, 2, 2]])
    >>> one = judge(truth[:1], np.array([[0, 1, 1, 1]]), Rules("semantic"))
    >>> two = judge(truth, truth, Rules("semantic"))
    >>> [round(image.values["semantic"]["iou"], 3) for image in (one, *same_classes([one, two]))]
    [0.667, 0.583, 1.0]
    """
    if len({one.pixels.values for one in images}) < 2:
        return list(images)
    together = SemanticCounts.stack([one.pixels for one in images])
    found = []
    for k, one in enumerate(images):
        error = None if together.absolute_error is None else together.absolute_error[k]
        pixels = SemanticCounts(together.confusion[k], together.values, together.names, error)
        rest = {name: v for name, v in one.values["semantic"].items() if name.partition("[")[0] not in SEMANTIC}
        values = {**one.values, "semantic": pixels.scores() | rest}
        found.append(replace(one, values=values, pixels=pixels))
    return found


def combine(
    images: Sequence[ImageScores],
    *,
    groups: Sequence[str] | None = None,
    n_resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> dict[str, dict[str, Estimate]]:
    """Return every score over many images, by family, with its interval for the population of images.

    Parameters
    ----------
    images : sequence of ImageScores
        All of one kind; of classes, `same_classes` is taken first.
    groups : sequence of str, optional
        Publication or specimen of each image; drawn as a whole, since its images resemble each other.
    n_resamples, level, seed
        Of the bootstrap.

    Raises
    ------
    OptionError
        If there are no images, or their units cannot be converted.
    """
    if not images:
        raise OptionError("there are no images to judge.")
    images = same_classes(images)
    how: dict[str, Any] = {"groups": groups, "n_resamples": n_resamples, "level": level, "seed": seed}
    unit = images[0].unit
    found: dict[str, dict[str, Estimate]] = {}
    for key, family in FAMILIES.items():
        columns = list(dict.fromkeys(name for one in images for name in one.values.get(key, ())))
        if not columns:
            continue
        table = {name: np.array([_in_unit(one, key, name, unit) for one in images]) for name in columns}
        bounds = {name: family.scores[name.partition("[")[0]].bounds for name in columns}
        found[key] = mean_over_images(table, bounds=bounds, units=_units(family, columns, unit), **how)
    counts = [one.instances for one in images if one.instances is not None]
    if len(counts) == len(images):
        stacked = InstanceCounts.stack(counts)
        arrays = {f.name: getattr(stacked, f.name) for f in fields(stacked)}
        found["instance_pooled"] = pooled(
            arrays,
            lambda sums: {name: value for name, value in InstanceCounts(**sums).scores().items() if name in POOLED},
            over="objects",
            bounds={name: score.bounds for name, score in POOLED.items()},
            **how,
        )
    found["semantic_pooled"] = _pool_pixels(images, how)
    return {key: found[key] for key in FAMILIES if key in found}


def _in_unit(image: ImageScores, family: str, name: str, unit: str) -> float:
    """Return a score of an image, a length in the unit of the first."""
    value = image.values.get(family, {}).get(name, math.nan)
    power = FAMILIES[family].scores[name.partition("[")[0]].length_power
    if not power or image.unit == unit:
        return value
    if PIXEL in (unit, image.unit):
        raise OptionError(
            f"{image.name} is in {image.unit} and the image before it in {unit}: "
            "distances cannot be averaged; give all the same pixel size."
        )
    return convert(value, image.unit, unit) if power == 1 else value * convert(1.0, image.unit, unit) ** power


def _units(family: Family, columns: Sequence[str], unit: str) -> dict[str, str]:
    powers = {name: family.scores[name.partition("[")[0]].length_power for name in columns}
    return {name: unit if power == 1 else f"{unit}^{power}" for name, power in powers.items() if power}


def _pool_pixels(images: Sequence[ImageScores], how: Mapping[str, Any]) -> dict[str, Estimate]:
    stacked = SemanticCounts.stack([one.pixels for one in images])
    arrays = {"confusion": stacked.confusion}
    if stacked.absolute_error is not None:
        arrays["absolute_error"] = stacked.absolute_error

    def scored(sums: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        error = sums.get("absolute_error")
        return SemanticCounts(sums["confusion"], stacked.values, stacked.names, error).scores()

    names = scored({key: array[:1] for key, array in arrays.items()})
    bounds = {name: SEMANTIC[name.partition("[")[0]].bounds for name in names}
    return pooled(arrays, scored, over="pixels", bounds=bounds, **how)


def tidy(images: Sequence[ImageScores], *, groups: Sequence[str] | None = None) -> pd.DataFrame:
    """Return one row a value: ``image, group, family, score, value, unit``."""
    import pandas as pd

    owners = groups if groups is not None else [one.name for one in images]
    rows = []
    for one, group in zip(images, owners, strict=True):
        for key, scores in one.values.items():
            units = _units(FAMILIES[key], list(scores), one.unit)
            rows += [(one.name, group, key, name, value, units.get(name, "")) for name, value in scores.items()]
    return pd.DataFrame(rows, columns=["image", "group", "family", "score", "value", "unit"])
