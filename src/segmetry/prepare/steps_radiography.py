"""Steps for radiographs, and for scans of them up to the reconstructed volume."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from segmetry.errors import OptionError
from segmetry.options import option
from segmetry.prepare.counting import Detector
from segmetry.prepare.denoise import Denoise, denoise_counts
from segmetry.prepare.frames import Box
from segmetry.prepare.hardening import fit_hardening, linearise
from segmetry.prepare.normalise import attenuation, transmission
from segmetry.prepare.pixels import find_bad_pixels, repair_pixels
from segmetry.prepare.reconstruct import find_centre, reconstruct
from segmetry.prepare.spots import SIDES, clean_spots
from segmetry.prepare.step import Step
from segmetry.prepare.stripes import Stripes, remove_stripes
from segmetry.types import Calibration, Image

FRAMES = ("YX", "TYX")
"""Axes of one radiograph, and of several."""


OPEN_BEAM = "frames without the sample: file, folder or pattern"
DARK = "frames without light: file, folder or pattern"


@dataclass(frozen=True, kw_only=True)
class RepairPixels(Step):
    """Hot, dead and stuck pixels, found in dark and open beam, become like their neighbours."""

    name: ClassVar[str] = "bad-pixels"
    summary: ClassVar[str] = "repair hot, dead and stuck pixels, found in dark and open beam"
    axes: ClassVar[tuple[str, ...]] = FRAMES
    references: ClassVar[tuple[str, ...]] = ("open_beam", "dark")

    open_beam: str | None = option(None, OPEN_BEAM, kind="text")
    dark: str | None = option(None, DARK, kind="text")
    threshold: float = option(8.0, "how many standard deviations of the residuals a bad pixel stands out", low=1)

    def run(self, image: Image, given: Mapping[str, np.ndarray]) -> Image:
        """Return repaired frames, float32."""
        _check_given(self, given, *self.references)
        bad = find_bad_pixels(given["open_beam"], given["dark"], threshold=self.threshold).bad
        n = int(np.count_nonzero(bad))
        note = f"{n} bad pixels of the camera were filled from their neighbours"
        return image.replace(pixels=repair_pixels(image.pixels, bad), notes=(*image.notes, *([note] if n else [])))


@dataclass(frozen=True, kw_only=True)
class CleanSpots(Step):
    """Gamma spots and other outliers of single frames become like what surrounds them; see `clean_spots`."""

    name: ClassVar[str] = "spots"
    summary: ClassVar[str] = "remove gamma spots and other outliers, frame by frame"

    high: float = option(6.0, "standard deviations of the noise that a spot's highest pixel stands out by", low=1)
    low: float = option(3.0, "standard deviations that its other pixels stand out by", low=0.5)
    which: str = option("bright", "which outliers count", choices=SIDES)
    offset: float = option(0.0, "value without any light", unit="intensity")
    max_area: int = option(100, "larger patches are something else", unit="px", low=1)

    def run(self, image: Image, given: Mapping[str, np.ndarray]) -> Image:
        """Return cleaned frames, float32."""
        frames = image.pixels if image.pixels.ndim == 3 else image.pixels[np.newaxis]
        cleaned = [clean_spots(frame, **self.values()) for frame in frames]
        pixels = np.stack([one.image for one in cleaned])
        n = sum(int(np.count_nonzero(one.replaced)) for one in cleaned)
        note = f"{n} pixels of spots ({n / frames.size:.2%}) were replaced"
        return image.replace(pixels=pixels.reshape(image.pixels.shape), notes=(*image.notes, *([note] if n else [])))


@dataclass(frozen=True, kw_only=True)
class DenoiseFrames(Step, Denoise):
    """Counting noise is taken out: stabilise, denoise, put back without bias. Before the flat field."""

    name: ClassVar[str] = "denoise"
    summary: ClassVar[str] = "take counting noise out of frames of counts (before the flat field)"

    gain: float = option(1.0, "grey values per counted quantum", unit="intensity", low=1e-9)
    read_noise: float = option(0.0, "standard deviation of the read-out", unit="intensity", low=0)

    def run(self, image: Image, given: Mapping[str, np.ndarray]) -> Image:
        """Return frames with less noise, float32."""
        detector = Detector(gain=self.gain, read_noise=self.read_noise)
        own = {name: value for name, value in self.values().items() if name not in ("gain", "read_noise")}
        return image.replace(pixels=denoise_counts(image.pixels, detector=detector, options=Denoise(**own)))


@dataclass(frozen=True, kw_only=True)
class FlatField(Step):
    """Counts become the transmitted share of the beam, or the attenuation -ln T; see `transmission`."""

    name: ClassVar[str] = "flat-field"
    summary: ClassVar[str] = "counts to transmission or attenuation, by open beam and dark"
    axes: ClassVar[tuple[str, ...]] = FRAMES
    references: ClassVar[tuple[str, ...]] = ("open_beam", "dark")

    open_beam: str | None = option(None, OPEN_BEAM, kind="text")
    dark: str | None = option(None, f"{DARK}; not needed where counts are free of it", kind="text")
    air: tuple[float, ...] = option(
        (), "top, left, bottom and right of a part that the sample never covers: undoes drift of the beam", unit="px"
    )
    quantity: str = option("attenuation", "what comes out", choices=("transmission", "attenuation"))

    def run(self, image: Image, given: Mapping[str, np.ndarray]) -> Image:
        """Return transmission or attenuation, float32; nan where there was no beam."""
        _check_given(self, given, "open_beam")
        air: Box | None = None
        if self.air:
            if len(self.air) != 4:
                raise OptionError(f"flat-field: air is top, left, bottom, right; got {list(self.air)}.")
            top, left, bottom, right = (int(end) for end in self.air)
            air = (top, left, bottom, right)
        passed = transmission(image.pixels, given["open_beam"], given.get("dark"), air=air)
        pixels = passed.pixels if self.quantity == "transmission" else attenuation(passed).pixels
        return image.replace(pixels=pixels)


@dataclass(frozen=True, kw_only=True)
class Linearise(Step):
    """Attenuation becomes proportional to thickness, by a wedge of known thicknesses; see `fit_hardening`."""

    name: ClassVar[str] = "hardening"
    summary: ClassVar[str] = "undo beam hardening, by attenuations measured behind known thicknesses"
    axes: ClassVar[tuple[str, ...]] = FRAMES

    attenuation: tuple[float, ...] = option((), "attenuations -ln T behind known thicknesses of the material")
    thickness: tuple[float, ...] = option((), "these thicknesses, in any unit")
    degree: int = option(3, "degree of the polynomial", low=1, high=8)

    def run(self, image: Image, given: Mapping[str, np.ndarray]) -> Image:
        """Return attenuation proportional to thickness, float32."""
        fitted = fit_hardening(np.array(self.attenuation), np.array(self.thickness), degree=self.degree)
        done = linearise(image.pixels, fitted)
        n = int(np.count_nonzero(done.beyond))
        note = (
            f"{n} pixels attenuate more than the wedge did ({fitted.limit:.3g}): there the correction is extrapolated"
        )
        return image.replace(pixels=done.pixels, notes=(*image.notes, *([note] if n else [])))


@dataclass(frozen=True, kw_only=True)
class RemoveStripes(Step, Stripes):
    """Stripes of a scan, which become rings, are taken out of its sinograms; see `remove_stripes`."""

    name: ClassVar[str] = "stripes"
    summary: ClassVar[str] = "take stripes, which become rings, out of the sinograms of a scan"
    axes: ClassVar[tuple[str, ...]] = ("TYX",)

    def run(self, image: Image, given: Mapping[str, np.ndarray]) -> Image:
        """Return projections without stripes, float32."""
        return image.replace(pixels=remove_stripes(image.pixels, Stripes(**self.values())))


@dataclass(frozen=True, kw_only=True)
class Reconstruct(Step):
    """Projections of a parallel beam become a volume, by filtered back-projection; see `reconstruct`."""

    name: ClassVar[str] = "reconstruct"
    summary: ClassVar[str] = "projections of a parallel beam to slices, by filtered back-projection"
    axes: ClassVar[tuple[str, ...]] = ("TYX",)

    first: float | None = option(
        None, "angle of the first projection; as the file says, else 0", unit="°", kind="float"
    )
    last: float | None = option(
        None, "angle of the last projection; as the file says, else one step before 180", unit="°", kind="float"
    )
    centre: float | None = option(
        None, "column of the axis of rotation; found where two projections are opposite, else the middle", unit="px",
        low=0, kind="float",
    )  # fmt: skip
    window: str = option(
        "ramp", "filter, the smoother the later", choices=("ramp", "shepp-logan", "cosine", "hamming", "hann")
    )

    def run(self, image: Image, given: Mapping[str, np.ndarray]) -> Image:
        """Return the slices as a volume: attenuation per length, in 1 / the pixel size's unit; nan outside of it."""
        angles = self._angles(image)
        centre, words = self.centre, "as given"
        if centre is None:
            centre, words = _centre(image.pixels, angles)
        scale = image.calibration
        rows, columns = scale.spacing
        slices = reconstruct(image.pixels, angles, centre=centre, pixel_size=columns, window=self.window)
        volume = Calibration((rows, columns, columns), scale.unit, scale.rel_uncertainty, scale.source, scale.detail)
        metadata = {k: v for k, v in image.metadata.items() if k != "axis_values"}
        note = f"reconstructed from {len(angles)} projections, the axis of rotation at column {centre:.2f} ({words})"
        return image.replace(
            pixels=slices, axes="ZYX", calibration=volume, ignore=None, metadata=metadata, notes=(*image.notes, note)
        )

    def _angles(self, image: Image) -> np.ndarray:
        n = len(image.pixels)
        told = dict(image.metadata.get("axis_values", {})).get("T", {})
        if self.first is None and self.last is None and told.get("unit") in ("deg", "°") and len(told["values"]) == n:
            return np.asarray(told["values"], float)
        first = self.first or 0.0
        return np.linspace(first, first + 180 - 180 / n if self.last is None else self.last, n)


def _centre(projections: np.ndarray, angles: np.ndarray) -> tuple[float, str]:
    """Return the column of the axis of rotation, and how it was had."""
    apart = np.abs(np.abs(angles[:, None] - angles) - 180)
    first, second = np.unravel_index(int(apart.argmin()), apart.shape)
    if apart[first, second] > 0.5 * 180 / len(angles):
        return (projections.shape[-1] - 1) / 2, "the middle: no two projections are opposite"
    return find_centre(projections[first], projections[second]), "found from two opposite projections"


def _check_given(step: Step, given: Mapping[str, np.ndarray], *names: str) -> None:
    for name in names:
        if name not in given:
            raise OptionError(f"{step.name}: {name} is missing; name its file or folder: {name}: PATH.")
