"""The network of BPartIS: as published, to the parameter; its dropout an input; the same on ONNX Runtime."""

from __future__ import annotations

import numpy as np
import pytest

pytestmark = pytest.mark.torch
torch = pytest.importorskip("torch")


@pytest.fixture
def network():
    """Return a network with heads that tell something, in evaluation mode."""
    from segmetry.nets.bpartis import BPartIS

    torch.manual_seed(0)
    net = BPartIS().eval()
    with torch.no_grad():
        net.pointing.head.weight.normal_(0, 0.1)
    return net


def count(module) -> int:
    return sum(p.numel() for p in module.parameters())


def masks(network, n, seed=0):
    rng = np.random.default_rng(seed)
    parts = [(rng.random((n, width)) >= rate) / (1 - rate) for width, rate in network.dropout]
    return torch.from_numpy(np.concatenate(parts, axis=1).astype(np.float32))


def test_parameters_are_those_of_the_published_network(network):
    assert count(network) == 2_253_238
    assert count(network.encoder) == 1_874_689
    assert count(network.encoder.unused) == 645
    assert (count(network.pointing), count(network.seed)) == (189_492, 189_057)
    kinds = [type(m).__name__ for m in network.modules()]
    assert (kinds.count("Conv2d"), kinds.count("BatchNorm2d")) == (94, 49)
    assert {m.eps for m in network.modules() if isinstance(m, torch.nn.BatchNorm2d)} == {1e-3}
    assert network.dropout == ((64, 0.03),) * 5 + ((128, 0.3),) * 8


def test_a_fresh_network_points_nowhere_with_a_radius_of_three_pixels():
    from segmetry.nets.bpartis import BPartIS

    torch.manual_seed(1)
    net = BPartIS()
    out = net(torch.rand(2, 3, 32, 48), torch.ones(2, 1344))
    assert out.shape == (2, 5, 32, 48)
    np.testing.assert_array_equal(out[:, :2].detach(), 0)
    np.testing.assert_array_equal(out[:, 2:4].detach(), 1)
    assert 512 * np.sqrt(np.log(2) / np.exp(10)) == pytest.approx(2.87, abs=0.01)


def test_nothing_is_random_but_the_mask_in_training_too(network):
    image = torch.rand(1, 3, 32, 32)
    network.train()
    once = network(image.expand(2, -1, -1, -1), torch.ones(2, 1344))
    np.testing.assert_array_equal(once[0].detach(), once[1].detach())
    assert not any("Dropout" in type(m).__name__ for m in network.modules())


def test_a_dropped_channel_is_that_of_its_block(network):
    seen = {}
    blocks = [layer for layer in network.encoder.layers if hasattr(layer, "rate")]
    for i, block in enumerate(blocks):
        block.register_forward_hook(lambda module, given, out, i=i: seen.__setitem__(i, (given[0], out)))
    keep = torch.ones(1, 1344)
    keep[0, :64] = 0  # all of the first block
    keep[0, 5 * 64 + 2 * 128 + 7] = 0  # one channel of the eighth
    with torch.inference_mode():
        network(torch.rand(1, 3, 64, 64), keep)
    given, out = seen[0]
    torch.testing.assert_close(out, torch.nn.functional.elu(given))
    given, out = seen[7]
    torch.testing.assert_close(out[:, 7], torch.nn.functional.elu(given[:, 7]))
    assert (out[:, 8] - torch.nn.functional.elu(given[:, 8])).abs().max() > 1e-3


def test_the_mask_is_what_dropout2d_does(network):
    # Dropout2d of torch, put in the place of the mask and fed the same random channels, gives the same maps.
    image, keep = torch.rand(1, 3, 32, 32), masks(network, 1)
    with torch.inference_mode():
        expected = network(image, keep)
        blocks = [layer for layer in network.encoder.layers if hasattr(layer, "rate")]
        pieces = keep.split([b.width for b in blocks], dim=1)
        for block, piece in zip(blocks, pieces, strict=True):
            block.row_2.register_forward_hook(lambda m, given, out, piece=piece: out * piece[:, :, None, None])
        torch.testing.assert_close(network(image, torch.ones(1, 1344)), expected)


@pytest.mark.slow
def test_onnx_runtime_gives_the_same_maps_for_the_same_mask(network):
    runtime = pytest.importorskip("onnxruntime")
    from segmetry.nets.export import export

    with torch.no_grad():
        for weight in network.parameters():
            weight.copy_(weight.half())  # as the file stores them
        for norm in network.modules():
            if isinstance(norm, torch.nn.BatchNorm2d):
                norm.running_var.fill_(1 - norm.eps)  # folded into a convolution it leaves the weights as they are
    made = export(network, channels=3)
    assert made.facts["dropout"] == network.dropout
    assert len(made.onnx) < 5e6
    session = runtime.InferenceSession(made.onnx, providers=["CPUExecutionProvider"])
    for n_images, n_masks, shape in ((2, 2, (64, 96)), (1, 3, (128, 64)), (1, 1, (512, 512))):
        image, keep = torch.rand(n_images, 3, *shape), masks(network, n_masks, seed=n_masks)
        (found,) = session.run(None, {"image": image.numpy(), "keep": keep.numpy()})
        with torch.inference_mode():
            expected = network(image, keep).numpy()
            other = network(image, masks(network, n_masks, seed=9)).numpy()
        np.testing.assert_allclose(found, expected, atol=1e-4)
        assert np.abs(expected - other).max() > 1e-2
