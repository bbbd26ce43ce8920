"""The method `kmeans`: pixels into clusters by the intensities of one channel or several."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from segmetry.errors import OptionError
from segmetry.options import option
from segmetry.prepare.filters import gaussian
from segmetry.segment.kmeans import kmeans
from segmetry.segment.methods import Method, Scene
from segmetry.segment.spectral import channel_features, spatial_terms
from segmetry.types import Segmentation


@dataclass(frozen=True, kw_only=True)
class Kmeans(Method):
    """k-means of the intensities of all channels, each scaled alike, with terms of place and slope where wanted.

    Class 0 is the darkest cluster of the first channel. Channels may be of different kinds: neutron and X-ray; the
    three images of a grating interferometer. Time-of-flight cubes have functions of their own (`spectral_shapes`,
    `cluster_pixels`): their spectra hold more than intensities.
    """

    name: ClassVar[str] = "kmeans"
    summary: ClassVar[str] = "k-means of the intensities of one channel or several: classes, 0 the darkest"
    ndims: ClassVar[tuple[int, ...]] = (2, 3)

    classes: int = option(3, "number of clusters", low=2, high=64)
    channels: int = option(1, "channels of the image that are looked at", low=1, high=64)
    smoothing: float = option(0.0, "standard deviation of the Gaussian before anything else", unit="px", low=0, high=50)
    place: float = option(0.0, "weight of row and column beside the intensities (2D)", low=0, high=100)
    slopes: float = option(0.0, "weight of a Gaussian mean and of Sobel slopes (2D)", low=0, high=100)
    sigma: float = option(5.0, "standard deviation of that Gaussian", unit="px", low=0.1, high=100)
    starts: int = option(10, "random starts, of which the tightest is kept", low=1, high=1000)
    seed: int = option(0, "of the random starts", low=0, high=2**32 - 1)

    @property
    def n_channels(self) -> int:
        """How many channels of an image are looked at."""
        return self.channels

    def run(self, scene: Scene) -> Segmentation:
        """Return the class of every pixel; what is not specimen is class 0."""
        if len(scene.channels) != self.channels:
            raise OptionError(
                f"kmeans: the image has {len(scene.channels)} channels; set channels={len(scene.channels)} to use all."
            )
        if scene.pixels.ndim == 3 and (self.place or self.slopes):
            raise OptionError("kmeans: place and slopes are for 2D images; set both to 0 for a volume.")
        valid = np.ones(scene.pixels.shape, bool) if scene.valid is None else scene.valid
        smooth = [gaussian(channel, self.smoothing) for channel in scene.channels]
        features = [channel_features(np.stack(smooth), valid)]
        for weight, names in ((self.place, ("row", "col")), (self.slopes, ("gaussian", "sobel_row", "sobel_col"))):
            if weight:
                features.append(spatial_terms(smooth[0], names, sigma=self.sigma)[valid] * np.float32(weight))
        rows = np.hstack(features)
        found = kmeans(rows, min(self.classes, len(rows)), n_starts=self.starts, seed=self.seed)
        n = len(found.centres)
        means = [np.bincount(found.labels, one[valid], n) / np.bincount(found.labels, minlength=n) for one in smooth]
        order = np.argsort(means[0], kind="stable")
        place = np.empty(n, np.int32)
        place[order] = np.arange(n)
        labels = np.zeros(scene.pixels.shape, np.int32)
        labels[valid] = place[found.labels]
        info = {"means": [[float(v) for v in mean[order]] for mean in means], "inertia": float(found.inertia)}
        return Segmentation(labels, "semantic", classes=tuple(f"class {k}" for k in range(n)), info=info)
