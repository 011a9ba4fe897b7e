from dataclasses import replace

import pytest
import torch

from cvviz.concepts.detection.iou import CONCEPT, Params
from cvviz.figures.iou import backdrop
from cvviz.figures.scene import Box, Path, Text

PRESETS = {name: preset.params for name, preset in CONCEPT.presets.items()}


def shapes(params):
    return CONCEPT.stage(params, CONCEPT.compute(params)).shapes


def arrows(params):
    return [shape.points for shape in shapes(params) if isinstance(shape, Path) and shape.arrow]


def words(params):
    return {shape.text for shape in shapes(params) if isinstance(shape, Text)}


def test_no_gradient_is_said_in_words():
    params = PRESETS["Wrong wheel, IoU"]
    assert arrows(params) == []
    assert "no gradient" in words(params)
    assert "has no gradient" in CONCEPT.describe(params, CONCEPT.compute(params))


@pytest.mark.parametrize("name", ["Wrong wheel, GIoU", "Wrong wheel, DIoU"])
def test_far_edge_is_pushed_away_from_a_distant_target(name):
    target, prediction = PRESETS[name].boxes
    assert prediction[2] < target[0]
    start, end = arrows(PRESETS[name])[0]
    assert start[0] == prediction[0]
    assert end[0] < start[0]


def test_rounding_is_no_gradient():
    box = (0.0, 0.0, 480.0, 360.0)
    for loss in ("iou", "giou", "diou", "ciou"):
        assert arrows(Params(boxes=(box, box), loss=loss)) == []


def test_arrows_stay_on_the_picture():
    boxes = ((0.0, 0.0, 480.0, 360.0), (2.0, 2.0, 478.0, 358.0))
    for loss in ("iou", "giou", "diou", "ciou"):
        for _, (x, y) in arrows(Params(boxes=boxes, loss=loss)):
            assert 0 <= x <= 480
            assert 0 <= y <= 360


def test_each_loss_shows_its_own_terms():
    terms = {loss: words(Params(loss=loss)) for loss in ("iou", "giou", "diou", "ciou")}
    assert terms == {"iou": {"I"}, "giou": {"I", "C"}, "diou": {"C", "c", "ρ"}, "ciou": {"C", "c", "ρ", "v"}}


def test_shaded_emptiness_is_what_giou_subtracts():
    params = PRESETS["Wrong wheel, GIoU"]
    empty = sum(
        (x2 - x1) * (y2 - y1)
        for x1, y1, x2, y2 in (shape.xyxy for shape in shapes(params) if isinstance(shape, Box) and shape.fill)
    )
    _, union, enclosing, *_ = CONCEPT.compute(params).terms
    assert empty == enclosing - union


def test_old_convention_counts_the_last_pixel():
    params = Params(boxes=((0.0, 0.0, 9.0, 9.0), (9.0, 0.0, 18.0, 9.0)), inclusive=True)
    # Ten columns each, one of them shared: 10 of 190 pixels.
    result = CONCEPT.compute(params)
    assert result.values[0].item() == pytest.approx(10 / 190)
    assert result.other_iou == 0
    assert CONCEPT.compute(replace(params, inclusive=False)).other_iou == pytest.approx(10 / 190)


@pytest.mark.parametrize("size", [(1, 1), (1024, 3), (3, 1024), (360, 480), (359, 481), (1024, 768)])
def test_backdrop_fills_the_canvas(size):
    picture = torch.full((3, *size), 100, dtype=torch.uint8)
    filled = backdrop(picture, 480, 360)
    assert filled.shape == (3, 360, 480)
    assert filled.unique().numel() == 1
    assert 100 < filled[0, 0, 0] < 255


def test_an_arrow_flips_where_its_edge_passes_the_target():
    params = PRESETS["Half covered"]
    target, (x1, *rest) = params.boxes
    before, after = (
        CONCEPT.compute(replace(params, boxes=(target, (target[0] + by, *rest)))).slopes[0, 0] for by in (2, -2)
    )
    assert x1 > target[0] + 2
    assert before > 0 > after
    assert before > abs(CONCEPT.compute(params).slopes[0, 0]) / 2, "it does not fade out"
