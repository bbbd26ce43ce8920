"""Slices of an alloy: shares, attenuation, noise, and what carries no label."""

from __future__ import annotations

import math

import numpy as np
import pytest
from skimage.measure import label, regionprops

from segmetry.errors import OptionError
from segmetry.synth import labelled_scenes, simulate_alloy
from segmetry.synth.alloy import Grains
from segmetry.synth.chance import named_rng

CLEAN = {
    "counts": None, "rings": 0.0, "streaks": 0.0, "disturbances": 0, "shading": 0.0, "texture": 0.0, "blur_px": 0.0,
    "fringe": 0.0,
}  # fmt: skip
"""Options of a slice without noise, artefacts and blur."""


@pytest.mark.parametrize(("precipitates", "inclusions"), [(0.01, 0.0), (0.05, 0.03), (0.12, 0.06)])
def test_shares_are_those_asked_for(precipitates, inclusions):
    o = {"precipitate_share": precipitates, "inclusion_share": inclusions, "frame_shape": (500, 500)}
    share = simulate_alloy(seed=3, **o).facts["share"]
    # The last precipitate may go over by its own size; of inclusions less than half of the smallest square is left.
    assert precipitates <= share["precipitate"] < precipitates + 0.01
    least = (0.4 * 1500 / 18) ** 2 / 500**2
    assert inclusions - least / 2 <= share["inclusion"] <= inclusions + 1.5 * least


def test_areas_in_the_table_add_up_to_the_pixels():
    scene = simulate_alloy(seed=2, frame_shape=(400, 420))
    sums = scene.truth.groupby("class")["area"].sum()
    for name in ("precipitate", "inclusion"):
        # Labels follow the half-coverage rule: by object a few per cent for the least, on average less.
        assert sums[name] == pytest.approx(scene.facts["area"][name], rel=0.02)
    d = scene.truth["equivalent_diameter"]
    assert np.allclose(math.pi / 4 * d**2, scene.truth["area"])


def test_a_clean_slice_has_the_attenuation_of_each_class():
    scene = simulate_alloy(seed=4, frame_shape=(400, 400), voids=4, **CLEAN)
    mu, labels = scene.image.pixels, scene.labels
    assert np.median(mu[labels == 0]) == pytest.approx(0.007)
    assert np.median(mu[labels == 1]) == pytest.approx(0.10, rel=0.15)
    assert np.median(mu[labels == 2]) == pytest.approx(0.05, rel=0.3)
    assert (mu[labels == 1] > 0.03).all()


def test_voids_and_disturbances_carry_no_label():
    none, many = (simulate_alloy(seed=5, frame_shape=(300, 300), disturbances=n) for n in (0, 40))
    assert np.array_equal(none.labels, many.labels)
    assert none.truth.equals(many.truth)
    assert not np.array_equal(none.image.pixels, many.image.pixels)
    scene = simulate_alloy(seed=5, frame_shape=(400, 400), voids=8, **CLEAN)
    voids = scene.truth[scene.truth["kind"] == "void"]
    at = voids[["centroid-0", "centroid-1"]].round().to_numpy(int)
    at = at[((at >= 0) & (at < 400)).all(axis=1)]
    assert len(at) >= 3
    assert (scene.labels[at[:, 0], at[:, 1]] == 0).all()
    assert (scene.image.pixels[at[:, 0], at[:, 1]] < 0.001).all()


def test_noise_is_that_of_filtered_back_projection():
    # Without bodies only the noise is left. Its window keeps a known part of the ramp's power.
    o = {**CLEAN, "precipitate_share": 0.0, "inclusion_share": 0.0, "voids": 0, "frame_shape": (400, 400)}
    few, many = (simulate_alloy(seed=1, **{**o, "counts": n}).image.pixels.std() for n in (1000.0, 4000.0))
    assert few == pytest.approx(2 * many, rel=1e-3)
    f = np.hypot(*np.meshgrid(np.fft.fftfreq(400), np.fft.fftfreq(400)))
    kept = (f * np.exp(-((f / 0.3) ** 2))).mean() / f.mean()
    expected = math.pi / math.sqrt(12 * 1200 * 1000) / 0.018 * math.sqrt(kept)
    assert few == pytest.approx(expected, rel=0.02)
    spectrum = np.abs(np.fft.fft2(simulate_alloy(seed=1, **{**o, "counts": 1000.0}).image.pixels - 0.007)) ** 2
    low, high = (spectrum[(f > a) & (f < a + 0.02)].mean() for a in (0.02, 0.08))
    assert high == pytest.approx(3 * low * math.exp(-(0.09**2 - 0.03**2) / 0.3**2), rel=0.15)  # grows as the ramp


def test_precipitates_at_boundaries_can_be_had_alone_or_not_at_all():
    for share, kind in ((0.0, "grain"), (1.0, "boundary")):
        o = {"frame_shape": (300, 300), "boundary_share": share, "precipitate_share": 0.01, "grain_size": 1500.0}
        truth = simulate_alloy(seed=2, **o).truth
        assert set(truth["kind"]) - {"inclusion", "void"} == {kind}


@pytest.mark.parametrize("ndim", [2, 3])
def test_a_boundary_is_as_far_from_both_of_its_grains_and_its_normal_runs_from_one_to_the_other(ndim):
    rng = np.random.default_rng(1)
    grains = Grains((200,) * ndim, 60.0, 3, rng)
    turns, phases, shifts = grains.waves
    for flat in (True, False):
        grains.waves = turns, phases, 0 * shifts if flat else shifts
        off = []
        for centre in rng.uniform(0, 200, (50, ndim)):
            far = np.linalg.norm(grains.points - centre * grains.scale, axis=1)
            a, b = (grains.points[k] for k in np.argsort(far)[:2])
            at, normal = grains.boundary(centre)
            off.append(((at * grains.scale - (a + b) / 2) @ (b - a)) / np.linalg.norm(b - a))
            assert normal == pytest.approx((b - a) * grains.scale)
        # In grains: four waves whose amplitudes have a standard deviation of 0.06, so 0.08 in the root mean square.
        assert np.sqrt(np.mean(np.square(off))) == pytest.approx(0, abs=1e-9) if flat else 0.02 < np.std(off) < 0.2


def test_a_grain_has_the_asked_number_of_habits():
    rng = np.random.default_rng(2)
    grains = Grains((200, 200), 60.0, 3, rng)
    for grain in range(5):
        found = {tuple(grains.habit(grains.points[grain] / grains.scale, rng)) for _ in range(60)}
        assert found == {tuple(normal) for normal in grains.normals[grain]}
        assert len(found) == 3


def test_precipitates_lie_along_their_boundary_or_habit():
    # The pixels' long axis (of second moments) is across the normal that the place has.
    o = {"frame_shape": (400, 400), "inclusion_share": 0.0, "voids": 0, "precipitate_aspect": 6.0, "roughness": 0.0}
    scene = simulate_alloy(seed=2, **o, boundary_share=0.5, precipitate_share=0.03)
    grains = Grains((400, 400), 250.0, 3, named_rng(2, "alloy grains"))
    parts = label(scene.labels == 1)
    axes = {r.label: (math.cos(r.orientation), math.sin(r.orientation)) for r in regionprops(parts) if r.area > 60}
    off = {"boundary": [], "grain": []}
    for row in scene.truth[~scene.truth["touches_frame"]].to_dict("records"):
        centre = np.array([row["centroid-0"], row["centroid-1"]])
        if axis := axes.get(parts[tuple(np.rint(centre).astype(int))]):
            _, grain = grains.tree.query(centre * grains.scale)
            normals = [grains.boundary(centre)[1]] if row["kind"] == "boundary" else grains.normals[grain]
            off[row["kind"]].append(min(abs(np.array(axis) @ n) / np.linalg.norm(n) for n in normals))
    for kind, found in off.items():
        assert len(found) > 5, kind
        assert np.median(found) < 0.05, kind  # at random it is 0.7 from one normal, about 0.3 from three


def test_nearly_empty_slices_are_among_the_random_ones():
    shares = [s.facts["share"]["precipitate"] for s in labelled_scenes("alloy", 12, seed=1, frame_shape=(200, 200))]
    assert min(shares) < 0.003 < max(shares)


def test_what_does_not_fit_is_said():
    with pytest.raises(OptionError, match="no more fit; lower precipitate_share"):
        simulate_alloy(
            seed=5, frame_shape=(60, 60), precipitate_share=0.4, precipitate_length=200, precipitate_aspect=5
        )
    with pytest.raises(OptionError, match="together"):
        simulate_alloy(precipitate_share=0.35, inclusion_share=0.35)
