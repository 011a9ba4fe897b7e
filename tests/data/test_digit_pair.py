import torch

from cvviz.data.digit_pair import digit_pair

PAPER = torch.tensor([247, 243, 232], dtype=torch.uint8)[:, None, None]


def ink(sheet):
    return (sheet != PAPER).any(dim=0)


def test_ink_fills_each_box_and_nothing_else():
    sheet = digit_pair(((10.0, 20.0, 40.0, 60.0), (100.0, 50.0, 110.0, 90.0)), 160)
    assert sheet.shape == (3, 160, 160)
    for x1, y1, x2, y2 in ((10, 20, 40, 60), (100, 50, 110, 90)):
        inside = ink(sheet)[y1:y2, x1:x2]
        assert inside.any(dim=0)[[0, -1]].all() and inside.any(dim=1)[[0, -1]].all()
        sheet = sheet.clone()
        sheet[:, y1:y2, x1:x2] = PAPER
    assert not ink(sheet).any()


def test_smallest_and_largest_boxes():
    for boxes in (((0.0, 0.0, 1.0, 1.0), (159.0, 159.0, 160.0, 160.0)), ((0.0, 0.0, 160.0, 160.0),) * 2):
        assert ink(digit_pair(boxes, 160)).any()
    assert ink(digit_pair(((159.6, 159.6, 160.0, 160.0), (0.2, 0.2, 0.4, 0.4)), 160)).any()


def test_the_second_digit_lies_on_top():
    box = (20.0, 20.0, 80.0, 120.0)
    colors = digit_pair((box, box), 160).flatten(1).T.tolist()
    assert [150, 70, 44] in colors
