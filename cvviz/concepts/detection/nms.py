"""Non-maximum suppression: the raw boxes of real detectors go in, survivors come out, step by step."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated

import numpy as np
import torch
import torchvision
from numpy.typing import NDArray
from torch import Tensor

from cvviz.concept import Concept, Preset
from cvviz.controls import Choice, File, Image, Many, Seed, Slider, Toggle
from cvviz.data.crowd import Crowd, Outcome, crowd, outcome
from cvviz.data.detections import Detections, detections, example, read_detections
from cvviz.data.detectors import DETECTORS, MOST_WINDOWS, backdrop, detect, reduced
from cvviz.data.images import Picture, sample
from cvviz.figures.nms import Suppression, fates, raw_scene, step_formula, step_scene, survivors_scene
from cvviz.figures.scene import Scene
from cvviz.ops.nms import Method, trace_nms
from cvviz.zoo.digit_boxes import digit_boxes, picture_digits
from cvviz.zoo.pretrained import PRETRAINED, pretrained_boxes

ASTRONAUT = sample("astronaut")
END = 40
METHODS = {"hard": "Hard", "linear": "Soft, linear", "gaussian": "Soft, Gaussian"}
SOURCES = {
    "picture": "Picture, OpenCV's detectors",
    "digits": "Digits, a network trained here",
    "pretrained": "Picture, a network trained on COCO",
    "crowd": "Drawn crowd, simulated detector",
    "own": "Your file",
}
NOTHING = detections([], [], [], ("nothing",))
TITLES = {name: model.title for name, model in PRETRAINED.items()}


def on_picture(params: Params) -> bool:
    """Whether a picture is looked at."""
    return params.source in ("picture", "pretrained", "own") or (params.source == "digits" and params.photo)


def is_composed(params: Params) -> bool:
    """Whether a scene of digits is composed."""
    return params.source == "digits" and not params.photo


def is_seeded(params: Params) -> bool:
    """Whether a scene is drawn."""
    return is_composed(params) or params.source == "crowd"


@dataclass(frozen=True, slots=True)
class Params:
    """Where the boxes come from, and how they are suppressed."""

    iou: Annotated[
        float,
        Slider(
            "IoU threshold",
            0.0,
            1.0,
            0.01,
            help="A box goes if its IoU with a kept box exceeds this: at 0 any overlap is enough, at 1 none is.",
            when=lambda p: p.method != "gaussian",
        ),
    ] = 0.3
    sigma: Annotated[
        float, Slider("Width of the Gaussian σ", 0.05, 1.0, 0.05, when=lambda p: p.method == "gaussian")
    ] = 0.5
    score: Annotated[float, Slider("Score threshold", 0.0, 1.0, 0.01, help="Boxes below it take no part.")] = 0.5
    step: Annotated[
        int, Slider("Step", 0, END, 1, help="Each step keeps one box; at the right end all steps are done.")
    ] = END
    method: Annotated[Method, Choice("Method", options=METHODS)] = "hard"
    aware: Annotated[
        bool,
        Toggle(
            "Class-aware",
            help="Only boxes of one class compete.",
            when=lambda p: p.source != "picture" or len(p.detect) > 1,
        ),
    ] = True
    source: Annotated[str, Choice("Boxes from", options=SOURCES)] = "picture"
    photo: Annotated[
        bool,
        Toggle("On a picture", help="Digits that you drew or photographed.", when=lambda p: p.source == "digits"),
    ] = False
    picture: Annotated[Picture, Image("Picture", when=on_picture)] = ASTRONAUT
    model: Annotated[str, Choice("Network", TITLES, when=lambda p: p.source == "pretrained")] = "ssdlite"
    detect: Annotated[
        tuple[str, ...],
        Many("Detectors", options=DETECTORS, help="Each is a class.", when=lambda p: p.source == "picture"),
    ] = ("face",)
    file: Annotated[
        Detections | None,
        File(
            "Your detections",
            types=("csv", "json"),
            parse=read_detections,
            help="CSV with x1,y1,x2,y2,score,label or x,y,w,h,score,label in its first line, or COCO's JSON.",
            when=lambda p: p.source == "own",
        ),
    ] = None
    spacing: Annotated[
        float,
        Slider("Distance of neighbours", 0.2, 1.2, 0.05, unit="widths", when=lambda p: p.source == "crowd"),
    ] = 0.35
    density: Annotated[float, Slider("Density", 0.0, 1.0, 0.05, help="How many digits.", when=is_composed)] = 0.5
    noise: Annotated[float, Slider("Noise", 0.0, 1.0, 0.05, when=is_composed)] = 0.2
    seed: Annotated[int, Seed(when=is_seeded)] = 1


@dataclass(frozen=True, slots=True)
class Result:
    """What went in, and all that happened.

    Attributes:
        view: picture, raw boxes by falling score, and every step of the suppression.
        step: the step shown, 0 to K.
        done: whether the end is shown rather than a step.
        scene: a scene whose objects are known, or None.
        outcome: what became of its objects.
        notes: sentences about where the boxes come from.
        pending: name of the network whose weights must be downloaded first, or "".
    """

    view: Suppression
    step: int
    done: bool
    scene: Crowd | None
    outcome: Outcome | None
    notes: tuple[str, ...]
    pending: str = ""

    @property
    def missed(self) -> Tensor:
        """(M, 4), known objects without a box."""
        if self.scene is None or self.outcome is None:
            return torch.empty(0, 4)
        return self.scene.truth[list(self.outcome.missed)]

    @property
    def extra(self) -> tuple[int, ...]:
        """Boxes that found nothing new, where the objects are known."""
        return self.outcome.extra if self.outcome else ()


def compute(params: Params) -> Result:
    """Raw boxes of the chosen source, and every step of the chosen suppression."""
    scene: Crowd | None = None
    notes: tuple[str, ...] = ()
    pending = ""
    if params.source == "digits" and params.photo:
        pixels, raw = picture_digits(params.picture, MOST_WINDOWS)
        scale = 1.0
        notes = ("The picture at 256 px: digits of 14 to 56 px in it are what the network was trained on.",)
    elif params.source == "digits":
        digits, raw = digit_boxes(params.seed, params.density, params.noise, MOST_WINDOWS)
        scene = Crowd(digits.pixels, raw, digits.boxes.double(), digits.labels)
        pixels, scale = scene.pixels, 1.0
        notes = ("The raw head: every anchor and class with a score of 0.05 or more. The scene was not trained on.",)
    elif params.source == "pretrained":
        pixels, scale = reduced(params.picture), 1.0
        pending = "" if PRETRAINED[params.model].here else params.model
        raw = NOTHING if pending else pretrained_boxes(params.picture, params.model)
    elif params.source == "crowd":
        scene = crowd(params.spacing, params.seed)
        pixels, scale, raw = scene.pixels, 1.0, scene.raw
        notes = ("The scene is drawn, and its detector simulated: what is there is known.",)
    elif params.source == "own":
        raw = (params.file or example()).best(MOST_WINDOWS)
        pixels, scale = backdrop(raw, params.picture)
        notes = () if params.file else ("This is a made-up example until you choose a file.",)
    else:
        pixels, scale, raw = reduced(params.picture), 1.0, detect(params.picture, params.detect)
    trace = trace_nms(
        raw.boxes,
        raw.scores,
        idxs=raw.labels if params.aware else None,
        method=params.method,
        iou_threshold=params.iou,
        sigma=params.sigma,
        score_threshold=params.score,
    )
    return Result(
        view=Suppression(pixels, scale, raw.boxes, raw.scores, raw.labels, raw.names, trace),
        step=min(params.step, len(trace.kept)),
        done=params.step == END or params.step > len(trace.kept),
        scene=scene,
        outcome=outcome(scene, trace.kept) if scene else None,
        notes=(*notes, *raw.notes),
        pending=pending,
    )


def inputs(_: Params, result: Result) -> dict[str, object]:
    """The raw boxes, which the reference starts from."""
    view = result.view
    return {"boxes": view.boxes.tolist(), "scores": view.scores.tolist(), "labels": view.labels.tolist()}


def reference(
    boxes: list[list[float]],
    scores: list[float],
    labels: list[int],
    method: str,
    aware: bool,
    iou: float,
    sigma: float,
    score: float,
) -> Tensor:
    """The score with which each box survives, 0 if it does not: torchvision's NMS, or Soft-NMS in numpy, per class."""
    survived = torch.zeros(len(scores), dtype=torch.float64)
    classes = np.array(labels) if aware else np.zeros(len(scores))
    for label in np.unique(classes):
        index = np.flatnonzero((classes == label) & (np.array(scores) >= score))
        some_boxes, some_scores = np.array(boxes)[index], np.array(scores)[index]
        if method == "hard":
            kept = torchvision.ops.nms(torch.from_numpy(some_boxes), torch.from_numpy(some_scores), iou).numpy()
            survived[index[kept]] = torch.from_numpy(some_scores[kept])
        else:
            survived[index] = torch.from_numpy(soften(some_boxes, some_scores, method, iou, sigma, score))
    return survived


def soften(
    boxes: NDArray[np.float64], scores: NDArray[np.float64], method: str, iou: float, sigma: float, score: float
) -> NDArray[np.float64]:
    """Scores after Soft-NMS, 0 for boxes that fell below ``score``."""
    x1, y1, x2, y2 = boxes.T
    area = (x2 - x1) * (y2 - y1)
    final, racing = np.zeros_like(scores), np.ones(len(scores), dtype=bool)
    while racing.any():
        best = int(np.where(racing, scores, -1).argmax())
        final[best], racing[best] = scores[best], False
        width = np.minimum(x2, x2[best]) - np.maximum(x1, x1[best])
        height = np.minimum(y2, y2[best]) - np.maximum(y1, y1[best])
        shared = width.clip(min=0) * height.clip(min=0)
        overlap = shared / (area + area[best] - shared)
        weight = np.exp(-(overlap**2) / sigma) if method == "gaussian" else np.where(overlap > iou, 1 - overlap, 1.0)
        scores = scores * weight
        racing &= (scores >= score) & (weight > 0)
    return final


def boxes_of(count: int, kind: str = "") -> str:
    """A count of boxes in words."""
    return f"{count} {kind}box{'' if count == 1 else 'es'}"


def setting(params: Params) -> str:
    """The method and its parameter in words."""
    if params.method == "gaussian":
        return f"Gaussian Soft-NMS with σ = {params.sigma:.2f}"
    return f"{'hard NMS' if params.method == 'hard' else 'linear Soft-NMS'} at IoU {params.iou:.2f}"


def stage(params: Params, result: Result) -> tuple[Scene, Scene]:
    """What the detector said beside what is left."""
    view, step, count = result.view, result.step, len(result.view.trace.kept)
    competing = int(view.competing.sum())
    left = raw_scene(view, f"Raw: {boxes_of(len(view.scores))}, {competing} from score {params.score:.2f} on")
    if result.done:
        caption = f"Survivors: {boxes_of(count)}, {setting(params)}"
        return left, survivors_scene(view, caption, missed=result.missed, extra=result.extra)
    if step == 0:
        return left, step_scene(view, 0, f"Before the first step: {boxes_of(competing)} in the race")
    fate = "out" if params.method == "hard" else "lowered"
    caption = f"Step {step} of {count}: green kept, {len(view.trace.lowered(step - 1))} dashed {fate}"
    return left, step_scene(view, step, caption)


def describe(params: Params, result: Result) -> str:
    """Numbers in, numbers out, and what the step shown does."""
    trace, step, count = result.view.trace, result.step, len(result.view.trace.kept)
    total, competing = boxes_of(len(result.view.scores), "raw "), int(result.view.competing.sum())
    start = f"Left: {total}, {competing} of them with a score of at least {params.score:.2f}. Right: "
    if result.done:
        end = f"{boxes_of(count)} left by {setting(params)}."
        if result.scene and result.outcome:
            found, things = len(result.outcome.found), len(result.scene.truth)
            end += f" {found} of {things} objects are found; {boxes_of(len(result.outcome.extra))} found nothing new."
        return start + end
    if step == 0:
        return start + "those before the first step."
    verb = "suppresses" if params.method == "hard" else "lowers the scores of"
    return (
        f"{start}step {step} of {count} keeps box {int(trace.kept[step - 1]) + 1} with a score of "
        f"{trace.scores[step - 1]:.3f} and {verb} {boxes_of(len(trace.lowered(step - 1)), 'other ')}."
    )


def formula(params: Params, result: Result) -> str:
    """The step shown, or the first one at the end."""
    count = len(result.view.trace.kept)
    if result.pending:
        return "The network's weights are not here yet: download them below, or choose another source."
    if not count:
        return f"No box has a score of {params.score:.2f} or more: there is nothing to suppress."
    step = 1 if result.done else max(result.step, 1)
    lines = step_formula(result.view, step, method=params.method, iou=params.iou, sigma=params.sigma)
    return f"Step {step} of {count}, its largest overlap and its closest calls:\n\n{lines}"


CROWD = Params(source="crowd", score=0.3)
EYES = Params(detect=("face", "eye"), score=0.9)
DIGITS = Params(source="digits", density=0.8, seed=7, score=0.3, iou=0.5)
PRESETS = {
    "One face": Preset(Params(), "The sliding window answers to one face many times; one box survives."),
    "First step": Preset(Params(step=1), "The best box is kept, and all that overlaps it by more than 0.30 goes."),
    "Nested windows": Preset(
        Params(iou=0.5), "A box inside a box has a small IoU, here 0.38: at 0.50 one face has two.", failure=True
    ),
    "Threshold too high": Preset(
        Params(iou=0.9), "Only near copies go: one face is reported again and again.", failure=True
    ),
    "Face and eyes": Preset(EYES, "Per class: the face and both eyes survive, although the eyes lie inside it."),
    "Eyes lost": Preset(
        replace(EYES, iou=0.03, aware=False),
        "Without classes and at a low threshold the face suppresses its eyes, which are no copies of it.",
        failure=True,
    ),
    "Motorcycle lost": Preset(
        replace(CROWD, spacing=1.0, iou=0.5, aware=False),
        "The motorcycle overlaps its rider by more than half: without classes the rider, scored higher, removes it.",
        failure=True,
    ),
    "Crowd, hard": Preset(CROWD, "Who stands too close to a better box is suppressed with its copies.", failure=True),
    "Crowd, soft": Preset(
        replace(CROWD, method="gaussian"), "Neighbours lose score instead of vanishing, and everybody is found."
    ),
    "Digits, raw head": Preset(
        Params(source="digits", score=0.05, step=0),
        "Hundreds of boxes: neighbouring anchors all answer to one digit, some of them with another class.",
    ),
    "Digits, per class": Preset(
        DIGITS, "Suppressed class by class, 9 of 10 digits are found, two of them with two more boxes of other classes."
    ),
    "Digits lost": Preset(
        replace(DIGITS, aware=False),
        "Without classes two more digits go: a 5 to its neighbour's box, and a 1 to a better-scored “6” on itself.",
        failure=True,
    ),
    "False alarms": Preset(
        Params(detect=("person",), score=0.0),
        "Without a score threshold each false alarm survives that overlaps nothing better: NMS does not judge.",
        failure=True,
    ),
    "One car, two names": Preset(
        Params(source="own", iou=0.5), "Class-aware: a car that is also called a truck keeps two boxes.", failure=True
    ),
}
CONCEPT = Concept(
    params=Params,
    compute=compute,
    stage=stage,
    describe=describe,
    table=lambda _, result: fates(result.view),
    formula=formula,
    reference=reference,
    inputs=inputs,
    checked=lambda result: result.view.final_scores,
    against="torchvision and numpy",
    presets=PRESETS,
)
