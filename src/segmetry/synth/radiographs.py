"""`simulate_radiograph` and `simulate_scan`: neutron radiographs through the whole detector, with everything known.

The defaults are a thermal beam of 1e7 neutrons per square centimetre and second, 30 s, and a scintillator that catches
a fifth: 1,500 neutrons a pixel of 50 µm, 22,500 counts. The specimen has the attenuation of iron, 0.11 per mm.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from segmetry.errors import OptionError, unknown_name
from segmetry.synth import detector, path_lengths
from segmetry.synth.chance import named_rng
from segmetry.synth.labelled import table
from segmetry.synth.path_lengths import OBJECTS, Solid
from segmetry.synth.record import LEAST_SIDE, LENGTH, Record
from segmetry.types import Calibration
from segmetry.units import METRES

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class RadiographScene(Record):
    """Everything that decides a radiograph, or a scan.

    Parameters
    ----------
    seed : int
        Same record, same bytes.
    frame_shape : (rows, columns)
        Shape of a frame.
    pixel_size, unit : float, str
        Length of a pixel at the specimen, and the unit of all lengths below that do not end in ``_px``.
    object : str
        Specimen: one of `OBJECTS`. A scan has a container with balls, pores and rods instead.
    attenuation : float
        Attenuation coefficient of the specimen, 1/`unit`.
    thickness : float
        Greatest thickness of wedge and steps.
    bodies : int
        Number of steps, cylinders, rods or balls.
    body_diameter, body_gsd : float
        Median and geometric standard deviation of the log-normal law of their diameter.
    n_frames, n_open, n_dark : int
        Exposures with the specimen, without it, and without the beam.
    flux : float
        Neutrons per square centimetre and second.
    exposure : float
        Seconds.
    efficiency : float
        Share of the neutrons that the scintillator catches.
    unevenness : float
        Relative range of the open beam over the frame.
    scatter_share, scatter_reach : float
        Share of the removed neutrons that reach the detector all the same, and the standard deviation of their spread.
    collimation, distance : float
        L/D of the beam, and from the specimen to the detector: the penumbra is distance / (L/D) wide.
    scintillator_px, tail_share, tail_px : float
        Standard deviation of the light's spread, the share of the light in the long tail, and the tail's length.
    electrons_per_neutron, electrons_per_count : float
        Gain of scintillator and lens, and of the camera.
    read_noise : float
        Standard deviation, electrons.
    offset : float
        Counts without any light.
    dark_current : float
        Electrons per second and pixel.
    gamma_rate : float
        Spots per second and million pixels.
    gamma_charge, gamma_gsd : float
        Median and geometric standard deviation of the log-normal law of a spot's electrons.
    streak_share, longest_streak_px : float
        Share of the spots that are tracks, and the longest of them.
    camera_px : float
        Standard deviation of the camera's own blur, which is all that blurs gamma spots.
    visible : float
        What a spot has to add to a pixel, in standard deviations of its noise, for the pixel to carry its label.
    gain_spread : float
        Relative standard deviation of the response of pixels.
    ring_share, ring_gain : float
        Share of the pixels whose response drifts between open beams and frames, and by how much.
    hot_share, hot_electrons, dead_share : float
        Share of hot pixels, the median of what they add, and the share of dead ones.
    """

    seed: int = 0
    frame_shape: tuple[int, int] = (512, 512)
    pixel_size: float = 0.05
    unit: str = "mm"
    object: str = "rods"
    attenuation: float = 0.11
    thickness: float = 20.0
    bodies: int = 8
    body_diameter: float = 3.0
    body_gsd: float = 1.6
    n_frames: int = 1
    n_open: int = 5
    n_dark: int = 5
    flux: float = 1e7
    exposure: float = 30.0
    efficiency: float = 0.2
    unevenness: float = 0.3
    scatter_share: float = 0.05
    scatter_reach: float = 4.0
    collimation: float = 250.0
    distance: float = 15.0
    scintillator_px: float = 1.0
    tail_share: float = 0.1
    tail_px: float = 4.0
    electrons_per_neutron: float = 15.0
    electrons_per_count: float = 1.0
    read_noise: float = 6.0
    offset: float = 300.0
    dark_current: float = 0.5
    gamma_rate: float = 100.0
    gamma_charge: float = 3000.0
    gamma_gsd: float = 2.5
    streak_share: float = 0.2
    longest_streak_px: float = 6.0
    camera_px: float = 0.4
    visible: float = 3.0
    gain_spread: float = 0.01
    ring_share: float = 0.01
    ring_gain: float = 0.02
    hot_share: float = 2e-4
    hot_electrons: float = 8000.0
    dead_share: float = 5e-5

    def __post_init__(self) -> None:
        if self.object not in OBJECTS:
            raise unknown_name("object of simulate radiograph", self.object, OBJECTS)
        self.tidy(("frame_shape",), _RANGES)
        if self.unit not in METRES:
            raise OptionError(f"simulate radiograph: a flux needs a length of a pixel, so unit is no {self.unit!r}.")

    @property
    def neutrons(self) -> float:
        """Mean number of neutrons that a pixel of the open beam catches."""
        area = (self.pixel_size * METRES[self.unit] / METRES["cm"]) ** 2
        return self.flux * self.exposure * self.efficiency * area

    @property
    def full_beam(self) -> float:
        """Mean counts of the open beam over the dark."""
        return self.neutrons * self.electrons_per_neutron / self.electrons_per_count


_RANGES = (
    ("frame_shape", LEAST_SIDE, 65536),
    ("pixel_size", *LENGTH),
    ("attenuation", 0, 1e12),
    ("thickness", 0, 1e12),
    ("bodies", 0, 10000),
    ("body_diameter", *LENGTH),
    ("body_gsd", 1, 5),
    ("n_frames", 1, 10000),
    ("n_open", 1, 1000),
    ("n_dark", 1, 1000),
    ("flux", 0, 1e15),
    ("exposure", 1e-6, 1e6),
    ("efficiency", 0, 1),
    ("unevenness", 0, 1.5),
    ("scatter_share", 0, 1),
    ("scatter_reach", *LENGTH),
    ("collimation", 1, 1e6),
    ("distance", 0, 1e12),
    ("scintillator_px", 0, 100),
    ("tail_share", 0, 1),
    ("tail_px", 0.1, 100),
    ("electrons_per_neutron", 1e-3, 1e6),
    ("electrons_per_count", 1e-3, 1e6),
    ("read_noise", 0, 1e6),
    ("offset", 0, detector.FULL_SCALE),
    ("dark_current", 0, 1e6),
    ("gamma_rate", 0, 1e5),
    ("gamma_charge", 1e-3, 1e9),
    ("gamma_gsd", 1, 20),
    ("streak_share", 0, 1),
    ("longest_streak_px", 1, 100),
    ("camera_px", 0, 10),
    ("visible", 0, 1e6),
    ("gain_spread", 0, 0.5),
    ("ring_share", 0, 1),
    ("ring_gain", 0, 1),
    ("hot_share", 0, 0.5),
    ("hot_electrons", 1e-3, 1e9),
    ("dead_share", 0, 0.5),
)


@dataclass(frozen=True, eq=False)
class Radiographs:
    """Simulated frames, what belongs to them, and what is true of them. K frames of (M, N) pixels.

    Parameters
    ----------
    frames : (K, M, N) array of uint16
        Exposures with the specimen; of a scan one per angle.
    open_beams, darks : (n, M, N) array of uint16
    clean : (K, M, N) array of uint16
        The frames with the same noise, without spots, from a sensor without faults.
    attenuation : (K, M, N) or (1, M, N) array of float32
        Line integrals of the attenuation coefficient; one for all frames of a specimen that stands still.
    transmission : array of that shape, float32
        Expected counts over the dark, divided by those of the open beam: with scatter and all blur, without noise.
    deposit : (K, M, N) array of float32
        Counts that spots add.
    spots : (K, M, N) array of int32
        Number of the spot in its frame, where it adds at least `visible` standard deviations of the noise; else 0.
    bad : (M, N) array of bool
        Pixels with a fault: hot, dead, or of a response that drifts.
    noise : array of the shape of `attenuation`, float32
        Expected standard deviation of a frame's pixels, counts.
    angles : (K,) array
        Degrees; 0 where nothing turns.
    solids : tuple of Solid
        What a scan's specimen is made of, in pixels.
    truth : pandas.DataFrame
        One row per spot; ``truth.attrs["units"]`` has units.
    calibration : Calibration
    parameters : dict
        Plain data: the simulation with these options makes the same bytes.
    """

    frames: np.ndarray
    open_beams: np.ndarray
    darks: np.ndarray
    clean: np.ndarray
    attenuation: np.ndarray
    transmission: np.ndarray
    deposit: np.ndarray
    spots: np.ndarray
    bad: np.ndarray
    noise: np.ndarray
    angles: np.ndarray
    solids: tuple[Solid, ...]
    truth: pd.DataFrame
    calibration: Calibration
    parameters: dict[str, Any] = field(default_factory=dict)

    @property
    def frame(self) -> np.ndarray:
        """The first frame, (M, N)."""
        return self.frames[0]

    def section(self, row: float) -> np.ndarray:
        """Return the true slice of a scan at a row: attenuation per unit of length, (N, N), axes (depth, column)."""
        side = self.frames.shape[2]
        return path_lengths.section(side, list(self.solids), row) / np.float32(self.calibration.spacing[1])


class _Bench:
    """The detector of one record: beam and sensor drawn once, exposures one after the other."""

    def __init__(self, o: RadiographScene) -> None:
        self.o, self.shape = o, o.frame_shape
        rng = named_rng(o.seed, "radiograph beam")
        self.beam = np.float32(o.neutrons) * detector.open_beam_shape(self.shape, o.unevenness, rng)
        self.sensor = detector.sensor(
            self.shape,
            gain_spread=o.gain_spread,
            ring_share=o.ring_share,
            ring_gain=o.ring_gain,
            hot_share=o.hot_share,
            hot_electrons=o.hot_electrons,
            dead_share=o.dead_share,
            rng=named_rng(o.seed, "radiograph sensor"),
        )
        # A neutron's light falls on many pixels, so its noise in one of them is less than that of as many electrons.
        spread = np.zeros((129, 129), np.float32)
        spread[64, 64] = 1
        self.sharing = float((detector.scintillator(spread, o.scintillator_px, o.tail_share, o.tail_px) ** 2).sum())

    def behind(self, attenuation: np.ndarray) -> np.ndarray:
        """Return the neutrons that are expected behind a specimen."""
        o = self.o
        flux = detector.penumbra(self.beam * np.exp(-attenuation), o.distance / o.collimation / o.pixel_size)
        return detector.scatter(self.beam, flux, o.scatter_share, o.scatter_reach / o.pixel_size)

    def electrons(self, neutrons: np.ndarray, rng: np.random.Generator | None) -> np.ndarray:
        """Return what the light of neutrons frees."""
        o = self.o
        return detector.expose(
            neutrons,
            electrons_per_neutron=o.electrons_per_neutron,
            sigma=o.scintillator_px,
            tail_share=o.tail_share,
            tail_px=o.tail_px,
            rng=rng,
        )

    def noise(self, expected: np.ndarray) -> np.ndarray:
        """Return the standard deviation of counts where so many electrons are expected."""
        o = self.o
        variance = expected * (1 + o.electrons_per_neutron * self.sharing) + o.dark_current * o.exposure
        return np.sqrt(variance + o.read_noise**2) / np.float32(o.electrons_per_count)

    def gammas(self, rng: np.random.Generator) -> detector.Gammas:
        """Return the spots of one exposure."""
        o = self.o
        mean = o.gamma_rate * o.exposure * self.shape[0] * self.shape[1] / 1e6
        return detector.gamma_spots(
            self.shape,
            int(rng.poisson(mean)),
            charge=o.gamma_charge,
            gsd=o.gamma_gsd,
            streak_share=o.streak_share,
            longest=o.longest_streak_px,
            sigma=o.camera_px,
            rng=rng,
        )

    def read(
        self, electrons: np.ndarray, gain: np.ndarray, spots: np.ndarray | float, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the counts of an exposure, and what they had been without spots and faults of pixels."""
        o = self.o
        noise = rng.standard_normal(self.shape, dtype=np.float32)
        dark = rng.poisson(o.dark_current * o.exposure, self.shape).astype(np.float32)
        sound = electrons * self.sensor.gain + dark
        with_faults = np.where(self.sensor.dead, 0, electrons * gain + dark + self.sensor.hot + spots)

        def counts(signal: np.ndarray) -> np.ndarray:
            return detector.counts(
                signal, read_noise=o.read_noise, per_count=o.electrons_per_count, offset=o.offset, noise=noise
            )

        return counts(with_faults), counts(sound)


def simulate_radiograph(*, seed: int = 0, **options: Any) -> Radiographs:
    """Return radiographs of a specimen that stands still, with open beams and darks.

    Parameters
    ----------
    seed : int
        Same options and seed, same bytes.
    **options
        The fields of `RadiographScene`.

    Raises
    ------
    OptionError
        For an option that does not exist or is out of range.

    Examples
    --------
    >>> scene = simulate_radiograph(seed=1, frame_shape=(64, 80), object="wedge")
    >>> scene.frame.shape, scene.frame.dtype, bool(scene.spots.any())
    ((64, 80), dtype('uint16'), True)
    """
    o = RadiographScene.from_dict({"seed": seed, **options})
    return _run(o, [_specimen(o)], np.zeros(o.n_frames), ())


def simulate_scan(*, seed: int = 0, n_angles: int = 180, **options: Any) -> Radiographs:
    """Return the radiographs of a parallel-beam scan over half a turn, whose slices are known.

    Parameters
    ----------
    seed : int
        Same options and seed, same bytes.
    n_angles : int
        Number of frames; the last angle is a step short of 180 degrees.
    **options
        The fields of `RadiographScene`; `object`, `thickness` and `n_frames` have no say.

    Returns
    -------
    scan : Radiographs
        The axis of rotation runs through column ``N // 2``. ``scan.section(row)`` is the slice that is right.

    Examples
    --------
    >>> scan = simulate_scan(seed=1, n_angles=4, frame_shape=(8, 64), pixel_size=0.2)
    >>> scan.angles, scan.frames.shape, scan.section(3).shape
    (array([  0.,  45.,  90., 135.]), (4, 8, 64), (64, 64))
    """
    o = RadiographScene.from_dict({"seed": seed, **options})
    if n_angles < 1:
        raise OptionError(f"simulate scan: n_angles must be at least 1, got {n_angles}.")
    per_px, diameter = o.attenuation * o.pixel_size, o.body_diameter / o.pixel_size
    solids = path_lengths.phantom(o.frame_shape, per_px, diameter, o.body_gsd, o.bodies, o.seed)
    angles = np.arange(n_angles) * 180.0 / n_angles
    return _run(o, [path_lengths.projection(o.frame_shape, solids, a) for a in angles], angles, tuple(solids))


def _specimen(o: RadiographScene) -> np.ndarray:
    """Return the attenuation along every ray."""
    rng, shape = named_rng(o.seed, "radiograph object"), o.frame_shape
    laws = (o.body_diameter / o.pixel_size, o.body_gsd, o.bodies, rng)
    thickness = o.thickness / o.pixel_size
    path = {
        "none": lambda: np.zeros(shape, np.float32),
        "wedge": lambda: path_lengths.wedge(shape, thickness),
        "steps": lambda: path_lengths.wedge(shape, thickness, o.bodies),
        "cylinders": lambda: path_lengths.cylinders(shape, *laws),
        "rods": lambda: path_lengths.rods(shape, *laws),
        "balls": lambda: path_lengths.balls(shape, *laws),
    }[o.object]()
    return path * np.float32(o.attenuation * o.pixel_size)


def _run(
    o: RadiographScene, attenuations: list[np.ndarray], angles: np.ndarray, solids: tuple[Solid, ...]
) -> Radiographs:
    """Return a frame per angle; one attenuation serves them all, or each has its own."""
    bench, n = _Bench(o), len(angles)
    empty = bench.electrons(bench.beam, None)
    transmission, noise = [], []
    frames, clean = np.empty((n, *o.frame_shape), np.uint16), np.empty((n, *o.frame_shape), np.uint16)
    deposit, spots = np.empty((n, *o.frame_shape), np.float32), np.empty((n, *o.frame_shape), np.int32)
    rows: list[dict[str, Any]] = []
    for k in range(n):
        if k < len(attenuations):
            neutrons = bench.behind(attenuations[k])
            expected = bench.electrons(neutrons, None)
            transmission.append(expected / np.maximum(empty, 1e-30))
            noise.append(bench.noise(expected))
        rng = named_rng(o.seed, f"radiograph frame {k}")
        gammas = bench.gammas(named_rng(o.seed, f"radiograph gammas {k}"))
        frames[k], clean[k] = bench.read(bench.electrons(neutrons, rng), bench.sensor.drifted, gammas.electrons, rng)
        deposit[k] = gammas.electrons / o.electrons_per_count
        above = deposit[k] / noise[-1]
        spots[k] = np.where(above >= o.visible, gammas.owner, 0)
        rows += _spot_rows(k, gammas, above, spots[k])
    open_beams = [_blank(bench, k, "open", bench.beam) for k in range(o.n_open)]
    darks = [_blank(bench, k, "dark", None) for k in range(o.n_dark)]
    units = {"frame": "", "spot": "", "charge": "e-", "length": "px", "peak": "sigma", "n_visible": "px"}
    return Radiographs(
        frames,
        np.stack(open_beams),
        np.stack(darks),
        clean,
        np.stack(attenuations),
        np.stack(transmission),
        deposit,
        spots,
        bench.sensor.bad,
        np.stack(noise),
        angles,
        solids,
        table(rows, units),
        Calibration((o.pixel_size,) * 2, o.unit, source="metadata", detail="simulated"),
        o.as_dict(),
    )


def _blank(bench: _Bench, k: int, kind: str, beam: np.ndarray | None) -> np.ndarray:
    """Return an exposure without a specimen, or with the shutter closed."""
    rng = named_rng(bench.o.seed, f"radiograph {kind} {k}")
    if beam is None:
        return bench.read(np.zeros(bench.shape, np.float32), bench.sensor.gain, 0.0, rng)[0]
    gammas = bench.gammas(named_rng(bench.o.seed, f"radiograph {kind} gammas {k}"))
    return bench.read(bench.electrons(beam, rng), bench.sensor.gain, gammas.electrons, rng)[0]


def _spot_rows(k: int, gammas: detector.Gammas, above: np.ndarray, spots: np.ndarray) -> list[dict[str, Any]]:
    """Return a row per spot of a frame: its electrons, and its greatest height in standard deviations of the noise."""
    n = len(gammas.charge)
    peak = np.zeros(n + 1, np.float32)
    np.maximum.at(peak, gammas.owner.ravel(), above.ravel())
    shown = np.bincount(spots.ravel(), minlength=n + 1)
    return [
        {
            "frame": k,
            "spot": s + 1,
            "charge": float(gammas.charge[s]),
            "length": float(gammas.length[s]),
            "peak": float(peak[s + 1]),
            "n_visible": int(shown[s + 1]),
        }
        for s in range(n)
    ]
