import base64
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from cvviz.figures.scene import Scene
from cvviz.figures.window import Reads, Window, packed, strided_reads


def unpacked(packet):
    return np.frombuffer(base64.b64decode(packet["data"]), f"<{packet['kind']}").reshape(packet["shape"])


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (torch.tensor([[0.0, 255.0]]), "u1"),
        (torch.tensor([[-1, 300]]), "i2"),
        (torch.tensor([[0.5, -2.0]]), "f4"),
        (torch.tensor([[70000.0]]), "f4"),
        (torch.zeros(0, 3), "u1"),
    ],
)
def test_packed_reads_back_from_the_smallest_type(values, kind):
    packet = packed(values)
    assert packet["kind"] == kind
    assert np.array_equal(unpacked(packet), values.numpy())


@pytest.mark.parametrize(("stride", "dilation"), [(1, 1), (2, 1), (1, 2), (3, 2)])
def test_strided_reads_are_what_a_convolution_reads(stride, dilation):
    line = torch.arange(12.0)[None, None]
    outputs = F.conv1d(line, torch.ones(1, 1, 3), stride=stride, dilation=dilation)[0, 0]
    reads = strided_reads(len(outputs), 3, stride=stride, dilation=dilation)
    assert [sum(read.source) for read in reads] == outputs.tolist()
    assert {read.kernel for read in reads} == {(0, 1, 2)}


def window(**changes):
    source, target = (Scene(pixels=torch.zeros(3, side, side, dtype=torch.uint8)) for side in (4, 2))
    fields = {
        "sources": [source],
        "targets": [target],
        "values": torch.arange(16.0).reshape(1, 4, 4),
        "outputs": torch.zeros(1, 2, 2),
        "weights": torch.ones(1, 1, 3, 3),
        "rows": strided_reads(2, 3),
        "columns": strided_reads(2, 3),
        "at": (1, 0),
        "field": "at",
    }
    return Window(**(fields | changes))


def rectangles(svg):
    root = ElementTree.fromstring(svg)
    return [
        tuple(float(node.get(name)) for name in ("x", "y", "width", "height"))
        for node in root.iter("{http://www.w3.org/2000/svg}rect")
    ]


def test_still_picture_shows_the_window_and_its_output():
    source, target = window().scenes()
    assert (0, 1, 3, 3) in rectangles(source.svg()), "rows 1 to 3 of columns 0 to 2"
    assert rectangles(target.svg()) == [(0, 1, 1, 1)]


def test_an_output_that_reads_nothing_is_drawn_without_a_window():
    nothing = (Reads(source=(), kernel=()),) * 2
    source, _ = window(rows=nothing).scenes()
    assert rectangles(source.svg()) == []


def test_beside_is_untouched():
    extra = Scene(pixels=torch.zeros(3, 2, 2, dtype=torch.uint8))
    assert window(beside=[extra]).scenes()[-1] is extra


def test_numbers_are_json_with_every_read():
    numbers = window().numbers()
    assert numbers["sources"] == numbers["targets"] == 1
    assert [list(line[0]) for line in numbers["rows"]] == [[0, 1, 2], [1, 2, 3]]
    assert window(weights=None).numbers()["weights"] is None
