"""The compiled forest against scikit-learn's; files that are damaged or hostile."""

from __future__ import annotations

import dataclasses
import hashlib
import json

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.neighbors import KNeighborsClassifier

from segmetry.errors import ReadError, WriteError
from segmetry.prepare.features import Features
from segmetry.segment.forest import check_forest, forest_from
from segmetry.segment.forest_file import ARRAYS, CARD, is_pixel_model, read_pixel_model, write_pixel_model
from segmetry.segment.neighbours import check_neighbours, neighbours_of
from segmetry.segment.pixel_model import PixelModel, tempered

FEATURES = Features(scales=1)
N = 8


def drawn(n=400, n_classes=3, seed=0):
    """Return features (n, F) and overlapping classes."""
    rng = np.random.default_rng(seed)
    owner = rng.integers(n_classes, size=n)
    features = rng.normal(size=(n, N)) + 0.8 * owner[:, None]
    features[:, 1] = features[:, 1].round()  # equal values, at thresholds too
    features[:, 2] *= 1e6
    features[::7, 3] = -0.0
    return features.astype(np.float32), owner


@pytest.fixture(scope="module")
def grown():
    return RandomForestClassifier(7, max_depth=9, random_state=0).fit(*drawn())


@pytest.fixture
def model(grown):
    return PixelModel(
        forest_from(grown), FEATURES, "YX", 1, ("a", "b", "c"), (1, 2, 5), 0.8, scores={"other_strokes": {"a": 0.5}}
    )


def test_probabilities_are_those_of_scikit_learn(grown):
    forest = check_forest(forest_from(grown), where="here")
    new, _ = drawn(1003, seed=1)  # no multiple of what goes down a tree together
    thresholds = np.concatenate([t.tree_.threshold for t in grown.estimators_]).astype(np.float32)
    new[: thresholds.size % 500, 1] = thresholds[: thresholds.size % 500]
    new[5, 3], new[6, 3] = 0.0, -0.0
    np.testing.assert_allclose(forest.probabilities(new.T), grown.predict_proba(new).T, atol=1e-6)
    assert forest.probabilities(new[:0].T).shape == (3, 0)


def test_values_on_a_threshold_go_left():
    one = RandomForestClassifier(1, bootstrap=False, max_features=None, random_state=0)
    x = np.array([[-1.0], [-1.0], [1.0], [1.0]], np.float32)  # the threshold is 0
    one.fit(x, [0, 0, 1, 1])
    forest = forest_from(one)
    probes = np.array([[0.0, -0.0, np.nextafter(np.float32(0), np.float32(1)), -1e-30]], np.float32)
    assert forest.probabilities(probes)[1].tolist() == [0, 0, 1, 0]


def test_trees_that_are_but_a_root():
    features, owner = drawn()
    stumps = RandomForestClassifier(3, min_samples_leaf=300, random_state=0).fit(features, owner)
    assert all(tree.tree_.node_count == 1 for tree in stumps.estimators_)
    found = check_forest(forest_from(stumps), where="here").probabilities(features.T)
    np.testing.assert_allclose(found, stumps.predict_proba(features).T, atol=1e-6)


def test_nearest_neighbours_are_those_of_scikit_learn():
    features, owner = drawn(200)
    new, _ = drawn(301, seed=2)
    ours = check_neighbours(neighbours_of(features, owner, k=7, n_classes=3), where="here")
    sd = features.std(0, dtype=np.float64)
    mean = features.mean(0, dtype=np.float64)
    theirs = KNeighborsClassifier(7, algorithm="brute").fit((features - mean) / sd, owner)
    np.testing.assert_allclose(ours.probabilities(new.T), theirs.predict_proba((new - mean) / sd).T, atol=1e-6)


def test_a_model_comes_back_from_its_folder_to_the_same_bytes(model, tmp_path):
    write_pixel_model(tmp_path / "m", model)
    again = read_pixel_model(tmp_path / "m")
    features = drawn(50)[0].T
    np.testing.assert_array_equal(again.classifier.probabilities(features), model.classifier.probabilities(features))
    for name in ("features", "axes", "channels", "classes", "values", "temperature", "scores"):
        assert getattr(again, name) == getattr(model, name)
    write_pixel_model(tmp_path / "n", again)
    for name in (ARRAYS, CARD):
        assert (tmp_path / "m" / name).read_bytes() == (tmp_path / "n" / name).read_bytes()
    assert is_pixel_model(tmp_path / "m")
    assert not is_pixel_model(tmp_path)


def test_neighbours_come_back_too(model, tmp_path):
    features, owner = drawn(60)
    table = dataclasses.replace(model, classifier=neighbours_of(features, owner, k=5, n_classes=3))
    again = read_pixel_model(write_pixel_model(tmp_path / "m", table))
    new = drawn(9, seed=3)[0].T
    np.testing.assert_array_equal(again.classifier.probabilities(new), table.classifier.probabilities(new))


@pytest.mark.parametrize(
    ("name", "at", "value"),
    [
        ("child", 0, 0),  # leads to itself
        ("child", 0, 10**6),
        ("child", 0, -3),
        ("feature", 0, N),
        ("feature", 0, -2),
        ("threshold", 0, np.nan),
        ("shares", 0, 7.0),
        ("starts", 1, 0),
        ("starts", 1, 10**7),
    ],
)
def test_a_hostile_forest_is_refused(model, tmp_path, name, at, value):
    array = getattr(model.classifier, name).copy()
    array[at] = value
    bad = dataclasses.replace(model, classifier=dataclasses.replace(model.classifier, **{name: array}))
    write_pixel_model(tmp_path / "m", bad)  # its hash is right
    with pytest.raises(ReadError, match="get the model anew") as caught:
        read_pixel_model(tmp_path / "m")
    assert "\n" not in str(caught.value)


def test_a_leaf_beyond_the_shares_is_refused(model):
    child = model.classifier.child.copy()
    child[np.flatnonzero(model.classifier.feature < 0)[-1]] += 1
    with pytest.raises(ReadError, match="leads nowhere"):
        check_forest(dataclasses.replace(model.classifier, child=child), where="here")


def test_a_hostile_table_is_refused():
    good = neighbours_of(*drawn(40), k=3, n_classes=3)
    for change in ({"k": 41}, {"k": 0}, {"sd": 0 * good.sd}, {"owner": good.owner + 1}, {"mean": good.mean[:2]}):
        with pytest.raises(ReadError, match="damaged"):
            check_neighbours(dataclasses.replace(good, **change), where="here")


def rehashed(folder, data):
    (folder / ARRAYS).write_bytes(data)
    card = json.loads((folder / CARD).read_text())
    (folder / CARD).write_text(json.dumps(card | {"sha256": hashlib.sha256(data).hexdigest()}))


def test_a_pickle_is_not_opened(model, tmp_path):
    folder = write_pixel_model(tmp_path / "m", model)
    arrays = model.classifier.arrays() | {"child": np.array([{"a": 1}], dtype=object)}
    np.savez(tmp_path / "bad.npz", **arrays)
    rehashed(folder, (tmp_path / "bad.npz").read_bytes())
    with pytest.raises(ReadError, match="cannot be read"):
        read_pixel_model(folder)


def test_damage_is_one_line(model, tmp_path):
    folder = write_pixel_model(tmp_path / "m", model)
    whole = (folder / ARRAYS).read_bytes()
    (folder / ARRAYS).write_bytes(whole[:-9])
    with pytest.raises(ReadError, match="its hash is not that of its card"):
        read_pixel_model(folder)
    for data in (b"", b"no zip", whole[:200]):
        rehashed(folder, data)
        with pytest.raises(ReadError, match="cannot be read"):
            read_pixel_model(folder)
    (folder / ARRAYS).unlink()
    with pytest.raises(ReadError, match="is missing"):
        read_pixel_model(folder)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"format": 2}, "newer segmetry"),
        ({"task": "classes"}, "not the card of a classifier"),
        ({"kind": "svm"}, "kind is forest or neighbours"),
        ({"classes": ["a", "b"]}, "does not fit its card"),
        ({"classes": None}, "cannot be used"),
        ({"channels": 2}, "does not fit its card"),
        ({"axes": "TYX"}, "does not fit its card"),
        ({"temperature": 0}, "does not fit its card"),
        ({"features": {"scale": 3}}, "did you mean 'scales'"),
        ({"n_features": 5}, "get the model anew"),
    ],
)
def test_a_card_that_does_not_fit_is_refused(model, tmp_path, change, says):
    folder = write_pixel_model(tmp_path / "m", model)
    card = json.loads((folder / CARD).read_text())
    (folder / CARD).write_text(json.dumps(card | change))
    with pytest.raises(ReadError, match=says):
        read_pixel_model(folder)


def test_other_folders_are_left_alone(model, tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(WriteError, match="holds something"):
        write_pixel_model(tmp_path, model)


def test_a_temperature_keeps_the_order():
    p = np.random.default_rng(0).dirichlet(np.ones(4), 50).T.astype(np.float32)
    for heat in (0.3, 3.0):
        told = tempered(p, heat)
        np.testing.assert_allclose(told.sum(0), 1, atol=1e-5)
        np.testing.assert_array_equal(told.argmax(0), p.argmax(0))
    np.testing.assert_array_equal(tempered(p, 1.0), p)
