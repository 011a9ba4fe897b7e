"""A concept whose numbers can be checked by hand, and other references for it, for tests of what all concepts share.

They lie in a file because the code panel copies the source of functions. A script calls ``reference`` by this name, so
that a reference of another shape is made by a function.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Annotated

import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor
from torch import arange as count_up
from torch.nn.functional import relu

from cvviz.concept import Concept, Preset
from cvviz.controls import Choice, File, Image, LayerStack, Slider, Toggle
from cvviz.data.images import Picture, sample
from cvviz.figures.scene import Scene
from cvviz.ops.receptive_field import Layer


@dataclass(frozen=True, slots=True)
class Params:
    """A ramp 0, gain, 2 gain ... of ``count`` values, and fields that its reference does not take."""

    gain: Annotated[float, Slider("Gain", 0, 5, 0.1)] = 2.0
    count: Annotated[int, Slider("Values", 1, 8, 1)] = 3
    layers: Annotated[tuple[Layer, ...], LayerStack("Layers")] = (Layer(3, 2, 1),)
    shown: Annotated[str, Choice("Shown", ("ramp", "sum"))] = "ramp"
    negative: Annotated[bool, Toggle("Negative")] = False
    picture: Annotated[Picture, Image("Picture")] = sample("astronaut")
    backdrop: Annotated[Picture, Image("Backdrop", main=False)] = sample("coins")
    log: Annotated[int | None, File("Log", types=("txt",))] = None


@dataclass(frozen=True, slots=True)
class Result:
    """The ramp."""

    values: Tensor


def compute(params: Params) -> Result:
    """The ramp."""
    return Result(params.gain * torch.arange(params.count, dtype=torch.float64))


def reference(gain: float, count: int) -> Tensor:
    """The ramp by way of helpers, a module under an alias and a function under another name."""
    return scaled(ramp(count), gain)


def scaled(values: Tensor, gain: float) -> Tensor:
    """A linear layer of one weight."""
    return F.linear(values[:, None], torch.full((1, 1), gain, dtype=values.dtype)).flatten()


def ramp(count: int) -> Tensor:
    """0, 1, 2 ... below ``count``."""
    return relu(count_up(whole(count), dtype=torch.float64))


def whole(count: float) -> int:
    """The next whole number."""
    return math.ceil(count)


def of_weights() -> Callable[..., Tensor]:
    """A reference that starts from values computed on the way."""

    def reference(weights: list[float], gain: float) -> Tensor:
        return torch.tensor(weights, dtype=torch.float64) * gain

    return reference


def of_picture() -> Callable[..., Tensor]:
    """A reference that takes a picture: the mean of each of its colours."""

    def reference(picture: Tensor) -> Tensor:
        return picture.double().mean(dim=(1, 2))

    return reference


def of_nothing() -> Callable[..., Tensor]:
    """A reference without arguments."""

    def reference() -> Tensor:
        return torch.ones(2, dtype=torch.float64)

    return reference


def halvings(count: int) -> int:
    """How often ``count`` can be halved until nothing is left. Calls itself."""
    return halvings(count // 2) + 1 if count else 0


def too_large(gain: float, count: int) -> Tensor:
    """A reference that is off by a half everywhere."""
    return torch.arange(count, dtype=torch.float64) * gain + 0.5


def broken(gain: float) -> Tensor:
    """A reference that cannot be run."""
    raise RuntimeError("no such operator")


def weights_on_the_way(params: Params, result: Result) -> dict[str, list[float]]:
    """What ``of_weights`` starts from."""
    return {"weights": (result.values / params.gain).tolist()}


CONCEPT = Concept(
    params=Params,
    compute=compute,
    stage=lambda params, result: Scene(pixels=torch.zeros(3, 4, 4, dtype=torch.uint8)),
    describe=lambda params, result: f"A ramp of {params.count} values with a gain of {params.gain:g}.",
    table=lambda params, result: pd.DataFrame({"value": result.values.numpy()}),
    reference=reference,
    checked=lambda result: result.values,
    presets={
        "Plain": Preset(Params(), "Look at the slope."),
        "Steep": Preset(Params(gain=5.0), "Look at the end.", failure=True),
    },
)
FROM_INPUTS = replace(CONCEPT, reference=of_weights(), inputs=weights_on_the_way)
