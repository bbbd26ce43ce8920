"""`simulate_tof`: six blocks of iron and nickel between aluminium spacers in a pulsed neutron beam, bin by bin of time.

The beam's spectrum passes the metals, the pulse smears it in time, and what falls into each bin is counted. The cube
holds counts of neutrons, and a second one those of the open beam.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from segmetry.errors import OptionError
from segmetry.synth.chance import named_rng
from segmetry.synth.crystal import ALUMINIUM, IRON, NEUTRON_SPEED, NICKEL, Crystal, open_spectrum
from segmetry.synth.labelled import table
from segmetry.synth.raster import pixel_means
from segmetry.synth.record import LEAST_SIDE, LENGTH, Record

if TYPE_CHECKING:
    import pandas as pd

CLASSES = ("void", "spacer", "iron", "nickel")
"""Classes of the scene, by label."""

_TREATED = (1, 4, 5)  # blocks; they are numbered line by line
_SAMPLES = 5  # per pixel and axis
_FINE = 8  # wavelengths per bin that the pulse smears
_WITHIN = 16  # points that are averaged at each of these: an edge keeps its place
_LEFT, _RIGHT = 8.0, 24.0  # reach of the pulse: standard deviations before, time constants after


@dataclass(frozen=True)
class TofScene(Record):
    """Everything that decides a time-of-flight cube.

    Parameters
    ----------
    seed : int
        Same record, same bytes. It draws which block is of what, how the assembly lies, and the counts.
    frame_shape : (rows, columns)
        Shape of one frame.
    pixel_size, unit : float, str
        Length of a pixel.
    n_bins : int
        Bins of time.
    wavelengths : (first, last)
        Å; the bins are equally long and reach from the first to the last.
    flight_path : float
        From the source to the detector, m.
    pulse_sigma, pulse_tau : float
        Standard deviation and time constant of the pulse (a Gaussian followed by an exponential decay), µs per Å of
        wavelength: slower neutrons leave the moderator later.
    temperature : float
        Of the moderated neutrons, K.
    counts : float
        Neutrons of the open beam per pixel and bin, mean over bins and pixels.
    falloff : float
        How much weaker the beam is in the corners than in the middle.
    thicknesses : tuple of float
        Thickness of the blocks along the beam, cm: each of these once in iron and once in nickel.
    spacer_thickness : float
        cm.
    treated_px : float
        Depth of the treated layer on the upper side of three blocks.
    strain : float
        Strain of the treated layer: the relative change of its lattice spacing.
    blur_px : float
        Standard deviation of penumbra and detector.
    """

    seed: int = 0
    frame_shape: tuple[int, int] = (128, 128)
    pixel_size: float = 0.22
    unit: str = "mm"
    n_bins: int = 661
    wavelengths: tuple[float, float] = (1.4, 4.6)
    flight_path: float = 24.0
    pulse_sigma: float = 15.0
    pulse_tau: float = 25.0
    temperature: float = 60.0
    counts: float = 200.0
    falloff: float = 0.2
    thicknesses: tuple[float, ...] = (1.0, 1.4, 1.8)
    spacer_thickness: float = 1.0
    treated_px: float = 4.0
    strain: float = -1.5e-3
    blur_px: float = 0.7

    def __post_init__(self) -> None:
        object.__setattr__(self, "thicknesses", tuple(self.thicknesses))
        self.tidy(("frame_shape", "wavelengths"), _RANGES)
        if self.wavelengths[0] >= self.wavelengths[1]:
            raise OptionError(f"simulate tof: wavelengths must rise, got {self.wavelengths}.")
        if len(self.thicknesses) != 3:
            raise OptionError(f"simulate tof: thicknesses are three, one for each pair, got {self.thicknesses}.")


_RANGES = (
    ("frame_shape", 4 * LEAST_SIDE, 4096),
    ("pixel_size", *LENGTH),
    ("n_bins", 8, 20000),
    ("wavelengths", 0.5, 20),
    ("flight_path", 0.1, 1000),
    ("pulse_sigma", 0.1, 1000),
    ("pulse_tau", 0.1, 1000),
    ("temperature", 5, 2000),
    ("counts", 1e-3, 1e6),
    ("falloff", 0, 0.9),
    ("thicknesses", 0.01, 20),
    ("spacer_thickness", 0.01, 20),
    ("treated_px", 0, 1000),
    ("strain", -0.02, 0.02),
    ("blur_px", 0, 20),
)


@dataclass(frozen=True, eq=False)
class TofCube:
    """A simulated time-of-flight run and its truth.

    Parameters
    ----------
    counts, open_beam : (T, M, N) array of uint16 or uint32
        Neutrons with and without the specimen, at the same dose.
    time : (T,) array
        Middle of each bin, s.
    flight_path : float
        m.
    labels : (M, N) array of int32
        Class that covers most of the pixel, before blur: an index of `CLASSES`.
    parts : (M, N) array of int32
        What lies there, as row number of `table`.
    thickness : (M, N) array of float
        Metal along the beam, mean over the pixel, cm.
    purity : (M, N) array of float
        Largest share that a part has in the pixel, blur included: 1 inside, less at borders.
    table : pandas.DataFrame
        One row per part: class, block, thickness in cm, strain, whether treated.
    transmission : (parts, T) array
        True transmission of each part as the detector sees it, pulse included.
    edges : pandas.DataFrame
        One row per part and Bragg edge: hkl, spacing of the planes and wavelength (Å), time (s).
    parameters : dict
        The simulation with these options makes the same bytes.
    """

    counts: np.ndarray
    open_beam: np.ndarray
    time: np.ndarray
    flight_path: float
    labels: np.ndarray
    parts: np.ndarray
    thickness: np.ndarray
    purity: np.ndarray
    table: pd.DataFrame
    transmission: np.ndarray
    edges: pd.DataFrame
    parameters: dict[str, Any] = field(default_factory=dict)


def simulate_tof(**options: Any) -> TofCube:
    """Return a time-of-flight cube; `options` are fields of `TofScene`.

    Examples
    --------
    >>> cube = simulate_tof(seed=1, frame_shape=(32, 40), n_bins=50)
    >>> cube.counts.shape, cube.table["class"].unique().tolist()
    ((50, 32, 40), ['void', 'spacer', 'iron', 'nickel'])
    """
    o = TofScene.from_dict(options)
    parts = _parts(o)
    time, response, fine = _pulse(o)
    flux = open_spectrum(fine, o.temperature)
    beam = response @ flux
    within = fine[:, None] + (fine[1] - fine[0]) * ((np.arange(_WITHIN) + 0.5) / _WITHIN - 0.5)
    passed = np.stack([_transmitted(part, within).mean(1) for part in parts])
    seen = (passed * flux) @ response.T
    transmission = seen / beam

    which, shares = _cover(o, parts)
    blurred = shares
    if o.blur_px:
        blurred = np.stack([cv2.GaussianBlur(s, (0, 0), o.blur_px, borderType=cv2.BORDER_REPLICATE) for s in shares])
    row, col = (np.linspace(-1, 1, n) for n in o.frame_shape)
    profile = 1 - o.falloff * (row[:, None] ** 2 + col**2) / 2
    level = o.counts * beam / beam.mean()
    rng = named_rng(o.seed, "counts")
    weights = blurred.reshape(len(parts), -1).astype(np.float64)
    expected = (transmission * level).T @ weights
    counts = _drawn(expected.reshape(-1, *o.frame_shape) * (profile / profile.mean()), rng)
    open_beam = _drawn(np.multiply.outer(level, profile / profile.mean()), rng)

    columns = {"part": "", "class": "", "block": "", "thickness": "cm", "strain": "", "treated": ""}
    rows = [
        {
            "part": k,
            "class": CLASSES[p.label],
            "block": p.block,
            "thickness": p.thickness,
            "strain": p.strain,
            "treated": p.layer,
        }
        for k, p in enumerate(parts)
    ]
    of_part = np.array([p.label for p in parts], np.int32)
    thickness = np.tensordot(np.array([p.thickness for p in parts], np.float32), shares, 1)
    return TofCube(
        counts,
        open_beam,
        time,
        o.flight_path,
        of_part[which],
        which,
        thickness,
        blurred.max(0),
        table(rows, columns),
        transmission,
        _edges(o, parts),
        o.as_dict(),
    )


@dataclass(frozen=True)
class _Part:
    """Something of one metal, one thickness (cm) and one strain; block 0 is none, and a layer lies on its block."""

    label: int
    block: int
    crystal: Crystal | None
    thickness: float
    strain: float = 0.0
    layer: bool = False


def _parts(o: TofScene) -> list[_Part]:
    """Return void, spacer, and each block, followed by its treated layer where it has one."""
    rng = named_rng(o.seed, "blocks")
    blocks = [(label, crystal, t) for label, crystal in ((2, IRON), (3, NICKEL)) for t in o.thicknesses]
    parts = [_Part(0, 0, None, 0.0), _Part(1, 0, ALUMINIUM, o.spacer_thickness)]
    for k, i in enumerate(rng.permutation(6), start=1):
        label, crystal, thickness = blocks[i]
        parts.append(_Part(label, k, crystal, thickness))
        if k in _TREATED:
            parts.append(_Part(label, k, crystal, thickness, o.strain, layer=True))
    return parts


def _transmitted(part: _Part, wavelength: np.ndarray) -> np.ndarray:
    if part.crystal is None:
        return np.ones_like(wavelength)
    return np.exp(-part.thickness * part.crystal.attenuation(wavelength, strain=part.strain))


def _pulse(o: TofScene) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return middles of the bins (s), share of each fine wavelength that falls in each bin (T, F), and those (Å)."""
    from scipy.stats import exponnorm

    per_angstrom = o.flight_path / NEUTRON_SPEED
    ends = np.linspace(*o.wavelengths, o.n_bins + 1) * per_angstrom
    width = ends[1] - ends[0]
    # Neutrons that should arrive before the first bin, or after the last, reach into the cube by their pulse.
    before = _RIGHT * o.pulse_tau * 1e-6 * o.wavelengths[0] + _LEFT * o.pulse_sigma * 1e-6 * o.wavelengths[0]
    after = _LEFT * o.pulse_sigma * 1e-6 * o.wavelengths[1]
    n_before, n_after = math.ceil(before / width), math.ceil(after / width)
    offsets = (np.arange((o.n_bins + n_before + n_after) * _FINE) + 0.5) / _FINE - n_before
    fine = ends[0] + width * offsets
    wavelength = fine / per_angstrom
    sigma, tau = o.pulse_sigma * 1e-6 * wavelength, o.pulse_tau * 1e-6 * wavelength
    # Each fine time reaches a band of bins only.
    first = np.floor((fine - _LEFT * sigma - ends[0]) / width).astype(int)
    reach = math.ceil(float((_LEFT * sigma + _RIGHT * tau).max()) / width) + 1
    at = first[:, None] + np.arange(reach + 1)
    below = exponnorm.cdf(ends[0] + width * at - fine[:, None], (tau / sigma)[:, None], scale=sigma[:, None])
    response = np.zeros((o.n_bins, fine.size))
    bins, point = at[:, :-1], np.broadcast_to(np.arange(fine.size)[:, None], at[:, :-1].shape)
    inside = (bins >= 0) & (bins < o.n_bins)
    response[bins[inside], point[inside]] = np.diff(below, axis=1)[inside]
    return (ends[1:] + ends[:-1]) / 2, response, wavelength


def _cover(o: TofScene, parts: list[_Part]) -> tuple[np.ndarray, np.ndarray]:
    """Return which part covers most of each pixel, and how much of it each part covers (parts, M, N)."""
    rng = named_rng(o.seed, "place")
    turn = math.radians(rng.uniform(-2, 2))
    shift = rng.uniform(-1, 1, 2)
    axes = [(np.arange(n * _SAMPLES) + 0.5) / _SAMPLES - n / 2 - s for n, s in zip(o.frame_shape, shift)]
    y, x = np.meshgrid(*axes, indexing="ij", sparse=True)
    row = (math.cos(turn) * y - math.sin(turn) * x) / o.frame_shape[0]
    col = (math.sin(turn) * y + math.cos(turn) * x) / o.frame_shape[1]
    here = np.zeros(row.shape, np.uint8)
    layer = o.treated_px / o.frame_shape[0]
    for number, part in enumerate(parts):
        if not part.block:
            continue
        k = part.block - 1
        top, left = -0.43 + 0.31 * (k // 2), -0.4 + 0.44 * (k % 2)
        across = (col >= left) & (col < left + 0.36)
        here[across & (row >= top) & (row < top + (min(layer, 0.24) if part.layer else 0.24))] = number
        if k < 4:
            here[across & (row >= top + 0.24) & (row < top + 0.31)] = 1
    shares = np.stack([pixel_means((here == k).view(np.uint8), _SAMPLES) for k in range(len(parts))])
    return shares.argmax(0).astype(np.int32), shares


def _drawn(expected: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return Poisson counts, a frame at a time."""
    out = np.empty(expected.shape, np.uint16 if expected.max() < 6e4 else np.uint32)
    for frame, mean in zip(out, expected):
        frame[:] = rng.poisson(mean)
    return out


def _edges(o: TofScene, parts: list[_Part]) -> pd.DataFrame:
    """Return every Bragg edge of every part within the wavelengths of the cube."""
    units = {"part": "", "class": "", "hkl": "", "spacing": "Å", "wavelength": "Å", "time": "s"}
    rows = []
    for k, part in enumerate(parts):
        if part.crystal is None:
            continue
        for edge in part.crystal.edges(o.wavelengths[0] / (1 + abs(o.strain))):
            spacing = edge.spacing * (1 + part.strain)
            wavelength = 2 * spacing
            if o.wavelengths[0] <= wavelength <= o.wavelengths[1]:
                time = wavelength * o.flight_path / NEUTRON_SPEED
                rows.append((k, CLASSES[part.label], edge.hkl, spacing, wavelength, time))
    return table((dict(zip(units, row)) for row in rows), units)
