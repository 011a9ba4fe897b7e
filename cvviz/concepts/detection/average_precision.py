"""Average precision: a ranking walked one detection at a time, under every convention."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Annotated, Any

import numpy as np
import torch
from faster_coco_eval import COCO, COCOeval_faster  # type: ignore[import-untyped]
from torch import Tensor

from cvviz.concept import Concept, Preset
from cvviz.controls import XYXY, Boxes, Choice, File, Ints, Slider, Toggle
from cvviz.data.coco_evaluation import CocoReport, evaluate_files
from cvviz.data.coco_files import CocoResults, CocoTruth, read_results, read_truth
from cvviz.data.detection_sets import (
    DIGITS,
    HEIGHT,
    LABELS,
    LOOSE_PLACES,
    PLACES,
    SCORES,
    TWICE_PLACES,
    WIDTH,
    DetectionSet,
    example_files,
    example_pair,
    own_set,
    worked_set,
)
from cvviz.figures.average_precision import curve_scene, picture_scene
from cvviz.figures.detection_study import RULES, Study, View, plain_rows, study
from cvviz.figures.detection_walk import METHOD_TITLES, curve_caption, formula_text, number, picture_caption, walk_rows
from cvviz.figures.scene import Scene
from cvviz.ops.detection_metrics import AREA_RANGES, Method, Rule
from cvviz.zoo.digit_test_set import digit_test_set

END = 200
LETTERS = tuple("ABCDEFGHIJ")
SOURCES = {"page": "Worked page", "tests": "Test set", "own": "Your files"}
SIZES = {"all": "All", "small": "Small, to 32² px", "medium": "Medium", "large": "Large, from 96² px"}


@dataclass(frozen=True, slots=True)
class Params:
    """Objects and detections, how they are matched, how AP is taken, and how far down the list we are."""

    walk: Annotated[
        int,
        Slider("Detections looked at", 0, len(LETTERS), 1, help="By falling score.", when=lambda p: p.source == "page"),
    ] = len(LETTERS)
    far: Annotated[
        int,
        Slider(
            "Detections looked at",
            0,
            END,
            1,
            help="By falling score; at the right end the whole list is done.",
            when=lambda p: p.source != "page",
        ),
    ] = END
    iou: Annotated[float, Slider("IoU threshold", 0.05, 0.95, 0.05, help="From here on an overlap is a match.")] = 0.5
    source: Annotated[str, Choice("Boxes from", options=SOURCES)] = "page"
    truth: Annotated[
        CocoTruth | None,
        File(
            "Ground truth, COCO's JSON",
            types=("json",),
            parse=read_truth,
            help="images, annotations and categories; up to 10 MB.",
            when=lambda p: p.source == "own",
        ),
    ] = None
    results: Annotated[
        CocoResults | None,
        File(
            "Results, COCO's JSON",
            types=("json",),
            parse=read_results,
            help="A list of image_id, category_id, bbox and score; up to 10 MB.",
            when=lambda p: p.source == "own",
        ),
    ] = None
    digit: Annotated[
        str,
        Choice("Class", options=DIGITS, help="AP ranks each class by itself.", when=lambda p: p.source != "own"),
    ] = "3"
    rank: Annotated[
        int, Slider("Class, by number of objects", 1, 100, 1, when=lambda p: p.source == "own", help="1 has most.")
    ] = 1
    rule: Annotated[Rule, Choice("Matching", options=RULES)] = "coco"
    method: Annotated[Method, Choice("AP by", options=METHOD_TITLES)] = "coco101"
    size: Annotated[
        str,
        Choice("Sizes that count", options=SIZES, help="By area in the image.", when=lambda p: p.rule == "coco"),
    ] = "all"
    pick: Annotated[
        str,
        Choice(
            "Change the score of",
            options={"": "None", **{name: name for name in LETTERS}},
            when=lambda p: p.source == "page",
        ),
    ] = ""
    score: Annotated[float, Slider("Its score", 0.0, 1.0, 0.01, when=lambda p: p.source == "page" and bool(p.pick))] = (
        0.5
    )
    crowd: Annotated[
        bool,
        Toggle(
            "The pair is one crowd",
            help="Annotated as a region that is neither missed nor found.",
            when=lambda p: p.source == "page",
        ),
    ] = False
    typed: Annotated[
        bool, Toggle("Type boxes, classes, scores", help="Or drag them.", when=lambda p: p.source == "page")
    ] = False
    boxes: Annotated[
        tuple[XYXY, ...],
        Boxes("Boxes", names=LETTERS, width=WIDTH, height=HEIGHT, when=lambda p: p.source == "page" and p.typed),
    ] = PLACES
    labels: Annotated[
        tuple[int, ...],
        Ints(
            "Classes, A to J",
            low=0,
            high=9,
            most=10,
            when=lambda p: p.source == "page" and p.typed,
            help="The last one typed is that of all that follow.",
        ),
    ] = LABELS
    scores: Annotated[
        tuple[int, ...],
        Ints("Scores in %, A to J", low=0, high=100, most=10, when=lambda p: p.source == "page" and p.typed),
    ] = SCORES


@dataclass(frozen=True, eq=False)
class Result:
    """What is known.

    Attributes:
        chosen: the set.
        study: the class's ranking, and COCO's numbers.
        notes: sentences about where the boxes come from.
    """

    chosen: DetectionSet
    study: Study
    notes: tuple[str, ...]


def chosen_set(params: Params) -> tuple[DetectionSet, int, tuple[str, ...], tuple[str, ...]]:
    """The set, the class, the names of its detections, and notes."""
    if params.source == "own":
        given = params.truth is not None and params.results is not None
        truth, results = (params.truth, params.results) if given else example_pair()
        assert truth is not None and results is not None
        own, label = own_set(truth, results, params.rank)
        missing = "a ground truth" if params.results else "results" if params.truth else "both files"
        note = () if given else (f"Until you choose {missing}, these are the worked page's boxes as files.",)
        return own, label, (), (*note, *own.notes)
    if params.source == "tests":
        tests = digit_test_set()
        return tests, int(params.digit), (), tests.notes
    changed = {LETTERS.index(params.pick): params.score} if params.pick else {}
    page = worked_set(params.boxes, params.labels, params.scores, changed=changed, crowd=params.crowd)
    return page, int(params.digit), LETTERS, ("Written digits; the detections A to J were placed by hand.",)


def compute(params: Params) -> Result:
    """The chosen set, and what is to be told of it."""
    chosen, label, letters, notes = chosen_set(params)
    view = View(
        label=label,
        iou=params.iou,
        rule=params.rule,
        size=params.size if params.rule == "coco" else "all",
        method=params.method,
        step=params.walk if params.source == "page" else params.far if params.far < END else None,
    )
    found = study(chosen.truth, chosen.predictions, view, names=chosen.names, letters=letters, keep=chosen.memo)
    return Result(chosen, found, notes)


def inputs(_: Params, result: Result) -> dict[str, Any]:
    """The rows that the reference starts from, the class, and the areas that count."""
    chosen = result.chosen
    truth, found = chosen.memo("rows", lambda: plain_rows(chosen.truth, chosen.predictions))
    low, high = AREA_RANGES[result.study.view.size]
    return {"truth": truth, "found": found, "label": result.study.walk.label, "low": low, "high": high}


def reference(
    truth: list[list[float]], found: list[list[float]], label: int, iou: float, rule: str, low: float, high: float
) -> Tensor:
    """AP of the class by 11, all and 101 points and its recall; COCO's AP, AP50, AP75, small, medium, large of all."""
    classes = sorted({label, *(row[1] for row in truth + found)})
    count = sum(row[1] == label and not row[7] and low <= row[6] <= high for row in truth)
    coco = COCO(
        {
            "images": [{"id": image} for image in sorted({row[0] for row in truth + found})],
            "categories": [{"id": kind} for kind in classes],
            "annotations": [
                {"id": place, "image_id": image, "category_id": kind, "bbox": box, "area": area, "iscrowd": crowd}
                for place, (image, kind, *box, area, crowd) in enumerate(truth, start=1)
            ],
        }
    )
    results = [
        {"image_id": image, "category_id": kind, "bbox": box, "score": score} for image, kind, *box, score in found
    ]
    run = COCOeval_faster(coco, coco.loadRes(results), iouType="bbox")
    run.params.iouThrs = np.array([iou, *np.linspace(0.5, 0.95, 10)])
    # 11 and 101 levels; and every step of recall, at which the mean of the envelope is the area under it
    levels = [np.arange(11) / 10, np.arange(1, count + 1) / max(count, 1), np.linspace(0, 1, 101)]
    run.params.recThrs = np.concatenate(levels)
    run.params.areaRng = [[low, high], [0, 1e10], [0, 32**2], [32**2, 96**2], [96**2, 1e10]]
    run.params.maxDets = [100]
    run.evaluate()
    run.accumulate()
    precision = torch.tensor(run.eval["precision"]).reshape(11, -1, len(classes), 5)
    precision[precision < 0] = torch.nan  # a class without objects
    every = precision[1:, -101:].mean(1)  # [10, K, 5]
    means = [every[..., 1].nanmean(), every[0, :, 1].nanmean(), every[5, :, 1].nanmean()]
    means += [every[..., size].nanmean() for size in (2, 3, 4)]
    place = classes.index(label)
    if not count:
        own = torch.full((4,), torch.nan)
    elif rule == "voc":
        own = voc(truth, found, label, iou)
    else:
        aps = [part.mean() for part in precision[0, :, place, 0].tensor_split([11, 11 + count])]
        own = torch.stack([*aps, torch.tensor(run.eval["recall"]).reshape(11, len(classes), 5)[0, place, 0]])
    return torch.cat([own, torch.stack(means)])


def voc(truth: list[list[float]], found: list[list[float]], label: int, iou: float) -> Tensor:
    """AP by 11, all and 101 points and recall of a class that has objects, matched as VOC does, in numpy."""
    objects = np.array([row for row in truth if row[1] == label])
    left, top, right, bottom = (
        objects[:, 2],
        objects[:, 3],
        objects[:, 2] + objects[:, 4],
        objects[:, 3] + objects[:, 5],
    )
    taken, hits = np.zeros(len(objects), dtype=bool), []
    rows = [row for row in found if row[1] == label]
    for image, _, x, y, width, height, _ in sorted(rows, key=lambda row: (-row[6], row[0])):
        across = np.minimum(right, x + width) - np.maximum(left, x)
        down = np.minimum(bottom, y + height) - np.maximum(top, y)
        shared = across.clip(min=0) * down.clip(min=0)
        union = width * height + objects[:, 4] * objects[:, 5] - shared
        overlap = np.where(objects[:, 0] == image, shared / union.clip(min=1e-12), -1.0)
        best = int(overlap.argmax())
        if overlap[best] < iou:
            hits.append(0.0)
        elif not objects[best, 7]:  # else difficult, and out of account
            hits.append(float(not taken[best]))
            taken[best] = True
    tp = np.cumsum(hits)
    precision, recall = tp / np.arange(1, len(hits) + 1), tp / (objects[:, 7] == 0).sum()

    def height_at(level: float) -> float:
        return max(precision[recall >= level], default=0.0)

    steps = [max(precision[place:]) for place, hit in enumerate(hits) if hit]
    aps = [
        np.mean([height_at(level / 10) for level in range(11)]),
        sum(steps) / (objects[:, 7] == 0).sum(),
        np.mean([height_at(level) for level in np.linspace(0, 1, 101)]),
    ]
    return torch.tensor([*aps, max(recall, default=0.0)], dtype=torch.float64)


def stage(params: Params, result: Result) -> tuple[Scene, Scene]:
    """The image with its verdicts beside the curve."""
    walk, chosen = result.study.walk, result.chosen
    image = walk.image() or 0
    pixels, scale = chosen.picture(image)
    drag = params.source == "page"
    left = picture_scene(
        walk,
        pixels,
        scale,
        image,
        picture_caption(walk, chosen.titles[image] if len(chosen.titles) > 1 else ""),
        field="boxes" if drag else "",
        boxes=params.boxes if drag else (),
    )
    return left, curve_scene(walk, curve_caption(walk), aspect=pixels.shape[1] / pixels.shape[2])


def describe(params: Params, result: Result) -> str:
    """Counts, precision, recall and AP at the step."""
    walk = result.study.walk
    hits, misses = walk.counts()
    name = walk.names[walk.label]
    where = f"{RULES[params.rule]}'s matching at IoU {params.iou:.2f}"
    start = f"Left, objects and detections of class {name}; right, precision over recall. "
    if not walk.positives:
        return f"{start}No {name} counts as an object, so that recall and AP are undefined. {where}."
    seen = f"{where}: of the first {walk.step} of {len(walk.order)} detections {hits} are TP and {misses} FP"
    if not walk.step:
        return f"{start}{seen}."
    at = f"precision {walk.cut.precision[-1]:.3f}, recall {walk.cut.recall[-1]:.3f}"
    return f"{start}{seen}; {at}, AP so far {number(walk.ap(step=walk.step))} by {METHOD_TITLES[walk.method]}."


def pattern() -> tuple[bytes, bytes]:
    """A ground-truth and a result file to go by."""
    return example_files()


def evaluation(truth: CocoTruth, results: CocoResults) -> Callable[[Callable[..., None]], CocoReport]:
    """The work of evaluating a reader's files, which reports its progress."""
    return lambda progress: evaluate_files(truth, results, progress)


PAGE = Params()
LOOSE = replace(
    PAGE, boxes=LOOSE_PLACES, labels=(3, 3, 3, 3, 3, 3, 3, 3, 8), scores=(96, 91, 5, 80, 74, 66, 8, 48, 88, 92)
)
TWICE = replace(PAGE, boxes=TWICE_PLACES, labels=(3,), scores=(96, 91, 86, 74, 80, 60, 66, 54, 70, 63))
PAIRED = replace(PAGE, boxes=(*PLACES[:7], (22, 158, 82, 246), *PLACES[8:]))
PRESETS = {
    "One list, walked": Preset(
        PAGE, "Pull the first slider to 0 and step: each hit adds to AP, each miss lowers what later hits can add."
    ),
    "Stop at 0.80": Preset(
        replace(PAGE, walk=4),
        "A score threshold of 0.80 cuts the list here: precision 0.75, and AP 0.463 instead of 0.674. It only falls.",
        failure=True,
    ),
    "Sure and wrong": Preset(
        replace(PAGE, pick="C", score=1.0),
        "An eight called a three, moved to the top: no box moves, and AP falls from 0.674 to 0.590.",
        failure=True,
    ),
    "Same boxes, better order": Preset(
        replace(PAGE, pick="C", score=0.3),
        "The same mistake after the last hit is free: AP 0.752 instead of 0.674, and no box has moved.",
    ),
    "Perfect at 0.5": Preset(
        LOOSE,
        "Every hit is off by a quarter of its width, IoU 0.59 to 0.62: AP50 is 1, for both FPs come last. Go to IoU "
        "0.65, and AP is 0.",
        failure=True,
    ),
    "Without NMS": Preset(
        TWICE,
        "Ten boxes on five threes, none invented: five come second or third on a three and are FPs. AP 0.601, and "
        "without them 0.832.",
        failure=True,
    ),
    "One pair, two rules": Preset(
        replace(PAIRED, rule="voc"),
        "H overlaps a taken three most: FP for VOC, AP 0.568. COCO gives it the other three: AP 0.674.",
        failure=True,
    ),
    "One of two eights": Preset(
        replace(PAGE, digit="8", method="voc11"),
        "One perfect answer for two objects: 6 of 11 levels make AP 0.545; the area is 0.500, and 51 of 101 are 0.505.",
        failure=True,
    ),
    "A pair as a crowd": Preset(
        replace(PAGE, crowd=True), "Both threes become one region: F and H are ignored, neither TP nor FP."
    ),
    "Only the large": Preset(
        replace(PAGE, size="large"), "One object counts. Eight detections of other sizes do not: AP large is 1."
    ),
    "A test set": Preset(
        replace(PAGE, source="tests"),
        "A trained detector on 60 scenes, all threes in one list. Walk it: the picture is the one of each detection.",
    ),
    "Your files": Preset(
        replace(PAGE, source="own"), "Bring COCO's two files; until then the worked page stands in for them."
    ),
}
CONCEPT = Concept(
    params=Params,
    compute=compute,
    stage=stage,
    describe=describe,
    presets=PRESETS,
    table=lambda _, result: walk_rows(result.study.walk),
    formula=lambda _, result: formula_text(result.study.walk),
    reference=reference,
    inputs=inputs,
    checked=lambda result: result.study.checked,
    against="faster-coco-eval and numpy",
    tolerance=1e-9,
)
