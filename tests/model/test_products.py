"""Products with weights are the same by either library, and each is used where it should be."""

import pytest
import torch
import torch.nn.functional as F
from torch.profiler import profile

from mgrec.model import products
from mgrec.model.products import Projection, exact_product, recurring_shapes
from mgrec.search.beam import beam_search
from tests.planted import tiny_generator

LARGE, SMALL = (600, 128), (3, 128)
ONEDNN = "mkldnn::_linear_pointwise"
there = pytest.mark.skipif(not products._known(), reason="torch without oneDNN's products")


def projection():
    torch.manual_seed(0)
    return Projection(128, 384)


def by_onednn(call):
    with profile() as found:
        call()
    return ONEDNN in {event.key for event in found.key_averages()}


@pytest.mark.parametrize("recurs", [True, False])
@pytest.mark.parametrize("shape", [LARGE, SMALL, (4, 150, 128)])
def test_a_projection_is_a_linear_map(shape, recurs):
    layer, x = projection(), torch.randn(shape)
    with torch.inference_mode(), recurring_shapes(recurs):
        made = layer(x)
    torch.testing.assert_close(made, x @ layer.weight.detach().T, atol=1e-5, rtol=1e-5)


def test_it_learns():
    layer, x = projection(), torch.randn(LARGE)
    with recurring_shapes():
        layer(x).square().sum().backward()
    weight = layer.weight.detach().clone().requires_grad_()
    F.linear(x, weight).square().sum().backward()
    torch.testing.assert_close(layer.weight.grad, weight.grad)


def test_it_keeps_the_precision_around_it():
    layer, x = projection(), torch.randn(LARGE)
    with torch.inference_mode(), recurring_shapes():
        with torch.autocast("cpu", torch.bfloat16):
            assert layer(x).dtype == torch.bfloat16
            assert exact_product(x, layer.weight).dtype == torch.float32
        assert layer.bfloat16()(x.bfloat16()).dtype == torch.bfloat16


@there
@pytest.mark.filterwarnings("ignore:TF32")  # `flags` sets all there are
def test_only_large_recurring_products_outside_training_are_onednns():
    large, small = torch.randn(LARGE), torch.randn(SMALL)
    layer, weight = projection(), torch.randn(384, 128)
    with torch.inference_mode():
        assert not by_onednn(lambda: layer(large))
        with recurring_shapes():
            assert by_onednn(lambda: layer(large))
            assert by_onednn(lambda: exact_product(large, weight))
            assert not by_onednn(lambda: layer(small))
            with torch.backends.mkldnn.flags(enabled=False):
                assert not by_onednn(lambda: layer(large))
        assert not by_onednn(lambda: layer(large))
    with torch.no_grad(), recurring_shapes():
        assert not by_onednn(lambda: layer(large))


@there
@pytest.mark.parametrize("family", ["paper", "default"])
def test_a_search_multiplies_so_while_all_beams_grow_and_finds_the_same(family, monkeypatch):
    torch.manual_seed(0)
    softmax = "plain" if family == "paper" else "legal"
    model = tiny_generator(family=family, softmax=softmax)
    histories = torch.randint(0, 100, (4, 6))
    with torch.inference_mode():
        context = model.context(histories)
        items, scores = beam_search(model, context, 10)
        assert not by_onednn(lambda: beam_search(model, context, 10))
        monkeypatch.setattr(products, "WORTH", 1)
        assert not by_onednn(lambda: model.context(histories))
        assert by_onednn(lambda: beam_search(model, context, 10))
        again = beam_search(model, context, 10)
    assert torch.equal(again[0], items)
    torch.testing.assert_close(again[1], scores)
