"""BPartIS without torch: its clustering, samples and filter against slow derivations, and the method around them."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image as Picture
from scipy import ndimage

from segmetry import Image
from segmetry.errors import ImageError, OptionError
from segmetry.io.model_folder import Card
from segmetry.segment import bpartis
from segmetry.segment.bpartis import (
    Bpartis,
    average_samples,
    drop_uncertain,
    find_particles,
    nearest,
    squeeze,
    to_bytes,
)
from segmetry.segment.bpartis_cluster import cluster
from segmetry.segment.engine import Model
from segmetry.segment.run import segment


def slow_cluster(maps):
    """Return labels by the published steps, one full-size mask after the other."""
    height, width = maps.shape[1:]
    e = np.tanh(maps[:2].astype(np.float64))
    e = e + np.stack(np.broadcast_arrays(np.linspace(0, 1, width), np.linspace(0, 1, height)[:, None]))
    seed = 1 / (1 + np.exp(-maps[4].astype(np.float64)))
    candidate = seed > 0.5
    free, labels, n = candidate.copy(), np.zeros((height, width), int), 0
    while free.sum() > 128:
        at = np.unravel_index(np.argmax(np.where(free, seed, -1)), seed.shape)
        if seed[at] < 0.5:
            break
        free[at] = False
        distance = (e - e[(slice(None), *at)][:, None, None]) ** 2
        phi = np.exp(-(distance * np.exp(10 * maps[(slice(2, 4), *at)].astype(float))[:, None, None]).sum(0))
        proposal = candidate & (phi > 0.5)
        if proposal.sum() > 128 and free[proposal].sum() / proposal.sum() > 0.5:
            n += 1
            labels[proposal] = n
        free[proposal] = False
    present = np.unique(labels[labels > 0])
    return np.searchsorted(np.append(0, present), labels)


def random_maps(seed, shape=(90, 110)):
    """Return smooth random maps in which proposals overlap, are too small, and overwrite each other."""
    rng = np.random.default_rng(seed)
    maps = np.stack([ndimage.gaussian_filter(rng.normal(0, 1, shape), 6) for _ in range(5)])
    maps /= maps.std(axis=(1, 2), keepdims=True)
    maps *= np.array([0.06, 0.06, 0.06, 0.06, 2.0])[:, None, None]
    maps[2:4] += rng.uniform(0.3, 0.6)
    return maps.astype(np.float32)


def ideal_maps(labels, sigma=1.5):
    """Return maps whose every pixel points to its particle's centre, with one narrow Gaussian each."""
    height, width = labels.shape
    maps = np.full((5, height, width), sigma)
    maps[:2] = 0
    maps[4] = np.where(labels > 0, 9, -9)
    x, y = np.linspace(0, 1, width), np.linspace(0, 1, height)
    for k in np.unique(labels[labels > 0]):
        rows, cols = np.nonzero(labels == k)
        maps[0, rows, cols] = np.arctanh(x[cols].mean() - x[cols])
        maps[1, rows, cols] = np.arctanh(y[rows].mean() - y[rows])
    return maps


def disks(n, shape=(512, 512), seed=0, radius=(7, 40)):
    """Return labels of disks that cover each other, the later ones on top."""
    rng = np.random.default_rng(seed)
    labels = np.zeros(shape, np.int32)
    for k in range(1, n + 1):
        centre = [int(rng.integers(m)) for m in shape[::-1]]
        cv2.circle(labels, centre, int(rng.uniform(*radius)), k, -1)
    return labels


def same_partition(a, b):
    pairs = set(zip(a.ravel().tolist(), b.ravel().tolist(), strict=True))
    return (
        len(pairs) == len({p[0] for p in pairs}) == len({p[1] for p in pairs}) and (a > 0).tolist() == (b > 0).tolist()
    )


class TestCluster:
    @pytest.mark.parametrize("seed", range(12))
    def test_it_equals_the_published_steps_on_random_maps(self, seed):
        maps = random_maps(seed)
        expected = slow_cluster(maps)
        assert expected.max() >= 2
        np.testing.assert_array_equal(cluster(maps), expected)

    def test_wide_narrow_and_saturated_maps_too(self):
        maps = random_maps(20, (40, 50))
        for sigma in (-30.0, 0.0, 3.0, 30.0):
            other = maps.copy()
            other[2:4] = sigma
            other[4] = np.choose(np.digitize(other[4], [0, 1.5]), [-40, 2, 40])  # of equally sure pixels the first
            np.testing.assert_array_equal(cluster(other), slow_cluster(other), err_msg=str(sigma))

    @pytest.mark.parametrize("seed", range(3))
    def test_ideal_maps_give_the_labels_of_all_particles_above_128_pixels(self, seed):
        truth = disks(60, seed=seed)
        area = np.bincount(truth.ravel())
        assert (area[1:][area[1:] > 0] <= 128).any()
        expected = np.where(area > 128, np.arange(area.size), 0)[truth]
        found = cluster(ideal_maps(truth))
        assert same_partition(np.where(expected, found, 0), expected)
        assert not (found[expected == 0] > 0).any()
        assert np.unique(found).tolist() == list(range(found.max() + 1))

    def test_the_limit_is_129_pixels(self):
        truth = np.zeros((512, 512), np.int32)
        truth[10:18, 10:26] = 1  # 8 x 16 = 128
        truth[100:200, 100:200] = 2
        assert cluster(ideal_maps(truth)).max() == 1
        truth[18, 10] = 1  # 129
        assert same_partition(cluster(ideal_maps(truth)), truth)

    def test_where_only_128_candidates_are_left_it_ends(self):
        truth = np.zeros((512, 512), np.int32)
        truth[100:110, 100:113] = 1  # 130 px: one particle
        assert cluster(ideal_maps(truth)).max() == 1
        maps = ideal_maps(truth)
        maps[4, 100:102, 100] = -9  # 128 candidates
        assert cluster(maps).max() == 0

    def test_a_later_particle_takes_pixels_of_an_earlier_one(self):
        # In a row of pixels that all point to themselves, the surest takes a wide stretch; the next, a bit less sure,
        # lies outside of it and reaches back into it.
        maps = np.zeros((5, 20, 200), np.float32)
        maps[4] = 1.0
        maps[2:4] = -5.0
        maps[2] = np.log(np.log(2) / (30 / 199) ** 2) / 10  # half-width of 30 px
        maps[4, 10, 50], maps[4, 10, 100] = 5.0, 4.0
        found = cluster(maps)
        np.testing.assert_array_equal(found, slow_cluster(maps))
        assert found[10, 30] == found[10, 69] == 1
        assert found[10, 75] == found[10, 100] == 2

    def test_bad_values_are_no_candidates(self):
        truth = disks(10, seed=5)
        maps = ideal_maps(truth)
        maps[0, :20] = np.nan
        maps[4, 40:45] = np.nan
        found = cluster(maps)
        assert (found[:20] == 0).all()
        assert (found[40:45] == 0).all()
        assert found.max() > 1
        assert cluster(np.full((5, 64, 64), np.nan)).max() == 0


class TestSamples:
    def test_it_is_the_mean_of_raw_maps_and_the_information_by_its_formula(self):
        samples = np.random.default_rng(0).normal(0, 2, (7, 5, 6, 8))
        found = average_samples(iter(samples))
        np.testing.assert_allclose(found.maps, samples.mean(axis=0), rtol=1e-5, atol=1e-6)
        p = 1 / (1 + np.exp(-samples[:, 4]))
        np.testing.assert_allclose(found.probability, p.mean(axis=0), rtol=1e-6)

        def entropy(q):
            return -(q * np.log(q) + (1 - q) * np.log(1 - q))

        np.testing.assert_allclose(found.information, entropy(p.mean(axis=0)) - entropy(p).mean(axis=0), atol=1e-6)

    def test_samples_that_agree_tell_nothing_and_sure_ones_that_differ_tell_one_bit(self):
        one = np.zeros((5, 2, 2))
        one[4] = [[-50, -1], [0, 50]]
        np.testing.assert_allclose(average_samples([one] * 4).information, 0, atol=1e-7)
        found = average_samples([one * 0 + 40, one * 0 - 40])
        # Each sample keeps the entropy of a probability of 1e-6.
        np.testing.assert_allclose(found.information, np.log(2) - 1e-6 * (1 + np.log(1e6)), rtol=1e-6)

    def test_particles_at_or_above_the_threshold_are_dropped(self):
        labels = np.array([[1, 1, 0, 2], [3, 3, 3, 2]])
        uncertainty = np.array([[0.5, 0.0, 9.0, 0.25], [0.1, 0.1, 0.4, 0.25]])  # means .25, .25, .2
        assert drop_uncertain(labels, uncertainty, 0.25).tolist() == [[0, 0, 0, 0], [1, 1, 1, 0]]
        assert drop_uncertain(labels, uncertainty, 0.26).tolist() == labels.tolist()
        assert drop_uncertain(labels * 0, uncertainty, 0.1).max() == 0


def card(task, maps, stride, multiple, channels, dropout=()):
    return Card(
        name="stub",
        version="1",
        task=task,
        maps=maps,
        stride=stride,
        multiple=multiple,
        dropout=dropout,
        channels=channels,
        receptive_radius=None,
        bytes_per_pixel=100,
        normalisation={"kind": "unit"},
    )


CARD = card("bpartis", ("x", "y", "a", "b", "seed"), 1, 8, 3, ((64, 0.5),))


def stub_model(doubtful=None, card=CARD):
    """Return a model that sees bright pixels; where `doubtful`, only if its first channel is kept."""

    known = {}

    def run(image, keep):
        assert image.shape == (1, 3, 512, 512)
        key = image.tobytes()
        if key not in known:
            known[key] = ideal_maps(ndimage.label(image[0, 0] > 0.5)[0], sigma=1.0)
        maps = np.repeat(known[key][None], len(keep), axis=0)
        if doubtful is not None:
            maps[:, 4][(slice(None), *doubtful)] -= 12 * (keep[:, :1, None] == 0)
        return maps.astype(np.float32)

    return Model(card, Path("stub"), "stub", run)


@pytest.fixture
def micrograph():
    """Return a wide image of three bright rectangles, one below the limit, and the labels."""
    labels = np.zeros((200, 400), np.uint8)
    labels[20:60, 30:90], labels[100:180, 200:300], labels[150:153, 20:30] = 1, 2, 3
    return np.where(labels > 0, 220, 30).astype(np.uint8), labels


class TestMethod:
    def test_particles_come_back_at_their_place_in_the_image(self, micrograph):
        image, labels = micrograph
        found = find_particles(stub_model(), image, samples=0)
        assert found.labels.shape == image.shape
        assert found.n_regions == 2  # 30 px are 98 px at 512 x 512
        ours = np.array([0, *(found.labels[labels == k].max() for k in (1, 2))])
        agree = ours[np.minimum(labels, 2) * (labels < 3)] == found.labels
        # Within a pixel of each contour bicubic enlargement may decide otherwise.
        assert agree[ndimage.morphological_gradient(labels, 3) == 0].all()
        assert agree.mean() > 0.99
        assert found.scores.tolist() == pytest.approx([1 / (1 + np.exp(-9))] * 2, abs=1e-6)
        assert found.uncertainty.max() < 1e-6
        assert found.info["least_area"] == pytest.approx(129 * 200 * 400 / 512**2, abs=0.1)

    def test_the_filter_drops_what_the_samples_disagree_on(self, micrograph):
        image, _ = micrograph
        doubtful = np.s_[:, :160]  # the first rectangle
        model = stub_model(doubtful)
        both = find_particles(model, image, samples=6, seed=1)
        assert both.n_regions == 2
        doubt = [both.uncertainty[both.labels == k].mean() for k in (1, 2)]
        one = find_particles(model, image, samples=6, seed=1, threshold=0.0125)
        assert one.n_regions == 1
        assert one.info["n_before"] == 2
        kept = int(np.argmin(doubt)) + 1
        np.testing.assert_array_equal(one.labels > 0, both.labels == kept)
        assert one.scores.tolist() == [both.scores[kept - 1]]
        assert max(doubt) > 0.1 > 0.0125 > min(doubt)

    def test_a_seed_gives_its_samples_and_another_seed_others(self, micrograph):
        model = stub_model(np.s_[:, :160])
        first, again, other = (find_particles(model, micrograph[0], samples=3, seed=s).uncertainty for s in (3, 3, 5))
        np.testing.assert_array_equal(first, again)
        assert (first != other).any()

    def test_segment_leaves_out_what_is_not_specimen(self, micrograph, monkeypatch):
        monkeypatch.setattr(bpartis, "load_model", lambda path: stub_model())
        image, _ = micrograph
        ignore = np.zeros(image.shape, bool)
        ignore[:, 310:] = True
        method = Bpartis(model="somewhere", samples=2)
        whole = segment(Image(image), method)
        assert whole.n_regions == 2
        assert whole.method["model"] == "somewhere"
        assert whole.info["model"] == CARD.identity, "by which a batch knows it again"
        part = segment(Image(image, ignore=~ignore), method)  # nothing bright is valid
        assert part.n_regions == 0
        ignore[:, 190:] = True
        part = segment(Image(image, ignore=ignore), method)
        assert part.n_regions == len(part.scores) == 1

    def test_a_model_of_another_kind_is_refused(self, micrograph):
        other = card("particles", ("a",), 2, 32, 1)
        with pytest.raises(ImageError, match="trained as bpartis"):
            find_particles(stub_model(card=other), micrograph[0])

    def test_options_that_cannot_be_are_refused(self):
        with pytest.raises(OptionError, match="model=path"):
            Bpartis()
        with pytest.raises(OptionError, match="needs samples"):
            Bpartis(model="m", samples=0, threshold=0.0125)
        with pytest.raises(OptionError, match="samples"):
            Bpartis(model="m", samples=-1)
        record = Bpartis.from_options({"model": "m", "samples": "50", "threshold": "0.0125"})
        assert (record.samples, record.threshold) == (50, 0.0125)
        assert Bpartis.from_options({k: v for k, v in record.as_dict().items() if k != "method"}) == record


class TestInput:
    def test_bytes_stay_and_other_ranges_are_spread(self):
        rng = np.random.default_rng(0)
        grey = rng.integers(0, 256, (40, 50)).astype(np.uint8)
        for dtype in (np.uint16, np.float32, np.int64):
            np.testing.assert_array_equal(to_bytes(grey.astype(dtype)), grey)
        high = to_bytes(1000 + 10.0 * grey)
        assert (high.min(), high.max()) == (0, 255)
        assert np.corrcoef(high.ravel(), grey.ravel())[0, 1] > 0.999
        hot = 1000 + 10.0 * grey
        hot[3, 3] = 1e7
        assert np.corrcoef(np.delete(to_bytes(hot).ravel(), 153), np.delete(grey.ravel(), 153))[0, 1] > 0.999

    def test_a_square_image_is_not_resized(self):
        grey = np.random.default_rng(0).integers(0, 256, (512, 512)).astype(np.uint8)
        image = squeeze(grey)
        assert image.shape == (3, 512, 512)
        np.testing.assert_array_equal(np.rint(image * 255), np.broadcast_to(grey, image.shape))

    def test_nearest_is_pillows(self):
        labels = np.random.default_rng(0).integers(0, 255, (512, 512)).astype(np.uint8)
        for shape in ((512, 680), (37, 1001), (600, 512), (1024, 256)):
            expected = np.asarray(Picture.fromarray(labels).resize(shape[::-1], Picture.Resampling.NEAREST))
            # A centre that falls on an edge may go either way.
            clear = [(np.arange(n) * 2 + 1) * 512 % (2 * n) > 0 for n in shape]
            np.testing.assert_array_equal(nearest(labels, shape)[np.ix_(*clear)], expected[np.ix_(*clear)])
            assert np.mean(clear[0]) > 0.9
