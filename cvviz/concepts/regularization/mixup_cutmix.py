"""Mixup and CutMix of two pictures, with the labels that the mixed pictures deserve."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Annotated, Any

import pandas as pd
import torch
from scipy.special import betaincinv
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.overrides import TorchFunctionMode
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as tv

from cvviz.concept import Concept, Preset
from cvviz.controls import Choice, Image, Seed, Slider
from cvviz.data.images import Picture, per_picture, sample
from cvviz.figures.mixup_cutmix import scenes
from cvviz.figures.scene import Scene
from cvviz.ops.mix import Box, cutmix, cutmix_box, mixup

CAT, FLOWER = sample("chelsea"), sample("flower")
SOURCES = {"hand": "Set by hand", "drawn": "Drawn as in training"}


@dataclass(frozen=True, slots=True)
class Params:
    """What is mixed, by how much, and what a network would say to it."""

    source: Annotated[str, Choice("λ and the patch", options=SOURCES)] = "hand"
    lam: Annotated[float, Slider("λ, share of the first", 0.0, 1.0, 0.01, when=lambda p: p.source == "hand")] = 0.5
    cx: Annotated[int, Slider("Patch centre, x", 0, 100, 1, unit="%", when=lambda p: p.source == "hand")] = 80
    cy: Annotated[int, Slider("Patch centre, y", 0, 100, 1, unit="%", when=lambda p: p.source == "hand")] = 30
    alpha: Annotated[
        float, Slider("α of Beta(α, α)", 0.05, 20.0, 0.01, log=True, when=lambda p: p.source == "drawn")
    ] = 1.0
    seed: Annotated[int, Seed(when=lambda p: p.source == "drawn")] = 0
    p: Annotated[
        float, Slider("Prediction for the first", 0.01, 0.99, 0.01, help="A probability; the second gets the rest.")
    ] = 0.7
    first: Annotated[Picture, Image("First picture")] = CAT
    second: Annotated[Picture, Image("Second picture", main=False)] = FLOWER


@dataclass(frozen=True, slots=True)
class Mixed:
    """One mixed picture, (3, H, W) float32 in [0, 1].

    Args:
        label: (2,), float64: weights of the first and of the second class.
        loss: cross-entropy of the prediction under ``label``, in nats.
        least: entropy of ``label``, the loss of the best prediction there is.
    """

    image: Tensor
    label: Tensor
    loss: float
    least: float


@dataclass(frozen=True, slots=True)
class Result:
    """Inputs of one size, (3, H, W) float32 in [0, 1], and both mixtures.

    Args:
        lam: nominal share of the first picture.
        center: (x, y) of the patch before clipping, in pixels.
        box: (x1, y1, x2, y2) of the patch after clipping, in pixels.
    """

    first: Tensor
    second: Tensor
    lam: float
    center: tuple[int, int]
    box: Box
    mixup: Mixed
    cutmix: Mixed


def compute(params: Params) -> Result:
    """Mix the two pictures both ways and take the loss of the prediction."""
    height, width = working_size(params.first.pixels)
    first, second = fitted(params.first, height, width), fitted(params.second, height, width)
    lam, across, down = draws(params)
    center = min(int(across * width), width - 1), min(int(down * height), height - 1)
    y1, y2 = torch.eye(2, dtype=torch.float64)
    return Result(
        first=first,
        second=second,
        lam=lam,
        center=center,
        box=cutmix_box(height, width, lam=lam, center=center),
        mixup=judged(*mixup(first, second, y1, y2, lam), params.p),
        cutmix=judged(*cutmix(first, second, y1, y2, lam, center), params.p),
    )


def draws(params: Params) -> tuple[float, float, float]:
    """λ and the centre of the patch as shares of width and height.

    λ is the quantile of Beta(α, α) at a uniform number, so that it glides while α moves instead of jumping about.
    """
    if params.source == "hand":
        return params.lam, params.cx / 100, params.cy / 100
    generator = torch.Generator().manual_seed(params.seed)
    u, across, down = torch.rand(3, generator=generator, dtype=torch.float64).tolist()
    return float(betaincinv(params.alpha, params.alpha, u)), across, down


def judged(image: Tensor, label: Tensor, p: float) -> Mixed:
    """``image`` with its label, the loss of the prediction (p, 1 - p), and the least loss."""
    loss = label[0].item() * -math.log(p) + label[1].item() * -math.log1p(-p)
    return Mixed(image, label, loss, float(torch.special.entr(label).sum()))


def working_size(pixels: Tensor) -> tuple[int, int]:
    """(height, width) of a picture reduced to 256 pixels on its longest side."""
    height, width = pixels.shape[-2:]
    scale = min(1.0, 256 / max(height, width))
    return max(1, round(scale * height)), max(1, round(scale * width))


def crop_and_resize(pixels: Tensor, height: int, width: int) -> Tensor:
    """The largest centred part of ``pixels`` with the shape of height x width, resized to it."""
    scale = min(pixels.shape[-2] / height, pixels.shape[-1] / width)
    part = tv.center_crop(pixels, [max(1, round(scale * height)), max(1, round(scale * width))])
    resized: Tensor = tv.resize(part, [height, width], antialias=True)
    return resized


@per_picture
def fitted(picture: Picture, height: int, width: int) -> Tensor:
    """(3, height, width), float32 in [0, 1]."""
    return crop_and_resize(picture.pixels, height, width) / 255


def given_draws(values: Sequence[int]) -> TorchFunctionMode:
    """Inside ``with``, and in this thread alone, torch.randint returns these values one by one."""
    remaining = iter(values)

    class GivenDraws(TorchFunctionMode):
        def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            return torch.tensor([next(remaining)]) if function is torch.randint else function(*args, **(kwargs or {}))

    return GivenDraws()


def reference(first: Tensor, second: Tensor, lam: float, center: list[int], p: float) -> Tensor:
    """By torchvision: its box, pixels and label; only the draws of λ and of the centre are given to it."""
    height, width = working_size(first)
    batch = torch.stack([crop_and_resize(pixels, height, width) / 255 for pixels in (first, second)])
    log_p = torch.tensor([[p, 1 - p]]).log()
    parts = []
    for transform in (v2.MixUp(num_classes=2), v2.CutMix(num_classes=2)):
        transform._dist = SimpleNamespace(sample=lambda _: lam)  # instead of Beta(alpha, alpha)
        with given_draws(center):
            images, labels = transform(batch, torch.tensor([0, 1]))
        parts += [labels[0], cross_entropy(log_p, labels[:1])[None], images[0].flatten()]
    return torch.cat(parts)


def inputs(_: Params, result: Result) -> dict[str, Any]:
    """λ and the centre as they were set or drawn."""
    return {"lam": result.lam, "center": list(result.center)}


def checked(result: Result) -> Tensor:
    """Label, loss and pixels of Mixup, then of CutMix."""
    mixed = (result.mixup, result.cutmix)
    return torch.cat([torch.cat([m.label, torch.tensor([m.loss]), m.image.flatten()]) for m in mixed])


def stage(_: Params, result: Result) -> Sequence[Scene]:
    """Mixup and CutMix over the bars of their labels, and the two inputs."""
    return scenes(
        (result.first, result.second),
        (result.mixup.image, result.cutmix.image),
        (result.mixup.label[0].item(), result.cutmix.label[0].item()),
        lam=result.lam,
        box=result.box,
        center=result.center,
    )


def describe(params: Params, result: Result) -> str:
    """Labels and losses of both pictures."""
    (x1, y1, x2, y2), (height, width) = result.box, result.first.shape[1:]
    return (
        f"Mixup of {params.first.title} and {params.second.title}: label {result.lam:.3f} for the first, loss "
        f"{result.mixup.loss:.3f}. CutMix at the same λ pastes {x2 - x1} × {y2 - y1} of {width} × {height} px: label "
        f"{result.cutmix.label[0]:.3f} for the first, loss {result.cutmix.loss:.3f}."
    )


def formula(params: Params, result: Result) -> str:
    """The mixed cross-entropies, and the share of the first picture after clipping."""
    (x1, y1, x2, y2), (height, width) = result.box, result.first.shape[1:]
    first, second = -math.log(params.p), -math.log1p(-params.p)

    def mixed_loss(mixed: Mixed) -> str:
        weights = mixed.label.tolist()
        return rf"{weights[0]:.3f} \cdot {first:.3f} + {weights[1]:.3f} \cdot {second:.3f} = {mixed.loss:.3f}"

    lines = (
        rf"\mathrm{{CE}}_1 = -\ln {params.p:.2f} &= {first:.3f}, \quad \mathrm{{CE}}_2 = {second:.3f}",
        rf"\text{{Mixup: }} \lambda\,\mathrm{{CE}}_1 + (1 - \lambda)\,\mathrm{{CE}}_2 &= {mixed_loss(result.mixup)}",
        rf"\text{{CutMix: }} \lambda' = 1 - \tfrac{{{x2 - x1} \times {y2 - y1}}}{{{width} \times {height}}} "
        rf"&= {result.cutmix.label[0]:.3f}",
        rf"\lambda'\,\mathrm{{CE}}_1 + (1 - \lambda')\,\mathrm{{CE}}_2 &= {mixed_loss(result.cutmix)}",
    )
    return "$$\n\\begin{aligned}" + r"\\".join(lines) + "\\end{aligned}\n$$"


def table(_: Params, result: Result) -> pd.DataFrame:
    """Labels and losses, one row per method."""
    columns = ["method", "λ", "label of first", "label of second", "loss (nats)", "least possible loss (nats)"]
    rows = (("Mixup", result.mixup), ("CutMix", result.cutmix))
    return pd.DataFrame([(name, result.lam, *m.label.tolist(), m.loss, m.least) for name, m in rows], columns=columns)


PRESETS = {
    "Clipped at the border": Preset(
        Params(), "λ is one half for both, yet the border cuts the patch: CutMix must give the first picture 0.638."
    ),
    "Half and half": Preset(
        Params(cx=50, cy=50, p=0.5),
        "Both labels are one half, up to whole pixels, and the best possible prediction still pays ln 2 = 0.69.",
    ),
    "Patch in the corner": Preset(
        Params(cx=0, cy=0),
        "λ asks for one half, the border cuts off three quarters of the patch, and the label must say 0.88.",
        failure=True,
    ),
    "Sure and punished": Preset(
        Params(cx=50, cy=50, p=0.99),
        "A network sure of the first class pays 2.3 where an undecided one pays 0.7: mixing trains confidence away.",
        failure=True,
    ),
    "As sure as the label": Preset(
        Params(lam=0.7, cx=50, cy=50, p=0.7),
        "The prediction equals Mixup's label: the loss is 0.61, and no prediction has less.",
    ),
    "The face is gone": Preset(
        Params(first=sample("astronaut"), lam=0.86, cx=43, cy=23, p=0.9),
        "CutMix counts pixels, not content: the label still gives the astronaut 0.865.",
        failure=True,
    ),
    "One training step, α = 1": Preset(
        Params(source="drawn", alpha=1.0, seed=3),
        "λ is uniform and the centre lies anywhere: here λ = 0.034, and the label is 0.445. Step through the seeds.",
    ),
    "α = 0.2, as for ImageNet": Preset(
        Params(source="drawn", alpha=0.2, seed=12),
        "Only a third of all steps draw a λ between 0.1 and 0.9; the rest hardly mix.",
    ),
    "α near zero": Preset(
        Params(source="drawn", alpha=0.05, seed=1),
        "Four λ in five lie within 0.01 of 0 or 1: Mixup gives a plain picture. CutMix at λ = 0 keeps what the "
        "clipped patch leaves.",
        failure=True,
    ),
    "α = 20": Preset(
        Params(source="drawn", alpha=20.0, seed=1),
        "Nine λ in ten lie between 0.37 and 0.63: Mixup never shows a clean picture, and clean ones come at test time.",
    ),
}


CONCEPT = Concept(
    params=Params,
    compute=compute,
    stage=stage,
    describe=describe,
    presets=PRESETS,
    table=table,
    formula=formula,
    reference=reference,
    inputs=inputs,
    checked=checked,
    against="torchvision",
)
