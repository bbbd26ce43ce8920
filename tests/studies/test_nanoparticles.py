"""The nanoparticle study: a balanced draw, physics of contrast, and findings that add up, on tiny images."""

from __future__ import annotations

import dataclasses
import itertools
import math

import numpy as np
import pandas as pd
import pytest

from nanoparticles import analysis, run, scenes
from segmetry.measure import measure
from segmetry.segment import segment
from segmetry.segment.pick import pick_particles
from segmetry.synth import ParticleScene


def setting(size=3.0, material=0, carbon=0, modality=2, instrument=2, seed=5):
    tables = scenes.MATERIALS, scenes.CARBONS, scenes.MODALITIES, scenes.INSTRUMENTS
    return scenes.Setting(3, size, *(t[i] for t, i in zip(tables, (material, carbon, modality, instrument))), seed)


def test_every_pair_of_levels_occurs_once_in_sixteen_runs():
    runs = scenes.orthogonal_runs()
    for a, b in itertools.combinations(range(5), 2):
        assert len(set(zip(runs[:, a].tolist(), runs[:, b].tolist()))) == 16


@pytest.mark.parametrize(("n", "seed"), [(0, 0), (7, 1), (16, 2), (150, 0), (150, 9)])
def test_levels_are_as_even_as_can_be(n, seed):
    levels = scenes.balanced_levels(n, seed)
    assert levels.shape == (n, 5)
    for column in levels.T:
        counts = np.bincount(column, minlength=4)
        assert counts.max() - counts.min() <= 1
    assert np.array_equal(levels, scenes.balanced_levels(n, seed))


def test_pairs_of_levels_are_even_in_the_study():
    levels = scenes.balanced_levels(150, 0)
    for a, b in itertools.combinations(range(5), 2):
        pairs = np.bincount(4 * levels[:, a] + levels[:, b], minlength=16)
        assert pairs.min() >= 9  # 9 from the nine orthogonal sets
        assert pairs.max() <= 11
    assert len(np.unique(levels, axis=0)) == 150


def test_wavelengths_are_those_of_the_tables():
    # pm, Williams & Carter, Transmission Electron Microscopy (2009), table 1.2
    for kilovolts, picometres in ((120, 3.35), (200, 2.51), (300, 1.97)):
        assert 1000 * scenes.wavelength(kilovolts) == pytest.approx(picometres, abs=0.005)


def test_the_cross_section_has_its_limits():
    total = {z: scenes.cross_section(z, 0.0, 200.0) for z in (6, 78)}
    assert total[78] / total[6] == pytest.approx((78 / 6) ** (4 / 3))
    far = {z: scenes.cross_section(z, 1e5, 200.0) for z in (6, 78)}
    assert far[78] / far[6] == pytest.approx((78 / 6) ** 2, rel=1e-3)  # Rutherford
    assert scenes.cross_section(78, math.inf, 200.0) == 0
    # Integrated by hand: 2 pi theta dtheta of 4 Z^2 R^4 gamma^2 / (a_H^2 (1 + (theta / theta_0)^2)^2), R = a_H Z^(-1/3)
    theta = np.linspace(0.02, 0.2, 200_001)
    a_h, gamma = 0.0529177, 1 + 200 / 510.999
    radius = a_h * 78 ** (-1 / 3)
    theta_0 = scenes.wavelength(200.0) / (2 * math.pi * radius)
    differential = 4 * 78**2 * radius**4 * gamma**2 / a_h**2 / (1 + (theta / theta_0) ** 2) ** 2
    ring = scenes.cross_section(78, 20.0, 200.0) - scenes.cross_section(78, 200.0, 200.0)
    assert ring == pytest.approx(np.trapezoid(2 * math.pi * theta * differential, theta), rel=1e-6)


def test_heavier_materials_scatter_more():
    for modality in scenes.MODALITIES:
        of = {m.name: scenes.scattered_per_nm(m, modality, 200.0) for m in scenes.MATERIALS}
        assert of["Pt"] > of["Pt3Co"] > of["SnCu"] > of["FeP"]


def test_every_micrograph_of_the_study_is_a_valid_scene_of_the_asked_size():
    for s in scenes.settings(150, seed=0):
        o = ParticleScene.from_dict(scenes.scene_options(s))
        assert o.median_diameter * math.exp(math.log(o.gsd) ** 2 / 2) == pytest.approx(s.size)
        assert 7 < s.size / o.pixel_size < 121


@pytest.mark.parametrize("modality", range(4))
@pytest.mark.parametrize("carbon", range(4))
def test_particles_are_dark_in_bright_field_and_bright_in_dark_field(modality, carbon):
    scene = scenes.scene_of(setting(5.0, modality=modality, carbon=carbon), side=192)
    contrast = measure(scene.labels, scene.image, measures=["contrast"])["contrast"]
    assert len(contrast) == scene.labels.max() > 0
    assert np.sign(contrast.median()) == (-1 if modality < 2 else 1)


def test_each_true_object_has_the_iou_of_its_partner():
    truth, found = np.zeros((6, 12), np.int32), np.zeros((6, 12), np.int32)
    truth[1:3, 1:5], truth[1:3, 7:11], truth[4:6, 0:4] = 1, 2, 3
    found[1:3, 1:3], found[1:3, 7:11] = 2, 1
    assert run.object_iou(truth, found).tolist() == [0.5, 1.0, 0.0]
    scores = run.scores(truth, found)
    assert scores["jaccard"] == 12 / 24
    assert (scores["pixel_precision"], scores["pixel_recall"]) == (1.0, 0.5)


def test_size_scores_by_hand():
    found = analysis.size_scores([2.0, 4.0, 4.0, 4.0, 6.0], [3.0, 5.0, 5.0, 5.0])
    assert found["d50_error"] == pytest.approx(5 / 4 - 1)
    assert found["mean_error"] == pytest.approx(4.5 / 4 - 1)
    assert found["count_error"] == pytest.approx(-0.2)
    assert found["ks"] == pytest.approx(0.8 - 0.25)
    assert all(math.isnan(v) for v in analysis.size_scores([1.0] * 4, [1.0]).values())
    assert analysis.size_scores([1.0] * 5, [])["count_error"] == -1


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    folder = tmp_path_factory.mktemp("found")
    some = [setting(modality=m, seed=20 + m) for m in (0, 2)]
    some = [dataclasses.replace(s, number=i) for i, s in enumerate(some)]
    return run.run(some, folder, side=256, jobs=1, say=lambda text: None), some, folder


def test_what_was_examined_is_not_examined_again(rows, monkeypatch):
    found, some, folder = rows

    def never(*args):
        raise AssertionError("examined again")

    monkeypatch.setattr(run, "examine", never)
    assert run.run(some, folder, side=256, jobs=1, say=lambda text: None) == found
    with pytest.raises(AssertionError):  # another size is another image
        run.run(some, folder, side=192, jobs=1, say=lambda text: None)
    (folder / "np-001.json").write_text("{", encoding="utf-8")
    with pytest.raises(AssertionError):
        run.run(some, folder, side=256, jobs=1, say=lambda text: None)


def test_findings_hold_together(rows):
    found, some, _ = rows
    images, objects, sizes = (f(found) for f in (analysis.image_table, analysis.object_table, analysis.diameter_table))
    assert len(images) == 2 * len(run.METHODS)
    assert images["jaccard"].between(0, 1).all()
    assert images["polarity_right"].all()
    for s, row in zip(some, found):
        scene = scenes.scene_of(s, 256)
        assert row["n_truth"] == scene.labels.max()
        assert len(row["truth"]["isolated"]) == len(row["truth"]["isolated_at"])
        mine = objects[(objects["image"] == s.name) & (objects["method"] == "hybrid")]
        area = math.pi / 4 * mine["diameter_px"].to_numpy() ** 2
        assert area == pytest.approx(np.bincount(scene.labels.ravel())[1:])
    assert set(sizes["method"]) == {"truth", *run.METHODS}
    true = sizes[sizes["method"] == "truth"].groupby(["image", "pick"])["relative"].median()
    assert true.to_numpy() == pytest.approx(1.0)


def test_picking_the_found_particles_is_what_the_method_would_do():
    scene = scenes.scene_of(setting(), side=256)
    for method in run.METHODS.values():
        whole = segment(scene.image, method).labels
        picked = segment(scene.image, method, options={"pick": "isolated"}).labels
        assert np.array_equal(pick_particles(whole, "isolated").labels, picked)


def test_pooled_errors_of_diameters_that_are_a_tenth_too_large():
    rng = np.random.default_rng(3)
    rows = []
    for k in range(6):
        true = rng.lognormal(0, 0.2, 40) * (2.0, 12.0)[k % 2]
        found = {m: {p: (1.1 * true if m == "local" else true).tolist() for p in run.PICKS} for m in run.METHODS}
        truth = {p: true.tolist() for p in run.PICKS}
        rows.append({"image": str(k), "modality": "HAADF", "size": 2.0, "truth": truth, "methods": found})
    pooled = analysis.pooled_sizes(analysis.diameter_table(rows), n_resamples=50).set_index(["pick", "method"])
    assert pooled.loc[("inside", "local"), "d50_error"] == pytest.approx(0.1)
    assert pooled.loc[("inside", "local"), "mean_error"] == pytest.approx(0.1)
    assert not pooled.loc[("isolated", "local"), "reproduced"]
    assert pooled.loc[("isolated", "hybrid"), "reproduced"]
    assert pooled.loc[("isolated", "hybrid"), "ks"] == 0


def test_the_mean_iou_of_a_class_of_diameter():
    objects = pd.DataFrame(
        {
            "method": "hybrid",
            "image": [str(k % 6) for k in range(12)] + ["0"],
            "diameter_px": [10.0] * 12 + [50.0],
            "iou": [0.5, 0.7] * 6 + [0.9],
        }
    )
    small, large = analysis.iou_by_size(objects).to_dict("records")
    assert (small["from_px"], small["to_px"], small["n"], small["n_images"]) == (8.0, 11.3, 12, 6)
    assert small["iou"] == pytest.approx(0.6)
    assert (large["from_px"], large["iou"]) == (45.3, 0.9)
    assert math.isnan(large["low"])  # one image


def test_slopes_of_both_together_are_those_of_a_plane():
    rng = np.random.default_rng(1)
    contrast, diameter = 2.0 ** rng.uniform(-6, -1, 40), 2.0 ** rng.uniform(3, 7, 40)
    contrast *= diameter**0.5  # they go together, as in micrographs
    plane = 0.5 + 0.1 * np.log2(contrast) - 0.02 * np.log2(diameter)
    images = pd.concat(
        pd.DataFrame({"method": m, "contrast": contrast, "diameter_px": diameter, "jaccard": plane})
        for m in run.METHODS
    )
    for slopes in analysis.joint_slopes(images, n_resamples=50).values():
        assert slopes["contrast"].value == pytest.approx(0.1)
        assert (slopes["diameter_px"].low, slopes["diameter_px"].high) == pytest.approx((-0.02, -0.02), abs=1e-6)


def test_the_median_has_the_interval_of_its_order_statistics():
    # Of ten values, the 2nd and the 9th hold the median with 1 - 2 (1 + 10) / 1024 = 97.9 %, the 3rd and 8th with 89 %.
    estimate = analysis.median_estimate(np.arange(10.0)[::-1])
    assert (estimate.value, estimate.low, estimate.high, estimate.n) == (4.5, 1.0, 8.0, 10)
    assert math.isnan(analysis.median_estimate(np.array([np.nan])).value)


def test_wide_tables_have_a_column_per_method(rows):
    found, *_ = rows
    table = analysis.wide(analysis.image_table(found), "jaccard")
    assert list(table.columns) == list(run.METHODS)
    assert isinstance(table, pd.DataFrame)
    assert len(table) == 2
