import math
from xml.etree import ElementTree

import pytest

from cvviz.figures.scene import Text
from cvviz.figures.sheet import Sheet, ticks

SHEET = Sheet(x=(0, 10), y=(-1, 1), x_title="x (px)", y_title="y", width=480, height=360)


@pytest.mark.parametrize(
    ("span", "expected"),
    [
        ((0, 10), [0, 2, 4, 6, 8, 10]),
        ((-1, 1), [-1, -0.5, 0, 0.5, 1]),
        ((0.3, 0.9), [0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]),
    ],
)
def test_ticks_are_round_and_inside(span, expected):
    assert ticks(span) == pytest.approx(expected)


def test_corners_of_the_data_are_corners_of_the_frame():
    left, top, right, bottom = SHEET.frame
    assert SHEET.to(0, -1) == (left, bottom)
    assert SHEET.to(10, 1) == (right, top)


def test_axes_carry_titles_and_numbers():
    words = {shape.text for shape in SHEET.axes() if isinstance(shape, Text)}
    assert {"x (px)", "y", "0", "10", "−0.5"} <= words


class TestLine:
    def test_inside_stays_one_path(self):
        (path,) = SHEET.line([(0, 0), (5, 1), (10, 0)], color="#000")
        assert path.points == [SHEET.to(0, 0), SHEET.to(5, 1), SHEET.to(10, 0)]

    def test_cut_at_the_edge(self):
        # y = x - 5 leaves the range of -1 to 1 at x = 4 and x = 6.
        (path,) = SHEET.line([(0, -5), (10, 5)], color="#000")
        assert path.points == [pytest.approx(SHEET.to(4, -1)), pytest.approx(SHEET.to(6, 1))]

    def test_two_parts_where_it_leaves_and_comes_back(self):
        assert len(SHEET.line([(0, 0), (5, 4), (10, 0)], color="#000")) == 2

    @pytest.mark.parametrize(
        "points", [[], [(1, 0)], [(0, 2), (10, 2)], [(0, math.nan), (1, 0)], [(0, math.inf), (1, 0)]]
    )
    def test_nothing_to_draw(self, points):
        assert SHEET.line(points, color="#000") == []


def test_still_scene_shows_the_points():
    handles = SHEET.handles("points", [(5, 0), (10, 1)], colors=["#111111", "#222222"], step=0.1, fixed=False)
    root = ElementTree.fromstring(SHEET.scene([], handles=handles).svg())
    assert root.find("{http://www.w3.org/2000/svg}image") is None
    dots = [(float(dot.get("cx")), float(dot.get("cy"))) for dot in root.iter("{http://www.w3.org/2000/svg}circle")]
    assert dots == [pytest.approx(SHEET.to(5, 0)), pytest.approx(SHEET.to(10, 1))]


def test_labels_stand_on_their_points():
    places = [(5, 0), (10, 1)]
    handles = SHEET.handles("points", places, colors=["#111111"], step=0.1, fixed=True, labels=("A1", "<b>"))
    root = ElementTree.fromstring(SHEET.scene([], handles=handles).svg())
    words = [text for text in root.iter("{http://www.w3.org/2000/svg}text") if text.text in handles.labels]
    assert [text.text for text in words] == ["A1", "<b>"]
    assert [(float(text.get("x")), float(text.get("y"))) for text in words] == [
        pytest.approx(SHEET.to(*place)) for place in places
    ]
