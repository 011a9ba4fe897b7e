"""What the contract does not try: every kind at the limits, groups that do not divide, and what is drawn of many."""

from dataclasses import replace
from itertools import pairwise

import plotly.graph_objects as go
import pytest
import torch

from cvviz.concepts.convolution.depthwise_separable import CONCEPT, PRESETS, Params, kinds_of, measure
from cvviz.figures.depthwise_separable import KINDS, cost_figure, drawn_channels, time_figure
from cvviz.figures.depthwise_separable_words import cost_table, cost_words, time_table, time_words
from cvviz.ops.conv_variants import Conv, common_divisors, variants
from cvviz.params import limit_cases

LIMITS = {name: params for name, params in limit_cases(Params) if not name.startswith(("kind=", "groups="))}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", LIMITS)
def test_every_kind_at_every_limit(kind, name):
    params = replace(LIMITS[name], kind=kind, groups=1)
    result = CONCEPT.compute(params)
    assert CONCEPT.check(params, result).status == "matches"
    wiring, kernels = CONCEPT.stage(params, result)
    assert wiring.shapes
    assert kernels.pixels.shape[1] >= 8
    assert CONCEPT.formula(params, result).count("&") >= 3
    assert 20 < len(CONCEPT.describe(params, result)) < 500
    figure = cost_figure(result.costs, chosen=kind)
    go.Figure(figure.to_dict())
    assert len(cost_table(kinds_of(params), result.costs)) == len(result.costs)
    assert KINDS[kind] in cost_words(result.costs, chosen=kind)


class TestGroups:
    @pytest.mark.parametrize("groups", common_divisors(96, 120))
    def test_every_divisor(self, groups):
        params = Params(kind="grouped", m=96, n=120, groups=groups)
        result = CONCEPT.compute(params)
        assert CONCEPT.check(params, result).status == "matches"
        assert result.costs["standard"].macs == groups * result.costs["grouped"].macs
        assert result.sample.difference < 1e-5
        shown = result.sample.connected.double().mean()
        assert shown == pytest.approx(1 / len({tuple(row) for row in result.sample.connected.tolist()}))

    def test_others_are_refused_with_those_that_work(self):
        with pytest.raises(ValueError, match=r"got 7\. These do: 1, 2, 3, 4, 6, 8, 12, 24\."):
            CONCEPT.compute(Params(kind="grouped", m=96, n=120, groups=7))

    def test_do_not_matter_elsewhere(self):
        for kind in set(KINDS) - {"grouped"}:
            assert "grouped" not in CONCEPT.compute(Params(kind=kind, m=7, n=5, groups=4)).costs


class TestDrawnChannels:
    @pytest.mark.parametrize("params", [preset.params for preset in PRESETS.values()])
    def test_groups_are_drawn_alike(self, params):
        layers = kinds_of(params)[params.kind]
        columns = drawn_channels(layers)
        assert len(columns) == len(layers) + 1
        for layer, (sources, targets) in zip(layers, pairwise(columns), strict=True):
            assert list(sources) == sorted(set(sources))
            assert max(sources) < layer.inputs
            assert max(targets) < layer.outputs
            of_sources = [channel * layer.groups // layer.inputs for channel in sources]
            of_targets = [channel * layer.groups // layer.outputs for channel in targets]
            assert set(of_sources) == set(of_targets)
            assert len({of_sources.count(group) for group in of_sources}) == 1
        assert max(map(len, columns)) <= 12

    def test_few_are_drawn_whole(self):
        assert drawn_channels([Conv(4, 6, 3, groups=2)]) == ((0, 1, 2, 3), (0, 1, 2, 3, 4, 5))

    def test_first_ones_and_the_last(self):
        assert drawn_channels([Conv(64, 13, 3)]) == ((*range(11), 63), (*range(11), 12))
        ends = drawn_channels([Conv(128, 128, 3, groups=32)])[0]
        assert ends == (0, 1, 2, 3, 4, 5, 6, 7, 124, 125, 126, 127)


class TestSample:
    def test_kernels_by_kind(self):
        samples = {kind: CONCEPT.compute(Params(kind=kind, m=12, n=12)).sample for kind in KINDS}
        assert samples["standard"].rank == 9  # 12 rows of 9 taps
        assert samples["separable"].rank == 1
        assert samples["separable"].connected.all()
        assert torch.equal(samples["depthwise"].connected, torch.eye(12, dtype=torch.bool))
        assert int(samples["grouped"].connected.sum()) == 12 * 3  # 4 groups of 3

    def test_a_relu_breaks_the_factorisation(self):
        none, relu = (CONCEPT.compute(Params(between=between)).sample.difference for between in ("none", "relu"))
        assert none < 1e-5 < 0.1 < relu


def test_presets_say_true_numbers():
    for name, words in {
        "Depthwise separable": r"8.41\times",
        "MobileNetV1, late": r"8.84\times",
        "One output": r"1.11\times \text{ as many}",
        "Saves MACs, not bytes": r"7.89\times",
    }.items():
        params = PRESETS[name].params
        assert words in CONCEPT.formula(params, CONCEPT.compute(params))
        assert words.partition("\\")[0] in PRESETS[name].look
    costs = CONCEPT.compute(PRESETS["Saves MACs, not bytes"].params).costs
    assert costs["separable"].traffic > costs["standard"].traffic
    costs = CONCEPT.compute(PRESETS["ConvNeXt, 7 × 7 depthwise"].params).costs
    assert [round(costs[kind].intensity) for kind in ("depthwise", "standard")] == [6, 336]
    late = variants(512, 512, kernel_size=3)
    assert late["separable"][1].parameters / sum(layer.parameters for layer in late["separable"]) == pytest.approx(
        0.98, abs=0.005
    )


class TestMeasure:
    def test_time_of_every_kind(self):
        params, heard = Params(kind="grouped", m=8, n=8, groups=2, size=7), []
        timings = measure(params, lambda fraction, words="", value=None: heard.append(fraction))
        assert list(timings) == list(KINDS)
        assert heard
        go.Figure(time_figure(timings).to_dict())
        assert list(time_table(timings).index) == list(KINDS.values())
        assert "channels last" in time_words(timings)

    def test_too_much_is_refused(self):
        with pytest.raises(ValueError, match="Make the map smaller or take fewer channels"):
            measure(Params(m=1024, n=1024, size=224), lambda *_: None)
