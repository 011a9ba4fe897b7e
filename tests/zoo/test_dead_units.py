import pytest
import torch

from cvviz.ops.activations import Shape
from cvviz.zoo.dead_units import LAYERS, RATES, train, train_at_rates


def quiet(*_):
    pass


def test_a_high_rate_kills_relu_units_and_a_slope_below_0_saves_them():
    gentle, harsh = (train("relu", Shape(), rate, 0, quiet, epochs=10) for rate in (0.05, 1.0))
    leaky = train("leaky_relu", Shape(slope=0.1), 0.3, 0, quiet, epochs=3)
    assert float(gentle.dead[-1].max()) < 0.2
    assert float(harsh.dead[-1].max()) > 0.5
    assert float(leaky.dead.max()) == 0
    assert gentle.accuracy[-1] > 0.8 > 0.5 > harsh.accuracy[-1]


def test_seeded_and_the_global_generator_is_left_alone():
    state = torch.random.get_rng_state()
    first, second = (train("relu", Shape(), 0.05, 1, quiet, epochs=1) for _ in range(2))
    assert torch.equal(first.dead, second.dead)
    assert torch.equal(first.accuracy, second.accuracy)
    assert torch.equal(state, torch.random.get_rng_state())


def test_tells_how_far_it_is_and_can_be_stopped():
    class StopError(Exception):
        pass

    told = []

    def progress(share, words, courses):
        told.append((share, words, len(courses)))
        if len(told) == 3:
            raise StopError

    with pytest.raises(StopError):
        train_at_rates("relu", Shape(), 0, progress)
    assert [share for share, _, _ in told] == sorted(share for share, _, _ in told)
    assert told[0][1].startswith(f"Rate {RATES[0]:g}. Epoch 0 of")
    assert told[0][2] == 1


def test_shapes():
    course = train("tanh", Shape(), 0.1, 0, quiet, epochs=2)
    assert course.dead.shape == (3, LAYERS)
    assert course.accuracy.shape == (3,)
