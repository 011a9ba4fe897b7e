"""What is particular to the page: the cost of a drag, units behind up-sampling, stacks beyond measuring, pictures."""

from dataclasses import replace

import pytest
import torch

from cvviz.concepts.convolution import receptive_field as concept
from cvviz.concepts.convolution.receptive_field import CONCEPT, MEASURED, Params, checked_steps, compute, inputs, stage
from cvviz.figures import receptive_field as drawing
from cvviz.ops.receptive_field import Layer


def chart(params, result):
    figure = drawing.growth_chart(result.fields, result.effective, input_size=params.px, chosen=result.index)
    return figure.to_json()


class TestDrag:
    def test_unit_and_threshold_redraw_and_nothing_else(self):
        params = Params()
        first = compute(params)
        before = concept.heat_of.cache_info().misses, concept.network.cache_info().misses
        for moved in (replace(params, row=80), replace(params, col=3), replace(params, cut=1e-4)):
            result = compute(moved)
            assert result.heat is first.heat
            assert chart(moved, result) == chart(params, first)
            assert CONCEPT.reference_arguments(moved, result) == CONCEPT.reference_arguments(params, first)
        assert (concept.heat_of.cache_info().misses, concept.network.cache_info().misses) == before

    def test_depth_costs_no_reference(self):
        shallow, deep = Params(depth=20), Params(depth=90)
        assert CONCEPT.reference_arguments(shallow, compute(shallow)) == CONCEPT.reference_arguments(
            deep, compute(deep)
        )

    def test_typed_layers_count_only_where_they_are_used(self):
        assert compute(Params(layers=(Layer(5),))).nodes is compute(Params()).nodes


class TestUnits:
    def test_stretching_the_map_misses_the_centre_by_half_a_jump(self):
        result = compute(Params())
        assert sum(result.spans[0]) / 2 == 96.5  # 0.5 + 3 * 32
        assert drawing.laid_over(result.unit, result.sizes[-1], 224) == (112, 112)

    def test_fields_of_a_decoder_differ_from_unit_to_unit(self):
        seen = {compute(Params(net="unet", row=row)).spans[0] for row in range(40, 60)}
        assert {end - first for first, end in seen} == {188, 204}

    def test_heat_has_the_shape_of_the_unit_s_own_field(self):
        for row in range(40, 48):
            result = compute(Params(net="unet", row=row, col=50))
            assert result.heat.relative.shape == tuple(end - first for first, end in result.spans)


class TestLimits:
    def test_a_field_beyond_measuring(self):
        params = Params(net="own", layers=(Layer(15, 8),) * 24)
        result = compute(params)
        assert result.heat is None
        assert len(stage(params, result)) == 1
        assert "not measured" in CONCEPT.describe(params, result)
        assert CONCEPT.check(params, result).status == "matches"  # on the layers that can be measured
        assert all(field.size <= MEASURED for _, _, field in checked_steps(result))
        assert CONCEPT.table(params, result)["Field (px)"].iloc[-1] == str(result.fields[-1].size)

    def test_a_field_larger_than_its_picture_is_shrunk_and_keeps_its_extent(self):
        params = Params(net="own", layers=(Layer(15, 2),) * 5 + (Layer(15),), cut=1e-12)
        result = compute(params)
        assert result.fields[-1].size == 883
        assert stage(params, result)[1].size == (drawing.SIDE, drawing.SIDE)
        assert result.heat.seen(1e-12) == ((0, 883), (0, 883))

    def test_an_empty_map_still_has_a_field(self):
        params = Params(net="own", px=32, layers=(Layer(15),) * 4)
        result = compute(params)
        assert result.sizes[-1] == 0
        assert stage(params, result)[0].caption.startswith("Nothing fits into 32 px")

    @pytest.mark.parametrize("net", ["resnet50", "mobilenet_v2", "unet"])
    def test_the_last_step_is_among_those_measured(self, net):
        result = compute(Params(net=net))
        steps = checked_steps(result)
        assert steps[-1][0] == len(result.nodes) - 1
        assert len(steps) == concept.CHECKED
        assert inputs(Params(net=net), result)["side"] % inputs(Params(net=net), result)["period"] == 0


class TestPictures:
    def test_frame_keeps_still_while_depth_and_unit_move(self):
        sizes = {stage(p, compute(p))[0].size for p in (Params(), Params(depth=10), Params(row=0), Params(col=100))}
        assert len(sizes) == 1

    def test_light_falls_on_the_field_alone(self):
        white = torch.full((3, 40, 40), 200.0)
        relative = torch.zeros(8, 10)
        relative[3, 4] = 1.0
        out = drawing.lit(white, relative, top=-2, left=33, width=40)
        assert out[0, 1, 37] == 200  # the peak, 3 rows below -2 and 4 columns after 33
        assert int((out[0] > out.min()).sum()) == 1
        assert out.min() == int(200 * drawing.SHADE)

    def test_light_of_a_field_off_the_stage(self):
        out = drawing.lit(torch.full((3, 20, 20), 100.0), torch.ones(4, 4), top=60, left=-30, width=20)
        assert out.unique().tolist() == [int(100 * drawing.SHADE)]

    def test_threshold_cuts_what_it_says(self):
        result = compute(Params(net="own", px=32, layers=(Layer(3, 1, 2, 2),) * 3))
        pixels = drawing.gradient_scene(result.heat, 1e-12).pixels
        assert int((pixels != drawing.PALE).any(0).sum()) == 49
