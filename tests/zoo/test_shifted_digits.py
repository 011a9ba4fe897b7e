import pytest
import torch

from cvviz.zoo.shifted_digits import (
    RECIPES,
    SHIFTS,
    STRIDE,
    DigitNet,
    Recipe,
    accuracy_by_shift,
    digits,
    train,
    train_all,
)


class Enough(Exception):  # noqa: N818
    pass


def test_digits_lie_in_the_middle():
    images, labels = digits()
    assert images.shape == (1797, 1, 16, 16)
    assert labels.unique().tolist() == list(range(10))
    assert images[..., 4:12, 4:12].sum() == images.sum()


@pytest.mark.parametrize("recipe", [recipe for recipe in RECIPES.values() if not recipe.flatten])
def test_global_average_is_invariant_to_shifts_by_the_stride(recipe):
    torch.manual_seed(0)
    net, images = DigitNet(recipe).eval(), digits()[0][:8]
    assert torch.allclose(net(images), net(images.roll((STRIDE, 2 * STRIDE), (2, 3))), atol=1e-5)
    if recipe.pooling == "subsample":
        assert not torch.allclose(net(images), net(images.roll(1, 3)), atol=1e-3)


def test_a_trained_network_reads_digits_and_is_hurt_by_one_pixel():
    state = torch.random.get_rng_state()
    accuracy = accuracy_by_shift(train(Recipe("max")))
    assert torch.equal(state, torch.random.get_rng_state())
    assert accuracy.shape == (SHIFTS,)
    assert accuracy[0] > 0.93
    assert accuracy[1] < 0.85
    assert torch.equal(accuracy[0], accuracy[STRIDE])


def test_training_ends_when_nobody_waits():
    told = []

    def progress(fraction: float, words: str, value: object) -> None:
        told.append((fraction, words, value))
        if len(told) == 3:
            raise Enough

    with pytest.raises(Enough):
        train_all(progress)
    assert told[0] == (0.0, "Training: Stride only", None)
    assert told[1][0] > 0
