import pytest
import torch

from cvviz.data.crowd import FALSE_ALARMS, HEIGHT, PEOPLE, WIDTH, WINDOWS, crowd, outcome
from cvviz.ops.boxes import box_iou
from cvviz.ops.nms import trace_nms


class TestCrowd:
    def test_cardinality(self):
        scene = crowd(0.5, 3)
        assert scene.pixels.shape == (3, HEIGHT, WIDTH)
        assert scene.truth.shape == (PEOPLE + 2, 4)
        assert scene.raw.boxes.shape == ((PEOPLE + 2) * WINDOWS + FALSE_ALARMS, 4)
        assert scene.labels.tolist() == [0] * (PEOPLE + 1) + [1]

    @pytest.mark.parametrize("spacing", [0.2, 1.2])
    def test_everything_lies_in_the_picture(self, spacing):
        for seed in range(10):
            truth = crowd(spacing, seed).truth
            assert (truth[:, :2] > 0).all()
            assert (truth[:, 2] < WIDTH).all()
            assert (truth[:, 3] < HEIGHT).all()

    def test_neighbours_overlap_as_their_distance_says(self):
        # Equal boxes d widths apart share 1 - d of 2 - (1 - d): IoU (1 - d) / (1 + d), here 1/3; sizes vary by 5 %.
        truth = crowd(0.5, 0).truth[:PEOPLE]
        assert box_iou(truth, truth).diagonal(1).tolist() == pytest.approx([1 / 3] * (PEOPLE - 1), abs=0.06)

    def test_rider_and_motorcycle_overlap_by_more_than_one_half(self):
        rider, motorcycle = crowd(1.0, 0).truth[-2:]
        assert box_iou(rider[None], motorcycle[None]).item() > 0.55

    def test_every_object_has_a_window_that_fits(self):
        scene = crowd(0.35, 1)
        best = box_iou(scene.truth, scene.raw.boxes).max(dim=1).values
        assert (best > 0.9).all()

    def test_seeded(self):
        again = crowd.__wrapped__(0.35, 1)
        assert torch.equal(again.raw.boxes, crowd(0.35, 1).raw.boxes)
        assert not torch.equal(crowd(0.35, 2).raw.boxes, again.raw.boxes)


class TestOutcome:
    def test_all_raw_boxes_find_everything_and_repeat_it(self):
        scene = crowd(1.2, 0)
        found = outcome(scene, torch.arange(len(scene.raw.scores)))
        assert found.found == tuple(range(PEOPLE + 2))
        assert found.missed == ()
        assert len(found.extra) == len(scene.raw.scores) - (PEOPLE + 2)

    def test_nothing_finds_nothing(self):
        found = outcome(crowd(1.2, 0), torch.empty(0, dtype=torch.long))
        assert (found.found, len(found.missed), found.extra) == ((), PEOPLE + 2, ())

    def test_hard_nms_loses_people_that_soft_nms_finds(self):
        scene = crowd(0.35, 1)
        ends = [
            outcome(scene, trace_nms(scene.raw.boxes, scene.raw.scores, idxs=scene.raw.labels, **options).kept)
            for options in (
                {"iou_threshold": 0.3, "score_threshold": 0.3},
                {"method": "gaussian", "score_threshold": 0.3},
            )
        ]
        assert len(ends[0].missed) == 3
        assert len(ends[1].missed) == 0
