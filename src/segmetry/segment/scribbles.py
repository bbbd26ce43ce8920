"""A classifier of pixels from a few scribbles: painted pixels in, a model with its first honest scores out."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np

from segmetry.errors import ImageError, LabelError, OptionError, ShapeMismatchError
from segmetry.evaluate.temperature import fit_temperature
from segmetry.options import Options, option
from segmetry.prepare.features import Features, block_features, blocks, feature_names, levels_of
from segmetry.prepare.valid import as_finite, fill_invalid
from segmetry.segment.forest import MOST_FEATURES, Forest, forest_from
from segmetry.segment.neighbours import Neighbours, neighbours_of
from segmetry.segment.pixel_model import LEAST, PixelModel
from segmetry.types import Image

MOST_CLASSES = 64
"""More values than these are numbers of objects, not classes."""

FEW = 20
"""Fewer painted pixels of a class are a warning."""

TABLE = 1000
"""Painted pixels in the table of nearest neighbours."""

FOLDS = 4
"""Parts that strokes are dealt into, to see how well pixels of other strokes are told."""


@dataclass(frozen=True, kw_only=True)
class Training(Options):
    """How a classifier of pixels is trained."""

    name: ClassVar[str] = "scribbles"

    kind: str = option("forest", "what learns", choices=("forest", "neighbours"))
    first: float = option(0.7, "standard deviation of the finest Gaussian", unit="px", low=0.3, high=16)
    scales: int = option(5, "number of scales, each twice the one before", low=1, high=8)
    trees: int = option(24, "trees of a forest", low=1, high=1000)
    depth: int = option(10, "most decisions on the way down a tree", low=1, high=30)
    leaf: int = option(3, "least painted pixels in a leaf of a tree", low=1, high=1000)
    neighbours: int = option(15, "nearest painted pixels that vote", low=1, high=255)
    most: int = option(20_000, "painted pixels that are learned from; of more, as many are drawn", low=10, high=10**6)
    seed: int = option(0, "of all that is drawn", low=0, high=2**32 - 1)

    @property
    def features(self) -> Features:
        """The features of a pixel."""
        return Features(first=self.first, scales=self.scales)


class Painted(NamedTuple):
    """Features (n, F), class and stroke of painted pixels."""

    features: np.ndarray
    owner: np.ndarray
    stroke: np.ndarray


def train_on_scribbles(
    images: Sequence[Image | np.ndarray],
    scribbles: Sequence[np.ndarray],
    *,
    settings: Training | None = None,
    ignore: int = 0,
    classes: Mapping[int, str] | None = None,
) -> PixelModel:
    """Return a classifier of pixels that learned from scribbles.

    Parameters
    ----------
    images : sequence of Image or arrays
        (M, N) images or (P, M, N) volumes, all of the same number of axes and channels.
    scribbles : sequence of arrays
        One for each image, of its shape: a whole number for each class, `ignore` where nobody painted.
    settings : Training, optional
    ignore : int
        Value of pixels that nobody painted.
    classes : mapping of int to str, optional
        Names of classes by their value; the value itself where there is none.

    Returns
    -------
    model : PixelModel
        Its classes are numbered 0 to K - 1 in the order of the painted values. `scores` has, for each class, the share
        of painted pixels that came out right: ``other_strokes`` from forests that saw none of their stroke, and
        ``out_of_bag`` from the trees that did not see the pixel. The latter flatters: a pixel's neighbours in the same
        stroke were seen.

    Raises
    ------
    ShapeMismatchError
        If a scribble is not on its image.
    LabelError
        If scribbles are no whole numbers from 0, or show fewer than two classes.
    ImageError
        If images differ in axes or channels, or are none.
    OptionError
        If there are too many features, or a name of a class that nobody painted.

    Notes
    -----
    Painted pixels that are not finite, or not specimen, are left out. The temperature of the probabilities is fitted
    to the votes on pixels of other strokes, or out of the bag where no class has two strokes.
    """
    settings = settings or Training()
    if not images or len(images) != len(scribbles):
        raise ShapeMismatchError(f"scribbles are one for each image, got {len(images)} images and {len(scribbles)}.")
    pairs = [_checked(image, scribble, ignore) for image, scribble in zip(images, scribbles)]
    kinds = {(channels.ndim - 1, len(channels)) for channels, _, _ in pairs}
    if len(kinds) > 1:
        raise ImageError(f"images have to be alike; here are (axes, channels): {sorted(kinds)}.")
    n_axes, n_channels = kinds.pop()
    values = sorted({int(v) for _, painted, _ in pairs for v in np.unique(painted[painted >= 0])})
    if not 2 <= len(values) <= MOST_CLASSES:
        raise LabelError(
            f"scribbles show {len(values)} classes ({', '.join(map(str, values[:4]))}); paint 2 to {MOST_CLASSES}, "
            f"each with a number of its own, {ignore} where nothing is painted."
        )
    unknown = sorted(set(classes or {}) - set(values))
    if unknown:
        raise OptionError(f"class {unknown[0]} has a name but no pixel is painted with it; painted: {values}.")
    names = tuple((classes or {}).get(v, str(v)) for v in values)
    if len(set(names)) < len(names):
        raise OptionError(f"names of classes differ, got {', '.join(names)}.")
    seen = feature_names(settings.features, n_axes=n_axes, n_channels=n_channels)
    if len(seen) > MOST_FEATURES:
        raise OptionError(f"{len(seen)} features are too many, at most {MOST_FEATURES}: take fewer scales or channels.")
    rng = np.random.default_rng(settings.seed)
    painted = _painted(pairs, values, settings, rng)
    if not np.isfinite(painted.features).all():
        raise ImageError("pixels are so large that their features are not finite; divide the images.")
    classifier, grown = _fitted(painted.features, painted.owner, len(values), settings)
    other = _other_strokes(painted, len(values), settings, rng)
    held = other
    scores: dict[str, Any] = {"other_strokes": _right(other, painted.owner, names)}
    if grown is not None:
        bag = _out_of_bag(grown, painted)
        weights = sorted(zip(seen, grown.feature_importances_.tolist()), key=lambda pair: -pair[1])
        scores["importance"] = dict(weights)
        scores["out_of_bag"] = _right(bag, painted.owner, names)
        held = bag if np.isnan(other).all() else other
    told = ~np.isnan(held[0])
    temperature = fit_temperature(np.log(np.maximum(held[:, told], LEAST)), painted.owner[told])
    counts = np.bincount(painted.owner, minlength=len(values))
    return PixelModel(
        classifier,
        settings.features,
        "YX" if n_axes == 2 else "ZYX",
        n_channels,
        names,
        tuple(values),
        temperature,
        training={
            **settings.values(),
            "pixels": dict(zip(names, counts.tolist())),
            "strokes": {n: int(np.unique(painted.stroke[painted.owner == k]).size) for k, n in enumerate(names)},
        },
        scores=scores,
        notes=tuple(
            f"WARNING: class {name} has {n} painted pixel{'s' * (n > 1)}; paint more of it"
            for name, n in zip(names, counts.tolist())
            if n < FEW
        ),
    )


def _checked(
    image: Image | np.ndarray, scribble: np.ndarray, ignore: int
) -> tuple[np.ndarray, np.ndarray, tuple[float, ...]]:
    """Return the channels (C, *S) of an image, what is painted on it (-1 where nothing is), and its spacing."""
    if not isinstance(image, Image):
        image = Image(np.asarray(image))
    raw = [image.pixels] if image.channels is None else list(image.channels)
    if image.spatial_shape != image.pixels.shape or raw[0].dtype.kind not in "biuf":
        raise ImageError(
            f"{image.name}: axes {image.axes} of {raw[0].dtype}; a classifier learns from 2D or 3D numbers."
        )
    scribble = np.asarray(scribble)
    if scribble.shape != image.spatial_shape:
        raise ShapeMismatchError(
            f"{image.name}: the scribbles are {scribble.shape}, the image {image.spatial_shape}; paint on the image "
            "itself."
        )
    if scribble.dtype.kind not in "biuf":
        raise LabelError(f"{image.name}: scribbles are whole numbers, got {scribble.dtype}.")
    with np.errstate(invalid="ignore"):
        whole = scribble.astype(np.int64)
    if scribble.dtype.kind == "f" and not np.array_equal(whole, scribble):
        raise LabelError(f"{image.name}: scribbles hold values that are no whole numbers; save them as a label image.")
    if whole[whole != ignore].min(initial=0) < 0:
        raise LabelError(f"{image.name}: scribbles hold negative values; classes are whole numbers from 0.")
    finite = [as_finite(channel, image.ignore) for channel in raw]
    valid = np.ones(scribble.shape, bool)
    for one in finite:
        valid &= True if one.valid is None else one.valid
    channels = [one.pixels for one in finite]
    if image.pixels.ndim == 2 and not valid.all():  # as `segment` does before it looks
        channels = [fill_invalid(channel, valid) for channel in channels]
    return np.stack(channels), np.where((whole == ignore) | ~valid, -1, whole), image.calibration.spacing


def _painted(
    pairs: Sequence[tuple[np.ndarray, np.ndarray, tuple[float, ...]]],
    values: Sequence[int],
    settings: Training,
    rng: np.random.Generator,
) -> Painted:
    """Return the features of painted pixels: of all, or of as many of each class as `Training.most` has room for."""
    from scipy import ndimage

    total = sum(int((painted >= 0).sum()) for _, painted, _ in pairs)
    share = min(1.0, settings.most / total)
    parts = []
    n_strokes = 0
    for channels, painted, spacing in pairs:
        stroke = np.zeros(painted.shape, np.int64)
        drawn = np.zeros(painted.shape, bool)
        for value in values:
            own = painted == value
            pieces, n = ndimage.label(own, np.ones((3,) * own.ndim))
            stroke[own] = pieces[own] + n_strokes
            n_strokes += n
            places = np.flatnonzero(own)
            drawn.flat[rng.choice(places, math.ceil(share * places.size), replace=False)] = True
        levels = levels_of(channels, settings.features, spacing=spacing)
        for place in blocks(levels.shape):
            if (here := drawn[place]).any():
                seen = block_features(levels, place)[:, here].T
                parts.append((seen, np.searchsorted(values, painted[place][here]), stroke[place][here]))
    return Painted(*(np.concatenate(column) for column in zip(*parts)))


def _fitted(
    features: np.ndarray, owner: np.ndarray, n_classes: int, settings: Training
) -> tuple[Forest | Neighbours, Any]:
    """Return the classifier, and scikit-learn's forest where it is one."""
    if settings.kind == "neighbours":
        few = np.random.default_rng(settings.seed).permutation(len(owner))[:TABLE]
        return neighbours_of(features[few], owner[few], k=settings.neighbours, n_classes=n_classes), None
    from sklearn.ensemble import RandomForestClassifier

    grown = RandomForestClassifier(
        settings.trees, max_depth=settings.depth, min_samples_leaf=settings.leaf, random_state=settings.seed
    ).fit(features, owner)
    return forest_from(grown), grown


def _other_strokes(painted: Painted, n_classes: int, settings: Training, rng: np.random.Generator) -> np.ndarray:
    """Return probabilities (K, n) from classifiers that saw no pixel of the same stroke; nan where there is none."""
    fold = np.full(len(painted.owner), -1)
    for k in range(n_classes):
        strokes = rng.permutation(np.unique(painted.stroke[painted.owner == k]))
        if strokes.size > 1:
            for n, stroke in enumerate(strokes):
                fold[painted.stroke == stroke] = n % FOLDS
    held = np.full((n_classes, len(painted.owner)), np.nan, np.float32)
    for n in range(FOLDS):
        out = fold == n
        if out.any():
            # Every class is left: what has one stroke is in no fold, what has more is in several.
            rest = _fitted(painted.features[~out], painted.owner[~out], n_classes, settings)[0]
            held[:, out] = rest.probabilities(painted.features[out].T)
    return held


def _out_of_bag(grown: Any, painted: Painted) -> np.ndarray:
    """Return the mean (K, n) over the trees that did not see a pixel; nan where all did."""
    total = np.zeros((len(painted.owner), grown.n_classes_))
    n_trees = np.zeros(len(painted.owner))
    for tree, seen in zip(grown.estimators_, grown.estimators_samples_):
        out = np.ones(len(painted.owner), bool)
        out[seen] = False
        if out.any():
            total[out] += tree.predict_proba(painted.features[out])
            n_trees += out
    with np.errstate(invalid="ignore"):
        return (total / n_trees[:, None]).T


def _right(probability: np.ndarray, owner: np.ndarray, names: Sequence[str]) -> dict[str, float]:
    """Return the share of the pixels of each class that came out right; nan where none was asked."""
    told = ~np.isnan(probability[0])
    right = probability[:, told].argmax(axis=0) == owner[told]
    own = [right[owner[told] == k] for k in range(len(names))]
    return {name: float(r.mean()) if r.size else math.nan for name, r in zip(names, own)}
