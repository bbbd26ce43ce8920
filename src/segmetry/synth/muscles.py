"""`simulate_muscles`: the upper arm in slices of a magnetic resonance scan, from the shoulder to the elbow.

All muscles look alike inside, so only their place tells which is which. Signals are relative: fat is near 0.9, muscle
0.35, the bone's cortex almost without signal, as with T1 weighting.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from segmetry.errors import unknown_name
from segmetry.synth import optics
from segmetry.synth.chance import log_uniform, named_rng, short
from segmetry.synth.labelled import LabelledScene, table
from segmetry.synth.raster import LABEL_RULE, pixel_means, sample_axis
from segmetry.synth.record import LEAST_SIDE, LENGTH, Record
from segmetry.synth.texture import band_noise

CLASSES = ("background", "biceps", "triceps", "brachialis", "bone")
"""Classes of the arm, by label; bone is the humerus with its marrow."""

_SAMPLES = 3
_KEY = 5  # slices from one independent texture to the next


@dataclass(frozen=True)
class MuscleScene(Record):
    """Everything that decides a stack of slices through an upper arm.

    Parameters
    ----------
    seed : int
        Same record, same bytes; also the arm's shape.
    n_slices : int
        Number of slices, evenly from the shoulder (the first) to the elbow.
    frame_shape : (rows, columns)
        Shape of a slice; the arm's front is at the top.
    pixel_size, slice_spacing, unit : float, float, str
        Side of a pixel, distance between slices, and their unit.
    only : str, optional
        Label this class alone, as 1; all others are background.
    arm_radius : float
        Mean radius of the arm half way.
    fat : float
        Mean thickness of the fat under the skin.
    bone_radius : float
        Radius of the humerus half way.
    mirrored : bool
        Whether the arm's outer side is at the right.
    septa : float
        Thickness of the layers of fat between muscles.
    marbling : float
        Standard deviation of the texture inside muscles.
    bias : float
        Relative range of the coil's uneven sensitivity.
    blur_px : float
        Standard deviation of the point spread in the slice.
    noise : float
        Standard deviation of the noise in each of the two channels whose modulus is the image: Rician.
    """

    seed: int = 0
    n_slices: int = 71
    frame_shape: tuple[int, int] = (384, 384)
    pixel_size: float = 0.4
    slice_spacing: float = 4.0
    unit: str = "mm"
    only: str | None = None
    arm_radius: float = 48.0
    fat: float = 6.0
    bone_radius: float = 11.0
    mirrored: bool = False
    septa: float = 0.8
    marbling: float = 0.035
    bias: float = 0.5
    blur_px: float = 0.6
    noise: float = 0.035

    def __post_init__(self) -> None:
        self.tidy(("frame_shape",), _RANGES)
        if self.only is not None and self.only not in CLASSES[1:]:
            raise unknown_name("class of the arm", self.only, CLASSES[1:])


_RANGES = (
    ("n_slices", 1, 10000),
    ("frame_shape", LEAST_SIDE, 8192),
    ("pixel_size", *LENGTH),
    ("slice_spacing", *LENGTH),
    ("arm_radius", *LENGTH),
    ("fat", 0, 1e12),
    ("bone_radius", *LENGTH),
    ("septa", 0, 1e12),
    ("marbling", 0, 2),
    ("bias", 0, 3),
    ("blur_px", 0, 100),
    ("noise", 0, 10),
)


def _rise(s: float, start: float, stop: float) -> float:
    """Return 0 before `start`, 1 after `stop`, and a smooth step between."""
    t = min(max((s - start) / (stop - start), 0.0), 1.0)
    return t * t * (3 - 2 * t)


@dataclass(frozen=True)
class _Muscle:
    """A muscle: place and half axes (row, col) relative to the compartment's radius, and where along the arm it is.

    Rows run from front to back, columns from the outer side to the inner. It is thin before ``along[0]`` and after
    ``along[3]``, and full from ``along[1]`` to ``along[2]``.
    """

    label: int
    place: tuple[float, float]
    half: tuple[float, float]
    along: tuple[float, float, float, float]

    def size(self, s: float) -> float:
        """Return the share of its full size at a place along the arm, 0 at the shoulder and 1 at the elbow."""
        return _rise(s, *self.along[:2]) * (1 - _rise(s, *self.along[2:]))


_MUSCLES = (
    _Muscle(1, (-0.62, 0.02), (0.36, 0.58), (-0.3, 0.35, 0.6, 1.12)),  # biceps
    _Muscle(2, (0.52, 0.02), (0.47, 0.85), (-0.3, 0.3, 0.85, 1.3)),  # triceps
    _Muscle(3, (-0.28, -0.12), (0.32, 0.68), (0.28, 0.7, 1.2, 1.4)),  # brachialis
    _Muscle(0, (-0.05, -0.75), (0.75, 0.40), (-0.6, -0.3, 0.15, 0.48)),  # deltoid
    _Muscle(0, (-0.22, 0.52), (0.30, 0.30), (-0.6, -0.3, 0.2, 0.52)),  # coracobrachialis
    _Muscle(0, (-0.30, -0.72), (0.45, 0.26), (0.6, 0.9, 1.5, 1.6)),  # brachioradialis
)

_SIGNAL = np.array([0.0, 0.42, 0.92, 0.35, 0.05, 0.80, 0.08], np.float32)
"""Signal of air, skin, fat, muscle, cortex, marrow, vessel."""
_AIR, _SKIN, _FAT, _MUSCLE, _CORTEX, _MARROW, _VESSEL = range(7)


class _Arm:
    """The shape of one arm, from its seed; lengths in `unit`, places from the arm's axis."""

    def __init__(self, o: MuscleScene) -> None:
        rng = named_rng(o.seed, "muscles shape")
        self.o = o
        self.outline = rng.normal(0, (0.035, 0.02, 0.01), (2, 3)), rng.uniform(0, 2 * math.pi, (2, 3))
        self.fat_side, self.fat_phase = rng.uniform(0.2, 0.5), rng.normal(0.3, 0.5)
        self.jitter = rng.normal(0, 0.035, (2, len(_MUSCLES), 2))
        self.sizes = np.exp(rng.normal(0, 0.06, len(_MUSCLES)))
        self.waves = rng.normal(0, 1, (6, 2)), rng.uniform(0, 2 * math.pi, 6), rng.normal(0, 0.018, (6, 2))
        self.twist, self.start = rng.normal(0, 0.15, 2), rng.normal(0, 0.12)
        room = min(o.frame_shape) * o.pixel_size / 2 - 1.12 * o.arm_radius
        self.drift = rng.uniform(-1, 1, (2, 2)) * min(0.15 * o.arm_radius, max(room, 0.0))
        self.bone_at = np.array([-0.02, -0.14]) + rng.normal(0, 0.03, 2)
        self.bundle = rng.normal([0.02, 0.62], 0.04)

    def bone(self, s: float) -> tuple[np.ndarray, float]:
        """Return the humerus' half axes (row, col), and the thickness of its cortex over its radius."""
        head, elbow = 1 - _rise(s, 0.0, 0.22), _rise(s, 0.78, 1.0)
        half = self.o.bone_radius * np.array([1 + 0.7 * head - 0.15 * elbow, 1 + 0.7 * head + 0.9 * elbow])
        return half, 0.40 - 0.25 * max(head, elbow)

    def paint(self, s: float) -> tuple[np.ndarray, np.ndarray]:
        """Return tissue and label of each sample of a slice, at a place along the arm from 0 to 1."""
        o = self.o
        turn = self.start + self.twist[0] * s + self.twist[1] * s * s
        middle = (1 - s) * self.drift[0] + s * self.drift[1]
        axes = [(sample_axis(0, n, _SAMPLES) - (n - 1) / 2) * o.pixel_size - m for n, m in zip(o.frame_shape, middle)]
        tissue = np.zeros([len(a) for a in axes], np.uint8)
        labels = np.zeros(tissue.shape, np.uint8)
        reach = 1.35 * o.arm_radius
        window = tuple(slice(*(int(i) for i in np.searchsorted(a, (-reach, reach)))) for a in axes)
        y, x = (a[w].astype(np.float32) for a, w in zip(axes, window))
        x = -x if o.mirrored else x
        y, x = y[:, None], x[None, :]
        row = y * np.float32(math.cos(turn)) + x * np.float32(math.sin(turn))
        col = x * np.float32(math.cos(turn)) - y * np.float32(math.sin(turn))
        radius, angle = np.hypot(row, col), np.arctan2(row, col)
        size = o.arm_radius * (1.1 - 0.24 * s + 0.06 * math.sin(math.pi * s) ** 2)
        outer = np.full_like(radius, size)
        amounts, phases = self.outline
        for k in range(3):
            amount = (1 - s) * amounts[0, k] + s * amounts[1, k]
            phase = (1 - s) * phases[0, k] + s * phases[1, k]
            outer += np.float32(size * amount) * np.cos((k + 1) * angle + np.float32(phase))
        skin = o.fat and min(1.8, 0.4 * o.fat)
        side = 1 + self.fat_side * np.cos(angle - np.float32(math.pi / 2 + self.fat_phase))
        fascia = outer - skin - np.float32(o.fat * (1.2 - 0.4 * s)) * side
        here, own = tissue[window], labels[window]
        here[radius < outer] = _SKIN
        here[radius < outer - skin] = _FAT
        inner = size - skin - o.fat
        u, v = row / np.float32(inner), col / np.float32(inner)
        turns, waves, shifts = self.waves
        du, dv = np.zeros_like(u), np.zeros_like(v)
        for k in range(6):
            wave = np.sin(
                np.float32(3 * turns[k, 0]) * u + np.float32(3 * turns[k, 1]) * v + np.float32(waves[k] + 3 * s)
            )
            du += np.float32(shifts[k, 0]) * wave
            dv += np.float32(shifts[k, 1]) * wave
        self._muscles(s, u + du, v + dv, radius < fascia, inner, here, own)
        self._vessels(s, u, v, inner, here, own)
        half, cortex = self.bone(s)
        at = inner * self.bone_at * (1 - 0.4 * _rise(s, 0.5, 1.0))
        level = np.hypot(
            (row - np.float32(at[0])) / np.float32(half[0]), (col - np.float32(at[1])) / np.float32(half[1])
        )
        rim = level < 1 + 0.06
        here[rim], own[rim] = _FAT, 0
        inside = level <= 1
        here[inside], own[inside] = _CORTEX, 4
        here[level < 1 - cortex] = _MARROW
        return tissue, labels

    def _muscles(
        self, s: float, u: np.ndarray, v: np.ndarray, room: np.ndarray, inner: float, here: np.ndarray, own: np.ndarray
    ) -> None:
        """Give every place in the compartment to the muscle it is nearest to, in that muscle's own measure."""
        first = np.full_like(u, np.inf)
        second, owner = first.copy(), np.zeros(u.shape, np.uint8)
        least = np.full_like(u, 1.0)
        for k, muscle in enumerate(_MUSCLES):
            size = muscle.size(s) * self.sizes[k]
            if size < 0.12:
                continue
            jitter = (1 - s) * self.jitter[0, k] + s * self.jitter[1, k]
            half = np.array(muscle.half) * size
            level = np.hypot(
                (u - np.float32(muscle.place[0] + jitter[0])) / np.float32(half[0]),
                (v - np.float32(muscle.place[1] + jitter[1])) / np.float32(half[1]),
            )
            nearer = level < first
            second = np.where(nearer, first, np.minimum(second, level))
            first = np.where(nearer, level, first)
            owner[nearer] = k
            least[nearer] = np.float32(2 * half.min() * inner)
        # Levels grow by one over a half axis, so their difference tells how far the border is.
        meat = room & (first < 1.45) & ((second - first) * least > np.float32(2 * self.o.septa))
        here[meat] = _MUSCLE
        labels = np.array([m.label for m in _MUSCLES], np.uint8)
        own[meat] = labels[owner[meat]]

    def _vessels(self, s: float, u: np.ndarray, v: np.ndarray, inner: float, here: np.ndarray, own: np.ndarray) -> None:
        """Put the bundle of vessels at the inner side, in fat, and a vein under the skin in front."""
        u0, v0 = self.bundle + np.array([-0.1, -0.08]) * s
        fat = np.hypot(u - np.float32(u0), v - np.float32(v0)) < 5.5 / inner
        here[fat & (here != _AIR)], own[fat] = _FAT, 0
        for k, (du, dv, radius) in enumerate(((0.0, 0.0, 1.9), (0.055, 0.03, 1.3), (-0.03, 0.06, 1.3))):
            turn = 2 * math.pi * (0.4 * s + 0.1 * k)
            at = u0 + du * math.cos(turn) - dv * math.sin(turn), v0 + du * math.sin(turn) + dv * math.cos(turn)
            here[np.hypot(u - np.float32(at[0]), v - np.float32(at[1])) < radius / inner] = _VESSEL
        vein = np.hypot(u + np.float32(0.92), v + np.float32(0.45 - 0.2 * s)) < 1.5 / inner
        here[vein & (here == _FAT)] = _VESSEL


class _Along:
    """A texture that changes smoothly from slice to slice, with the same variance in each."""

    def __init__(self, shape: tuple[int, int], scale: float, seed: int, name: str) -> None:
        self.shape, self.scale, self.seed, self.name = shape, scale, seed, name
        self.made: dict[int, np.ndarray] = {}

    def at(self, slice_no: int) -> np.ndarray:
        key, part = divmod(slice_no, _KEY)
        for k in (key, key + 1):
            if k not in self.made:
                self.made[k] = band_noise(self.shape, self.scale, named_rng(self.seed, f"{self.name} {k}"))
        self.made = {k: v for k, v in self.made.items() if k >= key}
        turn = math.pi / 2 * part / _KEY
        return np.float32(math.cos(turn)) * self.made[key] + np.float32(math.sin(turn)) * self.made[key + 1]


def simulate_muscles(*, seed: int = 0, **options: Any) -> LabelledScene:
    """Return a stack of slices of an upper arm with its classes.

    They are 0 background, 1 biceps, 2 triceps, 3 brachialis, 4 bone; with ``only="biceps"`` 0 background, 1 biceps.

    Parameters
    ----------
    seed : int
        Same options and seed, same bytes.
    **options
        The fields of `MuscleScene`.

    Returns
    -------
    scene : LabelledScene
        Image and labels are (P, M, N), the first slice at the shoulder. ``truth`` has one row per class: class, label,
        volume, length (of the slices it is seen in), first_slice and last_slice (from 0; -1 where it is in none).
        ``facts["bone_section"]`` has the area of the humerus in each slice, analytic.

    Raises
    ------
    OptionError
        For an option that does not exist or is out of range.

    Examples
    --------
    >>> scene = simulate_muscles(seed=1, n_slices=3, frame_shape=(96, 96), pixel_size=1.6)
    >>> scene.image.axes, scene.image.calibration.spacing, scene.classes[1:3]
    ('ZYX', (4.0, 1.6, 1.6), ('biceps', 'triceps'))
    """
    o = MuscleScene.from_dict({"seed": seed, **options})
    arm, shape = _Arm(o), o.frame_shape
    rng, noise = named_rng(o.seed, "muscles bias"), named_rng(o.seed, "muscles noise")
    fine, coarse = (_Along(shape, size, o.seed, f"muscles {size}") for size in (3.0, 9.0))
    row, col = (np.linspace(-1, 1, n, dtype=np.float32) for n in shape)
    slopes, bowl = rng.normal(0, 0.5, (2, 2)), rng.uniform(-0.6, 0.2)
    image = np.empty((o.n_slices, *shape), np.float32)
    labels = np.zeros(image.shape, np.int32)
    for i in range(o.n_slices):
        s = (i + 0.5) / o.n_slices
        tissue, own = arm.paint(s)
        for label in range(1, len(CLASSES)):
            labels[i][pixel_means(own == label, _SAMPLES) >= LABEL_RULE] = label
        signal = pixel_means(_SIGNAL[tissue], _SAMPLES)
        meat = pixel_means(tissue == _MUSCLE, _SAMPLES)
        grain = fine.at(i)
        marbling = 0.8 * grain + 0.6 * coarse.at(i)
        # Streaks of fat are bright, so the texture is skew.
        signal += np.float32(o.marbling) * meat * (marbling + 0.5 * np.maximum(marbling - 1, 0) ** 2)
        signal += np.float32(0.06) * grain * (signal > 0.6)
        slope = (1 - s) * slopes[0] + s * slopes[1]
        field = np.float32(slope[0]) * row[:, None] + np.float32(slope[1]) * col[None, :]
        field = field + np.float32(bowl) * (row[:, None] ** 2 + col[None, :] ** 2)
        signal = optics.blur(signal, o.blur_px) * np.exp(np.float32(o.bias / 2) * field)
        one, two = (np.float32(o.noise) * noise.standard_normal(shape, dtype=np.float32) for _ in range(2))
        image[i] = np.hypot(signal + one, two)
    classes: tuple[str, ...] = CLASSES
    if o.only is not None:
        labels = (labels == CLASSES.index(o.only)).astype(np.int32)
        classes = (CLASSES[0], o.only)
    spacing = (o.slice_spacing, o.pixel_size, o.pixel_size)
    rows = []
    for label, name in enumerate(classes[1:], start=1):
        counts = (labels == label).sum(axis=(1, 2))
        seen = np.flatnonzero(counts)
        rows.append(
            {
                "class": name,
                "label": label,
                "volume": float(counts.sum()) * math.prod(spacing),
                "length": len(seen) * o.slice_spacing,
                "first_slice": int(seen[0]) if len(seen) else -1,
                "last_slice": int(seen[-1]) if len(seen) else -1,
            }
        )
    units = {"class": "", "label": "", "volume": f"{o.unit}^3", "length": o.unit, "first_slice": "", "last_slice": ""}
    sections = [math.pi * float(np.prod(arm.bone((i + 0.5) / o.n_slices)[0])) for i in range(o.n_slices)]
    facts = {"bone_section": sections}
    return LabelledScene.of(o, "muscles", image, spacing, labels, classes, table(rows, units), facts=facts)


def random_muscles(rng: np.random.Generator, **options: Any) -> MuscleScene:
    """Return the record of a random arm; `options` are kept as given."""
    return MuscleScene.from_dict(
        {
            "seed": int(rng.integers(2**31)),
            "arm_radius": short(rng.uniform(40, 54)),
            "fat": short(log_uniform(rng, 3, 10)),
            "bone_radius": short(rng.uniform(9.5, 12.5)),
            "mirrored": bool(rng.uniform() < 0.5),
            "septa": short(rng.uniform(0.4, 1.2)),
            "marbling": short(log_uniform(rng, 0.02, 0.06)),
            "bias": short(rng.uniform(0.1, 0.9)),
            "blur_px": short(rng.uniform(0.4, 1.0)),
            "noise": short(log_uniform(rng, 0.015, 0.06)),
            **options,
        }
    )
