"""Samples: cut where they should be, the same for the same number, honest about what nobody labelled."""

import dataclasses

import cv2
import numpy as np
import pytest

from segmetry.errors import LabelError, OptionError, ShapeMismatchError
from segmetry.train.augment import IGNORED, AugmentOptions
from segmetry.train.samples import Labelled, Normalisation, SampleOptions, Samples

STILL = AugmentOptions.none()
PLAIN = Normalisation((0.0,), (1.0,))


def place_image(shape=(100, 140), name="a"):
    """An image whose grey is the number of its pixel, and classes that follow from it: samples tell where they lie."""
    number = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    return Labelled(name, name, number[None], (number % 3).astype(np.uint8))


def test_the_same_number_gives_the_same_sample():
    image = place_image()
    first, again, other = (Samples([image], PLAIN, options=SampleOptions(side=32), seed=s) for s in (1, 1, 2))
    for number in (0, 5, 10**9):
        for a, b in zip(first.draw(number)[:2], again.draw(number)[:2], strict=True):
            np.testing.assert_array_equal(a, b)
    assert not np.array_equal(first.draw(0)[0], other.draw(0)[0])
    assert not np.array_equal(first.draw(0)[0], first.draw(1)[0])


def test_a_plain_sample_is_a_crop():
    samples = Samples([place_image()], PLAIN, options=SampleOptions(side=16, rare=0), augment=STILL)
    for number in range(20):
        image, classes, _ = samples.draw(number)
        assert image.shape == (1, 16, 16)
        assert image.dtype == np.float32
        np.testing.assert_array_equal(classes, image[0] % 3)
        np.testing.assert_array_equal(np.diff(image[0], axis=0), 140)
        np.testing.assert_array_equal(np.diff(image[0], axis=1), 1)


def test_rare_classes_are_seen():
    classes = np.zeros((400, 400), np.uint8)
    classes[200:204, 100:104] = 1
    image = Labelled("a", "a", np.zeros((1, 400, 400), np.uint8), classes)
    # By chance (64 + 4)^2 / 400^2 = 3 %; of the rare ones half are about the class, the others about the rest.
    for rare, low, high in ((0.0, 0.0, 0.12), (0.8, 0.3, 0.6)):
        samples = Samples([image], PLAIN, options=SampleOptions(side=64, rare=rare), augment=STILL)
        seen = np.mean([(samples.draw(i)[1] == 1).any() for i in range(200)])
        assert low <= seen <= high


def test_sparse_labels_are_found():
    classes = np.full((600, 600), IGNORED, np.uint8)
    classes[300:303, 50:60] = 0
    classes[310:313, 50:60] = 1
    image = Labelled("a", "a", np.zeros((1, 600, 600), np.uint8), classes)
    samples = Samples([image], PLAIN, options=SampleOptions(side=64, rare=0.3))
    assert all((samples.draw(i)[1] != IGNORED).any() for i in range(60))


def test_a_number_of_places_comes_again_and_is_varied_anew():
    options = SampleOptions(side=16, number=5)
    still = Samples([place_image()], PLAIN, options=options, augment=STILL)
    for i in range(5):
        np.testing.assert_array_equal(still.draw(i)[0], still.draw(i + 5)[0])
    assert len({still.draw(i)[0].tobytes() for i in range(50)}) == 5
    varied = Samples([place_image()], PLAIN, options=options)
    assert not np.array_equal(varied.draw(0)[0], varied.draw(5)[0])


def test_a_grid_covers_every_pixel():
    image = place_image((70, 100))
    samples = Samples([image], PLAIN, options=SampleOptions(side=32, grid=True), augment=STILL)
    seen = np.unique(np.concatenate([samples.draw(i)[0].ravel() for i in range(12)]))
    np.testing.assert_array_equal(seen, np.arange(7000))
    again = {samples.draw(i)[0].tobytes() for i in range(12, 24)}
    assert again == {samples.draw(i)[0].tobytes() for i in range(12)}


def test_whole_images_and_small_ones():
    image = place_image((30, 40))
    whole = Samples([image], PLAIN, options=SampleOptions(side=0), augment=STILL)
    np.testing.assert_array_equal(whole.draw(3)[0][0], image.pixels[0])
    small = Samples([image], PLAIN, options=SampleOptions(side=64), augment=STILL)
    pixels, classes, _ = small.draw(0)
    assert pixels.shape == (1, 64, 64)
    assert 0.2 < np.mean(classes != IGNORED) <= 1200 / 4096 + 0.05


def test_volumes_are_cut_in_step():
    planes, rows, columns = np.mgrid[:20, :50, :60].astype(np.float32)
    classes = (planes % 2).astype(np.uint8)
    volume = Labelled("v", "v", np.stack([planes, rows * 60 + columns]), classes)
    normalisation = Normalisation((0.0, 0.0), (1.0, 1.0))
    samples = Samples([volume], normalisation, options=SampleOptions(side=16, planes=8), augment=STILL)
    for i in range(30):
        pixels, found, _ = samples.draw(i)
        assert pixels.shape == (2, 8, 16, 16)
        known = found != IGNORED
        np.testing.assert_array_equal(pixels[0][known] % 2, found[known])
        assert all(np.unique(plane[k]).size <= 1 for plane, k in zip(pixels[0], known, strict=True))
    flipped = Samples([volume], normalisation, options=SampleOptions(side=16, planes=8))
    assert {np.sign(flipped.draw(i)[0][0, 5, 8, 8] - flipped.draw(i)[0][0, 2, 8, 8]) for i in range(40)} >= {-1, 1}


def columns_of(classes):
    """Return a map that only the whole image can give: how far each pixel is from its first column."""
    return np.broadcast_to(np.arange(classes.shape[-1], dtype=np.float64), classes.shape)


@pytest.mark.parametrize("augment", [STILL, AugmentOptions()])
def test_maps_are_made_of_the_whole_image_and_cut_with_it(augment):
    """The first channel of the image tells the column, too, so both have to show the same place."""
    columns = np.broadcast_to(np.arange(80, dtype=np.float32), (60, 80))
    image = Labelled("i", "i", columns[None].copy(), np.zeros((60, 80), np.uint8))
    plain = dataclasses.replace(augment, gamma=0, shade=0, blur=0, noise=0, contrast=0, invert=0)
    samples = Samples([image], PLAIN, options=SampleOptions(side=24), augment=plain).with_maps({"column": columns_of})
    for i in range(20):
        pixels, classes, maps = samples.draw(i)
        inside = cv2.erode((classes != IGNORED).astype(np.uint8), np.ones((3, 3), np.uint8), borderValue=0) > 0
        assert inside.any()
        np.testing.assert_allclose(maps["column"][inside], pixels[0][inside], atol=0.05)


def test_maps_of_volumes_follow_their_planes():
    planes, rows, columns = np.mgrid[:12, :40, :40].astype(np.float32)
    volume = Labelled("v", "v", (1600 * planes + 40 * rows + columns)[None], np.zeros(planes.shape, np.uint8))
    place = lambda classes: volume.pixels[0]  # noqa: E731
    options = SampleOptions(side=16, planes=4)
    samples = Samples([volume], PLAIN, options=options, augment=STILL).with_maps({"place": place})
    for i in range(5):
        pixels, classes, maps = samples.draw(i)
        np.testing.assert_array_equal(maps["place"][classes != IGNORED], pixels[0][classes != IGNORED])


def test_of_images_that_are_too_large_maps_are_made_of_the_sample(monkeypatch):
    image = place_image()
    options = {"options": SampleOptions(side=16, rare=0), "augment": STILL}
    whole = Samples([image], PLAIN, **options).with_maps({"column": columns_of})
    assert whole.draw(0).maps["column"].min() > 0
    monkeypatch.setattr("segmetry.train.samples.LARGEST_MAP", image.classes.size - 1)
    part = Samples([image], PLAIN, **options).with_maps({"column": columns_of})
    np.testing.assert_array_equal(part.draw(0).maps["column"][0], np.arange(16))


def test_maps_are_kept_up_to_a_limit(monkeypatch):
    images = [place_image((32, 32)) for _ in range(4)]
    made: list[int] = []

    def count(classes):
        made.append(1)
        return columns_of(classes)

    options = SampleOptions(side=16, rare=0)
    samples = Samples(images, PLAIN, options=options).with_maps({"column": count})
    for i in range(40):
        samples.draw(i)
    assert len(made) == 4
    monkeypatch.setattr("segmetry.train.samples.KEPT_MAPS", 2 * 32 * 32 * 4)
    few = samples.with_maps({"column": count})
    for i in range(40):
        few.draw(i)
        assert len(few._maps) <= 2
    assert len(made) > 8


def test_coordinates_tell_the_place():
    image = place_image((101, 141))
    samples = Samples([image], PLAIN, options=SampleOptions(side=20, coordinates=True, rare=0), augment=STILL)
    pixels = samples.draw(0).image
    assert pixels.shape == (3, 20, 20)
    rows, columns = (pixels[1] + 1) / 2 * 100, (pixels[2] + 1) / 2 * 140
    np.testing.assert_allclose(rows * 141 + columns, pixels[0], atol=0.01)


def test_the_normalisation_is_that_of_all_finite_pixels():
    rng = np.random.default_rng(0)
    arrays = [rng.normal((5, -3)[c], (2, 0.1)[c], (2, 40 + i, 50))[:, :, :] for i in range(3) for c in (0,)]
    arrays = [np.stack([a[0], a[1] * 0.05 - 3.25]) for a in arrays]
    arrays[0][0, 0, 0] = np.nan
    images = [Labelled(str(i), str(i), a, np.zeros(a.shape[1:], np.uint8)) for i, a in enumerate(arrays)]
    found = Normalisation.measured(images)
    for c in range(2):
        values = np.concatenate([a[c].ravel() for a in arrays])
        assert found.mean[c] == pytest.approx(np.nanmean(values))
        assert found.sd[c] == pytest.approx(np.nanstd(values))
    assert np.isfinite(found.apply(arrays[0])).all()
    faint = 1e9 + rng.normal(0, 1e-3, (1, 60, 60))  # sums of squares about zero would say 0 or worse
    images = [
        Labelled(str(i), str(i), part, np.zeros((30, 60), np.uint8))
        for i, part in enumerate((faint[:, :30], faint[:, 30:]))
    ]
    assert Normalisation.measured(images).sd[0] == pytest.approx(np.std(faint), rel=1e-3)  # 1e9 is known to 1e-7
    constant = Labelled("c", "c", np.full((1, 5, 5), 7), np.zeros((5, 5), np.uint8))
    assert Normalisation.measured([constant]) == Normalisation((7.0,), (1.0,))


def test_what_cannot_be_is_refused():
    with pytest.raises(ShapeMismatchError, match="must match"):
        Labelled("a", "a", np.zeros((1, 4, 4)), np.zeros((4, 5), np.uint8))
    nothing = Labelled("a", "a", np.zeros((1, 4, 4)), np.full((4, 4), IGNORED, np.uint8))
    with pytest.raises(LabelError, match="say nothing"):
        Samples([nothing], PLAIN)
    with pytest.raises(ShapeMismatchError, match="channels"):
        Normalisation.measured([nothing, Labelled("b", "b", np.zeros((2, 4, 4)), np.zeros((4, 4), np.uint8))])
    for wrong in ({"side": -1}, {"rare": 2}, {"grid": True, "number": 3}, {"planes": 0}):
        with pytest.raises(OptionError, match="samples"):
            SampleOptions(**wrong)
