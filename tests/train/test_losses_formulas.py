"""Each loss against its formula, written plainly with numpy, by hand, or as another library has it."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import ndimage, special

torch = pytest.importorskip("torch")
from segmetry.train.losses import LOSSES  # noqa: E402
from segmetry.train.losses.cldice import soft_skeleton  # noqa: E402
from segmetry.train.losses.lovasz import lovasz_hinge  # noqa: E402

pytestmark = pytest.mark.torch


class Scene:
    """Random logits of K classes (two: one map) and truth, with pixels of unknown truth; numpy throughout."""

    def __init__(self, n_classes, seed=0, shape=(3, 7, 8)):
        rng = np.random.default_rng(seed)
        self.k = n_classes
        self.logits = rng.normal(0, 2, (shape[0], 1 if n_classes == 2 else n_classes, *shape[1:]))
        self.target = rng.integers(0, n_classes, shape)
        self.target[rng.random(shape) < 0.2] = -1
        self.weight = rng.uniform(0.2, 3, shape)
        self.class_weight = rng.uniform(0.5, 2, n_classes)
        self.known = self.target >= 0
        if n_classes == 2:
            p = 1 / (1 + np.exp(-self.logits))
            self.p = np.concatenate([1 - p, p], axis=1)
        else:
            self.p = special.softmax(self.logits, axis=1)
        self.scored = [1] if n_classes == 2 else list(range(n_classes))

    def loss(self, name, **own):
        return LOSSES[name](
            torch.from_numpy(self.logits),
            torch.from_numpy(self.target),
            weight=torch.from_numpy(self.weight),
            class_weight=torch.from_numpy(self.class_weight),
            **own,
        ).item()

    @property
    def rows(self):
        """Known pixels: probabilities (n, K), truth, weight with that of the class."""
        y = self.target[self.known]
        return np.moveaxis(self.p, 1, -1)[self.known], y, self.weight[self.known] * self.class_weight[y]


@pytest.mark.parametrize("k", [2, 4])
def test_cross_entropy_is_that_of_scikit_learn(k):
    from sklearn.metrics import log_loss  # seconds, which collecting need not take

    scene = Scene(k)
    p, y, w = scene.rows
    assert scene.loss("cross-entropy") == pytest.approx(log_loss(y, p, sample_weight=w, labels=range(k)), rel=1e-9)


@pytest.mark.parametrize("k", [2, 4])
def test_squared_error_is_the_brier_score(k):
    from sklearn.metrics import brier_score_loss

    scene = Scene(k)
    p, y, w = scene.rows
    want = np.average(((p - np.eye(k)[y]) ** 2).mean(axis=1), weights=w)
    if k == 2:
        assert want == pytest.approx(brier_score_loss(y, p[:, 1], sample_weight=w), rel=1e-12)
    assert scene.loss("squared-error") == pytest.approx(want, rel=1e-12)


@pytest.mark.parametrize("k", [2, 4])
@pytest.mark.parametrize("gamma", [0, 0.5, 1, 2, 5])
def test_focal(k, gamma):
    scene = Scene(k)
    p, y, w = scene.rows
    true = p[np.arange(len(y)), y]
    want = np.average(-((1 - true) ** gamma) * np.log(true), weights=w)
    assert scene.loss("focal", gamma=gamma) == pytest.approx(want, rel=1e-9)
    if gamma == 0:
        assert scene.loss("focal", gamma=0) == pytest.approx(scene.loss("cross-entropy"), rel=1e-12)


def test_focal_by_hand():
    # p = .9 on a true pixel: (1 - .9)^2 (-log .9), the example of the paper: 100 times less than cross-entropy.
    z = torch.tensor([[[[np.log(9.0)]]]])
    y = torch.ones(1, 1, 1, dtype=torch.int64)
    assert LOSSES["focal"](z, y).item() == pytest.approx(0.01 * 0.1053605, rel=1e-6)


def counts(scene, image=slice(None)):
    """Yield class, and weighted sums of py, p, y of some images."""
    w = np.where(scene.known, scene.weight, 0)[image]
    for k in scene.scored:
        p, y = scene.p[:, k][image], (scene.target == k)[image]
        yield k, (w * p * y).sum(), (w * p).sum(), (w * y).sum()


@pytest.mark.parametrize("k", [2, 4])
def test_dice_is_the_mean_over_classes_of_the_batch(k):
    scene = Scene(k)
    each = [(scene.class_weight[c], 1 - 2 * i / (p + y)) for c, i, p, y in counts(scene)]
    weights, values = np.array(each).T
    assert scene.loss("dice") == pytest.approx(np.average(values, weights=weights), rel=1e-12)


def test_dice_leaves_out_classes_that_the_batch_lacks():
    scene = Scene(4)
    scene.target[scene.target == 2] = 3
    each = [(scene.class_weight[c], 1 - 2 * i / (p + y)) for c, i, p, y in counts(scene) if c != 2]
    weights, values = np.array(each).T
    assert scene.loss("dice") == pytest.approx(np.average(values, weights=weights), rel=1e-12)


def test_dice_by_hand():
    # p = 1, .5, .5, 0 against 1, 1, 0, 0: 2 * 1.5 / (2 + 2)
    z = torch.tensor([[[[1e4, 0.0, 0.0, -1e4]]]])
    y = torch.tensor([[[1, 1, 0, 0]]])
    assert LOSSES["dice"](z, y).item() == pytest.approx(0.25, abs=1e-7)


@pytest.mark.parametrize("k", [2, 4])
@pytest.mark.parametrize(
    ("alpha", "beta", "power"), [(0.3, 0.7, 1.0), (0.5, 0.5, 1.0), (1.0, 1.0, 1.0), (0.7, 0.3, 0.75)]
)
def test_tversky(k, alpha, beta, power):
    scene = Scene(k)
    each = [(scene.class_weight[c], (1 - i / (i + alpha * (p - i) + beta * (y - i))) ** power)
            for c, i, p, y in counts(scene)]  # fmt: skip
    weights, values = np.array(each).T
    got = scene.loss("tversky", alpha=alpha, beta=beta, power=power)
    assert got == pytest.approx(np.average(values, weights=weights), rel=1e-12)
    if alpha == beta == 0.5:
        assert got == pytest.approx(scene.loss("dice"), rel=1e-12)
    if alpha == beta == 1:
        want = [1 - i / (p + y - i) for _, i, p, y in counts(scene)]  # soft Jaccard
        assert got == pytest.approx(np.average(want, weights=weights), rel=1e-12)


def test_tversky_prices_missed_pixels_by_beta():
    # Of 8 pixels, 4 true: one missed, then one too many, p either 0 or 1.
    z = torch.full((1, 1, 1, 8), -1e4)
    z[..., :4] = 1e4
    y = torch.tensor([[[1, 1, 1, 1, 0, 0, 0, 0]]])
    missed, extra = z.clone(), z.clone()
    missed[..., 0], extra[..., 7] = -1e4, 1e4
    assert LOSSES["tversky"](missed, y).item() == pytest.approx(1 - 3 / (3 + 0.7), rel=1e-6)
    assert LOSSES["tversky"](extra, y).item() == pytest.approx(1 - 4 / (4 + 0.3), rel=1e-6)


@pytest.mark.parametrize("k", [2, 3])
def test_unet_plus_plus(k):
    scene = Scene(k)
    weights = [1.0] if k == 2 else scene.class_weight
    total = 0.0
    for image in range(3):
        n = scene.weight[image][scene.known[image]].sum()
        terms = []
        for c, i, p, y in counts(scene, image):
            mine = scene.known[image] & (scene.target[image] == c)
            log = (scene.weight[image] * np.log(scene.p[image, c]))[mine].sum() / n
            terms.append(0.5 * log + 2 * i / (p + y))
        total += np.average(terms, weights=weights)
    assert scene.loss("unet++") == pytest.approx(-total / 3, rel=1e-12)


def test_limits_of_unet_plus_plus():
    loss, y = LOSSES["unet++"], torch.zeros(1, 4, 4, dtype=torch.int64)
    all_true = torch.full((1, 1, 4, 4), 1e4)
    assert loss(all_true, y).item() == 0  # an empty image: whatever is predicted
    assert loss(-all_true, y).item() == 0
    y[0, :2] = 1
    assert loss(all_true, y).item() == pytest.approx(-2 * 8 / (16 + 8), rel=1e-6)
    assert loss(torch.where(y[:, None] > 0, all_true, -all_true), y).item() == pytest.approx(-1, abs=1e-6)


def jaccard_loss(wrong, member, size):
    """Return 1 - intersection / union where some pixels are misjudged."""
    judged = member ^ wrong
    return 1 - size[judged & member].sum() / size[judged | member].sum()


def extension(errors, member, size):
    """Return the Lovász extension of the Jaccard loss as an integral over its level sets."""
    levels = np.unique(np.append(np.maximum(errors, 0), 0))
    return sum((b - a) * jaccard_loss(errors >= b, member, size) for a, b in itertools.pairwise(levels))


def test_lovasz_hinge_of_one_map():
    scene = Scene(2)
    values = []
    for i in range(3):
        known = scene.known[i]
        y = scene.target[i][known] == 1
        errors = 1 - scene.logits[i, 0][known] * np.where(y, 1, -1)
        values.append(extension(errors, y, scene.weight[i][known]))
    assert scene.loss("lovasz") == pytest.approx(np.mean(values), rel=1e-9)


def test_lovasz_softmax_of_several_maps_and_classes_that_an_image_lacks():
    scene = Scene(4, shape=(3, 4, 5))
    scene.target[0][scene.target[0] == 2] = 1
    scene.target[1] = -1
    values = []
    for i in (0, 2):
        known = scene.known[i] & (scene.target[i] >= 0)
        here = [k for k in range(4) if (scene.target[i] == k).any()]
        each = []
        for k in here:
            y = scene.target[i][known] == k
            each.append(extension(np.abs(y - scene.p[i, k][known]), y, scene.weight[i][known]))
        values.append(np.average(each, weights=scene.class_weight[here]))
    assert scene.loss("lovasz") == pytest.approx(np.mean(values), rel=1e-9)


def test_lovasz_of_hard_answers_is_the_jaccard_loss():
    from sklearn.metrics import jaccard_score

    rng = np.random.default_rng(3)
    truth, answer = rng.integers(0, 3, (2, 1, 8, 9))
    logits = np.where(answer[:, None] == np.arange(3)[:, None, None], 1e4, -1e4)
    want = 1 - jaccard_score(truth.ravel(), answer.ravel(), average="macro")
    got = LOSSES["lovasz"](torch.from_numpy(logits), torch.from_numpy(truth)).item()
    assert got == pytest.approx(want, rel=1e-6)
    truth, answer = truth > 0, answer > 0
    logits = torch.from_numpy(np.where(answer, 1.0, -1.0)[:, None])  # each wrong pixel has a hinge of 2
    got = LOSSES["lovasz"](logits, torch.from_numpy(truth.astype(np.int64))).item()
    assert got == pytest.approx(2 * (1 - jaccard_score(truth.ravel(), answer.ravel())), rel=1e-9)


def test_lovasz_hinge_of_an_empty_image_is_its_largest_error():
    logits = torch.tensor([[[[-3.0, 0.5, -1.0]]]])
    assert LOSSES["lovasz"](logits, torch.zeros(1, 1, 3, dtype=torch.int64)).item() == pytest.approx(1.5)


def test_lovasz_hinge_where_a_row_is_unknown():
    member = torch.tensor([[True, False], [True, True]])
    known = torch.tensor([[True, True], [False, False]])
    got = lovasz_hinge(torch.zeros(2, 2), member, known)
    assert got[1].item() == 0
    assert torch.isfinite(got).all()


def plain_skeleton(mask, iterations):
    """Return the soft skeleton with scipy's grey morphology."""
    cross = ndimage.generate_binary_structure(mask.ndim, 1)
    box = np.ones((3,) * mask.ndim)

    def opened(m):
        # Beyond the frame the mask goes on: it neither erodes nor dilates.
        low = ndimage.grey_erosion(m, footprint=cross, mode="nearest")
        return ndimage.grey_dilation(low, footprint=box, mode="nearest")

    skeleton = np.maximum(mask - opened(mask), 0)
    for _ in range(iterations):
        mask = ndimage.grey_erosion(mask, footprint=cross, mode="nearest")
        skeleton = skeleton + (1 - skeleton) * np.maximum(mask - opened(mask), 0)
    return skeleton


@pytest.mark.parametrize("shape", [(13, 17), (7, 8, 9)])
def test_soft_skeleton_is_grey_morphology(shape):
    mask = np.random.default_rng(0).random(shape)
    for m in (mask, mask > 0.3):
        got = soft_skeleton(torch.from_numpy(m.astype(float))[None, None], 4)[0, 0].numpy()
        np.testing.assert_allclose(got, plain_skeleton(m.astype(float), 4), atol=1e-12)


def test_soft_skeleton_of_a_bar_by_hand():
    bar = torch.zeros(1, 1, 7, 12)
    bar[..., 2:5, 2:10] = 1  # 3 x 8 px
    thin = soft_skeleton(bar, 5)[0, 0]
    assert thin[3, 3:9].tolist() == [1] * 6
    assert {tuple(at) for at in thin.nonzero().tolist()} == {(3, c) for c in range(3, 9)}


@pytest.mark.parametrize(("k", "shape"), [(2, (2, 9, 10)), (3, (2, 9, 10)), (3, (1, 5, 6, 7))])
def test_cldice(k, shape):
    scene = Scene(k, shape=shape)
    values, weights = [], []
    for c in [1] if k == 2 else range(1, k):
        p, y = np.where(scene.known, scene.p[:, c], 0), np.where(scene.known, scene.target == c, 0.0)
        thin, thin_y = (np.stack([plain_skeleton(m, 3) for m in masks]) * scene.weight for masks in (p, y))
        thin, thin_y = np.where(scene.known, thin, 0), np.where(scene.known, thin_y, 0)
        precision = ((thin * y).sum() + 1) / (thin.sum() + 1)
        recall = ((thin_y * p).sum() + 1) / (thin_y.sum() + 1)
        values.append(1 - 2 * precision * recall / (precision + recall))
        weights.append(1 if k == 2 else scene.class_weight[c])
    assert scene.loss("cldice", iterations=3) == pytest.approx(np.average(values, weights=weights), rel=1e-9)


def test_cldice_sees_a_cut_that_dice_hardly_does():
    y = torch.zeros(1, 40, 40, dtype=torch.int64)
    y[0, 18:23, 2:38] = 1  # a thick line
    whole = torch.where(y[:, None] > 0, 20.0, -20.0)
    cut, frayed = whole.clone(), whole.clone()
    cut[0, 0, 18:23, 19:21] = -20  # 10 px across it
    frayed[0, 0, 22, 5:15] = -20  # 10 px along its border
    dice, cldice = LOSSES["dice"], LOSSES["cldice"]
    assert dice(cut, y).item() == pytest.approx(dice(frayed, y).item(), rel=1e-6)
    assert cldice(cut, y) > 3 * cldice(frayed, y)
    assert cldice(whole, y).item() == pytest.approx(0, abs=1e-6)


def test_cldice_of_empty_truth_costs_by_false_lines():
    y = torch.zeros(1, 20, 20, dtype=torch.int64)
    logits = torch.full((1, 1, 20, 20), -1e4)
    assert LOSSES["cldice"](logits, y).item() == pytest.approx(0, abs=1e-7)
    logits[..., 10, 5:15] = 1e4  # a line of 10 px: precision 1 / 11, recall 1
    assert LOSSES["cldice"](logits, y).item() == pytest.approx(1 - 2 / 11 / (1 + 1 / 11), rel=1e-5)


def test_distance_is_smooth_l1_on_known_pixels():
    scene = Scene(3)
    rng = np.random.default_rng(1)
    aside, goal = rng.normal(0.5, 0.3, (2, 3, 7, 8))
    error = np.abs(aside - goal)
    each = np.where(error < 0.2, error**2 / 0.4, error - 0.1)
    want = np.average(each[scene.known], weights=scene.weight[scene.known])
    scene.logits = np.concatenate([scene.logits, aside[:, None]], axis=1)
    assert scene.loss("distance", beta=0.2, distance=torch.from_numpy(goal)) == pytest.approx(want, rel=1e-12)
