"""Phases: fractions, chords and boundaries with truth by hand, analytic ones, and intervals that cover."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import special

from segmetry.errors import LabelError, ShapeMismatchError
from segmetry.measure.phases import Seen, measure_phases, phase_table, pool_phase
from segmetry.types import Calibration

NAMES = ("ground", "phase")


def values(labels, names=NAMES, **options):
    """Return the values of each phase."""
    return [{k: e.value for k, e in p.estimates.items()} for p in measure_phases(labels, names, **options)]


def boolean_disks(rng, side, density, radius):
    """Return a Boolean model: disks whose centres are a Poisson process."""
    n = rng.poisson(density * (side + 2 * radius) ** 2)
    rows, cols = np.mgrid[:side, :side]
    mask = np.zeros((side, side), bool)
    for row, col in rng.uniform(-radius, side + radius, (n, 2)):
        mask |= (rows - row) ** 2 + (cols - col) ** 2 <= radius**2
    return mask


def test_four_pixels_by_hand():
    """[[0, 1], [0, 1]]: of 2 row pairs both cross, of 2 column pairs none, both diagonals do.

    Crossings per length: 1, 0, and 1 / sqrt(2) twice; their mean P is (1 + sqrt(2)) / 4.
    """
    (ground, phase) = values(np.array([[0, 1], [0, 1]]))
    per_length = (1 + math.sqrt(2)) / 4
    for found in (ground, phase):
        assert found["area_fraction"] == 0.5
        assert found["mean_chord"] == pytest.approx(2 * 0.5 / per_length, rel=1e-12)
        assert found["boundary_per_area"] == pytest.approx(math.pi / 2 * per_length, rel=1e-12)
        assert found["surface_per_volume"] == pytest.approx(4 / math.pi * found["boundary_per_area"], rel=1e-12)


@pytest.mark.parametrize("width", [4, 10])
def test_stripes(width):
    """Lines across meet a boundary every `width`, diagonal ones every width * sqrt(2), those along never.

    The truth for a continuum, 2 / (pi width) crossings per length, is 5.5 % more than four directions see.
    """
    n = 400 * width
    labels = np.tile(np.repeat([0, 1], width), (10, 200))
    (_, found) = values(labels, calibration=Calibration((0.5, 0.5), "nm"))
    q = 399 / (n - 1)
    per_length = (q + 2 * q / math.sqrt(2)) / 4 / 0.5
    assert found["mean_chord"] == pytest.approx(1 / per_length, rel=1e-12)
    assert found["boundary_per_area"] == pytest.approx(1 / (0.5 * width), rel=0.055)


def test_checkerboard():
    """Of steps along rows and columns the share q leaves a square: 39 of 199 in a frame of 40 squares of 5 px.

    A diagonal step leaves along the one axis, the other, or both; those that do both change nothing: 2 q (1 - q).
    """
    rows, cols = np.indices((200, 200)) // 5
    (_, found) = values((rows + cols) % 2)
    q = 39 / 199
    per_length = (2 * q + 2 * 2 * q * (1 - q) / math.sqrt(2)) / 4
    assert found["area_fraction"] == 0.5
    assert found["mean_chord"] == pytest.approx(1 / per_length, rel=1e-12)


def test_checkerboard_of_cubes():
    """As in the plane: a step that leaves a cube along one axis or along three changes the phase.

    The shares of the sphere that 3 axes, 6 diagonals of faces and 4 of cubes stand for: Legland et al. 2007, table 1.
    """
    index = np.indices((36,) * 3) // 6
    (_, found) = values(index.sum(0) % 2)
    q = 5 / 35
    face, cube = 2 * q * (1 - q) / math.sqrt(2), (3 * q * (1 - q) ** 2 + q**3) / math.sqrt(3)
    per_length = 3 * 2 * 0.045778 * q + 6 * 2 * 0.036981 * face + 4 * 2 * 0.035196 * cube
    assert found["volume_fraction"] == 0.5
    assert "boundary_per_area" not in found
    assert found["surface_per_volume"] == pytest.approx(2 * per_length, rel=1e-4)
    assert found["mean_chord"] == pytest.approx(4 * 0.5 / found["surface_per_volume"], rel=1e-12)


def test_ball_has_its_surface():
    radius, side = 20, 60
    offset = np.indices((side,) * 3) - (side - 1) / 2
    (_, found) = values(((offset**2).sum(0) <= radius**2).astype(int), calibration=Calibration((2, 2, 2), "nm"))
    assert found["surface_per_volume"] == pytest.approx(4 * math.pi * radius**2 / side**3 / 2, rel=0.04)
    assert found["mean_chord"] == pytest.approx(4 / 3 * radius * 2, rel=0.04), "Cauchy: 4 V / S"


def test_disk_of_any_place_has_its_perimeter():
    rng = np.random.default_rng(3)
    rows, cols = np.mgrid[:80, :80]
    for row, col in rng.uniform(35, 45, (10, 2)):
        (_, found) = values(((rows - row) ** 2 + (cols - col) ** 2 <= 25**2).astype(int))
        # A line of 80 px has 79 pairs, so each counts 1.3 % more, a diagonal one 2.5 %.
        assert found["boundary_per_area"] == pytest.approx(2 * math.pi * 25 / 80**2, rel=0.035)
        assert found["mean_chord"] == pytest.approx(math.pi / 2 * 25, rel=0.035)


def test_a_boolean_model_shows_its_fraction_and_boundary():
    """Fraction 1 - exp(-n pi r^2), boundary n 2 pi r exp(-n pi r^2); the pores' mean chord is pi (1 - f) / boundary."""
    density, radius, rng = 1e-3, 12, np.random.default_rng(8)
    empty = math.exp(-density * math.pi * radius**2)
    found = [values(boolean_disks(rng, 200, density, radius).astype(int)) for _ in range(40)]
    truth = {
        "area_fraction": empty,
        "boundary_per_area": density * 2 * math.pi * radius * empty,
    }
    for name, right in truth.items():
        every = np.array([ground[name] for ground, _ in found])
        error = 4 * every.std(ddof=1) / math.sqrt(len(every)) + 0.02 * right  # 4 standard errors, 2 % of the raster
        assert abs(every.mean() - right) < error, name


def gaussian_field(rng, side, reach):
    """Return a part of a periodic Gaussian field of variance 1 with covariance exp(-h^2 / reach^2)."""
    n = 2 * side
    wave = 2 * np.pi * np.hypot(np.fft.fftfreq(n)[:, None], np.fft.fftfreq(n))
    power = np.exp(-((wave * reach) ** 2) / 4)
    noise = np.fft.fft2(rng.standard_normal((n, n)))
    return np.fft.ifft2(noise * np.sqrt(power * n * n / power.sum())).real[:side, :side]


@pytest.mark.slow
@pytest.mark.parametrize(("reach", "fraction"), [(8, 0.5), (8, 0.1), (12, 0.3)])
def test_intervals_hold_the_truth_of_the_material(reach, fraction):
    """Of 200 frames of 160 px, 95 % are to hold it; binomial noise is 1.5 %, and 3 % are allowed to be missing.

    A Gaussian field above u has the boundary exp(-u^2 / 2) / (reach sqrt(2)) per area.
    """
    rng, level = np.random.default_rng(reach), special.ndtri(1 - fraction)
    boundary = math.exp(-(level**2) / 2) / (reach * math.sqrt(2))
    held = np.zeros(2)
    for _ in range(200):
        _, phase = measure_phases((gaussian_field(rng, 160, reach) > level).astype(int), NAMES)
        for k, (name, truth) in enumerate((("area_fraction", fraction), ("boundary_per_area", boundary))):
            held[k] += phase.estimates[name].low <= truth <= phase.estimates[name].high
    assert (held / 200 > 0.88).all(), held


def test_text_and_footer_count_neither_as_phase_nor_as_frame():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, (40, 50))
    footer = np.zeros(labels.shape, bool)
    footer[30:] = True
    names = ("a", "b", "c")
    covered = labels.copy()
    covered[30:] = 0  # as methods leave pixels that are not specimen
    for with_footer, without in zip(values(covered, names, ignore=footer), values(labels[:30], names), strict=True):
        assert with_footer == pytest.approx(without, rel=1e-12)
    whole, alone = measure_phases(covered, names, ignore=footer), measure_phases(labels[:30], names)
    assert [p.n_regions for p in whole] == [p.n_regions for p in alone]


def test_a_quarter_turn_and_the_order_of_classes_change_nothing():
    labels = np.random.default_rng(4).integers(0, 2, (30, 44))
    (a, b), (turned_a, turned_b), (swapped_b, swapped_a) = map(values, (labels, np.rot90(labels), 1 - labels))
    for one, turned, swapped in ((a, turned_a, swapped_a), (b, turned_b, swapped_b)):
        assert one == pytest.approx(turned, rel=1e-9)
        assert one == pytest.approx(swapped, rel=1e-9)
    assert a["area_fraction"] + b["area_fraction"] == pytest.approx(1, rel=1e-12)


def test_samples_give_the_interval_of_this_image():
    labels = np.zeros((60, 60), int)
    labels[10:30, 10:30] = 1
    smaller, larger = labels.copy(), labels.copy()
    smaller[10:30, 29], larger[10:30, 30] = 0, 1
    _, alone = measure_phases(labels, NAMES)
    assert all(e.this_image is None for e in alone.estimates.values())
    _, phase = measure_phases(labels, NAMES, samples=[smaller, labels, larger])
    share = phase.estimates["area_fraction"]
    # Student's t for 2 degrees of freedom, 4.303, times the relative spread of 380, 400, 420 pixels, on the logarithm.
    spread = np.std(np.log([380, 400, 420]), ddof=1) * math.sqrt(1 + 1 / 3)
    assert math.log(share.this_image.high / share.value) == pytest.approx(4.3027 * spread, rel=1e-3)
    assert share.contributions["segmentation"] > 0


def test_the_pixel_size_enters_lengths_and_not_fractions():
    labels = np.random.default_rng(1).integers(0, 2, (40, 40))
    _, sure = measure_phases(labels, NAMES, calibration=Calibration((2, 2), "nm"))
    _, unsure = measure_phases(labels, NAMES, calibration=Calibration((2, 2), "nm", 0.1))
    assert sure.estimates["area_fraction"] == unsure.estimates["area_fraction"]
    chord = unsure.estimates["mean_chord"]
    assert (chord.unit, unsure.estimates["boundary_per_area"].unit) == ("nm", "nm^-1")
    assert chord.high / chord.value > math.exp(1.96 * 0.1) > sure.estimates["mean_chord"].high / chord.value


def test_a_phase_that_is_not_there_has_no_interval_and_says_why():
    _, none = measure_phases(np.zeros((10, 10), int), NAMES)
    assert none.n_regions == 0
    share = none.estimates["area_fraction"]
    assert (share.value, math.isnan(share.low), share.note) == (
        0.0, True, "the phase is not in the frame: no variance to judge by",
    )  # fmt: skip
    assert none.estimates["boundary_per_area"].value == 0
    assert math.isnan(none.estimates["mean_chord"].value)


def test_regions_are_counted_class_by_class():
    labels = np.array([[1, 0, 2], [2, 1, 2], [0, 0, 0]])
    assert [p.n_regions for p in measure_phases(labels, ("a", "b", "c"))] == [2, 1, 2], "corners join"


def test_the_table_has_a_row_for_each_class_and_units():
    labels = np.random.default_rng(1).integers(0, 2, (40, 40))
    table = phase_table(measure_phases(labels, NAMES, calibration=Calibration((2, 2), "nm")))
    assert list(table["class"]) == list(NAMES)
    assert table.attrs["units"]["mean_chord_low"] == "nm"
    assert (table["area_fraction_low"] < table["area_fraction"]).all()


def test_what_does_not_fit_is_said():
    labels = np.array([[0, 2]])
    with pytest.raises(LabelError, match="from 0 to 2, but there are 2 classes"):
        measure_phases(labels, NAMES)
    with pytest.raises(ShapeMismatchError, match="sample 1 is"):
        measure_phases(labels, ("a", "b", "c"), samples=[labels.T])


class TestOverImages:
    """Several images of one material: the spread between them, as ASTM E562 takes fields."""

    @staticmethod
    def over(images, names=NAMES, **options):
        """Return the second phase over label images."""
        found = [measure_phases(labels, names, **options)[1] for labels in images]
        return pool_phase("phase", [p.seen for p in found], ndim=images[0].ndim, unit="px")

    def test_equal_fields_by_hand(self):
        """Their sum of squares about the mean .5 is .0058; Student's t for 5 fields is 2.776."""
        fractions = [0.45, 0.48, 0.5, 0.52, 0.55]
        phase = pool_phase("p", [Seen(1e4, f, 0.2, 1) for f in fractions], ndim=2, unit="px")
        share = phase.estimates["area_fraction"]
        half = 2.7764 * math.sqrt(0.0058 / 4 / 5)
        assert (share.value, share.n, phase.n_regions) == (pytest.approx(0.5, rel=1e-12), 5, 5)
        # A share of as many points ends as far off, up to what the binomial law bends: 1 % of the half-width.
        assert (share.high - share.value, share.value - share.low) == pytest.approx((half, half), rel=0.01)

    def test_the_whole_is_what_one_large_image_would_be(self):
        """Fractions, boundary and chord of unequal parts: by counts of pixels and of pairs within the parts."""
        labels = np.random.default_rng(2).integers(0, 2, (40, 90))
        parts = [labels[:, :30], labels[:, 30:90]]
        found = self.over(parts)
        assert found.estimates["area_fraction"].value == pytest.approx(labels.mean(), rel=1e-12)
        both = [measure_phases(part, NAMES)[1].estimates["boundary_per_area"].value for part in parts]
        per_area = found.estimates["boundary_per_area"].value
        assert per_area == pytest.approx((both[0] + 2 * both[1]) / 3, rel=1e-12)
        assert found.estimates["mean_chord"].value == pytest.approx(math.pi * labels.mean() / per_area, rel=1e-12)
        assert found.seen.size == labels.size

    def test_lengths_scale_and_fractions_do_not(self):
        images = [Seen(100.0, f, p, 1, ((f, p), (1.1 * f, p))) for f, p in ((0.1, 0.2), (0.2, 0.3), (0.15, 0.2))]
        before = pool_phase("p", images, ndim=2, unit="µm").estimates
        after = pool_phase("p", [one.scaled(1000, 2) for one in images], ndim=2, unit="nm").estimates
        for name, power in (("area_fraction", 0), ("mean_chord", 1), ("boundary_per_area", -1)):
            for end in ("value", "low", "high"):
                assert getattr(after[name], end) == pytest.approx(getattr(before[name], end) * 1000.0**power, rel=1e-9)
        assert before["area_fraction"].this_image is not None

    def test_samples_of_all_images_are_one_of_the_whole(self):
        """Each sample finds 5 % more or less in all images alike: that does not average out."""
        images = [Seen(1.0, f, 0.1, 1, ((0.95 * f, 0.1), (1.05 * f, 0.1))) for f in (0.2, 0.21, 0.19, 0.2)]
        share = pool_phase("p", images, ndim=2, unit="px").estimates["area_fraction"]
        spread = np.std(np.log([0.95, 1.05]), ddof=1) * math.sqrt(1.5)
        assert math.log(share.this_image.high / 0.2) == pytest.approx(12.706 * spread, rel=1e-3)
        bare = [*images[:3], images[3]._replace(samples=())]
        assert pool_phase("p", bare, ndim=2, unit="px").estimates["area_fraction"].this_image is None

    def test_no_spread_is_no_interval(self):
        found = pool_phase("p", [Seen(1.0, 0.2, 0.1, 1)] * 3, ndim=2, unit="px").estimates
        assert all(math.isnan(e.low) and "no variance" in e.note for e in found.values())
        none = pool_phase("p", [Seen(1.0, 0.0, 0.0, 0)] * 3, ndim=2, unit="px").estimates["area_fraction"]
        assert none.note == "the phase is not in the images: no variance to judge by"

    @pytest.mark.parametrize("n", [3, 8])
    def test_intervals_hold_the_truth_of_a_material_that_varies_between_fields(self, n):
        """Fields whose true fraction varies (log-normal, sd .2) and which show 200 independent points each.

        No field knows of the variation. Of 500 samples 95 % are to hold the mean; noise is 1 %, 2.5 % are allowed.
        """
        rng, truth = np.random.default_rng(n), 0.3
        held = 0
        for _ in range(500):
            own = truth * np.exp(rng.normal(-(0.2**2) / 2, 0.2, n))
            images = [Seen(1.0, f, 0.1, 1) for f in rng.binomial(200, own) / 200]
            share = pool_phase("p", images, ndim=2, unit="px").estimates["area_fraction"]
            held += share.low <= truth <= share.high
        assert held / 500 == pytest.approx(0.95, abs=0.025)
