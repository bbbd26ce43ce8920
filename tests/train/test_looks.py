"""What a run keeps to show how its network learned."""

import numpy as np
import pytest

from segmetry.errors import ReadError
from segmetry.train.augment import IGNORED
from segmetry.train.looks import LOOKS, begin_looks, keep_look, read_looks, shown, small
from segmetry.train.samples import Labelled


def image(name="a", shape=(6, 8)):
    classes = (np.arange(np.prod(shape)).reshape(shape) % 3).astype(np.uint8)
    return Labelled(name, name, np.stack([classes * 10.0, classes * 30.0]).astype(np.float32), classes)


def test_a_few_images_are_looked_at_evenly_spaced():
    many = [image(str(k)) for k in range(10)]
    assert [one.name for one in shown(many)] == ["0", "3", "6", "9"]
    assert shown(many[:2]) == many[:2]
    assert shown([]) == []


def test_what_is_kept_is_small_and_comes_back(tmp_path):
    large = image("large/one", (600, 300))
    begin_looks(tmp_path, [image(), large])
    keep_look(tmp_path, 20, {"a": np.ones((6, 8), np.uint8)})
    keep_look(tmp_path, 5, {"a": np.zeros((6, 8), np.uint8)})
    keep_look(tmp_path, 5, {"a": np.full((6, 8), 2, np.uint8)})
    kept = read_looks(tmp_path)
    assert np.array_equal(kept.truths["a"], image().classes)
    assert np.allclose(kept.images["a"], image().classes * 20.0)  # mean of the channels
    # 600 px are shown by every third: 200.
    assert np.array_equal(kept.truths["large/one"], large.classes[::3, ::3])
    assert kept.images["large/one"].shape == (200, 100)
    assert list(kept.found) == [5, 20]
    assert kept.found[5]["a"].tolist() == np.full((6, 8), 2).tolist()


def test_of_a_volume_the_plane_is_shown_that_is_labelled_most():
    classes = np.full((5, 4, 4), IGNORED, np.uint8)
    classes[1, 0], classes[3] = 1, 2
    volume = Labelled("v", "v", np.zeros((1, 5, 4, 4), np.float32), classes)
    assert np.array_equal(small(np.arange(80).reshape(5, 4, 4), volume), np.arange(48, 64).reshape(4, 4))
    full = Labelled("f", "f", np.zeros((1, 5, 4, 4), np.float32), np.zeros((5, 4, 4), np.uint8))
    assert np.array_equal(small(np.arange(80).reshape(5, 4, 4), full), np.arange(32, 48).reshape(4, 4))


def test_runs_without_held_out_images_keep_nothing(tmp_path):
    begin_looks(tmp_path, [])
    keep_look(tmp_path, 5, {})
    assert not (tmp_path / LOOKS).exists()
    assert not read_looks(tmp_path).images


def test_a_damaged_look_is_said(tmp_path):
    begin_looks(tmp_path, [image()])
    (tmp_path / LOOKS / "truth.npz").write_bytes(b"no zip")
    with pytest.raises(ReadError, match="is damaged"):
        read_looks(tmp_path)
