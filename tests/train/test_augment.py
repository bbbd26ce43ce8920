"""The warp puts every pixel where its matrix and field say; labels and image stay in step."""

import cv2
import numpy as np
import pytest

from segmetry.errors import OptionError
from segmetry.train.augment import IGNORED, AugmentOptions, Warp, apply_warp, change_greys, draw_warp

ROWS, COLUMNS = np.mgrid[:90, :120].astype(np.float32)
RAMPS = np.stack([ROWS, COLUMNS])
"""Each pixel tells where it lies; linear interpolation of it is exact."""

WILD = AugmentOptions(rotate=1, angle=180, zoom=(0.5, 2), stretch=0.2, elastic=1)


def test_no_augmentation_is_a_crop():
    rng = np.random.default_rng(0)
    warp = draw_warp(rng, (20, 30), (39.5, 54.5), AugmentOptions.none())
    image, labels = apply_warp(warp, RAMPS, ROWS.astype(np.uint8), (0, 0))
    np.testing.assert_array_equal(image, RAMPS[:, 30:50, 40:70])
    np.testing.assert_array_equal(labels, ROWS[30:50, 40:70])
    grey = RAMPS[0].copy()
    assert change_greys(grey, rng, AugmentOptions.none()) is grey


def test_quarter_turns_and_flips_hit_pixels_exactly():
    options = AugmentOptions(rotate=0, zoom=(1, 1), stretch=0, elastic=0)
    cut = COLUMNS[30:50, 40:60]
    seen = set()
    for seed in range(60):
        warp = draw_warp(np.random.default_rng(seed), (20, 20), (39.5, 49.5), options)
        image, _ = apply_warp(warp, RAMPS[1:], ROWS.astype(np.uint8), (0,))
        which = [
            (turns, mirrored)
            for turns in range(4)
            for mirrored in (False, True)
            if np.array_equal(np.rot90(cut[:, ::-1] if mirrored else cut, turns), image[0])
        ]
        assert which
        seen.update(which)
    assert len(seen) == 8


@pytest.mark.parametrize("cubic", [False, True])
def test_pixels_lie_where_the_warp_says(cubic):
    checked = 0
    for seed in range(20):
        warp = draw_warp(np.random.default_rng(seed), (40, 50), (45, 60), WILD)
        image, labels = apply_warp(warp, RAMPS, np.zeros(ROWS.shape, np.uint8), (-1, -1), cubic=cubic)
        x, y = warp.places()
        inside = (x > 2) & (x < 117) & (y > 2) & (y < 87)
        np.testing.assert_allclose(image[1][inside], x[inside], atol=0.05)  # OpenCV rounds places to 1/32 px
        np.testing.assert_allclose(image[0][inside], y[inside], atol=0.05)
        assert not labels[inside].any()
        beyond = (x < -2) | (x > 121) | (y < -2) | (y > 91)  # cubics reach 2 px
        assert (labels[beyond] == IGNORED).all()
        np.testing.assert_allclose(image[:, beyond], -1, atol=1e-6)
        checked += inside.sum()
    assert checked > 10_000


def test_labels_are_those_of_the_nearest_pixel():
    truth = np.random.default_rng(1).integers(0, 5, ROWS.shape).astype(np.uint8)
    checked = 0
    for seed in range(10):
        warp = draw_warp(np.random.default_rng(seed), (40, 40), (45, 60), WILD)
        _, labels = apply_warp(warp, RAMPS, truth, (0, 0))
        x, y = warp.places()
        clear = (np.abs(x % 1 - 0.5) > 0.05) & (np.abs(y % 1 - 0.5) > 0.05) & (labels != IGNORED)
        r, c = np.rint(y[clear]).astype(int), np.rint(x[clear]).astype(int)
        np.testing.assert_array_equal(labels[clear], truth[r, c])
        checked += clear.sum()
    assert checked > 3000


def test_the_matrix_is_about_the_centre_and_zooms_as_asked():
    options = AugmentOptions(zoom=(2, 2), stretch=0, rotate=1, elastic=0)
    for seed in range(10):
        matrix = draw_warp(np.random.default_rng(seed), (31, 41), (12.0, 70.0), options).matrix
        np.testing.assert_allclose(matrix @ [20, 15, 1], [70, 12])
        assert abs(np.linalg.det(matrix[:, :2])) == pytest.approx(1 / 4)


def test_the_elastic_field_has_the_asked_size_and_is_smooth():
    options = AugmentOptions(elastic=1, elastic_shift=3, elastic_size=32, rotate=0, turn=False, zoom=(2, 2), stretch=0)
    warps = [draw_warp(np.random.default_rng(s), (256, 256), (0, 0), options) for s in range(200)]
    fields = 2 * np.array([warp.field for warp in warps])  # px of the image to px of the sample
    assert np.std(fields) == pytest.approx(3, rel=0.03)
    assert abs(np.mean(fields)) < 0.1
    at_nodes, apart = fields[:, 0, 100, 100], fields[:, 0, 100, 100 + 4 * 32]
    assert abs(np.corrcoef(at_nodes, apart)[0, 1]) < 0.2  # splines that are four nodes apart share none
    assert np.abs(np.diff(fields, axis=3)).max() < 1  # no fold: neighbours keep their order


def test_only_the_part_that_is_needed_is_read():
    class Watched:
        shape, asked = (5000, 5000), None

        def __getitem__(self, where):
            self.asked = where
            return np.zeros([s.stop - s.start for s in where], np.uint16)

    channel, labels = Watched(), np.zeros((5000, 5000), np.uint8)
    warp = draw_warp(np.random.default_rng(0), (64, 64), (2500, 3000), AugmentOptions(zoom=(1, 1), elastic=0))
    apply_warp(warp, [channel], labels, (0,))
    rows, columns = channel.asked
    assert rows.start <= 2500 - 32
    assert rows.stop >= 2500 + 32
    assert rows.stop - rows.start < 110
    assert columns.stop - columns.start < 110


@pytest.mark.parametrize("kind", [">f4", "<u2", "i4", "f8", "bool"])
def test_any_type_is_warped(kind):
    image = (ROWS > 30).astype(kind)[None]
    warp = Warp(np.array([[1.0, 0, 0], [0, 1, 0]]), None, ROWS.shape)
    out, _ = apply_warp(warp, image, np.zeros(ROWS.shape, np.uint8), (0,))
    np.testing.assert_array_equal(out[0], (ROWS > 30).astype(np.float32))


def test_a_sample_wholly_outside_is_ignored():
    warp = Warp(np.array([[1.0, 0, 500], [0, 1, 500]]), None, (8, 8))
    image, labels = apply_warp(warp, RAMPS, np.zeros(ROWS.shape, np.uint8), (7, 8))
    assert (labels == IGNORED).all()
    assert (image[0] == 7).all()
    assert (image[1] == 8).all()


def test_greys_follow_the_seed_and_keep_their_kind():
    image = cv2.GaussianBlur(np.random.default_rng(0).standard_normal((64, 80)).astype(np.float32), (0, 0), 2)
    options = AugmentOptions(gamma=1, shade=1, blur=1, noise=1, invert=0.5)
    first, again, other = (change_greys(image, np.random.default_rng(s), options) for s in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    assert first.dtype == np.float32
    assert np.isfinite(first).all()


@pytest.mark.parametrize("wrong", [{"flip": 1, "rotate": 2}, {"zoom": (2, 1)}, {"noise": -0.1}, {"elastic_size": 1}])
def test_what_cannot_be_is_refused(wrong):
    with pytest.raises(OptionError, match="augment"):
        AugmentOptions(**wrong)
