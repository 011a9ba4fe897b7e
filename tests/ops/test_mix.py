import doctest
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.overrides import TorchFunctionMode
from torchvision.transforms import v2

from cvviz.ops import mix
from cvviz.ops.mix import cutmix, cutmix_box, mixup

FIRST, SECOND = torch.eye(2)
OPS = (mixup, lambda *pair, lam: cutmix(*pair, lam, (3, 2)))


class GivenDraws(TorchFunctionMode):
    """Hands out given values where code inside the block asks torch.randint for one."""

    def __init__(self, *values):
        super().__init__()
        self.values = list(values)

    def __torch_function__(self, function, types, args=(), kwargs=None):
        if function is torch.randint:
            return torch.tensor([self.values.pop(0)])
        return function(*args, **(kwargs or {}))


def by_torchvision(transform, x1, x2, lam, center=(0, 0)):
    """Torchvision's own box, image and label; only its draws of lambda and of the centre are given."""
    transform._dist = SimpleNamespace(sample=lambda shape: lam)
    with GivenDraws(*center):
        x, y = transform(torch.stack([x1, x2]), torch.tensor([0, 1]))
    return x[0], y[0]


def pair(height=6, width=9, dtype=torch.float32):
    generator = torch.Generator().manual_seed(0)
    return [torch.rand(3, height, width, generator=generator, dtype=dtype) for _ in range(2)]


def test_doctest():
    results = doctest.testmod(mix)
    assert results.attempted
    assert not results.failed


def test_a_quarter_lambda_is_a_quarter_first_image_and_first_label():
    x, y = mixup(torch.full((1, 2, 2), 8.0), torch.zeros(1, 2, 2), FIRST, SECOND, 0.25)
    assert x.unique().tolist() == [2.0]
    assert y.tolist() == [0.25, 0.75]


def test_soft_labels_are_mixed_too():
    # Half of 0.9 and half of 0.3 make 0.6.
    _, y = mixup(*pair(), torch.tensor([0.9, 0.1]), torch.tensor([0.3, 0.7]), 0.5)
    torch.testing.assert_close(y, torch.tensor([0.6, 0.4]))


def test_a_patch_inside_the_image_has_the_nominal_area():
    # sqrt(1 - 0.75) = half of 8 x 12 is 4 x 6 pixels: 24 of 96, and lambda is exactly 0.75.
    assert cutmix_box(8, 12, lam=0.75, center=(6, 4)) == (3, 2, 9, 6)
    x, y = cutmix(torch.zeros(1, 8, 12), torch.ones(1, 8, 12), FIRST, SECOND, 0.75, (6, 4))
    assert x.sum() == 24
    assert y.tolist() == [0.75, 0.25]


def test_a_patch_at_the_corner_keeps_more_than_lambda():
    # The border cuts both sides in half, so a quarter of the patch is left: 1 - 0.25 / 4.
    _, y = cutmix(torch.zeros(1, 8, 12), torch.ones(1, 8, 12), FIRST, SECOND, 0.75, (0, 0))
    assert y.tolist() == [0.9375, 0.0625]


def test_half_a_side_is_cut_down_to_whole_pixels():
    # Half of sqrt(1 - 0.5) * 5 is 1.77 px: one pixel each side of the centre, 4 of 25 instead of 12.5.
    assert cutmix_box(5, 5, lam=0.5, center=(2, 2)) == (1, 1, 3, 3)
    # Half of 5 px is 2: even lambda = 0 leaves a row and a column of the first image.
    assert cutmix_box(5, 5, lam=0.0, center=(2, 2)) == (0, 0, 4, 4)


@pytest.mark.parametrize("op", OPS)
def test_lambda_one_keeps_the_first(op):
    x1, x2 = pair()
    x, y = op(x1, x2, FIRST, SECOND, lam=1.0)
    assert torch.equal(x, x1)
    assert torch.equal(y, FIRST)


def test_lambda_zero_gives_the_second():
    x1, x2 = pair(6, 8)
    for x, y in (mixup(x1, x2, FIRST, SECOND, 0.0), cutmix(x1, x2, FIRST, SECOND, 0.0, (4, 3))):
        assert torch.equal(x, x2)
        assert torch.equal(y, SECOND)


@pytest.mark.parametrize("op", OPS)
def test_arguments_are_left_alone(op):
    before = [*pair(), FIRST.clone(), SECOND.clone()]
    given_tensors = [value.clone() for value in before]
    op(*given_tensors, lam=0.3)
    assert all(torch.equal(now, then) for now, then in zip(given_tensors, before, strict=True))


@settings(max_examples=60, deadline=None)
@given(st.data(), st.integers(1, 12), st.integers(1, 12), st.floats(0, 1))
def test_matches_torchvision(data, height, width, lam):
    x1, x2 = pair(height, width)
    center = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
    for ours, theirs in (
        (mixup(x1, x2, FIRST, SECOND, lam), by_torchvision(v2.MixUp(num_classes=2), x1, x2, lam)),
        (cutmix(x1, x2, FIRST, SECOND, lam, center), by_torchvision(v2.CutMix(num_classes=2), x1, x2, lam, center)),
    ):
        for actual, expected in zip(ours, theirs, strict=True):
            torch.testing.assert_close(actual, expected)


@settings(max_examples=60, deadline=None)
@given(st.data(), st.integers(1, 12), st.integers(1, 12), st.floats(0, 1))
def test_the_label_of_cutmix_is_the_share_of_pixels(data, height, width, lam):
    center = data.draw(st.integers(0, width)), data.draw(st.integers(0, height))
    x, y = cutmix(torch.zeros(1, height, width), torch.ones(1, height, width), FIRST, SECOND, lam, center)
    assert y[1].item() == pytest.approx(x.mean().item())
    assert y[1].item() <= 1 - lam + 1e-6  # clipping and rounding only ever take from the second image


def test_cross_entropy_of_a_mixed_label_is_the_mixed_cross_entropy():
    log_p = torch.tensor([0.2, 0.8]).log()
    _, y = mixup(*pair(), FIRST, SECOND, 0.3)
    assert -(y @ log_p) == pytest.approx(float(0.3 * -log_p[0] + 0.7 * -log_p[1]))


@pytest.mark.parametrize("op", OPS)
def test_gradcheck(op):
    tensors = [*pair(4, 5, torch.float64), torch.tensor([0.9, 0.1]).double(), torch.tensor([0.3, 0.7]).double()]
    assert torch.autograd.gradcheck(lambda *args: op(*args, lam=0.4), [t.requires_grad_() for t in tensors])


@pytest.mark.parametrize("op", OPS)
def test_refuses_what_it_cannot_mix(op):
    x1, x2 = pair()
    whole = x1.to(torch.uint8)
    for error, message, args in (
        (TypeError, "x1 must be a Tensor, got list", ([1.0], x2, FIRST, SECOND)),
        (TypeError, "x1 must have a floating-point dtype, got torch.uint8", (whole, whole, FIRST, SECOND)),
        (TypeError, "y2 must have a floating-point dtype, got torch.int64", (x1, x2, FIRST, torch.tensor([0, 1]))),
        (TypeError, "x1 and x2 must have the same dtype", (x1, x2.double(), FIRST, SECOND)),
        (ValueError, r"x1 must have shape \(C, H, W\), got \(6, 9\)", (x1[0], x2[0], FIRST, SECOND)),
        (ValueError, r"x1 and x2 must have the same shape, got \(3, 6, 9\) and \(3, 6, 8\)",
         (x1, x2[:, :, 1:], FIRST, SECOND)),
        (ValueError, "y1 and y2 must have the same shape", (x1, x2, torch.ones(1), SECOND)),
        (ValueError, r"y1 must have shape \(K,\)", (x1, x2, FIRST[None], SECOND[None])),
        (ValueError, r"y1 must have shape \(K,\)", (x1, x2, FIRST[:0], SECOND[:0])),
        (ValueError, r"y2 must be probabilities that sum to 1, got \[0.0, 2.0\]", (x1, x2, FIRST, 2 * SECOND)),
        (ValueError, "y1 must be probabilities", (x1, x2, torch.tensor([1.5, -0.5]), SECOND)),
    ):  # fmt: skip
        with pytest.raises(error, match=message):
            op(*args, lam=0.5)
    for lam in (-0.1, 1.1, float("nan")):
        with pytest.raises(ValueError, match=r"lam must lie in \[0, 1\]"):
            op(x1, x2, FIRST, SECOND, lam=lam)


def test_refuses_a_centre_outside_the_image():
    with pytest.raises(ValueError, match=r"The x of center must lie in \[0, 9\], got 10"):
        cutmix(*pair(), FIRST, SECOND, 0.5, (10, 0))
    with pytest.raises(ValueError, match=r"The y of center must lie in \[0, 6\], got -1"):
        cutmix(*pair(), FIRST, SECOND, 0.5, (0, -1))
    with pytest.raises(TypeError, match="center must be two ints"):
        cutmix(*pair(), FIRST, SECOND, 0.5, (1.5, 0))


def test_an_image_without_pixels_mixes_to_nothing_and_cannot_be_cut():
    empty = torch.zeros(3, 0, 4)
    assert mixup(empty, empty, FIRST, SECOND, 0.5)[0].shape == (3, 0, 4)
    with pytest.raises(ValueError, match="at least one pixel, got 0 x 4"):
        cutmix(empty, empty, FIRST, SECOND, 0.5, (0, 0))
