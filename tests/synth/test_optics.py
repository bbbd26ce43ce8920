"""The chain from thickness to grey values, link by link."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from segmetry.synth import simulate
from segmetry.synth.optics import (
    blur,
    charging,
    digitise,
    fringe,
    motion_blur,
    shade,
)
from segmetry.synth.supports import SUPPORTS, make_support
from segmetry.synth.texture import band_noise


@pytest.mark.parametrize(
    ("kind", "brighter"),
    [("bf-tem", False), ("bf-stem", False), ("haadf-stem", True), ("laadf-stem", True), ("sem", True)],
)
def test_polarity(kind, brighter):
    scene = simulate(kind, seed=2, n=20, dose=None)
    far = ~ndimage.binary_dilation(scene.labels > 0, iterations=6)
    assert (scene.image.pixels[scene.labels > 0].mean() > scene.image.pixels[far].mean()) is np.bool_(brighter)


def test_haadf_is_proportional_to_thickness():
    # A ball of the median diameter has 1 above the background at its middle; one of half the diameter has half.
    scene = simulate(
        "haadf-stem", seed=2, diameters=[40.0, 40.0, 20.0], edges="inside", dose=None, bits=0, blur_px=0, background=0.1
    )
    for row in scene.truth.to_dict("records"):
        middle = scene.image.pixels[round(row["centroid-0"]), round(row["centroid-1"])]
        assert middle - 0.1 == pytest.approx(row["equivalent_diameter"] / 40, rel=2e-3)


def test_edges_of_balls_are_brighter_than_their_middle_in_sem():
    scene = simulate("sem", seed=2, diameters=[60.0], edges="inside", dose=None, bits=0, blur_px=0.5)
    (row,) = scene.truth.to_dict("records")
    r, c = (np.indices(scene.labels.shape).T - [row["centroid-0"], row["centroid-1"]]).T
    radius = np.hypot(r, c) * scene.pixel_size / 30
    pixels = scene.image.pixels
    assert pixels[(radius > 0.85) & (radius < 0.97)].mean() > 1.2 * pixels[radius < 0.4].mean()


@pytest.mark.parametrize("kind", ["laadf-stem", "sem"])
def test_bright_edges_lie_within_the_outline(kind):
    # Before any blur, what no particle covers shows the support alone: no brighter than where nothing is near.
    options = {"shapes": "cube", "edges": "inside", "dose": None, "bits": 0, "blur_px": 0, "support": "flat"}
    scene = simulate(kind, seed=2, n=8, background=0.2, median_diameter=30, pixel_size=1.0, **options)
    beside = ndimage.binary_dilation(scene.labels > 0, iterations=2) & (scene.labels == 0)
    bare, pixels = (2.5 if kind == "laadf-stem" else 1) * 0.2, scene.image.pixels
    # Up to half of a pixel may be covered: of LAADF's saturating signal it has that share (cubes of depth 1.5 at most).
    most = bare + (0.75 * (1 - np.exp(-1.4 * 0.5 * 1.5)) if kind == "laadf-stem" else 0)
    assert pixels[beside].max() <= most + 1e-5


def test_blur_and_drift_keep_the_sum_and_spread_a_point_as_stated():
    point = np.zeros((81, 81), np.float32)
    point[40, 40] = 1
    row, col = np.mgrid[-40:41, -40:41]
    soft = blur(point, 2.5)
    assert soft.sum() == pytest.approx(1, rel=1e-5)
    assert (soft * row**2).sum() == pytest.approx(2.5**2, rel=0.01)
    moved = motion_blur(point, (6.0, 3.0))
    assert moved.sum() == pytest.approx(1, rel=1e-5)
    # A uniform line of length L has the variance L^2 / 12 along it; sampling it adds a little.
    assert (moved * row**2).sum() == pytest.approx(6**2 / 12, abs=0.6)
    assert (moved * row * col).sum() == pytest.approx(6 * 3 / 12, abs=0.3)
    assert np.array_equal(motion_blur(point, (0.0, 0.0)), point)


def test_fringe_makes_a_bright_rim_around_dark_things():
    step = np.ones((60, 60), np.float32)
    step[:, :30] = 0.4
    rim = fringe(step, 0.5, 2.0)
    assert rim[30, 30:34].max() > 1.05
    assert rim[30, 26:30].min() < 0.4
    assert rim[30, 55] == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("scale", [2.0, 6.0, 40.0])
def test_grain_is_as_wide_as_asked(scale):
    noise = band_noise((400, 400), scale, np.random.default_rng(1))
    assert abs(noise.mean()) < 1e-3
    assert noise.std() == pytest.approx(1, abs=1e-3)

    # The autocorrelation falls to half within a grain and is about gone, or negative, three grains away.
    def correlation(lag):
        return float((noise[:, lag:] * noise[:, :-lag]).mean())

    assert correlation(max(1, round(scale / 4))) > 0.4
    assert correlation(round(3 * scale)) < 0.15


@pytest.mark.parametrize("kind", SUPPORTS)
def test_supports_are_thin_films(kind):
    support = make_support(kind, (200, 260), grain=0.1, grain_px=4.0, rng=np.random.default_rng(4))
    assert support.film.shape == (200, 260)
    assert support.film.min() >= 0
    assert np.median(support.film[support.film > 0]) == pytest.approx(1, abs=0.4)
    assert (support.bar is not None) == (kind == "grid")
    if kind == "flat":
        assert (support.film == 1).all()
    if kind == "holey":
        assert (support.film == 0).any()


@pytest.mark.parametrize(("support", "kind", "least"), [("holey", "haadf-stem", 0.0), ("grid", "bf-tem", 0.5)])
def test_nothing_lies_in_a_hole_or_behind_a_grid_bar(support, kind, least):
    # The same seed without particles shows the support alone: 0 in a hole of the dark field, dark behind the bar.
    options = {"support": support, "support_grain": 0.0, "dose": None, "bits": 0, "blur_px": 0.0, "median_diameter": 8}
    n_missing = 0
    for seed in range(4):
        empty = simulate(kind, seed=seed, n=0, **options).image.pixels
        taken = simulate(kind, seed=seed, n=100, **options).truth
        at = np.clip(np.rint(taken[["centroid-0", "centroid-1"]].to_numpy()).astype(int), 0, 511)
        assert (empty[at[:, 0], at[:, 1]] > least).all()
        n_missing += len(simulate(kind, seed=seed, n=100, **{**options, "support": "flat"}).truth) - len(taken)
    assert n_missing > 20


def test_streaks_run_along_rows():
    rng = np.random.default_rng(2)
    flat = 1 + 0.1 * rng.standard_normal((300, 200)).astype(np.float32)
    streaked = charging(flat, 1.0, np.random.default_rng(0))
    assert streaked.mean(axis=1).std() > 2 * flat.mean(axis=1).std()
    assert streaked.mean(axis=1).std() > 1.5 * streaked.mean(axis=0).std()
    assert np.array_equal(charging(flat, 0.0, rng), flat)


def test_shading_has_its_range_and_none_is_none():
    flat = np.ones((200, 200), np.float32)
    shaded = shade(flat, 0.4, np.random.default_rng(1))
    assert 0.2 < np.ptp(shaded) <= 0.4 * 1.6
    assert np.array_equal(shade(flat, 0.0, np.random.default_rng(1)), flat)


@pytest.mark.parametrize(("bits", "dtype"), [(8, np.uint8), (16, np.uint16)])
def test_digitising_saturates_at_its_levels(bits, dtype):
    grey = digitise(np.array([-1.0, 0.5, 0.75, 1.0, 7.0], np.float32), (0.5, 1.0), bits)
    top = 2**bits - 1
    assert grey.dtype == dtype
    assert grey.tolist() == [0, 0, round(top / 2), top, top]


def test_contrast_varies_between_particles_as_asked():
    scene = simulate(
        seed=5, n=1500, frame_shape=(450, 450), pixel_size=1.0, min_gap_px=1.5, contrast_spread=0.25, median_diameter=5
    )
    assert np.log(scene.truth["contrast"]).std() == pytest.approx(0.25, rel=0.08)


def test_jpeg_changes_little_and_less_at_higher_quality():
    plain, fine, coarse = (simulate(seed=5, n=20, jpeg_quality=q).image.pixels.astype(int) for q in (None, 95, 30))
    errors = [np.abs(x - plain).mean() for x in (fine, coarse)]
    assert 0 < errors[0] < 2
    assert errors[0] < errors[1] < 15
