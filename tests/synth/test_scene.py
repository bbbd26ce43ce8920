"""Scenes against their own truth: physics, sizes, labels, reproducibility."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from scipy import stats

from segmetry.errors import OptionError
from segmetry.synth import ParticleScene, simulate
from segmetry.synth.shapes import SHAPES

CLEAN = {"dose": None, "bits": 0, "blur_px": 0.0}
"""Options of an image without noise, blur and digitisation."""


@pytest.mark.parametrize("kind", ["bf-tem", "bf-stem", "haadf-stem", "laadf-stem", "sem"])
def test_same_seed_same_bytes_and_another_seed_another_image(kind):
    a, b, c = (
        simulate(kind, seed=s, n=8, median_diameter=6, frame_shape=(96, 128), support="carbon") for s in (1, 1, 2)
    )
    assert a.image.pixels.tobytes() == b.image.pixels.tobytes()
    assert a.labels.tobytes() == b.labels.tobytes()
    assert a.truth.equals(b.truth)
    assert a.image.pixels.tobytes() != c.image.pixels.tobytes()


def test_a_scene_comes_back_from_its_recorded_parameters():
    def two_sizes(rng, n):
        return rng.choice([8.0, 16.0], n)

    scene = simulate(
        "haadf-stem", seed=5, n=12, frame_shape=(200, 160), shapes={"rod": 1, "cube": 2}, diameters=two_sizes,
        arrangement="touching", support="holey", letter="(a)", bar="ticks", bits=16,
    )  # fmt: skip
    again = simulate(**json.loads(json.dumps(scene.parameters)))
    assert again.image.pixels.tobytes() == scene.image.pixels.tobytes()
    assert again.truth.equals(scene.truth)
    assert again.parameters == scene.parameters


def test_beer_lambert_at_the_centre_of_a_sphere():
    # One sphere of 60 nm, attenuation 0.02 / nm: its centre transmits exp(-1.2), the bare support 1.
    scene = simulate(
        seed=3, n=1, edges="inside", diameters=[60.0], pixel_size=0.25, attenuation=0.02, film_depth=0.0, **CLEAN
    )
    (row,) = scene.truth.to_dict("records")
    at = round(row["centroid-0"]), round(row["centroid-1"])
    assert scene.image.pixels[at] == pytest.approx(math.exp(-0.02 * 60), rel=1e-4)
    assert scene.image.pixels[0, 0] == 1.0


def test_projected_thickness_adds_up_to_the_volume():
    # Minus the logarithm of the transmission, summed over the image, is attenuation times volume: 4/3 pi r^3.
    scene = simulate(
        seed=4, n=1, edges="inside", diameters=[40.0], pixel_size=0.5, attenuation=0.01, film_depth=0.0, **CLEAN
    )
    depth = -np.log(scene.image.pixels.astype(float)).sum() * 0.5**2
    assert depth == pytest.approx(0.01 * 4 / 3 * math.pi * 20**3, rel=2e-3)


def test_hollow_lacks_the_void_and_core_shell_has_more():
    def depth(shape, **options):
        scene = simulate(
            seed=4,
            n=1,
            edges="inside",
            shapes=shape,
            diameters=[40.0],
            attenuation=0.01,
            film_depth=0.0,
            **CLEAN,
            **options,
        )
        return -np.log(scene.image.pixels.astype(float)).sum() * 0.5**2

    ball = 0.01 * 4 / 3 * math.pi * 20**3
    assert depth("hollow", core_ratio=0.8) == pytest.approx(ball * (1 - 0.8**3), rel=5e-3)
    assert depth("core-shell", core_ratio=0.5, core_contrast=3.0) == pytest.approx(ball * (1 + 2 * 0.5**3), rel=5e-3)


def test_counting_noise_is_poisson():
    # An empty support: 90,000 pixels of mean dose 50; the variance of a Poisson law is its mean.
    scene = simulate(seed=1, n=0, frame_shape=(300, 300), dose=50.0, read_noise=0.0, bits=0)
    counts = scene.image.pixels.astype(float) * 50
    assert counts.mean() == pytest.approx(50, abs=5 * math.sqrt(50 / counts.size))
    # The variance of a sample variance is about 2 sigma^4 / n.
    assert counts.var() == pytest.approx(50, abs=5 * 50 * math.sqrt(2 / counts.size))


def test_read_noise_adds_in_square():
    scene = simulate(seed=1, n=0, frame_shape=(300, 300), dose=50.0, read_noise=6.0, bits=0)
    counts = scene.image.pixels.astype(float) * 50
    assert counts.var() == pytest.approx(50 + 36, abs=5 * 86 * math.sqrt(2 / counts.size))


def test_diameters_follow_the_log_normal():
    # About 2,500 particles; the truth must not be distinguishable from the asked law, and must be from one 3 % larger.
    scene = simulate(
        seed=2,
        n=2500,
        median_diameter=6.0,
        gsd=1.3,
        frame_shape=(600, 600),
        pixel_size=1.0,
        arrangement="isolated",
        min_gap_px=1.5,
        edges="inside",
        **CLEAN,
    )
    logs = np.log(scene.truth["equivalent_diameter"])
    assert len(logs) == 2500
    assert stats.kstest(logs, stats.norm(math.log(6), math.log(1.3)).cdf).pvalue > 0.01
    assert stats.kstest(logs, stats.norm(math.log(6 * 1.03), math.log(1.3)).cdf).pvalue < 0.01
    assert scene.population["d90"] == pytest.approx(stats.lognorm(math.log(1.3), scale=6).ppf(0.9), rel=1e-9)


@pytest.mark.parametrize("tilt", [0.0, 35.0])
@pytest.mark.parametrize("shape", list(SHAPES))
def test_every_shape_covers_its_stated_area(shape, tilt):
    scene = simulate(
        seed=7,
        n=12,
        shapes=shape,
        edges="inside",
        median_diameter=30,
        gsd=1.3,
        tilt=tilt,
        frame_shape=(700, 700),
        **CLEAN,
    )
    assert len(scene.truth) == 12
    for row, mask in zip(scene.truth.to_dict("records"), scene.labels_whole):
        assert row["label"] == mask.label
        found = mask.mask.sum() * scene.pixel_size**2
        # A mask errs by what the raster allows at 60 px across and corners: under 1 %.
        assert found == pytest.approx(row["area"], rel=0.01)
        assert row["area"] == pytest.approx(math.pi / 4 * row["equivalent_diameter"] ** 2, rel=1e-12)
        rows, cols = np.nonzero(mask.mask)
        if shape not in ("triangle", "irregular"):  # these have no centre of symmetry
            assert rows.mean() + mask.row == pytest.approx(row["centroid-0"], abs=0.15)
            assert cols.mean() + mask.col == pytest.approx(row["centroid-1"], abs=0.15)


def test_isolated_particles_keep_their_gap_and_lie_alone():
    scene = simulate(seed=9, n=60, min_gap_px=5.0, median_diameter=12, frame_shape=(512, 512))
    t = scene.truth
    points, radii = (
        t[["centroid-0", "centroid-1"]].to_numpy(),
        t["equivalent_diameter"].to_numpy() / 2 / scene.pixel_size,
    )
    distance = np.hypot(*(points[:, None] - points[None]).transpose(2, 0, 1)) - radii[:, None] - radii[None]
    assert distance[~np.eye(len(t), dtype=bool)].min() >= 5.0
    assert t["visible_fraction"].to_numpy() == pytest.approx(t["fraction_in_frame"].to_numpy(), rel=1e-12)


def test_labels_are_whole_masks_where_nothing_lies_over_them():
    scene = simulate(seed=11, n=120, arrangement="random", median_diameter=20, frame_shape=(400, 400))
    assert (
        scene.truth["visible_fraction"] < 0.9 * scene.truth["fraction_in_frame"]
    ).sum() > 10  # there is overlap to test
    union = np.zeros(scene.labels.shape, bool)
    for label in scene.truth["label"]:
        whole = scene.whole(label)
        visible = scene.labels == label
        assert not (visible & ~whole).any()
        union |= whole
    assert np.array_equal(union, scene.labels > 0)
    shown = np.unique(scene.labels[scene.labels > 0])
    assert np.array_equal(shown, np.arange(1, len(shown) + 1))


def test_particles_reach_over_the_frame():
    scene = simulate(seed=3, n=80, arrangement="random", median_diameter=25, frame_shape=(300, 300))
    t = scene.truth
    outside = (t[["centroid-0", "centroid-1"]] < -0.5).any(axis=1) | (t[["centroid-0", "centroid-1"]] > 299.5).any(
        axis=1
    )
    assert outside.any()
    assert t.loc[outside, "touches_frame"].all()
    assert (t.loc[outside, "fraction_in_frame"] < 0.6).all()


@pytest.mark.parametrize(
    ("options", "hint"),
    [
        ({"sead": 1}, "did you mean 'seed'"),
        ({"kind": "bf-tam"}, "did you mean 'bf-tem'"),
        ({"shapes": "sphare"}, "did you mean 'sphere'"),
        ({"gsd": 0.5}, "gsd must be from 1"),
        ({"gsd": math.nan}, "gsd must be from 1"),
        ({"bits": 12}, "bits must be"),
        ({"n": 3, "coverage": 0.1}, "not both"),
        ({"coverage": 0.9}, "groups fit"),
        ({"edges": "inside", "median_diameter": 4000}, "does not fit"),
        ({"diameters": [3.0, -1.0]}, "positive"),
        ({"frame_shape": (3, 200)}, "frame_shape must be from 4"),
        ({"median_diameter": 4000, "n": 1}, "too far for a frame"),
        ({"jpeg_quality": 80, "bits": 16}, "jpeg_quality is for bits=8"),
        ({"n": 0, "footer": "light", "bar_value": "5 µm"}, "does not fit"),
    ],
)
def test_wrong_options_are_told_in_one_line(options, hint):
    with pytest.raises(OptionError, match=hint) as caught:
        simulate(**options)
    assert "\n" not in str(caught.value)


def test_record_goes_through_plain_data():
    record = ParticleScene(shapes={"rod": 2, "sphere": 1}, levels=(0.1, 1.2))
    assert ParticleScene.from_dict(json.loads(json.dumps(record.as_dict()))) == record


def test_bands_change_the_contrast_inside_particles_only():
    plain, banded = (simulate(seed=5, n=20, bands=b, **CLEAN) for b in (0.0, 0.5))
    changed = plain.image.pixels != banded.image.pixels
    assert np.array_equal(plain.labels, banded.labels)
    assert changed[plain.labels > 0].mean() > 0.9
    far = np.ones(changed.shape, bool)
    for w in plain.labels_whole:  # a pixel around each mask may be covered by less than half
        far[max(w.row - 1, 0) : w.row + w.mask.shape[0] + 1, max(w.col - 1, 0) : w.col + w.mask.shape[1] + 1] = False
    assert not changed[far].any()
