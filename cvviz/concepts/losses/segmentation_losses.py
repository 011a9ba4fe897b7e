"""Segmentation losses: a mask that is painted or moved against its target, and where each loss pushes its pixels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Annotated, Any, cast

import pandas as pd
import plotly.graph_objects as go
import torch
import torch.nn.functional as F
from sklearn.metrics import f1_score
from torch import Tensor
from torchvision.transforms.functional import gaussian_blur

from cvviz.concept import Concept, Preset
from cvviz.controls import Choice, Many, Mask, Slider, Toggle, picture
from cvviz.data.masks import SIDE, TITLES, masked_photo
from cvviz.figures import segmentation_losses as figures
from cvviz.figures import segmentation_losses_words as words
from cvviz.figures.scene import PaintHandles, Scene
from cvviz.ops import mask_shapes
from cvviz.ops.segmentation_losses import Loss, Options
from cvviz.ops.segmentation_study import Descent, MaskStudy, Shrinking, shrinking_discs, study_mask, thresholded

VIEWS = {"masks": "Masks and errors", "gradient": "Where it pushes", "descent": "Descent", "size": "Small objects"}
SOURCES = {"disc": "Disc", "box": "Box", "target": "Target, moved"}
SMOOTHINGS = {"both": "Above and below", "below": "Below only", "none": "None"}
RADII = (0.5, 1, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10, 12, 14)  # of the discs in the view of small objects, px
STEPS, CHECKED = 60, 4  # steps of descent; those that the reference repeats
MIDDLE = SIDE / 2
PAIR = ("bce", "dice")
COINS = "zz12t5q7o9n9n9n8p6r3zzzzzzzzzzv4r7b1c9859a778b597a697a698977a787a7875"  # painted: two of the four


def on_mask(params: Params) -> bool:
    """Whether one mask is looked at."""
    return params.view != "size"


def shaped(*sources: str) -> Callable[[Params], bool]:
    """Tells whether sliders make the mask, of one of these sources."""
    return lambda params: params.view != "size" and not params.painted and params.source in sources


def descends(params: Params) -> bool:
    """Whether the descent is looked at."""
    return params.view == "descent"


def smooths(*ways: str) -> Callable[[Params], bool]:
    """Tells whether a loss is shown that is smoothed in one of these ways."""
    return lambda params: params.losses != ("bce",) and params.smoothing in ways


def needs(*names: str) -> Callable[[Params], bool]:
    """Tells whether one of the losses is shown."""
    return lambda params: not set(names).isdisjoint(params.losses)


@dataclass(frozen=True, slots=True)
class Params:
    """Target, prediction, losses and their options."""

    view: Annotated[str, Choice("View", VIEWS)] = "masks"
    step: Annotated[int, Slider("Step", 0, STEPS, 1, when=descends)] = 10
    rate: Annotated[float, Slider("Learning rate per pixel", 0.1, 10.0, log=True, when=descends)] = 1.0
    target: Annotated[str, Choice("Target", TITLES, when=on_mask)] = "cell"
    painted: Annotated[bytes, Mask("Painted mask", help="Paint on the prediction, or shape it here.", when=on_mask)] = (
        b""
    )
    source: Annotated[str, Choice("Prediction", SOURCES, when=shaped(*SOURCES))] = "disc"
    radius: Annotated[float, Slider("Radius", 0.0, 16.0, 0.5, unit="px", when=shaped("disc", "box"))] = 6.0
    grow: Annotated[int, Slider("Grow or shrink", -5, 5, 1, unit="px", when=shaped("target"))] = 0
    x: Annotated[int, Slider("To the right", -16, 16, 1, unit="px", when=shaped(*SOURCES))] = 0
    y: Annotated[int, Slider("Down", -16, 16, 1, unit="px", when=shaped(*SOURCES))] = 0
    shift: Annotated[int, Slider("Off by", 0, 6, 1, unit="px", when=lambda p: p.view == "size")] = 1
    inside: Annotated[float, Slider("Probability inside", 0.01, 0.99, 0.01)] = 0.9
    outside: Annotated[float, Slider("Probability outside", 0.01, 0.99, 0.01)] = 0.05
    blur: Annotated[float, Slider("Soft edge: blur σ", 0.0, 3.0, 0.1, unit="px")] = 0.6
    hard: Annotated[bool, Toggle("Threshold at 0.5 first", when=lambda p: p.view == "masks")] = False
    losses: Annotated[tuple[str, ...], Many("Losses", words.NAMES)] = ("bce", "dice", "jaccard", "tversky")
    alpha: Annotated[
        float, Slider("Tversky: α, false alarms", 0.0, 1.0, 0.05, when=needs("tversky", "focal_tversky"))
    ] = 0.3
    beta: Annotated[float, Slider("Tversky: β, misses", 0.0, 1.0, 0.05, when=needs("tversky", "focal_tversky"))] = 0.7
    gamma: Annotated[
        float, Slider("Focal Tversky: γ", 0.5, 3.0, 0.05, help="To the power 1/γ.", when=needs("focal_tversky"))
    ] = 1.35
    squared: Annotated[bool, Toggle("Dice: squares below the line", when=needs("dice", "bce_dice"))] = False
    smoothing: Annotated[str, Choice("Smoothing", SMOOTHINGS, when=smooths(*SMOOTHINGS))] = "both"
    smooth: Annotated[float, Slider("Smoothing s", 1e-6, 100.0, log=True, when=smooths("both", "below"))] = 1e-5


@dataclass(frozen=True, slots=True)
class Result:
    """Numbers of the current view.

    Args:
        checked: what the reference reproduces.
        mask: (H, W) bool, the prediction before it is made soft.
        study: of the prediction.
        slopes: (L, H, W) by the logits, in the view of pushes.
        course: of the descent, in its view.
        sizes: of small objects, in their view.
    """

    checked: Tensor
    mask: Tensor
    study: MaskStudy
    slopes: Tensor | None = None
    course: Descent | None = None
    sizes: Shrinking | None = None


def compute(params: Params) -> Result:
    """What the view needs."""
    mask, study = study_of(params)
    if params.view == "gradient":
        slopes = study.slopes()
        return Result(slopes * slopes[0].numel(), mask, study, slopes=slopes)
    if params.view == "descent":
        course = course_of(replace(params, step=0))
        return Result(course.p[: CHECKED + 1], mask, study, course=course)
    if params.view == "size":
        sizes = sizes_of(replace(params, target="cell", painted=b"", source="disc", radius=0.0, x=0, y=0))
        return Result(sizes.values, mask, study, sizes=sizes)
    hard = study.hard
    counts = torch.stack([hard.tp, hard.fp, hard.fn, hard.dice])
    return Result(torch.cat([study.values, study.hard_values, counts]), mask, study)


def options_of(params: Params) -> Options:
    """Options of the losses."""
    above = params.smooth if params.smoothing == "both" else 0.0
    below = 0.0 if params.smoothing == "none" else params.smooth
    return Options(params.alpha, params.beta, params.gamma, params.squared, above, below)


def shape_of(params: Params) -> Tensor:
    """(H, W) bool, painted or made by the sliders."""
    if params.painted:
        return torch.frombuffer(bytearray(params.painted), dtype=torch.uint8).view(SIDE, SIDE).bool()
    if params.source == "target":
        return mask_shapes.moved_mask(masked_photo(params.target).distance, params.x, params.y, params.grow)
    make = mask_shapes.disc_mask if params.source == "disc" else mask_shapes.box_mask
    return make(SIDE, MIDDLE + params.x, MIDDLE + params.y, params.radius)


def study_of(params: Params) -> tuple[Tensor, MaskStudy]:
    """The mask, and the study of its probabilities."""
    mask, target = shape_of(params), masked_photo(params.target).mask.double()
    p = mask_shapes.soft_mask(mask.double(), blur_of(params.blur), params.inside, params.outside)
    if params.hard and params.view == "masks":
        p = thresholded(p).double()
    return mask, study_mask(p, target, cast(tuple[Loss, ...], params.losses), options_of(params))


blur_of = lru_cache(maxsize=64)(lambda sigma: mask_shapes.blur_matrix(SIDE, sigma))


@lru_cache(maxsize=8)
def course_of(params: Params) -> Descent:
    """The whole descent."""
    return study_of(params)[1].descent(rate=params.rate, steps=STEPS)


@lru_cache(maxsize=8)
def sizes_of(params: Params) -> Shrinking:
    """Discs of all radii."""
    prediction = {"shift": params.shift, "inside": params.inside, "outside": params.outside, "blur": params.blur}
    return shrinking_discs(RADII, cast(tuple[Loss, ...], params.losses), options_of(params), side=SIDE, **prediction)


def inputs(_: Params, result: Result) -> dict[str, Any]:
    """Target and mask as pictures of letters, and the radii."""
    masks = {"target": result.study.target.int(), "mask": result.mask.int()}
    rows = {name: picture(mask.flatten().tolist(), SIDE) for name, mask in masks.items()}
    return rows | {"radii": list(RADII)}


def reference(
    view: str,
    target: Sequence[str],
    mask: Sequence[str],
    inside: float,
    outside: float,
    blur: float,
    hard: bool,
    losses: Sequence[str],
    alpha: float,
    beta: float,
    gamma: float,
    squared: bool,
    smoothing: str,
    smooth: float,
    rate: float,
    shift: int,
    radii: Sequence[float],
) -> Tensor:
    """Losses written out in torch, slopes by autograd, steps by torch.optim.SGD, F1 by scikit-learn."""
    above, below = (smooth if smoothing == "both" else 0.0), (0.0 if smoothing == "none" else smooth)

    def loss_of(name: str, p: Tensor, t: Tensor) -> Tensor:
        both, only_p, only_t = (p * t).sum(), (p * (1 - t)).sum(), ((1 - p) * t).sum()
        sums = (p * p + t * t).sum() if squared else p.sum() + t.sum()
        dice = 1 - (2 * both + above) / (sums + below)
        tversky = 1 - (both + above) / (both + alpha * only_p + beta * only_t + below)
        if name == "jaccard":
            return 1 - (both + above) / (both + only_p + only_t + below)
        if name in ("tversky", "focal_tversky"):
            return tversky if name == "tversky" else tversky.clamp(min=1e-12) ** (1 / gamma)
        if name == "dice":
            return dice
        return F.binary_cross_entropy(p, t) + (dice if name == "bce_dice" else 0)

    if view == "size":
        rows, columns = torch.meshgrid(torch.arange(32.0), torch.arange(32.0), indexing="ij")
        far = [(rows - 16).square() + (columns - 16 - dx).square() for dx in (0, shift)]
        pairs = [[(place <= radius**2).double() for place in far] for radius in radii]
        soft_pairs = [(soft(p, inside, outside, blur), t) for t, p in pairs]
        return torch.stack([torch.stack([loss_of(name, p, t) for p, t in soft_pairs]) for name in losses])
    t, p = cells(target), soft(cells(mask), inside, outside, blur)
    if view == "masks":
        found = p.round(decimals=6) >= 0.5
        values = [loss_of(name, q, t) for q in (found.double() if hard else p, found.double()) for name in losses]
        counts = [(found & (t == 1)).sum(), (found & (t == 0)).sum(), (~found & (t == 1)).sum()]
        f1 = f1_score(t.flatten().numpy(), found.flatten().numpy(), zero_division=float("nan"))
        return torch.stack([*values, *counts, torch.tensor(f1, dtype=t.dtype)])
    logits = p.logit().repeat(len(losses), 1, 1).requires_grad_()
    optimizer, course = torch.optim.SGD([logits], lr=rate * 1024), [p.expand(len(losses), 32, 32)]
    for _ in range(4):
        total = torch.stack([loss_of(name, row.sigmoid(), t) for name, row in zip(losses, logits, strict=True)]).sum()
        slopes = logits.grad = torch.autograd.grad(total, logits)[0]
        if view == "gradient":
            return slopes * 1024
        optimizer.step()
        course.append(logits.detach().sigmoid())
    return torch.stack(course)


def cells(rows: Sequence[str]) -> Tensor:
    """Letters to 0 and 1."""
    return torch.tensor([[letter == "#" for letter in row] for row in rows], dtype=torch.float64)


def soft(mask: Tensor, inside: float, outside: float, blur: float) -> Tensor:
    """Probabilities of a mask with a blurred edge."""
    if blur:
        width = 2 * int(torch.tensor(3 * blur, dtype=torch.float64).ceil()) + 1
        mask = gaussian_blur(mask[None, None], [width, width], [blur, blur])[0, 0]
    return outside + (inside - outside) * mask


def stage(params: Params, result: Result) -> go.Figure | list[Scene]:
    """The masks, the pushes, the descent, or the curves over the size."""
    if result.sizes:
        return figures.sizes_figure(params.losses, result.sizes)
    photo, p = masked_photo(params.target), result.study.p
    caption = words.prediction_caption(bool(params.painted))
    width = figures.WIDEST if params.view == "masks" else figures.SMALL
    start = figures.mask_scene(p, photo.outline, caption=caption, paint=handles(params, result), max_width=width)
    if result.slopes is not None:
        captions = words.push_captions(params.losses, result.slopes)
        return [start, *figures.push_scenes(result.slopes, photo.outline, captions)]
    if result.course:
        captions = words.course_captions(params.losses, result.course.iou[params.step])
        moved = zip(result.course.p[params.step], captions, strict=True)
        return [start, *(figures.mask_scene(row, photo.outline, caption=text) for row, text in moved)]
    caption = words.error_caption(result.study.hard)
    return [start, figures.error_scene(photo.photo, thresholded(p), photo.mask, photo.outline, caption=caption)]


def handles(params: Params, result: Result) -> PaintHandles:
    """The brush over the prediction."""
    ends = params.outside, params.inside
    if params.hard and params.view == "masks":
        ends = float(params.outside >= 0.5), float(params.inside >= 0.5)
    text = Mask("Mask").encode(bytes(result.mask.flatten().tolist()))
    return PaintHandles(field="painted", text=text, columns=SIDE, rows=SIDE, colors=figures.paint_colors(*ends))


def describe(params: Params, result: Result) -> str:
    """What the stage shows now."""
    if result.sizes:
        return words.sizes_sentence(params.losses, result.sizes, params.shift)
    if result.course:
        return words.course_sentence(params.losses, result.course.iou, params.step)
    if result.slopes is not None:
        return words.push_sentence(result.study, result.slopes)
    return words.mask_sentence(result.study, TITLES[params.target])


def formula(params: Params, result: Result) -> str:
    """The losses or pushes with their sums filled in."""
    if result.sizes:
        return words.sizes_formula(result.sizes)
    if result.course:
        return words.descent_formula(params.rate, SIDE * SIDE)
    return words.loss_formula(result.study) if result.slopes is None else words.slope_formula(result.study)


def table(params: Params, result: Result) -> pd.DataFrame:
    """Values by size, IoU by step, or a row for each pixel."""
    if result.sizes:
        return words.size_table(params.losses, result.sizes)
    if result.course:
        columns = [words.NAMES[name] for name in params.losses]
        return pd.DataFrame(result.course.iou.numpy(), columns=columns).rename_axis("step").reset_index()
    return words.pixel_table(result.study)


CONCEPT = Concept(
    params=Params,
    compute=compute,
    stage=stage,
    describe=describe,
    presets={
        "A disc on a cell": Preset(
            Params(),
            "Paint what is missing, or move the disc 3 px to the right: every loss falls, Jaccard always above Dice.",
        ),
        "Too large": Preset(
            Params(target="horse", source="target", grow=2, losses=("dice", "jaccard", "tversky")),
            "All errors are false alarms, which Tversky's α = 0.3 makes cheap: 0.28 against Dice's 0.37. Swap α and β.",
        ),
        "Too small": Preset(
            Params(target="horse", source="target", grow=-1, losses=("dice", "jaccard", "tversky")),
            "All errors are misses, dear at β = 0.7: now Tversky stands above Dice. Grow the mask to see them cross.",
        ),
        "Right, yet 0.74": Preset(
            Params(target="galaxy", source="target", blur=0.0),
            "At 0.5 no pixel is wrong. But 1,014 pixels at p = 0.05 weigh 51, the galaxy 10: soft Dice drowns in them.",
            failure=True,
        ),
        "99 % right": Preset(
            Params(target="galaxy", radius=0.0, hard=True),
            "Nothing is found: 99.0 % of the pixels are right, as the galaxy has 10 of 1,024. Dice and Jaccard say 1.",
            failure=True,
        ),
        "Thin, a pixel off": Preset(
            Params(target="vessels", source="target", x=1),
            "One pixel aside costs these vessels nearly half of their Dice at 0.5; the cell, moved alike, keeps 0.90.",
            failure=True,
        ),
        "Coins missed": Preset(
            Params(target="coins", painted=Mask("Mask").decode(COINS)),
            "Painted by hand: two of four coins, Dice 0.66. Overlap counts pixels; what an object is it does not know.",
        ),
        "Nothing found: 0/0": Preset(
            Params(target="sky", radius=0.0, hard=True, smoothing="none"),
            "A perfect answer, and Dice is 0/0. Smooth above and below: 0, perfect. Below only: 1, as bad as can be.",
            failure=True,
        ),
        "Empty target": Preset(
            Params(view="gradient", target="sky", smoothing="none", losses=("bce", "dice", "jaccard", "bce_dice")),
            "Dice is 1 however small p gets, so it pushes nowhere. Smooth it above and below, and drag s up from 10⁻⁵.",
            failure=True,
        ),
        "Sure mistake": Preset(
            Params(view="gradient", x=-9, y=-9, inside=0.99, outside=0.01, blur=0.0),
            "BCE pulls hardest at what is most wrong. Dice's pull has a factor p(1 − p): sure mistakes hardly get any.",
            failure=True,
        ),
        "The mistake stays": Preset(
            Params(
                view="descent", x=-9, y=-9, inside=0.99, outside=0.01, blur=0.0, losses=(*PAIR, "bce_dice"), step=30
            ),
            "After 60 steps Dice has found the cell and kept the mistake, at IoU 0.52. BCE, and their sum, clear it.",
            failure=True,
        ),
        "Faint start": Preset(
            Params(view="descent", target="galaxy", radius=0.0, rate=0.3, step=5),
            "From p = 0.05 everywhere a small object comes out under Dice in 4 steps, under BCE in 13: play the steps.",
        ),
        "Ever smaller": Preset(
            Params(view="size", blur=0.0, losses=("bce", "dice", "jaccard", "bce_dice")),
            "As the object shrinks BCE and wrong pixels fall, Dice and Jaccard rise to 1. Below, networks train on it.",
        ),
        "Squares": Preset(
            Params(squared=True, losses=PAIR),
            "V-Net's Dice: the background's 0.05 counts 0.0025, so 0.42 becomes 0.24. Masks of 0 and 1 see no change.",
        ),
    },
    table=table,
    formula=formula,
    reference=reference,
    inputs=inputs,
    checked=lambda result: result.checked,
    against="torch and scikit-learn",
    tolerance=1e-8,
)
