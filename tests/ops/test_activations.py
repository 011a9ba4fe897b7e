import math

import pytest
import torch
import torch.nn.functional as F

from cvviz.ops.activations import ACTIVATIONS, INITS, Shape, activation, activation_slope, init_std, run_stack

GRID = torch.linspace(-8, 8, 161, dtype=torch.float64)
SHAPE = Shape(slope=0.1, weight=0.4, alpha=0.7, beta=2.0)
TORCH = {
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "hardtanh": F.hardtanh,
    "hardsigmoid": F.hardsigmoid,
    "relu": F.relu,
    "leaky_relu": lambda x: F.leaky_relu(x, 0.1),
    "prelu": lambda x: F.prelu(x, torch.tensor([0.4], dtype=x.dtype)),
    "elu": lambda x: F.elu(x, 0.7),
    "selu": F.selu,
    "gelu": F.gelu,
    "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
    "silu": F.silu,
    "mish": F.mish,
    "softplus": lambda x: F.softplus(x, beta=2.0, threshold=1000),
}


@pytest.mark.parametrize("name", ACTIVATIONS)
class TestEvery:
    def test_value_like_torch(self, name):
        assert torch.allclose(activation(GRID, name, SHAPE), TORCH[name](GRID), atol=1e-14)

    def test_slope_like_autograd_at_corners_too(self, name):
        # The grid holds -3, -1, 0, 1 and 3, where some have corners.
        x = GRID.clone().requires_grad_()
        (expected,) = torch.autograd.grad(TORCH[name](x).sum(), x)
        assert torch.allclose(activation_slope(GRID, name, SHAPE), expected, atol=1e-12)

    def test_gradcheck(self, name):
        x = (GRID[::10] + 0.003).requires_grad_()
        assert torch.autograd.gradcheck(lambda item: activation(item, name, SHAPE), x)

    def test_no_overflow_far_out(self, name):
        far = torch.tensor([-1e4, 1e4], dtype=torch.float64)
        assert activation(far, name).isfinite().all()
        assert activation_slope(far, name).isfinite().all()

    def test_empty(self, name):
        assert activation(torch.zeros(0), name).shape == (0,)


def test_values_by_hand():
    # GELU at 1 is Phi(1) = 0.8413; SiLU at 0 has slope 1/2; the largest slope of a sigmoid is 1/4.
    assert float(activation(torch.tensor(1.0).double(), "gelu")) == pytest.approx(0.8413447, abs=1e-7)
    assert activation_slope(torch.tensor(0.0), "silu") == 0.5
    assert float(activation_slope(GRID, "sigmoid").max()) == 0.25
    assert float(activation(torch.tensor(0.0).double(), "softplus")) == pytest.approx(math.log(2))


def test_laws():
    assert torch.allclose(activation(GRID, "silu"), GRID * activation(GRID, "sigmoid"))
    assert torch.allclose(activation(GRID, "tanh"), 2 * activation(2 * GRID, "sigmoid") - 1)
    assert torch.equal(activation(GRID, "leaky_relu", Shape(slope=0.0)), activation(GRID, "relu"))
    sharp = activation(GRID, "softplus", Shape(beta=1e4))
    assert torch.allclose(sharp, activation(GRID, "relu"), atol=1e-4), "a sharp softplus is a ReLU"


def test_selu_keeps_mean_0_and_variance_1():
    x = torch.randn(400_000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    out = activation(x, "selu")
    assert float(out.mean()) == pytest.approx(0, abs=0.01)
    assert float(out.var()) == pytest.approx(1, abs=0.02)


def test_exceptions():
    with pytest.raises(ValueError, match=r"name must be one of sigmoid, .*, got 'swish'"):
        activation(GRID, "swish")
    with pytest.raises(ValueError, match="beta must be positive, got 0"):
        activation_slope(GRID, "softplus", Shape(beta=0.0))


class TestInitStd:
    @pytest.mark.parametrize(
        ("name", "draw"),
        [
            ("he", lambda w: torch.nn.init.kaiming_normal_(w, nonlinearity="relu")),
            ("xavier", torch.nn.init.xavier_normal_),
            ("lecun", lambda w: torch.nn.init.kaiming_normal_(w, nonlinearity="linear")),
            ("linear", lambda w: torch.nn.init.kaiming_uniform_(w, a=math.sqrt(5))),
        ],
    )
    def test_like_torch(self, name, draw):
        with torch.random.fork_rng():
            torch.manual_seed(0)
            weight = draw(torch.empty(900, 400))  # torch's order: (out, in)
        assert float(weight.std()) == pytest.approx(init_std(name, 400, 900), rel=0.01)

    def test_xavier_and_lecun_agree_on_square_layers(self):
        assert init_std("xavier", 64, 64) == init_std("lecun", 64, 64)

    def test_exceptions(self):
        with pytest.raises(ValueError, match="name must be one of he"):
            init_std("zeros", 3, 3)
        with pytest.raises(ValueError, match="at least 1, got 0 and 3"):
            init_std(INITS[0], 0, 3)


class TestRunStack:
    @pytest.mark.parametrize("name", ACTIVATIONS)
    def test_gradients_like_autograd(self, name):
        generator = torch.Generator().manual_seed(0)
        widths = (6, 5, 4)
        x = torch.randn(3, 7, generator=generator, dtype=torch.float64)
        weights = [
            torch.randn(before, after, generator=generator, dtype=torch.float64)
            for before, after in zip((7, *widths[:-1]), widths, strict=True)
        ]
        gradient = torch.randn(3, 4, generator=generator, dtype=torch.float64)
        signals = run_stack(x, weights, name, gradient, SHAPE)
        inner, taps = x, []
        for weight in weights:
            before = (inner @ weight).requires_grad_()
            before.retain_grad()
            taps.append(before)
            inner = TORCH[name](before)
        inner.backward(gradient)
        assert torch.allclose(signals.after[-1], inner)
        for ours, tap in zip(signals.gradients, taps, strict=True):
            assert torch.allclose(ours, tap.grad, atol=1e-12)

    def test_no_layer(self):
        with pytest.raises(ValueError, match="at least one layer"):
            run_stack(torch.ones(1, 1), [], "relu", torch.ones(1, 1))
