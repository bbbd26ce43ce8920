"""From thickness and height to an image: contrast of each kind of microscope, support, blur, dose, digitisation.

Signals are relative: 1 is the empty support in bright field; in dark field and SEM it is the middle of a median
particle.
"""

from __future__ import annotations

import math

import cv2
import numpy as np

from segmetry.synth.supports import Support
from segmetry.synth.texture import ramp

KINDS: dict[str, str] = {
    "bf-tem": "bright-field TEM: dark particles by Beer–Lambert absorption of the projected thickness",
    "bf-stem": "bright-field STEM: the same law, by reciprocity",
    "haadf-stem": "high-angle annular dark field: bright particles, proportional to thickness times Z contrast",
    "laadf-stem": "low-angle annular dark field: weaker bright particles, stronger support, bright edges",
    "sem": "secondary electrons: bright slopes and edges, shadowed gaps",
}
"""Every kind of image and its meaning."""

BRIGHT_FIELD = ("bf-tem", "bf-stem")
"""Kinds in which what scatters is dark and the empty support has signal 1."""


def bright_field(depth: np.ndarray, support: Support, *, film_depth: float) -> np.ndarray:
    """Return the transmitted share ``exp(-depth)`` of particles (optical depth ``depth``) times that of the film.

    The film's mean is taken out: an empty support of mean thickness has signal 1, a hole ``exp(film_depth)``.
    """
    signal = np.exp(-(depth + np.float32(film_depth) * (support.film - 1)))
    if support.bar is not None:
        signal = signal * (1 - 0.96 * support.bar)
    return signal


def haadf(depth: np.ndarray, support: Support, *, background: float) -> np.ndarray:
    """Return the high-angle scattered signal: proportional to mass thickness, over the film's."""
    signal = depth + np.float32(background) * support.film
    if support.bar is not None:
        signal = signal * (1 - support.bar) + 1.4 * support.bar
    return signal


def laadf(
    depth: np.ndarray, inside: np.ndarray, support: Support, *, background: float, pixel_depth: float
) -> np.ndarray:
    """Return the low-angle scattered signal: saturating with thickness, with bright edges, over a strong film.

    Diffracted intensity adds where the thickness of a particle changes, `inside` its outline and not beside it;
    `pixel_depth` is the depth of one px of particle.
    """
    thick = 0.75 * (1 - np.exp(-1.4 * depth)).astype(np.float32)
    gr, gc = np.gradient(depth)
    edge = np.tanh(np.hypot(gr, gc) / np.float32(4 * pixel_depth + 1e-9))
    signal = thick + 0.22 * edge * inside + np.float32(2.5 * background) * support.film
    if support.bar is not None:
        signal = signal * (1 - support.bar) + 1.2 * support.bar
    return signal.astype(np.float32)


def sem(
    height: np.ndarray,
    material: np.ndarray,
    support: Support,
    *,
    scale: float,
    background: float,
    light: float,
    grain: np.ndarray | None,
) -> np.ndarray:
    """Return the secondary-electron signal of a height map (px).

    Parameters
    ----------
    height : (M, N) array
        Upper surface above the support, px.
    material : (M, N) array
        Yield of what lies on top, relative to a median particle; 0 where the support shows.
    support : Support
        What shows between particles.
    scale : float
        Diameter (px) over which gaps are shadowed: that of a typical particle.
    background : float
        Yield of the bare support.
    light : float
        Direction of the detector in the plane (rad).
    grain : (M, N) array or None
        Fine relief of the surfaces.

    Notes
    -----
    The yield of a surface tilted by theta goes as 1 / cos(theta) until the escape depth limits it (L. Reimer,
    Scanning Electron Microscopy, 1998, doi:10.1007/978-3-540-38967-5, section 4); here as ``1 + k (1 - exp(-(1/cos -
    1)/k))``. A detector at one side adds the cosine to it; electrons from gaps are caught, which darkens what lies
    below its surroundings.
    """
    top = height if grain is None else height + grain * (material > 0)
    gr, gc = np.gradient(top)
    steep = np.sqrt(1 + gr * gr + gc * gc)
    k = np.float32(1.1)
    tilt = k * (1 - np.exp(-(steep - 1) / k))
    side = -(gr * np.float32(math.cos(light)) + gc * np.float32(math.sin(light))) / steep
    # The support is flat: differences of height across an outline are the particle's slope alone.
    bare = np.float32(background) * support.film
    surface = np.where(material > 0, 0.55 * material * (1 + 0.75 * tilt + 0.18 * side), bare)
    around = cv2.GaussianBlur(height, (0, 0), max(0.35 * scale, 1.0))
    sunk = np.maximum(around - height, 0) / np.float32(0.35 * scale + 1)
    signal = surface * np.exp(-1.1 * sunk)
    if support.bar is not None:
        signal = signal * (1 - support.bar) + 0.7 * support.bar
    return signal.astype(np.float32)


def motion_blur(signal: np.ndarray, drift: tuple[float, float]) -> np.ndarray:
    """Return the signal smeared along a straight drift (row, col) in px during the exposure."""
    length = math.hypot(*drift)
    if length < 0.05:
        return signal
    half = math.ceil(length / 2) + 1
    kernel = np.zeros((2 * half + 1, 2 * half + 1))
    for t in np.linspace(-0.5, 0.5, 4 * half + 1):
        r, c = half + t * drift[0], half + t * drift[1]
        i, j = math.floor(r), math.floor(c)
        for di, wr in ((0, 1 - (r - i)), (1, r - i)):
            for dj, wc in ((0, 1 - (c - j)), (1, c - j)):
                kernel[min(i + di, 2 * half), min(j + dj, 2 * half)] += wr * wc
    kernel /= kernel.sum()
    return cv2.filter2D(signal, cv2.CV_32F, kernel, borderType=cv2.BORDER_REFLECT)


def blur(signal: np.ndarray, sigma: float) -> np.ndarray:
    """Return the signal after a Gaussian point spread of `sigma` px."""
    if sigma < 0.05:
        return signal
    return cv2.GaussianBlur(signal, (0, 0), sigma, borderType=cv2.BORDER_REFLECT)


def fringe(signal: np.ndarray, strength: float, width: float) -> np.ndarray:
    """Return the signal with a bright rim as defocus gives (Fresnel fringe): what it has over its own blur is added."""
    if strength == 0:
        return signal
    return np.maximum(signal + np.float32(strength) * (signal - blur(signal, width)), 0)


def charging(signal: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Return the signal with horizontal streaks: lines that jump, and tails behind bright things along the scan."""
    if strength == 0:
        return signal
    rows = (int(signal.shape[0]),)
    contrast = np.float32(np.std(signal) + 1e-6)
    jump = strength * rng.standard_normal(rows) * (rng.uniform(size=rows) < 0.06)
    jump = (jump + 0.15 * strength * rng.standard_normal(rows)).astype(np.float32)
    excess = np.maximum(signal - np.median(signal), 0)
    # A running exponential mean along the scan; scipy.signal has it, but takes seconds to import.
    decay = np.float32(1 - 1 / max(0.06 * signal.shape[1], 1.0))
    tail, running = np.empty_like(signal), np.zeros(rows, np.float32)
    for c in range(signal.shape[1]):
        running = decay * running + (1 - decay) * excess[:, c]
        tail[:, c] = running
    return np.maximum(signal + jump[:, None] * contrast - np.float32(1.2 * strength) * tail, 0)


def shade(signal: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Return the signal under uneven illumination of relative range `strength`."""
    angle, bowl = rng.uniform(0, 2 * math.pi), rng.uniform(-1, 1)
    if strength == 0:
        return signal
    row, col = (np.linspace(-1, 1, n, dtype=np.float32) for n in signal.shape)
    round_ = np.float32(bowl) * (0.5 - 0.5 * (row[:, None] ** 2 + col[None, :] ** 2))
    light = 1 + np.float32(strength) * (ramp(signal.shape, angle) + 0.5 * round_)
    return signal * np.maximum(light, 0.05)


def expose(signal: np.ndarray, dose: float | None, read_noise: float, rng: np.random.Generator) -> np.ndarray:
    """Return the signal as counted; no dose means no noise.

    Poisson of ``dose * signal`` electrons per pixel, and a Gaussian read noise in electrons.
    """
    if dose is None:
        return signal
    counts = rng.poisson(np.maximum(signal, 0) * dose).astype(np.float32)
    if read_noise > 0:
        counts += np.float32(read_noise) * rng.standard_normal(signal.shape, dtype=np.float32)
    return counts / np.float32(dose)


def digitise(signal: np.ndarray, levels: tuple[float, float], bits: int) -> np.ndarray:
    """Return grey values of 8 or 16 bit: `levels` (black, white) become 0 and the largest; beyond, it saturates."""
    top = 2**bits - 1
    grey = np.rint((signal - np.float32(levels[0])) * np.float32(top / (levels[1] - levels[0])))
    return np.clip(grey, 0, top).astype(np.uint8 if bits == 8 else np.uint16)


def jpeg(pixels: np.ndarray, quality: int) -> np.ndarray:
    """Return 8-bit grey values after a JPEG file of a quality from 1 to 100."""
    _, data = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_GRAYSCALE))
