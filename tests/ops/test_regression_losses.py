import math
import warnings

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.optimize import minimize
from sklearn.linear_model import LinearRegression, QuantileRegressor
from sklearn.metrics import mean_pinball_loss

from cvviz.ops.regression_losses import LOSSES, fit_line, regression_loss, regression_slope

RESIDUALS = torch.linspace(-5, 5, 101, dtype=torch.float64)
OPTIONS = {"beta": 0.7, "delta": 1.8, "tau": 0.2}


def data(count=12, seed=0, outlier=8.0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.rand(count, generator=generator, dtype=torch.float64) * 10
    y = 0.6 * x + 1 + 0.4 * torch.randn(count, generator=generator, dtype=torch.float64)
    y[0] += outlier
    return x, y


class TestValues:
    @pytest.mark.parametrize(
        ("loss", "route"),
        [
            ("mse", lambda r: F.mse_loss(r, torch.zeros_like(r), reduction="none")),
            ("mae", lambda r: F.l1_loss(r, torch.zeros_like(r), reduction="none")),
            ("smooth_l1", lambda r: F.smooth_l1_loss(r, torch.zeros_like(r), reduction="none", beta=0.7)),
            ("huber", lambda r: F.huber_loss(r, torch.zeros_like(r), reduction="none", delta=1.8)),
            ("log_cosh", lambda r: torch.log(torch.cosh(r))),
        ],
    )
    def test_like_torch(self, loss, route):
        assert torch.allclose(regression_loss(RESIDUALS, loss, **OPTIONS), route(RESIDUALS), atol=1e-14)

    @pytest.mark.parametrize("tau", [0.0, 0.1, 0.5, 0.9, 1.0])
    def test_quantile_like_sklearn(self, tau):
        target, prediction = torch.zeros(101), RESIDUALS
        expected = mean_pinball_loss(target.numpy(), prediction.numpy(), alpha=tau)
        assert float(regression_loss(RESIDUALS, "quantile", tau=tau).mean()) == pytest.approx(expected)

    def test_by_hand(self):
        # Beyond beta = 0.5 Smooth L1 is |r| - 0.25; beyond delta = 0.5 Huber is half of that.
        two = torch.tensor(2.0)
        assert regression_loss(two, "smooth_l1", beta=0.5) == 1.75
        assert regression_loss(two, "huber", delta=0.5) == 0.875

    @pytest.mark.parametrize("end", [0.1, 1.0, 3.0])
    def test_huber_is_delta_times_smooth_l1(self, end):
        huber = regression_loss(RESIDUALS, "huber", delta=end)
        assert torch.allclose(huber, end * regression_loss(RESIDUALS, "smooth_l1", beta=end))

    def test_limits_of_huber_and_smooth_l1(self):
        # A wide Huber is half the square; a narrow Smooth L1 is the absolute value.
        assert torch.allclose(regression_loss(RESIDUALS, "huber", delta=1e3), RESIDUALS**2 / 2)
        assert torch.allclose(regression_loss(RESIDUALS, "smooth_l1", beta=1e-6), RESIDUALS.abs(), atol=1e-6)

    def test_log_cosh_does_not_overflow(self):
        # ln cosh r tends to |r| - ln 2.
        value = regression_loss(torch.tensor(1e6, dtype=torch.float64), "log_cosh")
        assert float(value) == pytest.approx(1e6 - math.log(2))

    def test_half_the_quantile_is_half_the_absolute_value(self):
        assert torch.equal(regression_loss(RESIDUALS, "quantile"), RESIDUALS.abs() / 2)

    def test_empty(self):
        for loss in LOSSES:
            assert regression_loss(torch.zeros(0), loss).shape == (0,)

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"loss": "l3"}, "loss must be one of mse, mae"),
            ({"loss": "huber", "delta": 0.0}, "delta must be positive, got 0"),
            ({"loss": "mse", "beta": -1.0}, "beta must be positive, got -1"),
            ({"loss": "quantile", "tau": 1.5}, r"tau must lie in \[0, 1\], got 1.5"),
        ],
    )
    def test_exceptions(self, arguments, message):
        for function in (regression_loss, regression_slope):
            with pytest.raises(ValueError, match=message):
                function(RESIDUALS, **arguments)


@pytest.mark.parametrize("loss", LOSSES)
class TestSlopes:
    def test_like_autograd(self, loss):
        residual = (RESIDUALS + 0.003).requires_grad_()  # off the corners
        regression_loss(residual, loss, **OPTIONS).sum().backward()
        assert torch.allclose(regression_slope(residual.detach(), loss, **OPTIONS), residual.grad, atol=1e-12)

    def test_gradcheck(self, loss):
        residual = (RESIDUALS[::10] + 0.003).requires_grad_()
        assert torch.autograd.gradcheck(lambda r: regression_loss(r, loss, **OPTIONS), residual)

    def test_zero_at_zero(self, loss):
        assert regression_slope(torch.zeros(1), loss, **OPTIONS) == 0


def mean_loss(line, x, y, loss):
    return float(regression_loss(line[0] + line[1] * x - y, loss, **OPTIONS).mean())


class TestFitLine:
    @pytest.mark.parametrize("seed", range(5))
    @pytest.mark.parametrize("loss", LOSSES)
    def test_no_search_finds_less(self, loss, seed):
        x, y = data(seed=seed)
        line = fit_line(x, y, loss, **OPTIONS)
        least = mean_loss(line, x, y, loss)
        for start in (line.tolist(), [0.0, 0.0], [5.0, -1.0]):
            found = minimize(
                lambda at: mean_loss(at, x, y, loss),
                start,
                method="Nelder-Mead",
                options={"xatol": 1e-9, "fatol": 1e-12},
            )
            assert least <= found.fun + 1e-9

    def test_least_squares_like_sklearn(self):
        x, y = data()
        model = LinearRegression().fit(x[:, None].numpy(), y.numpy())
        assert fit_line(x, y, "mse").tolist() == pytest.approx([model.intercept_, model.coef_[0]])

    @pytest.mark.parametrize("tau", [0.1, 0.5, 0.8])
    def test_quantile_like_sklearn(self, tau):
        x, y = data(count=15, seed=3)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = QuantileRegressor(quantile=tau, alpha=0).fit(x[:, None].numpy(), y.numpy())
        ours = fit_line(x, y, "quantile", tau=tau)
        theirs = regression_loss(torch.from_numpy(model.predict(x[:, None].numpy())) - y, "quantile", tau=tau).mean()
        assert float(regression_loss(ours[0] + ours[1] * x - y, "quantile", tau=tau).mean()) == pytest.approx(
            float(theirs)
        )

    @pytest.mark.parametrize("loss", LOSSES)
    def test_points_on_a_line_are_fitted_exactly(self, loss):
        x = torch.arange(6, dtype=torch.float64)
        assert fit_line(x, 2 - 0.5 * x, loss, **OPTIONS).tolist() == pytest.approx([2, -0.5], abs=1e-6)

    @pytest.mark.parametrize("loss", LOSSES)
    def test_one_x_gives_a_level_line(self, loss):
        x, y = torch.full((3,), 4.0).double(), torch.tensor([1.0, 2.0, 6.0]).double()
        line = fit_line(x, y, loss, **OPTIONS)
        assert line[1] == 0
        assert 1 <= line[0] <= 6
        if loss in ("mse", "mae"):
            # Of a constant the square loss chooses the mean, the absolute loss the median.
            assert float(line[0]) == pytest.approx({"mse": 3, "mae": 2}[loss])

    def test_an_outlier_far_away_moves_the_square_loss_alone(self):
        near, far = data(outlier=20), data(outlier=2000)
        moved = {loss: float((fit_line(*near, loss) - fit_line(*far, loss)).abs().max()) for loss in LOSSES}
        assert moved["mse"] > 10
        assert all(moved[loss] < 1e-3 for loss in LOSSES if loss != "mse")

    def test_single_point(self):
        point = torch.tensor([3.0]).double()
        assert all(np.isclose(float(fit_line(point, point, loss)[0]), 3) for loss in LOSSES)

    def test_exceptions(self):
        with pytest.raises(ValueError, match=r"one shape \(N,\) with N >= 1, got \(2,\) and \(3,\)"):
            fit_line(torch.zeros(2), torch.zeros(3), "mse")
        with pytest.raises(ValueError, match="delta must be positive"):
            fit_line(torch.zeros(2), torch.zeros(2), "huber", delta=0)
