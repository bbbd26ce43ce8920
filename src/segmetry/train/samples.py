"""Samples of labelled images for networks that tell classes apart: where they are cut, and how they are varied."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from segmetry.errors import LabelError, OptionError, ShapeMismatchError
from segmetry.segment.network_input import coordinates, in_units
from segmetry.train.augment import IGNORED, AugmentOptions, Warp, apply_warp, change_greys, draw_warp, warp_maps
from segmetry.train.options import check_shares

N_PLACES = 4096
"""Places of each class that are remembered of an image."""

SPARSE = 0.5
"""Images of which less is labelled are sampled about labelled pixels only."""

LARGEST_MAP = 2**24
"""Images of more pixels have their maps made of each sample, not once of the whole."""

KEPT_MAPS = 2**29
"""Bytes of maps that are kept; the oldest go."""

MakeMap = Callable[[np.ndarray], np.ndarray]
"""Makes a map of classes (uint8, `IGNORED` where nobody labelled): a number for each pixel."""


@dataclass(frozen=True, eq=False)
class Labelled:
    """An image with a class for every pixel that somebody labelled.

    Parameters
    ----------
    name : str
    group : str
        Publication or specimen: images of one group never part over a split.
    pixels : (C, M, N) or (C, P, M, N) array
        Channels; anything that is sliced like an array, so that images need not be in memory.
    classes : (M, N) or (P, M, N) array of uint8
        Number of the class; `IGNORED` where nobody labelled.
    spacing : tuple of float
        Length of a pixel along each axis in nm; empty if unknown.
    """

    name: str
    group: str
    pixels: Any
    classes: Any
    spacing: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if self.pixels.shape[1:] != self.classes.shape or self.classes.ndim not in (2, 3):
            raise ShapeMismatchError(
                f"{self.name}: the image is {self.pixels.shape[1:]}, its labels {self.classes.shape}; they must match."
            )


@dataclass(frozen=True)
class SampleOptions:
    """Where samples are cut.

    Parameters
    ----------
    side : int
        Side of a sample in px; 0 takes whole images.
    planes : int
        Planes of a sample of a volume.
    number : int
        Places in all, drawn once; 0 draws another for every sample.
    grid : bool
        Places side by side over every image, in place of random ones.
    rare : float
        Share of the samples about a pixel of a class that is drawn with equal chances, so that rare classes are seen.
    coordinates : bool
        Two channels more, which tell where in its image a pixel lies: row and column from -1 to 1.
    """

    side: int = 256
    planes: int = 32
    number: int = 0
    grid: bool = False
    rare: float = 0.5
    coordinates: bool = False

    def __post_init__(self) -> None:
        for name, least in (("side", 0), ("planes", 1), ("number", 0)):
            value = getattr(self, name)
            if not isinstance(value, int) or value < least:
                raise OptionError(f"samples: {name} must be a whole number from {least}, got {value!r}.")
        check_shares("samples", self, "rare")
        if self.grid and (self.number or not self.side):
            raise OptionError("samples: a grid has its own number of places, and needs a side; leave out one of them.")


@dataclass(frozen=True)
class Normalisation:
    """Mean and standard deviation of each channel over the training images.

    Parameters
    ----------
    mean, sd : tuple of float
        One for each channel.
    """

    mean: tuple[float, ...]
    sd: tuple[float, ...]

    @classmethod
    def measured(cls, images: Sequence[Labelled]) -> Normalisation:
        """Return that of images, plane by plane, over the pixels that are finite.

        Raises
        ------
        ShapeMismatchError
            If the images have unlike numbers of channels.
        """
        channels = {len(image.pixels) for image in images}
        if len(channels) != 1:
            raise ShapeMismatchError(f"the images have unlike numbers of channels: {sorted(channels)}.")
        means, sds = [], []
        for c in range(channels.pop()):
            n, mean, squares = 0, 0.0, 0.0
            for image in images:
                planes = image.pixels[c] if image.classes.ndim == 3 else image.pixels[c : c + 1]
                for plane in planes:
                    values = np.asarray(plane, np.float64)
                    values = values[np.isfinite(values)]
                    if values.size:
                        n, mean, squares = _joined((n, mean, squares), values)
            means.append(float(mean))
            sds.append(float(np.sqrt(squares / max(n, 1))) or 1.0)
        return cls(tuple(means), tuple(sds))

    def apply(self, image: np.ndarray) -> np.ndarray:
        """Return an image (C, ...) in standard deviations; what is not finite becomes 0."""
        return in_units(image, self.mean, self.sd)

    def as_dict(self, *, coordinates: bool = False) -> dict[str, Any]:
        """Return what a model's card says of it, and whether two channels for the place follow."""
        return {"kind": "measured", "mean": list(self.mean), "sd": list(self.sd), "coordinates": coordinates}


class Sample(NamedTuple):
    """A sample: image (C, *S) float32 in standard deviations, classes (*S) uint8, and maps (*S) float32 by name."""

    image: np.ndarray
    classes: np.ndarray
    maps: dict[str, np.ndarray]


class Samples:
    """Samples by number: the same number gives the same sample, so that a run can stop and go on anywhere.

    Parameters
    ----------
    images : sequence of Labelled
        All with as many axes.
    normalisation : Normalisation
    options : SampleOptions
    augment : AugmentOptions
    seed : int

    Raises
    ------
    LabelError
        If nothing is labelled at all.
    """

    def __init__(
        self,
        images: Sequence[Labelled],
        normalisation: Normalisation,
        *,
        options: SampleOptions | None = None,
        augment: AugmentOptions | None = None,
        seed: int = 0,
    ) -> None:
        self.images, self.normalisation, self.seed = list(images), normalisation, seed
        self.options, self.augment = options or SampleOptions(), augment or AugmentOptions()
        rng = np.random.default_rng([seed, 0])
        self._places, self._labelled = zip(*(_remember(image.classes, rng) for image in self.images), strict=True)
        self._by_class: dict[int, list[int]] = {}
        for i, places in enumerate(self._places):
            for k in places:
                self._by_class.setdefault(k, []).append(i)
        if not self._by_class:
            raise LabelError("the labels of the training images say nothing: every pixel is to be ignored.")
        self._grid = [place for i in range(len(self.images)) for place in self._tiles(i)] if self.options.grid else []
        self._make: dict[str, MakeMap] = {}
        self._maps: dict[int, dict[str, np.ndarray]] = {}

    def with_maps(self, make: Mapping[str, MakeMap]) -> Samples:
        """Return these samples with maps: made once of each image, and cut, turned and zoomed with it.

        A weight that depends on the whole object is right in a crop that shows a part of it. Of images beyond
        `LARGEST_MAP` maps are made of each sample.
        """
        out = copy.copy(self)
        out._make, out._maps = dict(make), {}
        return out

    def draw(self, number: int) -> Sample:
        """Return sample `number`."""
        rng = np.random.default_rng([self.seed, 1, number])
        i, centre = self._place(number, rng)
        image = self.images[i]
        side = self.options.side
        shape = (side, side) if side else image.classes.shape[-2:]
        warp = draw_warp(rng, shape, centre[-2:], self.augment)
        whole = list(self._maps_of(i).values())
        if image.classes.ndim == 2:
            pixels, classes = self._cut(image.pixels, image.classes, warp)
            cut = warp_maps(warp, whole)
        else:
            pixels, classes, cut = self._cut_planes(image, whole, warp, centre[0], rng)
        maps = dict(zip(self._make, cut)) or {name: make(classes) for name, make in self._make.items()}
        pixels = self._greys(self.normalisation.apply(pixels), rng)
        if self.options.coordinates:
            columns, rows = warp.places()
            place = coordinates(rows, columns, image.classes.shape[-2:], pixels.shape[1:])
            pixels = np.concatenate([pixels, place])
        return Sample(pixels, classes, maps)

    def _maps_of(self, i: int) -> dict[str, np.ndarray]:
        """Return the maps of an image, made where they are not kept; none of an image that is too large."""
        classes = self.images[i].classes
        if i not in self._maps and classes.size <= LARGEST_MAP:
            made = {name: make(np.asarray(classes)).astype(np.float32) for name, make in self._make.items()}
            while (
                self._maps and sum(m.nbytes for kept in (*self._maps.values(), made) for m in kept.values()) > KEPT_MAPS
            ):
                del self._maps[next(iter(self._maps))]
            self._maps[i] = made
        return self._maps.get(i, {})

    def _greys(self, pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return the channels with other greys; the planes of a volume change in the same way."""
        flat = pixels.reshape(len(pixels), -1, pixels.shape[-1])
        return np.stack([change_greys(channel, rng, self.augment) for channel in flat]).reshape(pixels.shape)

    def _cut(self, pixels: Any, classes: Any, warp: Warp) -> tuple[np.ndarray, np.ndarray]:
        return apply_warp(warp, pixels, classes, self.normalisation.mean, cubic=self.augment.cubic)

    def _cut_planes(
        self, image: Labelled, maps: Sequence[np.ndarray], warp: Warp, middle: float, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        n = self.options.planes if self.options.side else image.classes.shape[0]
        planes = np.arange(n) + round(middle - (n - 1) / 2)
        if self.augment.flip and rng.random() < 0.5:
            planes = planes[::-1]
        out = np.empty((len(image.pixels), n, *warp.shape), np.float32)
        out[:] = np.reshape(self.normalisation.mean, (-1, 1, 1, 1))
        classes = np.full((n, *warp.shape), IGNORED, np.uint8)
        cut = np.zeros((len(maps), n, *warp.shape), np.float32)
        for k, plane in enumerate(planes):
            if 0 <= plane < image.classes.shape[0]:
                channels = [channel[plane] for channel in image.pixels]
                out[:, k], classes[k] = self._cut(channels, image.classes[plane], warp)
                cut[:, k] = warp_maps(warp, [one[plane] for one in maps])
        return out, classes, cut

    def _place(self, number: int, rng: np.random.Generator) -> tuple[int, np.ndarray]:
        """Return the image of a sample and the place of its middle."""
        o = self.options
        if self._grid:
            turn, k = divmod(number, len(self._grid))
            return self._grid[int(np.random.default_rng([self.seed, 2, turn]).permutation(len(self._grid))[k])]
        if o.number:
            rng = np.random.default_rng([self.seed, 2, number % o.number])
        if not o.side:
            i = int(rng.integers(len(self.images)))
            return i, (np.array(self.images[i].classes.shape) - 1) / 2
        if rng.random() < o.rare:
            present = sorted(self._by_class)
            k = present[int(rng.integers(len(present)))]
            i = self._by_class[k][int(rng.integers(len(self._by_class[k])))]
            return i, self._near(self._places[i][k], rng)
        known = [i for i, places in enumerate(self._places) if places]
        i = known[int(rng.integers(len(known)))]
        shape = np.array(self.images[i].classes.shape)
        if self._labelled[i] < SPARSE:
            return i, self._near(np.concatenate(list(self._places[i].values())), rng)
        half = np.minimum(self._size(shape.size), shape) / 2
        return i, half - 0.5 + rng.random(shape.size) * (shape - 2 * half)

    def _size(self, n_axes: int) -> np.ndarray:
        side = self.options.side
        return np.array([self.options.planes, side, side][3 - n_axes :])

    def _near(self, places: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return the middle of a sample that holds one of some places, which need not be its middle."""
        n_axes = places.shape[1]
        return places[int(rng.integers(len(places)))] + rng.uniform(-0.25, 0.25, n_axes) * self._size(n_axes)

    def _tiles(self, i: int) -> list[tuple[int, np.ndarray]]:
        """Return the places of samples side by side over an image; the last ones are shifted inwards."""
        shape = self.images[i].classes.shape
        size = self._size(len(shape))
        axes = []
        for n, s in zip(shape, size, strict=True):
            starts = np.arange(0, max(n - s, 0) + s, s)  # the last one reaches the end
            axes.append(np.minimum(starts, max(n - s, 0)) + (s - 1) / 2)
        return [(i, np.array(place)) for place in itertools.product(*axes)]


def _joined(so_far: tuple[int, float, float], values: np.ndarray) -> tuple[int, float, float]:
    """Return number, mean and sum of squares about the mean, with further values (Chan, Golub & LeVeque 1983).

    Sums of squares about zero would lose the deviation of bright images of little contrast.
    """
    n, mean, squares = so_far
    more, there = values.size, float(values.mean())
    apart, total = there - mean, n + more
    inside = float(np.square(values - there).sum())
    return total, mean + apart * more / total, squares + inside + apart * apart * n * more / total


def _remember(classes: Any, rng: np.random.Generator) -> tuple[dict[int, np.ndarray], float]:
    """Return places (n, axes) of every class in a label image, some thousand of each, and the labelled share."""
    values = np.asarray(classes)
    counts = np.bincount(values.ravel(), minlength=256)
    out = {}
    for k in np.flatnonzero(counts[:IGNORED]):
        flat = np.flatnonzero(values == k)
        if flat.size > N_PLACES:
            flat = np.sort(rng.choice(flat, N_PLACES, replace=False))
        out[int(k)] = np.stack(np.unravel_index(flat, values.shape), -1).astype(np.int32)
    return out, 1 - counts[IGNORED] / values.size
