"""The evaluation of whole files against pycocotools' own summary."""

import contextlib
import io
import json

import numpy as np
import pytest
import torch
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from cvviz.data.coco_evaluation import evaluate_files
from cvviz.data.coco_files import read_results, read_truth


def files(seed, *, images=15, classes=5):
    """Ground truth and results with crowds, an empty class, empty images, ties, unsorted ids and an id of 0."""
    rng = np.random.default_rng(seed)
    annotations, found = [], []
    for _ in range(images * 5):
        image, label = int(rng.integers(images - 2)) * 3, int(rng.integers(classes - 1)) + 1
        box = np.array([*rng.uniform(0, 200, 2), *10 ** rng.uniform(0.8, 2.3, 2)])
        annotations.append(
            {
                "id": len(annotations) + 1,
                "image_id": image,
                "category_id": label,
                "bbox": box.tolist(),
                "area": float(box[2] * box[3] * 0.8),
                "iscrowd": int(rng.random() < 0.1),
            }
        )
        for _ in range(rng.integers(0, 3)):
            near = box + rng.normal(0, 0.1, 4) * np.tile(box[2:], 2)
            row = {"image_id": image, "category_id": int(rng.integers(classes)) + 1 if rng.random() < 0.2 else label}
            found.append({**row, "bbox": near.clip(min=0.5).tolist(), "score": float(rng.random().__round__(2))})
    content = {
        "images": [{"id": image * 3} for image in reversed(range(images))],
        "categories": [{"id": label + 1, "name": f"class {label}"} for label in range(classes)],
        "annotations": annotations,
    }
    return content, found


@pytest.mark.parametrize("seed", range(4))
def test_summary_is_pycocotools_own(seed):
    content, found = files(seed)
    report = evaluate_files(
        read_truth("a", json.dumps(content).encode()), read_results("b", json.dumps(found).encode())
    )
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = content
        coco.createIndex()
        run = COCOeval(coco, coco.loadRes(found), "bbox")
        run.evaluate()
        run.accumulate()
        run.summarize()
    assert list(report.summary().values()) == pytest.approx(run.stats.tolist(), abs=1e-9)
    assert report.difference < 1e-12
    precision = torch.from_numpy(run.eval["precision"][..., -1]).permute(2, 0, 1, 3)
    assert torch.allclose(report.precision.nan_to_num(nan=-1), precision, rtol=0, atol=1e-12)


def test_progress_ends_before_one_and_names_the_class():
    content, found = files(0)
    told = []
    evaluate_files(
        read_truth("a", json.dumps(content).encode()),
        read_results("b", json.dumps(found).encode()),
        lambda fraction, words: told.append((fraction, words)),
    )
    fractions = [fraction for fraction, _ in told]
    assert fractions == sorted(fractions)
    assert fractions[0] == 0
    assert fractions[-1] <= 1
    assert told[0][1] == "class 0: class 1 of 5"


def test_what_progress_raises_stops_the_work():
    content, found = files(0)

    def stop(fraction, words):
        raise InterruptedError

    with pytest.raises(InterruptedError):
        evaluate_files(
            read_truth("a", json.dumps(content).encode()), read_results("b", json.dumps(found).encode()), stop
        )


def test_annotation_with_id_zero_counts_here():
    content = {
        "images": [{"id": 1}],
        "categories": [{"id": 1, "name": "car"}],
        "annotations": [{"id": 0, "image_id": 1, "category_id": 1, "bbox": [0, 0, 50, 50]}],
    }
    found = [{"image_id": 1, "category_id": 1, "bbox": [0, 0, 50, 50], "score": 1}]
    report = evaluate_files(
        read_truth("a", json.dumps(content).encode()), read_results("b", json.dumps(found).encode())
    )
    assert report.summary()["AP"] == 1
