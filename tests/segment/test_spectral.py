"""Clusters of pixels: k-means and components against other libraries, shapes without thickness, mixed pixels."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score as rand

from segmetry.errors import ImageError, OptionError, ShapeMismatchError
from segmetry.segment.cluster_number import compare_numbers
from segmetry.segment.kmeans import kmeans, nearest
from segmetry.segment.methods import Scene
from segmetry.segment.mixed_pixels import merge_mixed
from segmetry.segment.pixel_clusters import Kmeans
from segmetry.segment.principal import principal
from segmetry.segment.spectral import channel_features, cluster_pixels, spatial_terms, spectral_shapes
from segmetry.synth.tof import simulate_tof


def groups(k=4, n=300, d=3, seed=0, apart=8.0):
    """Return points of k round groups and the group of each."""
    rng = np.random.default_rng(seed)
    middles = rng.normal(0, apart, (k, d))
    own = rng.integers(0, k, n)
    return middles[own] + rng.normal(0, 1, (n, d)), own


@pytest.mark.parametrize(("k", "d", "seed"), [(2, 1, 0), (4, 3, 1), (7, 12, 2)])
def test_kmeans_is_as_tight_as_scikit_learn(k, d, seed):
    points, _ = groups(k, 1500, d, seed)
    ours = kmeans(points, k, seed=seed)
    theirs = KMeans(k, n_init=10, random_state=0).fit(points)
    assert ours.inertia <= theirs.inertia_ * (1 + 1e-5)
    by_hand = sum(((points[ours.labels == c] - points[ours.labels == c].mean(0)) ** 2).sum() for c in range(k))
    assert ours.inertia == pytest.approx(by_hand, rel=1e-5)
    assert (np.diff(ours.centres[:, 0]) >= 0).all()
    np.testing.assert_array_equal(nearest(points, ours.centres)[0], ours.labels)
    np.testing.assert_array_equal(kmeans(points, k, seed=seed).labels, ours.labels)


def test_kmeans_does_not_care_about_unit_order_and_place():
    points, _ = groups(seed=5)
    before = kmeans(points, 4).labels
    after = kmeans(points * 1e-6 + 3e-4, 4).labels
    assert rand(before, after) == 1
    turn = np.random.default_rng(0).permutation(len(points))
    assert rand(before[turn], kmeans(points[turn], 4).labels) == 1


def test_kmeans_of_few_points():
    assert kmeans(np.full((5, 2), 3.0), 3).centres.tolist() == [[3.0, 3.0]]
    assert kmeans(np.array([[1.0], [2.0], [3.0]]), 3).inertia == pytest.approx(0, abs=1e-12)
    for k in (0, 4):
        with pytest.raises(OptionError, match="3 pixels"):
            kmeans(np.array([[1.0], [2.0], [3.0]]), k)
    with pytest.raises(ImageError, match="finite"):
        kmeans(np.array([[np.nan]]), 1)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_components_are_those_of_the_singular_values(dtype):
    rng = np.random.default_rng(0)
    rows = (rng.normal(size=(300, 20)) * np.linspace(5, 0.1, 20) + 100).astype(dtype)
    found = principal(rows, 4)
    _, s, vt = np.linalg.svd(rows.astype(float) - rows.mean(0, dtype=float), full_matrices=False)
    assert found.variances == pytest.approx(s[:4] ** 2 / 299, rel=1e-3)
    assert np.abs((found.axes * vt[:4].T).sum(0)) == pytest.approx(1, abs=1e-3)
    assert found.total == pytest.approx((s**2).sum() / 299, rel=1e-4)
    scores = found.scores(rows)
    assert scores.mean(0) == pytest.approx(0, abs=1e-3)
    assert scores.var(0, ddof=1) == pytest.approx(found.variances, rel=1e-3)


def beams(thickness, laws, counts=4000, seed=0):
    """Return counts and open beam of a row of pixels, of thicknesses and laws (F,)."""
    rng = np.random.default_rng(seed)
    expected = counts * np.exp(-np.array(thickness) * np.array(laws).T)
    return rng.poisson(expected)[:, None, :], rng.poisson(counts, expected.shape)[:, None, :]


def test_shapes_do_not_know_the_thickness():
    one, two = np.linspace(1, 2, 60), np.linspace(2, 1, 60)
    counts, beam = beams([0.5, 1.0, 1.5, 0.5, 1.0, 1.5], [one] * 3 + [two] * 3)
    shapes = spectral_shapes(counts, beam)
    assert shapes.amplitude[0] / shapes.amplitude[0, [0, 0, 0, 3, 3, 3]] == pytest.approx([1, 2, 3] * 2, rel=0.02)
    assert cluster_pixels(shapes.values, 2).labels.tolist() in ([0, 0, 0, 1, 1, 1], [1, 1, 1, 0, 0, 0])


def test_dead_bins_and_pixels_of_the_open_beam_are_left_out():
    counts, beam = beams([0.5, 1.0, 0.0, 1.5], [np.linspace(1, 2, 30)] * 4)
    beam[7], counts[7], beam[:, 0, 1] = 0, 0, 0
    shapes = spectral_shapes(counts, beam)
    assert shapes.usable.tolist() == [[True, False, True, True]]
    assert shapes.bins.sum() == 29
    assert shapes.values.shape == (3, 29)
    assert np.isnan(shapes.amplitude[0, 1])
    assert np.isfinite(shapes.values).all()
    with pytest.raises(ImageError, match="no neutron"):
        spectral_shapes(counts, np.zeros_like(beam))
    with pytest.raises(ImageError, match="negative"):
        spectral_shapes(-counts, beam)
    with pytest.raises(ShapeMismatchError, match="one shape"):
        spectral_shapes(counts[1:], beam)


def test_a_twice_larger_dose_changes_nothing_but_the_noise():
    counts, beam = beams([0.5, 1.0], [np.full(30, 1.5)] * 2, counts=10**9)
    one, two = spectral_shapes(counts, beam), spectral_shapes(2 * counts, beam, dose_ratio=2.0)
    assert two.amplitude == pytest.approx(one.amplitude, rel=1e-5)


def test_all_alike_and_too_many_clusters_are_refused():
    with pytest.raises(ImageError, match="same spectrum"):
        cluster_pixels(np.ones((9, 4)), 2)
    with pytest.raises(OptionError, match="3 pixels"):
        cluster_pixels(np.eye(3), 4)
    with pytest.raises(OptionError, match="did you mean 'gmm'"):
        cluster_pixels(np.eye(3), 2, model="gm")


def test_spatial_terms_by_hand():
    image = np.zeros((6, 5), np.float32)
    image[3:] = 1
    terms = spatial_terms(image, ["row", "col", "sobel_row", "sobel_col"])
    assert terms.reshape(-1, 4).mean(0) == pytest.approx(0, abs=1e-6)
    assert terms.reshape(-1, 4).std(0) == pytest.approx([1, 1, 1, 0], abs=1e-6)
    assert (np.diff(terms[:, 0, 0]) > 0).all()
    assert np.ptp(terms[0, :, 0]) == 0
    assert set(terms[..., 2].argmax(0)) <= {2, 3}
    with pytest.raises(OptionError, match="did you mean 'sobel_row'"):
        spatial_terms(image, ["sobel_rows"])


def test_place_parts_what_looks_alike():
    rng = np.random.default_rng(0)
    image = rng.normal(0, 1, (20, 40)).astype(np.float32)
    features = channel_features(image[None])
    terms = spatial_terms(image, ["col"]).reshape(-1, 1)
    right = np.tile(np.arange(40) >= 20, 20)
    assert rand(right, cluster_pixels(features, 2).labels) < 0.1
    assert rand(right, cluster_pixels(features, 2, spatial=terms, spatial_weight=10).labels) == 1


def test_mixed_pixels_go_to_their_larger_part():
    law = {0: np.zeros(40), 1: np.linspace(1, 2, 40)}
    share = np.clip((np.arange(30) - 12) / 6, 0, 1)  # of metal, from void on the left
    expected = 2000 * ((1 - share) + share * np.exp(-law[1])[:, None])
    rng = np.random.default_rng(0)
    counts = rng.poisson(np.repeat(expected[:, None], 12, axis=1))
    beam = rng.poisson(2000, counts.shape)
    clusters = np.zeros((12, 30), np.int32)
    clusters[:, 12:18], clusters[:, 18:] = 1, 2  # a cluster of edge pixels between the two
    merged = merge_mixed(clusters, counts, beam, reach=3)
    assert set(np.unique(merged)) == {0, 2}
    assert (merged[:, share > 0.55] == 2).all()
    assert (merged[:, share < 0.45] == 0).all()
    np.testing.assert_array_equal(
        merged.T, merge_mixed(clusters.T, *(c.transpose(0, 2, 1) for c in (counts, beam)), reach=3)
    )
    with pytest.raises(ShapeMismatchError):
        merge_mixed(clusters[1:], counts, beam)
    with pytest.raises(OptionError, match="at least 1"):
        merge_mixed(clusters, counts, beam, reach=0)


@pytest.mark.slow
def test_simulated_blocks_are_found_whatever_their_thickness():
    cube = simulate_tof(seed=2)
    shapes = spectral_shapes(cube.counts, cube.open_beam)
    clusters = cluster_pixels(shapes.values, 4).labels.reshape(cube.labels.shape)
    merged = merge_mixed(clusters, cube.counts, cube.open_beam)
    assert rand(cube.labels.ravel(), merged.ravel()) > 0.95
    raw = kmeans(cube.counts.reshape(661, -1).T, 4).labels
    assert rand(cube.labels.ravel(), raw) < 0.75


def test_criteria_for_the_number_find_three_clear_groups():
    points, _ = groups(3, 400, 4, seed=1, apart=15)
    table = compare_numbers(points, range(2, 6), n_references=2, n_repeats=3).set_index("k")
    assert table.silhouette.idxmax() == 3
    assert table.bic.idxmin() == 3
    assert table.gap[3] >= table.gap[4] - table.gap_error[4]
    assert table.ari_starts[3] == table.ari_halves[3] == 1
    assert table.ari_halves[5] < 1
    with pytest.raises(OptionError, match="below half"):
        compare_numbers(points[:6], [4])


def scene(images, valid=None):
    channels = np.asarray(images, np.float32)
    return Scene(channels[0], valid, (1.0, 1.0), "px", channels)


def test_the_method_takes_one_image_or_several():
    rng = np.random.default_rng(0)
    truth = np.zeros((30, 40), int)
    truth[5:15, 5:20], truth[18:28, 22:38] = 1, 2
    first = np.where(truth > 0, 50, 10) + rng.normal(0, 2, truth.shape)  # tells 0 from the rest
    second = np.where(truth == 2, 8.0, 3.0) + rng.normal(0, 0.3, truth.shape)  # tells 2 from the rest
    found = Kmeans(channels=2).run(scene([first, second]))
    assert rand(truth.ravel(), found.labels.ravel()) == 1
    assert found.kind == "semantic"
    assert found.labels[0, 0] == 0
    assert np.diff(found.info["means"][0])[0] > 30
    assert rand(truth.ravel() > 0, Kmeans(classes=2).run(scene([first])).labels.ravel()) == 1
    valid = np.ones(truth.shape, bool)
    valid[:3] = False
    assert not Kmeans(classes=2).run(scene([100 - first], valid)).labels[:3].any()
    with pytest.raises(OptionError, match="set channels=2"):
        Kmeans().run(scene([first, second]))
    assert Kmeans(place=1.0, slopes=1.0).run(scene([first])).labels.shape == truth.shape
