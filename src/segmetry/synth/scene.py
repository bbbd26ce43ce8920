"""`simulate`: one micrograph with everything known about it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from segmetry.errors import OptionError
from segmetry.synth import annotate, optics
from segmetry.synth.burn_in import burn_in
from segmetry.synth.chance import stage_rng
from segmetry.synth.drawing import draw
from segmetry.synth.imaging import attenuation_of, expose
from segmetry.synth.options import ParticleScene
from segmetry.synth.populate import lay_out, populate
from segmetry.synth.record import LEAST_SIDE
from segmetry.synth.supports import make_support
from segmetry.synth.truth import WholeMask, law_of_sizes, tell
from segmetry.types import Calibration, Image

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class Scene:
    """A simulated micrograph and its truth.

    Parameters
    ----------
    image : Image
        What a user would get. Its calibration is unknown where ``calibrated=False``; nothing of the truth is in it.
    labels : (M, N) int32 array
        What is visible: the topmost particle that covers at least half of a pixel, before blur. Particles that show are
        1..L without gaps; L + 1 and on are hidden ones, in `truth` and `labels_whole` only.
    labels_whole : tuple of WholeMask
        Every particle's own pixels by the same rule, though another lies over it.
    truth : pandas.DataFrame
        One row per particle with a pixel in the frame, see `simulate`.
    pixel_size, unit : float, str
        True size of a pixel.
    parameters : dict
        Plain data; ``simulate(**scene.parameters)`` makes the same bytes.
    population : mapping
        The law that the diameters come from: ``law``, ``median``, ``gsd``, ``mean``, ``d10``, ``d50``, ``d90``,
        ``unit``.
    scale_bar : BarTruth or None
        The bar that was drawn.
    annotation_mask : (M, N) bool array
        Pixels of burned-in bars, text, boxes and footers.
    derived : mapping
        What was chosen where an option was left open: attenuation, levels, specimen_rows, n_region.
    """

    image: Image
    labels: np.ndarray
    labels_whole: tuple[WholeMask, ...]
    truth: pd.DataFrame
    pixel_size: float
    unit: str
    parameters: dict[str, Any]
    population: Mapping[str, Any]
    scale_bar: annotate.BarTruth | None
    annotation_mask: np.ndarray
    derived: Mapping[str, Any] = field(default_factory=dict)

    def whole(self, label: int) -> np.ndarray:
        """Return the bool mask (M, N) of one whole particle."""
        mask = np.zeros(self.labels.shape, bool)
        for w in self.labels_whole:
            if w.label == label:
                mask[w.window] |= w.mask
                return mask
        raise OptionError(f"there is no particle {label} in the scene; it has 1 to {len(self.labels_whole)}.")


def simulate(kind: str = "bf-tem", *, seed: int = 0, **options: Any) -> Scene:
    """Return a simulated micrograph of particles with its truth.

    Parameters
    ----------
    kind : str
        Microscope: ``"bf-tem"``, ``"bf-stem"``, ``"haadf-stem"``, ``"laadf-stem"`` or ``"sem"``.
    seed : int
        Same options and seed, same bytes.
    **options
        The fields of `ParticleScene`, such as ``n=60, shapes="rod", bar="line"``; ``simulate(**scene.parameters)``
        repeats a scene.

    Returns
    -------
    scene : Scene
        The image; labels of visible and of whole particles; the table of truth with the columns label, shape,
        centroid-0 and centroid-1 (px, of the centre), equivalent_diameter and area (of the projected outline, in the
        scene's unit, analytic), aspect_ratio, orientation (degrees from the row axis, nan for round ones), feret_max,
        feret_min, core_diameter, contrast (its factor), cluster, touches_frame (a pixel of it lies in the specimen's
        outermost rows or columns), fraction_in_frame, visible_fraction (share of the whole outline that can be seen);
        ``truth.attrs["units"]`` has units.

    Raises
    ------
    OptionError
        For an option that does not exist or is out of range, and for particles that do not fit.

    Examples
    --------
    >>> scene = simulate("bf-tem", seed=1, n=5, edges="inside", pixel_size=0.5)
    >>> len(scene.truth), scene.image.pixels.dtype.name, int(scene.labels.max())
    (5, 'uint8', 5)
    """
    o = ParticleScene.from_dict({"kind": kind, "seed": seed, **options})
    frame = (o.frame_shape[0] - annotate.footer_rows(o.footer, o.frame_shape[0]), o.frame_shape[1])
    if frame[0] < LEAST_SIDE:
        raise OptionError(f"simulate: a frame of {o.frame_shape} has no room for the footer {o.footer!r}.")
    particles, groups, margin, diameters = populate(o, frame)
    if callable(o.diameters):
        o = dataclasses.replace(o, diameters=tuple(float(d) for d in diameters), margin_px=margin)
    centres, z, cluster = lay_out(o, particles, groups, margin, frame)
    support = make_support(
        o.support,
        frame,
        grain=o.support_grain,
        grain_px=o.support_grain_px,
        size_px=o.support_size_px,
        rng=stage_rng(o.seed, "support"),
    )
    maps, whole, rows = draw(o, particles, centres, z, cluster, support, frame)
    attenuation = attenuation_of(o, diameters)
    signal, levels = expose(o, maps, support, attenuation, diameters)
    pixels, bar, canvas = _finish(o, signal, levels)
    ids = np.pad(maps.ids, ((0, pixels.shape[0] - frame[0]), (0, 0)))
    ids[canvas.opaque] = 0
    labels, masks, truth = tell(ids, whole, rows, o.unit)
    calibration = Calibration.unknown()
    if o.calibrated and o.unit != "px":
        calibration = Calibration((o.pixel_size, o.pixel_size), o.unit, source="metadata", detail="simulated")
    return Scene(
        image=Image(pixels, "YX", calibration, name=f"{o.kind}-{o.seed}"),
        labels=labels,
        labels_whole=masks,
        truth=truth,
        pixel_size=o.pixel_size,
        unit=o.unit,
        parameters=o.as_dict(),
        population=law_of_sizes(o),
        scale_bar=bar,
        annotation_mask=canvas.mask,
        derived={
            "attenuation": attenuation,
            "n_region": len(particles),
            "levels": list(levels),
            "specimen_rows": frame[0],
        },
    )


def _finish(
    o: ParticleScene, signal: np.ndarray, levels: tuple[float, float]
) -> tuple[np.ndarray, annotate.BarTruth | None, annotate.Canvas]:
    """Return the grey values with all that is burned in, the bar, and the canvas that knows where it was drawn."""
    pixels = optics.digitise(signal, levels, o.bits) if o.bits else signal.astype(np.float32)
    specimen_rows = pixels.shape[0]
    pixels = np.pad(pixels, ((0, o.frame_shape[0] - specimen_rows), (0, 0)))
    black, white = (0.0, float(2**o.bits - 1)) if o.bits else (float(levels[0]), float(levels[1]))
    canvas = annotate.Canvas(pixels, black, white)
    bar = burn_in(o, canvas, specimen_rows)
    if o.bits:
        pixels = np.rint(canvas.pixels).astype(pixels.dtype)
        if o.jpeg_quality is not None:
            pixels = optics.jpeg(pixels, int(o.jpeg_quality))
    else:
        pixels = canvas.pixels
    return pixels, bar, canvas
