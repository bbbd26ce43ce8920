"""BPartIS (Yildirim and Cole 2021) as published: a network at 512 x 512, one Gaussian for each particle, a filter."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np
from PIL import Image as Picture

from segmetry.errors import ImageError, OptionError
from segmetry.options import option
from segmetry.segment.bpartis_cluster import LEAST, cluster
from segmetry.segment.doubt import DoubtSum
from segmetry.segment.dropout import draw_keep
from segmetry.segment.engine import MASKS_AT_ONCE, Model, load_model
from segmetry.segment.foreground import number_regions
from segmetry.segment.methods import Method, Scene
from segmetry.types import Segmentation

SIDE = 512
"""Every image is squeezed into a square of so many pixels."""


class Averaged(NamedTuple):
    """What Monte Carlo samples say together.

    Parameters
    ----------
    maps : (5, M, N) array of float32
        Mean of the raw maps.
    probability : (M, N) array of float32
        Mean of the seed probability.
    information : (M, N) array of float32
        Mutual information between the seed map and the dropout mask, in nats: 0 to ln 2.
    """

    maps: np.ndarray
    probability: np.ndarray
    information: np.ndarray


def average_samples(samples: Iterable[np.ndarray]) -> Averaged:
    """Return the mean of Monte Carlo samples and how far they disagree.

    Parameters
    ----------
    samples : iterable of (5, M, N) arrays
        Raw maps of one image under as many dropout masks; they are taken one by one.

    Notes
    -----
    The information is that of `segmetry.segment.doubt`, for the two outcomes particle and background.
    """
    n, sums = 0, DoubtSum()
    for sample in samples:
        if n == 0:
            maps = np.zeros(sample.shape)
        maps += sample
        sums.add(sample[4])
        n += 1
    doubt = sums.doubt()
    return Averaged((maps / n).astype(np.float32), doubt.probability, doubt.mutual_information)


def drop_uncertain(labels: np.ndarray, uncertainty: np.ndarray, threshold: float) -> np.ndarray:
    """Return labels without the particles whose mean uncertainty is not below a threshold, numbered anew.

    Parameters
    ----------
    labels : (M, N) array of int
        0 background, 1..L particles.
    uncertainty : (M, N) array of float
        For example `Averaged.information`.
    threshold : float
        In the unit of `uncertainty`; 0.0125 nats in the publication.
    """
    return number_regions(labels, mean_within(labels, uncertainty) < threshold)


def mean_within(labels: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return the mean (L + 1,) of a map over the pixels of each label, background first; nan of a label without any.

    Examples
    --------
    >>> mean_within(np.array([[0, 2, 2]]), np.array([[5.0, 1.0, 2.0]]))
    array([5. , nan, 1.5])
    """
    counts = np.bincount(labels.ravel(), minlength=1)
    sums = np.bincount(labels.ravel(), weights=values.ravel(), minlength=1)
    return np.divide(sums, counts, out=np.full(counts.size, np.nan), where=counts > 0)


def to_bytes(pixels: np.ndarray, valid: np.ndarray | None = None) -> np.ndarray:
    """Return an image as the 8-bit greys that the network was made for.

    Whole numbers from 0 to 255, some above 1, stay as they are; of all other images the range from the 0.1st to the
    99.9th percentile of the valid pixels becomes 0 to 255.
    """
    if pixels.dtype == np.uint8:
        return pixels
    pixels = pixels.astype(np.float64)
    usable = pixels if valid is None or not valid.any() else pixels[valid]
    if usable.min() >= 0 and 1 < usable.max() <= 255 and (usable == np.rint(usable)).all():
        low, high = 0.0, 255.0
    else:
        low, high = np.percentile(usable, (0.1, 99.9))
        if high <= low:
            low, high = float(usable.min()), float(usable.max())
    return np.rint(np.clip((pixels - low) * (255 / max(high - low, 1e-300)), 0, 255)).astype(np.uint8)


def resize_bicubic(grey: np.ndarray, side: int = SIDE) -> np.ndarray:
    """Return 8-bit greys as a square, bicubic as Pillow does: smoothed where it shrinks."""
    return np.array(Picture.fromarray(np.ascontiguousarray(grey)).resize((side, side), Picture.Resampling.BICUBIC))


def squeeze(grey: np.ndarray) -> np.ndarray:
    """Return 8-bit greys (M, N) as the network's image (3, 512, 512) in [0, 1]."""
    return np.broadcast_to(resize_bicubic(grey).astype(np.float32) / np.float32(255), (3, SIDE, SIDE))


def nearest(array: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Return an (M, N) array in another shape: each pixel as the one that its centre lies in.

    Examples
    --------
    >>> nearest(np.array([[1, 2]]), (2, 4))
    array([[1, 1, 2, 2], [1, 1, 2, 2]])
    """
    rows, cols = (((2 * np.arange(n) + 1) * m) // (2 * n) for n, m in zip(shape, array.shape, strict=True))
    return array[np.ix_(rows, cols)]


@dataclass(frozen=True, kw_only=True)
class Bpartis(Method):
    """The particle network of Yildirim and Cole with its Monte Carlo samples and its filter, for comparison."""

    name: ClassVar[str] = "bpartis"
    summary: ClassVar[str] = "the published particle network at 512 x 512 px, nothing under 129 px (Yildirim 2021)"

    model: str = option("", "folder of a trained model of this kind", kind="text")
    samples: int = option(30, "Monte Carlo samples; 0 runs the network once, without dropout", low=0, high=1000)
    threshold: float | None = option(
        None,
        "drop particles of this mean mutual information or more, in nats (0.0125 in the publication)",
        kind="float",
        low=0,
    )
    seed: int = option(0, "of the random dropout masks", low=0, high=2**32 - 1)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.model:
            raise OptionError("bpartis: model is missing; name the folder of a trained model, model=path.")
        if self.threshold is not None and not self.samples:
            raise OptionError("bpartis: a threshold needs samples; leave it out, or take samples=30.")

    def check(self) -> None:
        """Raise the error of a model that is missing or damaged."""
        load_model(self.model)

    def run(self, scene: Scene) -> Segmentation:
        """Return the particles of a scene."""
        found = find_particles(
            load_model(self.model),
            to_bytes(scene.pixels, scene.valid),
            samples=self.samples,
            threshold=self.threshold,
            seed=self.seed,
        )
        if scene.valid is None:
            return found
        labels = np.where(scene.valid, found.labels, 0)
        keep = np.bincount(labels.ravel(), minlength=found.n_regions + 1) > 0
        assert found.scores is not None
        return dataclasses.replace(found, labels=number_regions(labels, keep), scores=found.scores[keep[1:]])


def find_particles(
    model: Model, grey: np.ndarray, *, samples: int = 30, threshold: float | None = None, seed: int = 0
) -> Segmentation:
    """Return the particles of a micrograph.

    Parameters
    ----------
    model : Model
        Of task ``"bpartis"``.
    grey : (M, N) array of uint8
        The micrograph.
    samples : int
        Monte Carlo samples; 0 runs the network once, without dropout.
    threshold : float, optional
        Mean mutual information (nats) from which a particle is dropped; all are kept unless told.
    seed : int
        Of the dropout masks.

    Returns
    -------
    segmentation : Segmentation
        `uncertainty` is the mutual information, 0 with one pass; a particle's score is its mean seed probability.

    Raises
    ------
    ImageError
        If the model is of another kind.
    """
    mean = look(model, grey, samples=samples, seed=seed)
    square = cluster(mean.maps)
    n_before = int(square.max())
    if threshold is not None:
        square = drop_uncertain(square, mean.information, threshold)
    shape = (grey.shape[0], grey.shape[1])
    scores = mean_within(square, mean.probability)
    labels = nearest(square, shape)
    there = np.bincount(labels.ravel(), minlength=scores.size) > 0
    least = (LEAST + 1) * grey.size / SIDE**2
    info = {
        "model": model.card.identity,
        "engine": model.engine,
        "samples": samples,
        "n_before": n_before,
        "least_area": round(least, 1),
    }
    return Segmentation(
        number_regions(labels, there),
        "instance",
        info=info,
        notes=(f"bpartis cannot find particles of less than {least:.0f} px in this image: it sees 512 x 512 px",),
        probability=nearest(mean.probability, shape),
        uncertainty=nearest(mean.information, shape),
        scores=np.clip(scores[1:][there[1:]], 0, 1),
    )


def look(model: Model, grey: np.ndarray, *, samples: int, seed: int = 0) -> Averaged:
    """Return what a model makes of a micrograph at 512 x 512, with the parameters and errors of `find_particles`."""
    card = model.card
    if card.task != "bpartis" or card.channels != 3:
        raise ImageError(f"bpartis: {model.path} is a model for {card.task!r}; name one that was trained as bpartis.")
    image = squeeze(grey)
    keep = draw_keep(card.dropout, samples, seed) if samples else np.ones((1, card.n_keep), np.float32)
    parts = (model.maps(image, keep[i : i + MASKS_AT_ONCE]) for i in range(0, len(keep), MASKS_AT_ONCE))
    return average_samples(sample for part in parts for sample in part)
