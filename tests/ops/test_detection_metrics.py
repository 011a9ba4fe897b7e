"""AP against pycocotools on random sets, VOC's rule against its devkit's own steps, and values derived by hand."""

import contextlib
import doctest
import importlib
import io
import itertools

import numpy as np
import pytest
import torch
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval, Params

from cvviz.ops.detection_metrics import (
    AREA_RANGES,
    IOU_THRESHOLDS,
    METHODS,
    Predictions,
    Truth,
    average_precision,
    average_precisions,
    confusion_matrix,
    detection_overlaps,
    explain,
    match_detections,
    precision_envelope,
    precision_recall,
    rank_class,
    recall_weights,
)

CLASSES = 4


def random_set(seed, *, images=12, integer=False, tied=False):
    """Truth and predictions: near and far boxes of right and wrong classes; some images and class 3 are empty."""
    rng = np.random.default_rng(seed)
    objects, found = [], []
    for image in range(images):
        for _ in range(rng.integers(0, 7)):
            corner, side = rng.uniform(0, 150, 2), 10 ** rng.uniform(0.9, 2.3, 2)
            box = np.array([*corner, *(corner + side)])
            label = int(rng.integers(CLASSES - 1))
            objects.append((box, label, image, rng.random() < 0.15, rng.uniform(0.5, 1)))
            for _ in range(rng.integers(0, 4)):
                near = box + rng.normal(0, 0.08, 4) * np.tile(side, 2)
                said = label if rng.random() < 0.8 else int(rng.integers(CLASSES))
                found.append((near, said, image, rng.random()))
        for _ in range(rng.integers(0, 4)):
            corner = rng.uniform(0, 150, 2)
            far = np.array([*corner, *(corner + 10 ** rng.uniform(0.9, 2.3, 2))])
            found.append((far, int(rng.integers(CLASSES)), image, rng.random()))
    rng.shuffle(found)
    boxes1, boxes2 = (np.array([row[0] for row in rows]).reshape(-1, 4) for rows in (objects, found))
    scores = np.array([row[3] for row in found])
    if integer:  # overlaps of exactly a half, and equal ones
        boxes1, boxes2 = boxes1.round(-1), boxes2.round(-1)
        for boxes in (boxes1, boxes2):
            boxes[:, 2:] = np.maximum(boxes[:, 2:], boxes[:, :2] + 10)
    if tied:
        scores = scores.round(1)
    boxes1, boxes2 = torch.from_numpy(boxes1), torch.from_numpy(boxes2)
    sides = boxes1[:, 2:] - boxes1[:, :2]
    truth = Truth(
        boxes1,
        torch.tensor([row[1] for row in objects]),
        torch.tensor([row[2] for row in objects]),
        torch.tensor([bool(row[3]) for row in objects]),
        sides.prod(1) * torch.tensor([row[4] for row in objects]),  # a mask is smaller than its box
    )
    predictions = Predictions(
        boxes2, torch.tensor([row[1] for row in found]), torch.tensor([row[2] for row in found]), torch.tensor(scores)
    )
    return truth, predictions


def coco_eval(truth, predictions, images=12, **settings):
    """pycocotools on the same set, run to the end."""
    sides1, sides2 = (boxes[:, 2:] - boxes[:, :2] for boxes in (truth.boxes, predictions.boxes))
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = {
            "images": [{"id": image} for image in range(images)],
            "categories": [{"id": label} for label in range(CLASSES)],
            "annotations": [
                {
                    "id": place + 1,
                    "image_id": int(truth.images[place]),
                    "category_id": int(truth.labels[place]),
                    "bbox": [*truth.boxes[place, :2].tolist(), *sides1[place].tolist()],
                    "area": float(truth.areas[place]),
                    "iscrowd": int(truth.crowd[place]),
                }
                for place in range(len(truth.boxes))
            ],
        }
        coco.createIndex()
        results = [
            {
                "image_id": int(predictions.images[place]),
                "category_id": int(predictions.labels[place]),
                "bbox": [*predictions.boxes[place, :2].tolist(), *sides2[place].tolist()],
                "score": float(predictions.scores[place]),
            }
            for place in range(len(predictions.boxes))
        ]
        run = COCOeval(coco, coco.loadRes(results), "bbox")
        for name, value in settings.items():
            setattr(run.params, name, value)
        run.evaluate()
        run.accumulate()
        if not settings:
            run.summarize()
    return run


def one(boxes, labels, **more):
    """Objects or detections of a single image."""
    boxes = torch.tensor(boxes, dtype=torch.float64).reshape(-1, 4)
    images, labels = torch.zeros(len(boxes), dtype=torch.long), torch.tensor(labels, dtype=torch.long)
    if "scores" in more:
        return Predictions(boxes, labels, images, torch.tensor(more["scores"], dtype=torch.float64))
    crowd = torch.tensor(more.get("crowd", [False] * len(boxes)), dtype=torch.bool)
    return Truth(boxes, labels, images, crowd, (boxes[:, 2:] - boxes[:, :2]).prod(1))


SETS = [
    pytest.param(seed, options, id=f"{'-'.join(options) or 'plain'}-{seed}")
    for seed in range(6)
    for options in ({}, {"integer": True}, {"tied": True}, {"integer": True, "tied": True})
]


@pytest.mark.parametrize(("seed", "options"), SETS)
class TestAgainstPycocotools:
    def test_every_class_size_and_threshold(self, seed, options):
        truth, predictions = random_set(seed, **options)
        expected = torch.from_numpy(coco_eval(truth, predictions).eval["precision"][..., -1])  # [I, R, K, A]
        expected = torch.where(expected < 0, torch.nan, expected).mean(1).permute(1, 2, 0)  # [K, A, I]
        actual = average_precisions(truth, predictions, range(CLASSES))
        assert torch.allclose(actual, expected, rtol=0, atol=1e-9, equal_nan=True)

    def test_summary(self, seed, options):
        truth, predictions = random_set(seed, **options)
        stats = coco_eval(truth, predictions).stats
        table = average_precisions(truth, predictions, range(CLASSES))
        means = [table[:, 0].nanmean(), table[:, 0, 0].nanmean(), table[:, 0, 5].nanmean()]
        means += [table[:, size].nanmean() for size in (1, 2, 3)]
        assert [mean.item() for mean in means] == pytest.approx(stats[:6].tolist(), abs=1e-9)

    def test_recall_reached(self, seed, options):
        truth, predictions = random_set(seed, **options)
        expected = coco_eval(truth, predictions).eval["recall"][..., -1]  # [I, K, A]
        for label in range(CLASSES - 1):
            ranking = rank_class(truth, predictions, label, area_ranges=tuple(AREA_RANGES.values()))
            actual = ranking.curve.recall[..., -1].nan_to_num(nan=-1)  # [A, I]
            assert actual.T.numpy() == pytest.approx(expected[:, label], abs=1e-12)

    def test_cap_on_detections_of_an_image(self, seed, options):
        truth, predictions = random_set(seed, **options)
        expected = coco_eval(truth, predictions, maxDets=[2]).eval["precision"][..., 0]
        expected = torch.from_numpy(expected[..., 0]).mean(1)[:, : CLASSES - 1].T  # [K, I], all sizes
        actual = average_precisions(truth, predictions, range(CLASSES - 1), max_detections=2)[:, 0]
        assert torch.allclose(actual, expected, rtol=0, atol=1e-9)

    def test_eleven_points_and_all_points_are_other_levels_of_the_same_curve(self, seed, options):
        truth, predictions = random_set(seed, **options)
        for label in range(CLASSES - 1):
            positives = int(((truth.labels == label) & ~truth.crowd).sum())
            for method, levels in (
                ("voc11", np.arange(11) / 10),
                ("all-point", np.arange(1, positives + 1) / positives),
            ):
                expected = coco_eval(truth, predictions, recThrs=levels).eval["precision"][:, :, label, 0, -1].mean(1)
                actual = rank_class(truth, predictions, label).average_precision(method)[0]
                assert actual.numpy() == pytest.approx(expected, abs=1e-9), method


def voc_devkit(truth, predictions, label, threshold):
    """TP or FP of each detection, step by step as the VOC devkit's VOCevaldet goes, with boxes of width x2 - x1."""
    chosen = [place for place in range(len(predictions.boxes)) if predictions.labels[place] == label]
    chosen.sort(key=lambda place: (-float(predictions.scores[place]), int(predictions.images[place])))
    detected, flags = set(), []
    for place in chosen:
        most, best = -np.inf, -1
        x1, y1, x2, y2 = predictions.boxes[place].tolist()
        for thing in range(len(truth.boxes)):
            if truth.labels[thing] != label or truth.images[thing] != predictions.images[place]:
                continue
            a1, b1, a2, b2 = truth.boxes[thing].tolist()
            width, height = min(x2, a2) - max(x1, a1), min(y2, b2) - max(y1, b1)
            if width <= 0 or height <= 0:
                continue
            overlap = width * height / ((x2 - x1) * (y2 - y1) + (a2 - a1) * (b2 - b1) - width * height)
            if overlap > most:
                most, best = overlap, thing
        if most >= threshold:
            if truth.crowd[best]:
                flags.append(-1)
            else:
                flags.append(int(best not in detected))
                detected.add(best)
        else:
            flags.append(0)
    return flags


@pytest.mark.parametrize(("seed", "options"), SETS)
@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.75])
def test_voc_rule_is_the_devkits(seed, options, threshold):
    truth, predictions = random_set(seed, **options)
    for label in range(CLASSES):
        ranking = rank_class(truth, predictions, label, iou_thresholds=[threshold], rule="voc", max_detections=None)
        assert ranking.outcomes[0, 0].tolist() == voc_devkit(truth, predictions, label, threshold)


@pytest.mark.parametrize("name", ["matching", "precision", "classes", "errors"])
def test_examples_in_docstrings(name):
    results = doctest.testmod(importlib.import_module(f"cvviz.ops.detection_metrics.{name}"))
    assert results.attempted > 0
    assert results.failed == 0


class TestMatch:
    def test_crowded_pair(self):
        # The second overlaps the taken object more, and the free one enough.
        overlaps = torch.tensor([[0.9, 0.5], [0.8, 0.6]])
        assert match_detections(overlaps, iou_threshold=0.5).tolist() == [0, 1]
        assert match_detections(overlaps, iou_threshold=0.5, rule="voc").tolist() == [0, -1]

    def test_the_threshold_itself_is_enough(self):
        overlaps = torch.tensor([[0.5]])
        for rule in ("coco", "voc"):
            assert match_detections(overlaps, iou_threshold=0.5, rule=rule).tolist() == [0]
            assert match_detections(overlaps, iou_threshold=0.500001, rule=rule).tolist() == [-1]

    def test_greedy_is_not_optimal(self):
        # The first takes the object that is the only one for the second, though another would have done.
        overlaps = torch.tensor([[0.7, 0.6], [0.7, 0.0]])
        assert match_detections(overlaps, iou_threshold=0.5).tolist() == [0, -1]

    def test_an_object_that_counts_comes_before_an_ignored_one(self):
        ignored = torch.tensor([False, True])
        overlaps = torch.tensor([[0.6, 0.9]])
        assert match_detections(overlaps, iou_threshold=0.5, ignored=ignored).tolist() == [0]
        assert match_detections(overlaps, iou_threshold=0.5, ignored=ignored, rule="voc").tolist() == [1]

    def test_crowd_takes_any_number(self):
        overlaps, yes = torch.full((3, 1), 0.8), torch.tensor([True])
        assert match_detections(overlaps, iou_threshold=0.5, ignored=yes, crowd=yes).tolist() == [0, 0, 0]
        assert match_detections(overlaps, iou_threshold=0.5, ignored=yes).tolist() == [0, -1, -1]
        assert match_detections(overlaps, iou_threshold=0.5, ignored=yes, rule="voc").tolist() == [0, 0, 0]

    def test_ties_between_objects(self):
        overlaps = torch.tensor([[0.7, 0.7]])
        assert match_detections(overlaps, iou_threshold=0.5).tolist() == [1]
        assert match_detections(overlaps, iou_threshold=0.5, rule="voc").tolist() == [0]

    @pytest.mark.parametrize("shape", [(0, 3), (3, 0), (0, 0)])
    @pytest.mark.parametrize("rule", ["coco", "voc"])
    def test_empty(self, shape, rule):
        assert match_detections(torch.zeros(shape), iou_threshold=0.5, rule=rule).tolist() == [-1] * shape[0]

    def test_crowd_overlap_is_the_share_inside(self):
        box, region = torch.tensor([[0.0, 0, 10, 10]]), torch.tensor([[5.0, 0, 105, 100], [5, 0, 105, 100]])
        overlaps = detection_overlaps(box, region, crowd=torch.tensor([False, True]))
        assert overlaps[0, 0].item() == pytest.approx(50 / (100 + 10000 - 50))
        assert overlaps[0, 1].item() == 0.5  # 50 of 100 px²

    def test_boxes_without_area(self):
        point = torch.zeros(1, 4)
        assert detection_overlaps(point, point, crowd=torch.tensor([True])).tolist() == [[0.0]]


class TestCurve:
    def test_by_hand(self):
        # hit, miss, ignored, hit, of four: an ignored detection changes nothing.
        recall, precision = precision_recall(torch.tensor([1, 0, -1, 1]), 4)
        assert recall.tolist() == [0.25, 0.25, 0.25, 0.5]
        assert precision.tolist() == pytest.approx([1, 1 / 2, 1 / 2, 2 / 3])

    def test_ignored_first(self):
        assert precision_recall(torch.tensor([-1, 1]), 1).precision.tolist() == [0, 1]

    def test_batch_equals_loop(self):
        outcomes = torch.randint(-1, 2, (3, 4, 20), generator=torch.Generator().manual_seed(0))
        positives = torch.full((3, 4), 20)
        curve = precision_recall(outcomes, positives)
        for method in METHODS:
            together = average_precision(*curve, method=method)
            for row in range(3):
                for column in range(4):
                    alone = precision_recall(outcomes[row, column], 20)
                    assert average_precision(*alone, method=method) == together[row, column]

    def test_envelope(self):
        assert precision_envelope(torch.tensor([0.2, 1.0, 0.5, 0.6, 0.1])).tolist() == pytest.approx(
            [1, 1, 0.6, 0.6, 0.1]
        )
        assert precision_envelope(torch.empty(3, 0)).shape == (3, 0)


class TestAveragePrecision:
    def test_one_of_two_found(self):
        # Area 1/2; levels 0, 0.1, ..., 0.5 are 6 of 11; 0, 0.01, ..., 0.5 are 51 of 101.
        recall, precision = torch.tensor([0.5]).double(), torch.tensor([1.0]).double()
        expected = {"voc11": 6 / 11, "all-point": 1 / 2, "coco101": 51 / 101}
        for method, value in expected.items():
            assert average_precision(recall, precision, method=method).item() == pytest.approx(value, abs=1e-15)

    def test_by_hand(self):
        # hit, miss, hit, hit, of four: precision 1, 1/2, 2/3, 3/4, envelope 1, 3/4, 3/4, 3/4.
        curve = precision_recall(torch.tensor([1, 0, 1, 1]), 4)
        assert average_precision(*curve, method="all-point").item() == pytest.approx((1 + 3 / 4 + 3 / 4) / 4)
        # levels 0, 0.1, 0.2 at 1; 0.3 to 0.7 at 3/4; 0.8 to 1 unreached
        assert average_precision(*curve, method="voc11").item() == pytest.approx((3 + 5 * 3 / 4) / 11)

    def test_eleven_levels_are_met_exactly(self):
        # numpy.arange(0, 1.1, 0.1) holds 0.30000000000000004, which a recall of 3/10 misses.
        curve = precision_recall(torch.tensor([1, 1, 1]), 10)
        assert average_precision(*curve, method="voc11").item() == pytest.approx(4 / 11)

    def test_levels_of_pycocotools(self):
        levels = Params("bbox").recThrs
        found = torch.from_numpy(levels)
        weights = recall_weights(found, method="coco101")
        assert weights[:2].tolist() == [0, 2 / 101]  # level 0 belongs to the first hit
        assert (weights[2:] == 1 / 101).all()  # each level is met by a recall equal to it
        above = [place for place in range(101) if levels[place] > place / 100]
        assert len(above) == 10
        assert 35 in above
        seven = average_precision(torch.tensor([7 / 20]).double(), torch.ones(1).double(), method="coco101")
        assert seven.item() == pytest.approx(35 / 101)  # levels 0 to 0.34
        assert tuple(Params("bbox").iouThrs) == IOU_THRESHOLDS

    @pytest.mark.parametrize("method", METHODS)
    def test_bounds_and_laws(self, method):
        generator = torch.Generator().manual_seed(1)
        for _ in range(20):
            outcomes = torch.randint(0, 2, (30,), generator=generator)
            curve = precision_recall(outcomes, 25 + int(outcomes.sum()))
            value = average_precision(*curve, method=method)
            assert 0 <= value <= 1
            # Cutting the list never raises AP, and a miss at its end changes nothing.
            cut = [average_precision(curve.recall[:k], curve.precision[:k], method=method) for k in range(31)]
            assert all(first <= second + 1e-15 for first, second in itertools.pairwise(cut))
            longer = precision_recall(torch.cat([outcomes, torch.tensor([0])]), 25 + int(outcomes.sum()))
            assert average_precision(*longer, method=method) == pytest.approx(value.item(), abs=1e-15)

    @pytest.mark.parametrize("method", METHODS)
    def test_ends(self, method):
        full = precision_recall(torch.ones(7, dtype=torch.long), 7)
        assert average_precision(*full, method=method).item() == pytest.approx(1, abs=1e-15)
        assert average_precision(torch.empty(2, 0), torch.empty(2, 0), method=method).tolist() == [0, 0]
        assert average_precision(*precision_recall(torch.tensor([0, 0]), 0), method=method).isnan()

    def test_weights_sum_to_the_recall_reached(self):
        recall = torch.tensor([0.2, 0.2, 0.8]).double()
        assert recall_weights(recall, method="all-point").sum().item() == pytest.approx(0.8)
        assert recall_weights(recall, method="voc11").tolist() == pytest.approx([3 / 11, 0, 6 / 11])


class TestClasses:
    def test_only_the_order_of_scores_counts(self):
        truth, predictions = random_set(3)
        squashed = Predictions(predictions.boxes, predictions.labels, predictions.images, predictions.scores**3 / 9)
        first, second = (average_precisions(truth, rows, range(CLASSES)) for rows in (predictions, squashed))
        assert torch.equal(first.nan_to_num(), second.nan_to_num())

    def test_no_objects_no_ap(self):
        truth, predictions = one([], []), one([[0, 0, 9, 9]], [0], scores=[0.5])
        ranking = rank_class(truth, predictions, 0)
        assert ranking.outcomes.unique().tolist() == [0]
        assert ranking.average_precision().isnan().all()
        assert average_precisions(truth, predictions, []).shape == (0, 4, 10)

    def test_no_detections(self):
        truth, predictions = one([[0, 0, 9, 9]], [0]), one([], [], scores=[])
        assert rank_class(truth, predictions, 0).average_precision().unique().tolist() == [0]
        assert rank_class(truth, predictions, 1).average_precision().isnan().all()

    def test_small_ranges_ignore_and_do_not_delete(self):
        # A large object is found; a large detection finds nothing. Neither counts among the small.
        truth = one([[0, 0, 100, 100], [200, 0, 220, 20]], [0, 0])
        predictions = one([[0, 0, 100, 99], [0, 200, 100, 300], [200, 0, 220, 20]], [0, 0, 0], scores=[0.9, 0.8, 0.7])
        ranking = rank_class(truth, predictions, 0, iou_thresholds=[0.5], area_ranges=tuple(AREA_RANGES.values()))
        assert ranking.outcomes[:, 0].tolist() == [[1, 0, 1], [-1, -1, 1], [-1, -1, -1], [1, 0, -1]]
        assert ranking.positives.tolist() == [2, 1, 0, 1]


class TestErrors:
    def test_every_kind(self):
        truth = one(
            [[0, 0, 10, 10], [20, 0, 30, 10], [40, 0, 50, 10], [60, 0, 100, 10]], [0, 1, 0, 0], crowd=[0, 0, 0, 1]
        )
        boxes = {
            "match": [0, 0, 10, 10],
            "duplicate": [0, 0, 10, 9],
            "class": [20, 0, 30, 10],
            "place": [44, 0, 54, 10],
            "both": [24, 0, 34, 10],
            "background": [0, 40, 9, 49],
            "ignored": [70, 0, 80, 10],
        }
        predictions = one(list(boxes.values()), [0] * 7, scores=[0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3])
        ranking = rank_class(truth, predictions, 0, iou_thresholds=[0.5])
        verdicts = explain(truth, predictions, ranking, 0, iou_threshold=0.5, area=0, iou=0)
        assert [verdict.kind for verdict in verdicts] == list(boxes)
        assert [verdict.partner for verdict in verdicts] == [0, 0, 1, 2, 1, -1, 3]
        assert verdicts[3].overlap == pytest.approx(6 / 14)

    def test_other_images_are_no_partners(self):
        boxes, zero = torch.tensor([[0.0, 0, 10, 10]]), torch.tensor([0])
        truth = Truth(boxes, zero, zero, torch.tensor([False]), torch.tensor([100.0]))
        predictions = Predictions(boxes, zero, zero + 1, torch.tensor([0.5]))
        ranking = rank_class(truth, predictions, 0, iou_thresholds=[0.5])
        (verdict,) = explain(truth, predictions, ranking, 0, iou_threshold=0.5, area=0, iou=0)
        assert verdict.kind == "background"

    def test_nothing_to_explain(self):
        truth, predictions = one([], []), one([[0, 0, 9, 9]], [0], scores=[0.5])
        ranking = rank_class(truth, predictions, 0, iou_thresholds=[0.5])
        assert explain(truth, predictions, ranking, 0, iou_threshold=0.5, area=0, iou=0)[0].kind == "background"

    def test_confusion(self):
        truth = one([[0, 0, 10, 10], [20, 0, 30, 10], [40, 0, 50, 10]], [0, 1, 1])
        predictions = one(
            [[0, 0, 10, 10], [20, 0, 30, 10], [0, 40, 9, 49], [40, 0, 50, 10]],
            [0, 0, 1, 1],
            scores=[0.9, 0.8, 0.7, 0.1],
        )
        assert confusion_matrix(truth, predictions, 2).tolist() == [[1, 0, 0], [1, 1, 0], [0, 1, 0]]
        cut = confusion_matrix(truth, predictions, 2, score_threshold=0.5)
        assert cut.tolist() == [[1, 0, 0], [1, 0, 1], [0, 1, 0]]  # the second 1 is missed

    @pytest.mark.parametrize("seed", range(4))
    def test_confusion_counts_all(self, seed):
        truth, predictions = random_set(seed)
        table = confusion_matrix(truth, predictions, CLASSES)
        assert table[:-1].sum() == (~truth.crowd).sum()
        assert table[:, :-1].sum() <= len(predictions.scores)  # less what lies on crowds
        assert table[-1, -1] == 0


class TestErrorsOfUse:
    box, zero = torch.zeros(1, 4), torch.zeros(1, dtype=torch.long)

    @pytest.mark.parametrize(
        ("call", "words"),
        [
            (
                lambda: match_detections(torch.zeros(3), iou_threshold=0.5),
                r"overlaps must have shape \(D, T\), got \(3,\)",
            ),
            (
                lambda: match_detections(torch.zeros(1, 1), iou_threshold=2),
                r"iou_threshold must lie in \[0, 1\], got 2",
            ),
            (
                lambda: match_detections(torch.zeros(1, 1), iou_threshold=0.5, rule="iou"),
                "rule must be one of coco, voc",
            ),
            (
                lambda: match_detections(torch.zeros(1, 2), iou_threshold=0.5, ignored=torch.zeros(3).bool()),
                r"ignored must be bool of shape \(2,\), got torch.bool of \(3,\)",
            ),
            (
                lambda: detection_overlaps(torch.zeros(1, 4), torch.zeros(1, 4), crowd=torch.zeros(1)),
                r"crowd must be bool of shape \(1,\), got torch.float32",
            ),
            (
                lambda: detection_overlaps(torch.zeros(1, 3), torch.zeros(1, 4)),
                r"must have shape \(N, 4\), got \(1, 3\)",
            ),
            (
                lambda: confusion_matrix(one([], []), one([], [], scores=[]), 2, iou_threshold=-1),
                "iou_threshold must lie",
            ),
            (
                lambda: rank_class(one([], []), one([], [], scores=[]), 0, iou_thresholds=[1.5]),
                r"iou_threshold must lie in \[0, 1\], got 1.5",
            ),
            (lambda: rank_class(one([], []), one([], [], scores=[]), 0, rule="best"), "rule must be one of coco, voc"),
            (lambda: precision_recall(torch.tensor([2]), 3), "outcomes must be 1, 0 or -1"),
            (lambda: precision_recall(torch.tensor([1, 1]), 1), "more hits than the 1 positives"),
            (lambda: recall_weights(torch.tensor([0.5, 0.4]), method="voc11"), "never fall"),
            (lambda: recall_weights(torch.tensor([1.5]), method="voc11"), r"lie in \[0, 1\]"),
            (
                lambda: recall_weights(torch.tensor([0.5]), method="area"),
                "method must be one of voc11, all-point, coco101",
            ),
            (lambda: average_precision(torch.zeros(2), torch.zeros(3), method="voc11"), "must have the same shape"),
            (
                lambda: Truth(torch.zeros(2, 4), torch.zeros(1), torch.zeros(2), torch.zeros(2), torch.zeros(2)),
                r"Truth: labels must have shape \(2,\), one per box, got \(1,\)",
            ),
            (
                lambda: Predictions(torch.zeros(2, 4), torch.zeros(2), torch.zeros(2), torch.zeros(3)),
                r"Predictions: scores must have shape \(2,\), one per box, got \(3,\)",
            ),
        ],
    )
    def test_values(self, call, words):
        with pytest.raises(ValueError, match=words):
            call()

    @pytest.mark.parametrize(
        ("call", "words"),
        [
            (lambda: match_detections([[0.5]], iou_threshold=0.5), "overlaps must be a Tensor, got list"),
            (lambda: detection_overlaps([0], torch.zeros(1, 4)), "boxes must be a Tensor, got list"),
            (lambda: precision_recall([1], 1), "outcomes must be a Tensor"),
            (lambda: precision_envelope(torch.tensor([1])), "precision must have a floating-point dtype"),
            (lambda: recall_weights(torch.tensor([1]), method="voc11"), "recall must have a floating-point dtype"),
        ],
    )
    def test_types(self, call, words):
        with pytest.raises(TypeError, match=words):
            call()
