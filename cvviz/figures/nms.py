"""Non-maximum suppression on a picture: all that the detector said, and what is left at one step or at the end."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import pandas as pd
import torch
from torch import Tensor

from cvviz.figures.scene import XYXY, Box, Scene, Shape, Text
from cvviz.figures.theme import BLUE, GREEN, GREY, PURPLE, VERMILLION
from cvviz.ops.nms import Method, Trace

CLASS_COLORS = (BLUE, PURPLE, GREEN, VERMILLION, GREY)
MOST_PLATES = 24  # more hide the picture, and take time to find room for
SCREEN_WIDTH = 320  # px, about what one of two pictures side by side gets


@dataclass(frozen=True)
class Suppression:
    """Boxes over a picture, and what happens to them.

    Args:
        pixels: (3, H, W) uint8.
        scale: pixels of ``pixels`` per unit of the boxes.
        boxes: (N, 4), all raw boxes by falling score; they are called #1, #2, ... in this order.
        scores: (N,) in [0, 1].
        labels: (N,) int64, their classes as places in ``names``.
        names: names of the classes.
        trace: what happens to them.
    """

    pixels: Tensor
    scale: float
    boxes: Tensor
    scores: Tensor
    labels: Tensor
    names: tuple[str, ...]
    trace: Trace

    @property
    def competing(self) -> Tensor:
        """(N,) bool: the boxes that reach the score threshold."""
        return self.trace.history[0] >= 0

    @property
    def final_scores(self) -> Tensor:
        """(N,) the score with which each box survives, 0 if it does not."""
        return torch.zeros_like(self.scores).scatter(0, self.trace.kept, self.trace.scores)

    def box(self, index: int, *, color: str, width: float, dash: bool = False, fill: float = 0) -> Box:
        """A raw box as a shape."""
        tip = f"#{index + 1} {self.class_of(index)}, score {self.said[index][0]:.3f}"
        return Box(xyxy=self.places[index], color=color, width=width, dash=dash, fill=fill, tip=tip)

    @cached_property
    def places(self) -> list[XYXY]:
        """Corners of the boxes in pixels of the picture."""
        return self.scaled(self.boxes)

    @cached_property
    def said(self) -> list[tuple[float, str]]:
        """Raw score and class of each box as plain values, which are read one by one many times over."""
        pairs = zip(self.scores.tolist(), self.labels.tolist(), strict=True)
        return [(score, self.names[label]) for score, label in pairs]

    def scaled(self, boxes: Tensor) -> list[XYXY]:
        """Corners (N, 4) in pixels of the picture."""
        return [(x1, y1, x2, y2) for x1, y1, x2, y2 in (boxes * self.scale).tolist()]

    def class_of(self, index: int) -> str:
        """Name of a box's class."""
        return self.said[index][1]

    def color(self, index: int) -> str:
        """Colour of a box's class."""
        return CLASS_COLORS[self.names.index(self.class_of(index)) % len(CLASS_COLORS)]

    def kept_label(self, place: int) -> str:
        """Name and present score of the box kept at a place of the trace."""
        return f"#{int(self.trace.kept[place]) + 1}: {self.trace.scores[place]:.3f}"


class Plates:
    """Labels at the upper left corners of boxes, where there is room: first come, first served."""

    def __init__(self, view: Suppression) -> None:
        self.height, self.width = view.pixels.shape[1:]
        self.unit = self.width / SCREEN_WIDTH
        self.taken: list[XYXY] = []
        self.shapes: list[Shape] = []

    def add(self, text: str, corners: XYXY, color: str) -> None:
        """Put a label above a box, else further down inside it, or further up if it is small; or leave it out."""
        if len(self.taken) == MOST_PLATES:
            return
        wide, high = 8.5 * self.unit * len(text), 19 * self.unit
        x = max(min(corners[0], self.width - wide), 0)
        room = min(corners[3], self.height)
        small = corners[3] - corners[1] < 3 * high
        for rows in (0, -1, -2, -3, 1) if small else range(7):
            y = corners[1] + rows * high
            plate = x, y - high, x + wide, y
            if high <= y <= room and not any(_overlap(plate, other) for other in self.taken):
                self.taken.append(plate)
                self.shapes.append(Text(x=x, y=y, text=text, color=color, centered=False, plate=True))
                return


def _overlap(first: XYXY, second: XYXY) -> bool:
    return first[0] < second[2] and second[0] < first[2] and first[1] < second[3] and second[1] < first[3]


def raw_scene(view: Suppression, caption: str) -> Scene:
    """All boxes; those below the score threshold are grey and dashed. One label per class, on its best box."""
    competing = view.competing.tolist()
    shapes: list[Shape] = []
    for index in reversed(range(len(competing))):  # the best on top
        color = view.color(index) if competing[index] else GREY
        shapes.append(view.box(index, color=color, width=1.3, dash=not competing[index]))
    plates, named = Plates(view), set[str]()
    for index in view.competing.nonzero().flatten().tolist() if len(view.names) > 1 else ():
        if (name := view.class_of(index)) not in named:
            named.add(name)
            plates.add(name, view.places[index], view.color(index))
    return Scene(pixels=view.pixels, shapes=shapes + plates.shapes, caption=caption)


def step_scene(view: Suppression, step: int, caption: str) -> Scene:
    """The boxes at a step: waiting, suppressed or lowered now, kept before, kept now. Step 0 is the start."""
    trace = view.trace
    lowered = trace.lowered(step - 1).tolist() if step else []
    racing = (trace.history[step] >= 0).nonzero().flatten().tolist()
    shapes: list[Shape] = [view.box(i, color=GREY, width=1.3) for i in reversed(racing) if i not in lowered]
    shapes += [view.box(index, color=VERMILLION, width=1.6, dash=True) for index in lowered]
    kept = trace.kept[:step].tolist()
    shapes += [view.box(index, color=BLUE, width=2.5) for index in kept[:-1]]
    shapes += [view.box(index, color=GREEN, width=4, fill=0.15) for index in kept[-1:]]
    plates = Plates(view)
    for place in reversed(range(step)):  # the newest has the first choice
        plates.add(view.kept_label(place), view.places[kept[place]], GREEN if place == step - 1 else BLUE)
    return Scene(pixels=view.pixels, shapes=shapes + plates.shapes, caption=caption)


def survivors_scene(view: Suppression, caption: str, *, missed: Tensor, extra: tuple[int, ...]) -> Scene:
    """The boxes that are left, and where the truth is known, what is wrong with them.

    Args:
        view: the boxes.
        caption: one line over the picture.
        missed: (M, 4), objects without a box.
        extra: boxes that found nothing new.
    """
    plates, kept = Plates(view), view.trace.kept.tolist()
    shapes: list[Shape] = []
    for corners in view.scaled(missed):
        shapes.append(Box(xyxy=corners, color=VERMILLION, width=2.5, dash=True, fill=0.2))
        plates.add("missed", corners, VERMILLION)
    for place, (index, score) in enumerate(zip(kept, view.trace.scores.tolist(), strict=True)):
        shapes.append(view.box(index, color=view.color(index), width=1.3 + 1.7 * score, dash=index in extra))
        plates.add(view.kept_label(place) + " extra" * (index in extra), view.places[index], view.color(index))
    return Scene(pixels=view.pixels, shapes=shapes + plates.shapes, caption=caption)


def step_formula(view: Suppression, step: int, *, method: Method, iou: float, sigma: float) -> str:
    """One step in LaTeX: the largest and the smallest overlap that counted, and the largest that did not."""
    trace = view.trace
    best = int(trace.kept[step - 1])
    overlaps, lowered = trace.overlaps[best], trace.lowered(step - 1)
    ranked = lowered[overlaps[lowered].argsort(descending=True, stable=True)].tolist()
    spared = overlaps * (trace.history[step] >= 0)
    spared[lowered] = 0
    shown = dict.fromkeys(ranked[:1] + ranked[-1:] + ([int(spared.argmax())] if spared.any() else []))
    lines = [rf"M &= b_{{{best + 1}}} && s_{{{best + 1}}} = {trace.scores[step - 1]:.3f}"]
    for index in shown:
        overlap, before = overlaps[index].item(), trace.history[step - 1, index].item()
        sign = "" if method == "gaussian" else rf" > {iou:.2f}" if overlap > iou else rf" \le {iou:.2f}"
        after = _new_score(before, overlap, method, iou, sigma)
        # A soft score that falls below the score threshold takes its box out as well.
        fate = r"\text{ is out}" if trace.history[step, index] < 0 else r"\text{ stays}"
        name = f"{{{index + 1}}}"
        score = "" if method == "hard" else rf"s_{name} = {after},\quad "
        lines.append(rf"\mathrm{{IoU}}(M, b_{name}) &= {overlap:.3f}{sign} && {score}b_{name}{fate}")
    return "$$\n\\begin{aligned}\n" + " \\\\\n".join(lines) + "\n\\end{aligned}\n$$"


def _new_score(before: float, overlap: float, method: Method, iou: float, sigma: float) -> str:
    if method == "gaussian":
        after = before * math.exp(-(overlap**2) / sigma)
        return rf"{before:.3f}\,e^{{-{overlap:.3f}^2/{sigma:.2f}}} = {after:.3f}"
    lowered = rf"{before:.3f}\,(1 - {overlap:.3f}) = {before * (1 - overlap):.3f}"
    return lowered if overlap > iou else f"{before:.3f}"


def fates(view: Suppression) -> pd.DataFrame:
    """Every raw box, by falling score, and what became of it."""
    trace = view.trace
    steps = (trace.history >= 0).sum(dim=0).tolist()  # the step in which each box leaves the race; 0: never in it
    kept = set(trace.kept.tolist())
    keepers = [int(trace.kept[step - 1]) if step else None for step in steps]
    frame = pd.DataFrame(view.boxes.numpy(), columns=["x1", "y1", "x2", "y2"])
    frame.insert(0, "box", range(1, len(frame) + 1))
    frame.insert(1, "class", [name for _, name in view.said])
    frame["raw score"], frame["final score"] = view.scores.numpy(), view.final_scores.numpy()
    below = "below the score threshold"
    frame["fate"] = ["kept" if i in kept else "suppressed" if step else below for i, step in enumerate(steps)]
    frame["step"] = steps
    overlaps = [None if keeper is None else trace.overlaps[keeper, i].item() for i, keeper in enumerate(keepers)]
    frame["IoU with the box kept"] = pd.Series(overlaps, dtype="float64")
    return frame


def survivor_rows(view: Suppression) -> pd.DataFrame:
    """The boxes that are left, best first, with their scores before and after."""
    kept = view.trace.kept.tolist()
    return _rows(view, kept, {"Raw score": view.scores[kept], "Final score": view.trace.scores})


def lowered_rows(view: Suppression, step: int) -> pd.DataFrame:
    """The boxes that a step (1 is the first) suppresses or lowers, largest overlap first."""
    lowered = view.trace.lowered(step - 1)
    overlaps = view.trace.overlaps[view.trace.kept[step - 1], lowered]
    order = overlaps.argsort(descending=True, stable=True)
    before, after = view.trace.history[step - 1 : step + 1, lowered[order]]
    columns = {"IoU with the box kept": overlaps[order], "Score before": before, "Score after": after}
    return _rows(view, lowered[order].tolist(), columns)


def _rows(view: Suppression, indices: list[int], columns: dict[str, Tensor]) -> pd.DataFrame:
    frame = pd.DataFrame({"Class": [view.class_of(index) for index in indices]})
    for name, values in columns.items():
        frame[name] = ["out" if value < 0 else f"{value:.3f}" for value in values.tolist()]
    return frame.set_index(pd.Index([f"#{index + 1}" for index in indices], name="Box"))
