"""The loss of pointing networks: against a plain re-derivation, finite differences, and ideal maps."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from segmetry.train.pointing_loss import IGNORED, OTHER, lovasz_hinge, make_targets, pointing_loss  # noqa: E402

pytestmark = pytest.mark.torch


def plain_lovasz_hinge(logits, member):
    """Sum over sorted errors of the error times the rise of the Jaccard loss, one set at a time."""
    errors = 1 - np.where(member, 1, -1) * logits
    order = np.argsort(-errors, kind="stable")
    total, before = 0.0, 0.0
    wrong = np.zeros(len(logits), bool)
    for i in order:
        wrong[i] = True
        found = member & ~wrong | ~member & wrong  # the prediction with these errors
        jaccard_loss = 1 - (found & member).sum() / (found | member).sum()
        total += max(errors[i], 0) * (jaccard_loss - before)
        before = jaccard_loss
    return total


def test_lovasz_hinge_against_sets_of_errors():
    rng = np.random.default_rng(0)
    for _ in range(30):
        member = rng.random(12) < 0.4
        member[0] = True
        logits = rng.normal(size=12)
        got = lovasz_hinge(torch.tensor(logits)[None], torch.tensor(member)[None], torch.ones(1, 12, dtype=torch.bool))
        assert float(got) == pytest.approx(plain_lovasz_hinge(logits, member), rel=1e-9)


def test_unknown_pixels_do_not_count():
    rng = np.random.default_rng(1)
    member = rng.random(20) < 0.5
    logits = rng.normal(size=20)
    known = np.arange(20) < 13
    got = lovasz_hinge(*(torch.tensor(a)[None] for a in (logits, member, known)))
    assert float(got) == pytest.approx(plain_lovasz_hinge(logits[:13], member[:13]), rel=1e-9)


def plain_loss(maps, labels):
    """The loss of one image by its formula, windows left out (they hold the whole map)."""
    rows, cols = np.mgrid[: labels.shape[0], : labels.shape[1]]
    e = np.stack([maps[0] + rows, maps[1] + cols])
    target = np.zeros(labels.shape)
    weight = (labels == 0).astype(float)
    instance, spread = [], []
    for k in range(1, labels.max() + 1):
        mask = labels == k
        centre = e[:, mask].mean(axis=1)
        log_sigma = maps[2][mask].mean()
        square = ((e - centre[:, None, None]) ** 2).sum(axis=0)
        phi = np.exp(-square / (2 * np.exp(log_sigma) ** 2))
        known = labels != -1
        instance.append(plain_lovasz_hinge((2 * phi - 1)[known], mask[known]))
        spread.append(((maps[2][mask] - log_sigma) ** 2).mean())
        target[mask] = phi[mask]
        weight[mask] = np.clip(np.sqrt(400 / mask.sum()), 0.5, 4)
    p = 1 / (1 + np.exp(-maps[3]))
    cross = -(target * np.log(p) + (1 - target) * np.log(1 - p))
    return np.mean(instance), np.mean(spread), (cross * weight).sum() / weight.sum()


def scene(rng):
    labels = np.zeros((16, 16), int)
    labels[2:6, 3:8] = 1
    labels[8:14, 1:5] = 2
    labels[9:12, 9:15] = 3
    labels[15] = -1
    return labels, rng.normal(0, 1, (4, 16, 16)) * np.array([2, 2, 0.3, 1.5])[:, None, None]


def batch_of(labels, seed=0):
    targets = make_targets(labels, np.random.default_rng(seed))
    return {k: torch.from_numpy(v)[None] for k, v in targets._asdict().items()}


def test_the_loss_is_its_formula():
    labels, maps = scene(np.random.default_rng(2))
    got = pointing_loss(torch.tensor(maps, dtype=torch.float32)[None], **batch_of(labels))
    assert [float(v) for v in got] == pytest.approx(plain_loss(maps, labels), rel=1e-5)


def test_gradient_against_finite_differences():
    labels, maps = scene(np.random.default_rng(3))
    batch = batch_of(labels)

    def loss(values):
        # Only what carries gradient: the target of the seed map and the mean of the spread are constants.
        found = pointing_loss(values, **batch)
        return found.instance

    # The loss works in float32: steps of 1e-2 on a smooth piece, compared with the tolerance that this leaves.
    values = torch.tensor(maps, dtype=torch.float32)[None].requires_grad_()
    loss(values).backward()
    gradient = values.grad[0]
    rng = np.random.default_rng(4)
    strongest = torch.argsort(gradient.abs().reshape(-1), descending=True)[:200].numpy()
    checked = 0
    for flat in rng.choice(strongest, 40, replace=False):
        at = np.unravel_index(flat, maps.shape)
        step = np.zeros_like(maps)
        step[at] = 1e-2
        up, mid, down = (float(loss(torch.tensor(maps + s * step, dtype=torch.float32)[None])) for s in (1, 0, -1))
        if abs(up - 2 * mid + down) > 0.02 * abs(up - down):  # the order of two errors changed on the way
            continue
        checked += 1
        assert (up - down) / 2e-2 == pytest.approx(float(gradient[at]), rel=0.05)
    assert checked >= 20


def test_ideal_maps_have_a_loss_near_zero():
    labels, _ = scene(np.random.default_rng(0))
    rows, cols = np.mgrid[:16, :16]
    maps = np.zeros((4, 16, 16), np.float32)
    maps[3] = -12
    for k in (1, 2, 3):
        mask = labels == k
        maps[0][mask], maps[1][mask] = rows[mask].mean() - rows[mask], cols[mask].mean() - cols[mask]
        maps[3][mask] = 12
    maps[0][labels == 0] = 1000  # background points away
    found = pointing_loss(torch.from_numpy(maps)[None], **batch_of(labels))
    assert float(found.total) < 1e-3


def test_targets_by_hand():
    labels = np.zeros((16, 16), int)
    labels[0:2, 0:3] = 7  # 6 px
    labels[10, 10] = 9  # one pixel: too small for a loss, and not background either
    labels[:, 15] = -1
    targets = make_targets(labels, np.random.default_rng(0))
    assert (targets.labels[0:2, 0:3] == 1).all()
    assert targets.labels[10, 10] == OTHER
    assert (targets.labels[:, 15] == IGNORED).all()
    assert targets.boxes[0].tolist() == [0, 0, 16, 1]
    assert not targets.boxes[1:].any()
    assert targets.weight[10, 10] == 0
    assert targets.weight[0, 15] == 0
    assert targets.weight[5, 5] == 1
    assert targets.weight[0, 0] == 4  # sqrt(400 / 6) is more than the most allowed


def test_windows_hold_their_particles():
    rng = np.random.default_rng(5)
    labels = np.zeros((128, 128), int)
    for k in range(1, 40):
        r, c, h, w = *rng.integers(0, 120, 2), *rng.integers(2, 90, 2)
        labels[r : r + h, c : c + w] = k
    targets = make_targets(labels, rng)
    for row, col, side, k in targets.boxes[targets.boxes[:, 2] > 0]:
        mask = targets.labels == k
        assert mask.any()
        assert mask[row : row + side, col : col + side].sum() == mask.sum()
        assert 0 <= row <= 128 - side
        assert 0 <= col <= 128 - side
    assert (targets.boxes[:, 2] > 0).sum() == min(32, np.unique(labels[labels > 0]).size)


def test_no_more_particles_than_asked_for():
    labels = np.kron(np.arange(1, 65).reshape(8, 8), np.ones((4, 4), int))
    targets = make_targets(labels, np.random.default_rng(0), most=10)
    assert np.unique(targets.labels).tolist() == [OTHER, *range(1, 11)]
    assert (targets.weight[targets.labels == OTHER] == 0).all()


def test_no_particle_at_all():
    labels = np.zeros((32, 32), int)
    maps = torch.zeros(1, 4, 32, 32, requires_grad=True)
    found = pointing_loss(maps, **batch_of(labels))
    found.total.backward()
    assert found.instance.item() == 0
    assert found.seed.item() == pytest.approx(np.log(2), rel=1e-6)
    assert torch.isfinite(maps.grad).all()
