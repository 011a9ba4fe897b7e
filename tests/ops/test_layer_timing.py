"""Times are those of this machine, so what is tested is what holds on any: order, accounts, limits."""

import doctest
import time

import pytest
import torch

import cvviz.ops.layer_timing as module
from cvviz.ops.conv_variants import Conv, cost, variants
from cvviz.ops.layer_timing import LAYOUTS, ROUNDS, convolution, median_seconds, time_layers


def test_doctest():
    assert doctest.testmod(module).failed == 0


class TestTimeLayers:
    def test_accounts(self):
        kinds = variants(8, 4, kernel_size=3, groups=2)
        timings = time_layers(kinds, size=9, rectify=True, budget=1e-4)
        assert list(timings) == list(kinds)
        for name, timing in timings.items():
            assert timing.cost == cost(kinds[name], 9)
            assert list(timing.seconds) == list(LAYOUTS)
            assert all(seconds > 0 for seconds in timing.seconds.values())
        copying = {name: timing.copying / timing.cost.traffic for name, timing in timings.items()}
        assert len({round(rate * 1e15) for rate in copying.values()}) == 1  # one speed for all

    def test_each_kind_keeps_its_fastest_round_and_copying_goes_by_bytes(self, monkeypatch):
        """On a clock of our own, where a busy first round takes ten times as long."""
        now, rounds = 0.0, 0

        def taking(seconds):
            def run():
                nonlocal now
                now += seconds * (10 if rounds == 1 else 1)

            return run

        def begin(fraction, words):
            nonlocal rounds
            rounds += words == "copying memory"

        monkeypatch.setattr(module, "perf_counter", lambda: now)
        monkeypatch.setattr(module, "_copy", lambda traffic: taking(traffic * 1e-9))
        monkeypatch.setattr(
            module, "_run", lambda layers, size, layout, *_: taking(len(layers) * (1 + (layout == "NHWC")))
        )
        kinds = {"one": [Conv(8, 8, 3)], "two": [Conv(8, 8, 3), Conv(8, 8, 3)]}
        timings = time_layers(kinds, size=28, budget=1.0, progress=begin)
        assert timings["one"].seconds == pytest.approx({"NCHW": 1, "NHWC": 2})
        assert timings["two"].seconds == pytest.approx({"NCHW": 2, "NHWC": 4})
        assert [timing.copying for timing in timings.values()] == pytest.approx(
            [timing.cost.traffic * 1e-9 for timing in timings.values()]
        )

    def test_progress_grows(self):
        heard = []
        kinds = {"standard": [Conv(2, 2)]}
        time_layers(kinds, size=4, budget=1e-4, progress=lambda fraction, words: heard.append((fraction, words)))
        fractions = [fraction for fraction, _ in heard]
        assert fractions == sorted(fractions)
        assert fractions[0] == 0
        assert fractions[-1] < 1
        assert [words for _, words in heard] == ["copying memory", "standard NCHW", "standard NHWC"] * ROUNDS

    def test_what_progress_raises_ends_it(self):
        def stop(fraction, words):
            raise InterruptedError

        with pytest.raises(InterruptedError):
            time_layers({"standard": [Conv(2, 2)]}, size=4, progress=stop)

    def test_leaves_the_global_generator_alone(self):
        state = torch.random.get_rng_state()
        time_layers({"standard": [Conv(2, 2)]}, size=4, budget=1e-4)
        assert torch.equal(state, torch.random.get_rng_state())

    def test_exception(self):
        with pytest.raises(ValueError, match="kinds must hold at least one kind"):
            time_layers({}, size=4)
        with pytest.raises(ValueError, match=r"up to 8 GMAC and 100 MB, .* this is 474 GMAC and 449 MB"):
            # 1024^2 * 9 * 224^2 MACs; 4 bytes for each of 2 * 1024 * 224^2 values and 1024^2 * 9 weights
            time_layers({"standard": [Conv(1024, 1024, 3)]}, size=224)
        with pytest.raises(ValueError, match="size must be at least 1"):
            time_layers({"standard": [Conv(2, 2)]}, size=0)


class TestMedianSeconds:
    def test_is_no_mean(self):
        pauses = iter([0.0, 0.002, 0.002, 0.05, 0.002, 0.002])  # the first call is not counted
        found = median_seconds(lambda: time.sleep(next(pauses, 0.002)), budget=0.06)
        assert 0.002 <= found < 0.02

    def test_three_calls_at_least(self):
        calls = []
        median_seconds(lambda: calls.append(1), budget=1e-12)
        assert len(calls) >= 4

    def test_exception(self):
        with pytest.raises(ValueError, match="budget must be positive, got 0"):
            median_seconds(lambda: None, budget=0)


def test_convolution_is_the_layer():
    layer = Conv(6, 4, 3, groups=2, stride=2)
    built = convolution(layer, torch.Generator().manual_seed(0))
    assert built.weight.shape == layer.weight_shape
    assert built.bias is None
    assert built(torch.zeros(1, 6, 9, 9)).shape == (1, 4, layer.output_size(9), layer.output_size(9))
    again = convolution(layer, torch.Generator().manual_seed(0))
    assert torch.equal(built.weight, again.weight)
