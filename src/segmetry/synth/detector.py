"""The detector of a neutron camera, stage by stage: beam, specimen, scatter, penumbra, scintillator, camera, counts.

Neutrons become light in a scintillator, light becomes electrons in the camera, electrons become 16-bit counts. Neutrons
arrive by chance *before* the scintillator spreads their light, so their noise is blurred with the picture; what gamma
rays deposit in the sensor is blurred by the camera alone, and so is sharper than anything the neutrons can draw.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import cv2
import numpy as np

from segmetry.synth.chance import log_normal
from segmetry.synth.optics import blur, digitise
from segmetry.synth.texture import band_noise, ramp

FULL_SCALE = 65535
"""Largest count."""


def open_beam_shape(shape: tuple[int, int], unevenness: float, rng: np.random.Generator) -> np.ndarray:
    """Return the beam's intensity relative to its mean: a slope, a fall to the corners and faint mottle."""
    row, col = (np.linspace(-1, 1, n, dtype=np.float32) for n in shape)
    bowl = row[:, None] ** 2 + col[None, :] ** 2
    mottle = band_noise(shape, min(shape) / 6, rng)
    beam = 0.5 * ramp(shape, rng.uniform(0, 2 * math.pi)) - 0.4 * bowl + 0.05 * mottle
    beam = np.maximum(1 + np.float32(unevenness) * (beam - beam.mean()), 0.05)
    return (beam / beam.mean()).astype(np.float32)


def scatter(beam: np.ndarray, transmitted: np.ndarray, share: float, reach: float) -> np.ndarray:
    """Return what arrives with the pedestal of neutrons that the specimen scatters towards the detector.

    Parameters
    ----------
    beam, transmitted : (M, N) array
        Neutrons before and behind the specimen.
    share : float
        Share of the removed neutrons that arrive all the same.
    reach : float
        Standard deviation in px over which they are spread.
    """
    if share == 0:
        return transmitted
    # Wide and smooth: a coarse grid will do, and is far faster.
    step = max(1, int(reach / 4))
    removed = beam - transmitted
    small = (max(1, removed.shape[1] // step), max(1, removed.shape[0] // step))
    coarse = blur(cv2.resize(removed, small, interpolation=cv2.INTER_AREA), reach / step)
    spread = cv2.resize(coarse, removed.shape[::-1], interpolation=cv2.INTER_LINEAR)
    return transmitted + np.float32(share) * np.maximum(spread, 0)


def penumbra(flux: np.ndarray, width: float) -> np.ndarray:
    """Return the flux as a round aperture blurs it: the mean over a disk of `width` px, distance / (L/D)."""
    if width < 0.1:
        return flux
    half = math.ceil(width / 2) + 1
    at = (np.arange(64) + 0.5) / 64 * width - width / 2
    row, col = (x[np.hypot(*np.meshgrid(at, at)) <= width / 2] for x in np.meshgrid(at, at, indexing="ij"))
    kernel = np.zeros((2 * half + 1, 2 * half + 1))
    # A ray that is off by a part of a pixel falls on two of them along each axis.
    low_row, low_col = np.floor(row).astype(int), np.floor(col).astype(int)
    for r in (0, 1):
        for c in (0, 1):
            share = (1 - abs(row - low_row - r)) * (1 - abs(col - low_col - c))
            np.add.at(kernel, (half + low_row + r, half + low_col + c), share)
    return cv2.filter2D(flux, cv2.CV_32F, kernel / kernel.sum(), borderType=cv2.BORDER_REFLECT)


def scintillator(light: np.ndarray, sigma: float, tail_share: float, tail_px: float) -> np.ndarray:
    """Return the light as scintillator and lens spread it.

    A Gaussian of `sigma` px; of the light, `tail_share` goes into a tail exp(-r / tail_px) instead, cut at 6 lengths.
    """
    near = blur(light, sigma)
    if tail_share == 0:
        return near
    half = math.ceil(6 * tail_px)
    at = np.arange(-half, half + 1)
    kernel = np.exp(-np.hypot(at[:, None], at) / tail_px).astype(np.float32)
    tail = cv2.filter2D(light, cv2.CV_32F, kernel / kernel.sum(), borderType=cv2.BORDER_REFLECT)
    return near + np.float32(tail_share) * (tail - near)


class Gammas(NamedTuple):
    """What gamma rays leave in one frame.

    Parameters
    ----------
    electrons : (M, N) array of float32
        What they add to every pixel.
    owner : (M, N) array of int32
        Number of the spot that gives most to a pixel, from 1; 0 where no spot gives at least a hundredth of an
        electron.
    charge : (K,) array
        Electrons of each spot, what falls out of the frame included.
    length : (K,) array
        Length of its track in px.
    """

    electrons: np.ndarray
    owner: np.ndarray
    charge: np.ndarray
    length: np.ndarray


def gamma_spots(
    shape: tuple[int, int],
    n_spots: int,
    *,
    charge: float,
    gsd: float,
    streak_share: float,
    longest: float,
    sigma: float,
    rng: np.random.Generator,
) -> Gammas:
    """Return spots at random places: dots, and short straight tracks.

    Parameters
    ----------
    shape : (rows, columns)
    n_spots : int
    charge, gsd : float
        Median and geometric standard deviation of the log-normal law of a spot's electrons.
    streak_share : float
        Share of the spots that are tracks.
    longest : float
        Longest track, px; lengths are uniform from 1 px.
    sigma : float
        Standard deviation of the camera's own blur, px.
    """
    electrons = np.zeros(shape, np.float32)
    owner, most = np.zeros(shape, np.int32), np.full(shape, 0.01, np.float32)
    charges = np.array([log_normal(rng, charge, gsd) for _ in range(n_spots)])
    lengths = np.where(rng.uniform(size=n_spots) < streak_share, rng.uniform(1, max(longest, 1), n_spots), 0.0)
    angles = rng.uniform(0, math.pi, n_spots)
    centres = rng.uniform(-0.5, np.array(shape) - 0.5, (n_spots, 2))
    width = max(sigma, 0.05)
    for k in range(n_spots):
        along = np.linspace(-0.5, 0.5, max(1, math.ceil(4 * lengths[k]))) * lengths[k] if lengths[k] else np.zeros(1)
        points = centres[k] + along[:, None] * (math.cos(angles[k]), math.sin(angles[k]))
        reach = 4 * width + 1
        low = np.maximum(np.floor(points.min(0) - reach), 0).astype(int)
        high = np.minimum(np.ceil(points.max(0) + reach), np.array(shape) - 1).astype(int) + 1
        window = tuple(slice(a, b) for a, b in zip(low, high))
        across = [_shares(np.arange(w.start, w.stop), points[:, axis], width) for axis, w in enumerate(window)]
        part = (charges[k] / len(points) * (across[0].T @ across[1])).astype(np.float32)
        electrons[window] += part
        own = part > most[window]
        owner[window][own] = k + 1
        most[window][own] = part[own]
    return Gammas(electrons, owner, charges, lengths)


def _shares(pixels: np.ndarray, points: np.ndarray, sigma: float) -> np.ndarray:
    """Return the share of a Gaussian round each point that falls into each pixel along one axis, (points, pixels)."""
    from scipy.special import ndtr

    edges = np.append(pixels - 0.5, pixels[-1] + 0.5)
    return np.diff(ndtr((edges - points[:, None]) / sigma), axis=1)


class Sensor(NamedTuple):
    """What is fixed in the camera's pixels, and so the same in every exposure.

    Parameters
    ----------
    gain : (M, N) array of float32
        Response of each pixel relative to the mean, as the open beams see it.
    drifted : (M, N) array of float32
        Response while the specimen is there: what differs from `gain` survives the flat field, as rings in a scan.
    hot : (M, N) array of float32
        Electrons that a pixel adds by itself to each exposure.
    dead : (M, N) array of bool
        Pixels that see nothing.
    """

    gain: np.ndarray
    drifted: np.ndarray
    hot: np.ndarray
    dead: np.ndarray

    @property
    def bad(self) -> np.ndarray:
        """Pixels with a fault: hot, dead, or of a response that drifts."""
        return self.dead | (self.hot > 0) | (self.drifted != self.gain)


def sensor(
    shape: tuple[int, int],
    *,
    gain_spread: float,
    ring_share: float,
    ring_gain: float,
    hot_share: float,
    hot_electrons: float,
    dead_share: float,
    rng: np.random.Generator,
) -> Sensor:
    """Return a sensor drawn at random.

    Parameters
    ----------
    shape : (rows, columns)
    gain_spread : float
        Relative standard deviation of the response of pixels.
    ring_share, ring_gain : float
        Share of the pixels whose response drifts between open beam and specimen, and the relative standard deviation
        of this drift.
    hot_share, hot_electrons : float
        Share of the pixels that are hot, and the median of what they add (log-normal, geometric standard deviation 3).
    dead_share : float
        Share of the pixels that see nothing.
    """
    gain = np.maximum(1 + np.float32(gain_spread) * rng.standard_normal(shape, dtype=np.float32), 0)
    drift = (rng.uniform(size=shape) < ring_share) * rng.standard_normal(shape)
    drifted = np.maximum(gain * (1 + ring_gain * drift), 0).astype(np.float32)
    kind = rng.uniform(size=shape)
    extra = hot_electrons * np.exp(math.log(3) * rng.standard_normal(shape))
    hot = np.where(kind < hot_share, extra, 0).astype(np.float32)
    return Sensor(gain, drifted, hot, kind >= 1 - dead_share)


def expose(
    neutrons: np.ndarray,
    *,
    electrons_per_neutron: float,
    sigma: float,
    tail_share: float,
    tail_px: float,
    rng: np.random.Generator | None,
) -> np.ndarray:
    """Return the electrons that an expected number of neutrons frees; without `rng` the mean of all exposures.

    The number of neutrons is Poisson, then their light spreads, and of each pixel's light the electrons are Poisson
    again.
    """
    arrived = neutrons if rng is None else rng.poisson(neutrons).astype(np.float32)
    light = scintillator(arrived * np.float32(electrons_per_neutron), sigma, tail_share, tail_px)
    return light if rng is None else rng.poisson(np.maximum(light, 0)).astype(np.float32)


def counts(
    electrons: np.ndarray, *, read_noise: float, per_count: float, offset: float, noise: np.ndarray
) -> np.ndarray:
    """Return 16-bit counts of electrons; `noise` is drawn from the standard normal law, `offset` is in counts."""
    signal = (electrons + np.float32(read_noise) * noise) / np.float32(per_count) + np.float32(offset)
    return digitise(signal, (0, FULL_SCALE), 16)
