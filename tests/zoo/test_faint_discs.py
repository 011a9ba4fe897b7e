import pytest
import torch

from cvviz.ops.segmentation_losses import Options
from cvviz.zoo.faint_discs import CONTRAST, network, pictures, train


def test_pictures():
    images, masks = pictures(400, 0)
    assert images.shape == (400, 1, 32, 32)
    assert masks.shape == (400, 32, 32)
    assert masks.sum((1, 2)).min() > 0
    inside = images[:, 0][masks == 1]
    # Noise of deviation 1 around CONTRAST: some 5,000 pixels, so the mean is within 0.06 with four deviations.
    assert float(inside.mean()) == pytest.approx(CONTRAST, abs=0.08)
    assert float(images[:, 0][masks == 0].mean()) == pytest.approx(0, abs=0.01)


def test_seeded_and_the_global_generator_is_left_alone():
    state = torch.random.get_rng_state()
    first, second = (train(("dice",), Options(), 0, lambda *_: None, epochs=1)[0].judgement for _ in range(2))
    assert torch.equal(first.dice, second.dice)
    assert torch.equal(state, torch.random.get_rng_state())
    assert all(torch.equal(a, b) for a, b in zip(network(3).parameters(), network(3).parameters(), strict=True))


def test_reports_and_stops():
    told = []

    def report(share, words, done):
        told.append((share, words, len(done)))
        if len(told) == 3:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        train(("bce", "dice"), Options(), 0, report, epochs=2)
    assert [item[0] for item in told] == [0.25, 0.5, 0.75]
    assert [item[2] for item in told] == [1, 1, 2]


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 2])
def test_dice_starts_at_once_and_bce_comes_as_far_and_is_honest(seed):
    bce, dice = train(("bce", "dice"), Options(), seed, lambda *_: None)
    assert bce.course[4] < 0.1
    assert dice.course[4] > 0.4
    assert float(bce.course[-1]) == pytest.approx(float(dice.course[-1]), abs=0.1)
    assert dice.judgement.gap > 2 * bce.judgement.gap
