import threading
from dataclasses import replace

import pytest
import torch
from scipy.special import betainc
from scipy.stats import kstest

from cvviz.concepts.regularization.mixup_cutmix import CONCEPT, Params, compute, draws, given_draws
from cvviz.data.images import Picture

DRAWN = Params(source="drawn")


def picture(height, width):
    return Picture("a", "A", lambda: torch.full((3, height, width), 200, dtype=torch.uint8))


@pytest.mark.parametrize("alpha", [0.2, 1.0, 5.0])
def test_lambda_is_drawn_from_beta(alpha):
    lams = [draws(replace(DRAWN, alpha=alpha, seed=seed))[0] for seed in range(100)]
    expected = torch.distributions.Beta(alpha, alpha)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        assert kstest(lams, expected.sample((5000,)).numpy()).pvalue > 0.01


def test_lambda_glides_towards_one_half_as_alpha_grows():
    distances = [abs(draws(replace(DRAWN, seed=3, alpha=alpha))[0] - 0.5) for alpha in (0.05, 0.5, 1.0, 4.0, 20.0)]
    assert distances == sorted(distances, reverse=True)


def test_sliders_of_the_other_source_change_nothing():
    assert draws(replace(DRAWN, lam=0.9, cx=0)) == draws(DRAWN)
    assert draws(replace(Params(), alpha=9.0, seed=9)) == draws(Params())


@pytest.mark.parametrize(("first", "second"), [((1, 1), (40, 30)), ((1024, 2), (2, 1024)), ((7, 900), (900, 7))])
def test_pictures_of_any_shape_are_brought_to_one(first, second):
    params = Params(first=picture(*first), second=picture(*second), cx=100, cy=100)
    result = compute(params)
    assert result.first.shape == result.second.shape
    assert max(result.first.shape[1:]) <= 256
    assert CONCEPT.check(params, result).status == "matches"
    assert len(CONCEPT.stage(params, result)) == 4


def test_the_best_prediction_is_the_label():
    result = compute(Params(lam=0.7, p=0.7))
    assert result.mixup.loss == pytest.approx(result.mixup.least)
    assert result.cutmix.loss > result.cutmix.least


def test_given_draws_stay_in_their_thread():
    seen = []
    with given_draws([7]):
        thread = threading.Thread(target=lambda: seen.append(torch.randint(1, size=(1,)).item()))
        thread.start()
        thread.join()
        assert torch.randint(100, size=(1,)).item() == 7
    assert seen == [0]


def test_at_small_alpha_four_lambdas_in_five_are_all_but_0_or_1():
    alpha = CONCEPT.presets["α near zero"].params.alpha
    assert 2 * betainc(alpha, alpha, 0.01) == pytest.approx(0.8, abs=0.02)
