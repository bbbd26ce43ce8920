"""Clusters of pixels by their spectra: counts to shape, shape to few components, components to clusters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from segmetry.errors import ImageError, OptionError, ShapeMismatchError, unknown_name
from segmetry.measure.spectra import check_counts
from segmetry.segment.gmm import mixture_labels
from segmetry.segment.kmeans import kmeans
from segmetry.segment.principal import Principal, principal

SPATIAL = ("row", "col", "gaussian", "sobel_row", "sobel_col")
"""Terms of place and surroundings that can be added to the features."""


@dataclass(frozen=True, eq=False)
class Shapes:
    """Spectra without their thickness.

    Parameters
    ----------
    values : (n, F) array of float32
        Attenuation over its amplitude, in units of its mean counting noise, of the pixels and bins that can be used.
    amplitude : (M, N) array of float32
        Mean attenuation over the spectrum, each bin by its precision: thickness times the coefficient; nan where a
        pixel cannot be used.
    usable : (M, N) array of bool
        Pixels with neutrons in the open beam.
    bins : (T,) array of bool
        Bins with neutrons in the open beam.
    """

    values: np.ndarray
    amplitude: np.ndarray
    usable: np.ndarray
    bins: np.ndarray


def spectral_shapes(
    counts: np.ndarray, open_beam: np.ndarray, *, empty: float = 0.15, dose_ratio: float = 1.0
) -> Shapes:
    """Return what the spectrum of every pixel looks like, whatever the thickness.

    Parameters
    ----------
    counts, open_beam : (T, M, N) arrays
        Neutrons with and without the specimen.
    empty : float
        Attenuation below which a pixel has little shape: about that of the thinnest thing to be told from void.
    dose_ratio : float
        Neutrons sent for `counts` over those sent for `open_beam`.

    Raises
    ------
    ShapeMismatchError
        If the cubes differ in shape.
    ImageError
        If counts are negative or not finite, or no neutron came through the open beam.

    Notes
    -----
    The attenuation y = ln(N0 r + r/2) - ln(N + 1/2) of a bin has a variance of about 1/(N + 1/2) + 1/(N0 + 1/2); the
    halves keep it free of bias down to one or two counts. Its mean a over the spectrum, weighted by precision, is in
    proportion to the thickness. The shape is y / (a² + a0²)^(1/2), where a0 is `empty`, or the noise of one bin where
    nothing attenuates if that is more: what attenuates less (void, air) goes towards the origin, and stays one
    cluster. Then each bin is divided by its noise, mean over all pixels, so that principal components look for what is
    more than noise.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> law = np.array([[0.5], [1.0], [2.0]])[:, :, None] * np.array([[1.0, 2.0]])  # one material, two thicknesses
    >>> shapes = spectral_shapes(rng.poisson(1e6 * np.exp(-law)), np.full((3, 1, 2), 1_000_000), empty=0.01)
    >>> (shapes.amplitude / shapes.amplitude[0, 0]).round(2)
    array([[1., 2.]], dtype=float32)
    >>> (shapes.values[1] / shapes.values[0]).round(2)
    array([1., 1., 1.], dtype=float32)
    """
    check_counts(counts, "counts")
    check_counts(open_beam, "open beam")
    if counts.ndim != 3 or counts.shape != open_beam.shape:
        raise ShapeMismatchError(
            f"spectra: counts {counts.shape} and open beam {open_beam.shape} are two (time, row, column) cubes of one "
            "shape; crop or bin both in the same way."
        )
    usable, bins = np.asarray(open_beam.max(0) > 0), open_beam.max((1, 2)) > 0
    if not usable.any():
        raise ImageError("spectra: the open beam holds no neutron; give the cube without the specimen.")
    # (n, F), of what can be used.
    n = np.ascontiguousarray(counts[bins][:, usable].T, np.float32) + np.float32(0.5)
    n0 = np.ascontiguousarray(open_beam[bins][:, usable].T, np.float32) + np.float32(0.5)
    y = np.log(n0)
    y -= np.log(n)
    y += np.float32(np.log(dose_ratio))
    np.reciprocal(n, out=n)
    np.reciprocal(n0, out=n0)
    floor = max(empty**2, float(np.median(2 * n0.mean(0, dtype=np.float64))))
    n += n0  # the variance of y
    weight = 1 / n.mean(0, dtype=np.float64)
    amplitude = y @ (weight / weight.sum()).astype(np.float32)
    scale = 1 / np.sqrt(amplitude**2 + np.float32(floor))
    noise = np.sqrt((scale.astype(np.float64) ** 2 @ n) / len(n))
    y *= scale[:, None]
    y /= noise.astype(np.float32)
    map_ = np.full(usable.shape, np.nan, np.float32)
    map_[usable] = amplitude
    return Shapes(y, map_, usable, bins)


def channel_features(channels: np.ndarray, valid: np.ndarray | None = None) -> np.ndarray:
    """Return the intensities of one image or several as features (n, C), each with mean 0 and variance 1.

    Parameters
    ----------
    channels : (C, ...) array
        Images that lie on each other: neutron and X-ray; transmission, differential phase and dark field of a grating
        interferometer; one image and what filters made of it.
    valid : bool array of the images' shape, optional
        Pixels to take.
    """
    rows = channels.reshape(len(channels), -1) if valid is None else channels[:, valid]
    return _scaled(np.ascontiguousarray(rows.T, np.float32))


def spatial_terms(image: np.ndarray, terms: Sequence[str] = SPATIAL, *, sigma: float = 5.0) -> np.ndarray:
    """Return terms of place and surroundings of each pixel of an image, each scaled to mean 0 and variance 1.

    Parameters
    ----------
    image : (M, N) array of float
        Where it is not finite, the mean stands in.
    terms : sequence of {"row", "col", "gaussian", "sobel_row", "sobel_col"}
        Place along the rows' and the columns' axis; mean under a Gaussian; slopes along the two axes.
    sigma : float
        Standard deviation of the Gaussian, px.

    Returns
    -------
    terms : (M, N, S) array of float32

    Examples
    --------
    >>> spatial_terms(np.zeros((2, 2)), ["row", "gaussian"]).tolist()
    [[[-1.0, 0.0], [-1.0, 0.0]], [[1.0, 0.0], [1.0, 0.0]]]
    """
    for name in terms:
        if name not in SPATIAL:
            raise unknown_name("spatial term", name, SPATIAL)
    image = np.asarray(image, np.float32)
    finite = np.isfinite(image)
    image = np.where(finite, image, image[finite].mean() if finite.any() else np.float32(0))
    out = np.empty((*image.shape, len(terms)), np.float32)
    for k, name in enumerate(terms):
        if name in ("row", "col"):
            axis = ("row", "col").index(name)
            out[..., k] = np.indices(image.shape, np.float32, sparse=True)[axis]
        elif name == "gaussian":
            out[..., k] = cv2.GaussianBlur(image, (0, 0), sigma, borderType=cv2.BORDER_REFLECT)
        else:
            by_row = name == "sobel_row"
            out[..., k] = cv2.Sobel(image, cv2.CV_32F, int(not by_row), int(by_row), borderType=cv2.BORDER_REFLECT)
    return _scaled(out.reshape(-1, len(terms))).reshape(out.shape)


def _scaled(rows: np.ndarray) -> np.ndarray:
    """Return columns with mean 0 and variance 1; a constant one becomes 0."""
    mean, std = rows.mean(0, dtype=np.float64), rows.std(0, dtype=np.float64)
    level = np.abs(mean) * 1e-6
    return ((rows - mean) / np.where(std > level, std, np.inf)).astype(np.float32)


@dataclass(frozen=True, eq=False)
class SpectralClusters:
    """Clusters of pixels.

    Parameters
    ----------
    labels : (n,) array of int32
        Cluster of each pixel, 0 to K - 1, from the one at the low end of the first component.
    scores : (n, d) array of float32
        What was clustered: principal components, then spatial terms.
    components : Principal
    inertia : float
        Sum of squared distances of the scores to their centres; nan for a mixture.
    """

    labels: np.ndarray
    scores: np.ndarray
    components: Principal
    inertia: float


def cluster_pixels(
    features: np.ndarray,
    k: int,
    *,
    model: str = "kmeans",
    n_components: int = 12,
    spatial: np.ndarray | None = None,
    spatial_weight: float = 0.1,
    n_starts: int = 10,
    seed: int = 0,
) -> SpectralClusters:
    """Return clusters of pixels by their features: `spectral_shapes(...).values`, `channel_features`, or others.

    Parameters
    ----------
    features : (n, F) array of float
    k : int
        Clusters, at most the number of pixels.
    model : {"kmeans", "gmm"}
        Round clusters of one size, or a Gaussian mixture with a covariance for each.
    n_components : int
        Principal components that are kept; at most F.
    spatial : (n, S) array, optional
        `spatial_terms` of these pixels.
    spatial_weight : float
        Standard deviation of each spatial term as a share of that of the first component.
    n_starts, seed : int
        Random starts of k-means, and their seed.

    Raises
    ------
    ImageError
        If features are not finite, or all pixels are the same.
    OptionError
        If `k` is below 1 or above the number of pixels.

    References
    ----------
    Kaestner, "Segmenting neutron images using machine learning" (2021), clusters raw spectra and scaled spatial terms.
    Here thickness and noise are taken out first, and the terms weigh less than the spectra.

    Examples
    --------
    >>> rows = np.array([[0.0, 0, 1], [0, 0, 1.1], [5, 5, 1], [5, 5.1, 1]])
    >>> cluster_pixels(rows, 2).labels
    array([0, 0, 1, 1], dtype=int32)
    """
    if model not in ("kmeans", "gmm"):
        raise unknown_name("model of clusters", model, ("kmeans", "gmm"))
    features = np.asarray(features)
    found = principal(features, n_components)
    if not 1 <= k <= len(features):
        raise OptionError(f"clusters must be from 1 to the {len(features)} pixels that there are, got {k}.")
    size = float((features.astype(np.float64) ** 2).mean()) if len(features) < 2 else found.total
    if k > 1 and found.variances[0] <= 1e-12 * max(size, float((found.mean**2).sum())):
        raise ImageError("all pixels have the same spectrum; there is nothing to tell clusters apart by.")
    scores = found.scores(features).astype(np.float32)
    if spatial is not None:
        if len(spatial) != len(features):
            raise ShapeMismatchError(f"spatial terms are of {len(spatial)} pixels, features of {len(features)}.")
        weight = spatial_weight * float(np.sqrt(found.variances[0]))
        scores = np.hstack([scores, np.asarray(spatial, np.float32) * np.float32(weight)])
    if model == "gmm":
        labels, _ = mixture_labels(scores, k, seed=seed)
        return SpectralClusters(labels.astype(np.int32), scores, found, float("nan"))
    clusters = kmeans(scores, k, n_starts=n_starts, seed=seed)
    return SpectralClusters(clusters.labels, scores, found, clusters.inertia)
