import pytest
import torch

from cvviz.data.masks import PHOTO_SIDE, SIDE, TITLES, masked_photo
from cvviz.ops.mask_shapes import boundary_distance


@pytest.mark.parametrize("name", TITLES)
class TestEveryPhoto:
    def test_shapes_and_types(self, name):
        item = masked_photo(name)
        assert item.title == TITLES[name]
        assert item.photo.shape == (3, PHOTO_SIDE, PHOTO_SIDE)
        assert item.photo.dtype == torch.uint8
        assert item.mask.shape == (SIDE, SIDE)
        assert item.mask.dtype == torch.bool
        assert torch.equal(item.distance, boundary_distance(item.mask))

    def test_made_once(self, name):
        assert masked_photo(name) is masked_photo(name)

    def test_object_differs_from_its_surroundings(self, name):
        item = masked_photo(name)
        cell = PHOTO_SIDE // SIDE
        green = torch.nn.functional.avg_pool2d(item.photo[1:2].float(), cell)[0]
        if item.mask.any():
            assert abs(float(green[item.mask].mean() - green[~item.mask].mean())) > 15


def test_sizes_that_the_page_speaks_of():
    sizes = {name: int(masked_photo(name).mask.sum()) for name in TITLES}
    assert sizes["sky"] == 0
    assert sizes["galaxy"] == 10  # 1 % of the pixels
    assert all(sizes[name] > 100 for name in ("coins", "cell", "horse", "vessels", "digit"))


def test_vessels_are_thin():
    item = masked_photo("vessels")
    assert int((item.distance <= -1).sum()) < 0.2 * int(item.mask.sum()), "hardly a pixel has none outside beside it"


def test_unknown_photo():
    with pytest.raises(ValueError, match=r"name must be one of coins, .*, got 'dog'\."):
        masked_photo("dog")
