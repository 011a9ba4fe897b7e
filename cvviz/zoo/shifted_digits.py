"""Small networks that read handwritten digits, alike but for their pooling, and how they take a shift of the digits.

Scikit-learn's scans of 8 x 8 pixels lie in the middle of 16 x 16; everything is circular, so that a shift brings
nothing new into the picture. Two poolings of stride 2 make each network exactly invariant to shifts by 4 px if its head
is a global average. Training one takes a few seconds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cvviz.ops.shift import Kind, circular_pool2d

STRIDE = 4  # px, of a whole network
SHIFTS = 9  # 0 to 8 px, to the right and down at once
_TRAINED_ON = 1347  # three quarters of the scans, in the file's order
_EPOCHS, _BATCH, _RATE, _WIDTH = 8, 64, 5e-3, 16


@dataclass(frozen=True, slots=True)
class Recipe:
    """A network and its training.

    Args:
        pooling: of both poolings, with windows of 2 px and stride 2.
        flatten: whether its head reads every place of the last maps, instead of their mean.
        augment: whether every batch it is trained on is shifted at random.
    """

    pooling: Kind
    flatten: bool = False
    augment: bool = False


RECIPES = {
    "Stride only": Recipe("subsample"),
    "Max": Recipe("max"),
    "Average": Recipe("average"),
    "Max + blur": Recipe("blur"),
    "Max, flattened": Recipe("max", flatten=True),
    "Max, trained shifted": Recipe("max", augment=True),
}


class DigitNet(nn.Module):
    """Three convolutions, two poolings, and a fully connected layer: (N, 1, 16, 16) -> (N, 10)."""

    def __init__(self, recipe: Recipe) -> None:
        super().__init__()
        self.recipe = recipe
        self.first, self.second, self.third = _conv(1, _WIDTH), _conv(_WIDTH, 2 * _WIDTH), _conv(2 * _WIDTH, 2 * _WIDTH)
        self.classify = nn.Linear(2 * _WIDTH * (STRIDE**2 if recipe.flatten else 1), 10)

    def forward(self, images: Tensor) -> Tensor:
        """Logits of the ten digits."""
        maps = circular_pool2d(self.first(images), self.recipe.pooling)
        maps = self.third(circular_pool2d(self.second(maps), self.recipe.pooling))
        logits: Tensor = self.classify(maps.flatten(1) if self.recipe.flatten else maps.mean((2, 3)))
        return logits


def _conv(before: int, width: int) -> nn.Module:
    kernel = nn.Conv2d(before, width, 3, padding=1, padding_mode="circular", bias=False)
    return nn.Sequential(kernel, nn.BatchNorm2d(width), nn.ReLU())


@lru_cache(maxsize=1)
def digits() -> tuple[Tensor, Tensor]:
    """(1797, 1, 16, 16) float32 scans, 0 to 1, and their (1797,) int64 labels."""
    from sklearn.datasets import load_digits

    scans = load_digits()
    return F.pad(torch.tensor(scans.images / 16, dtype=torch.float32)[:, None], (4, 4, 4, 4)), torch.tensor(
        scans.target
    )


def train(recipe: Recipe, *, seed: int = 0, report: Callable[[float], object] | None = None) -> DigitNet:
    """Train a network, in evaluation mode when done.

    Args:
        recipe: which, and on what.
        seed: of the weights, the order and the shifts.
        report: called with the fraction done, from 0 to 1; what it raises ends the training.
    """
    images, labels = digits()
    draw = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = DigitNet(recipe)
    batches = _TRAINED_ON // _BATCH
    optimizer = torch.optim.Adam(net.parameters(), lr=_RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, _RATE, total_steps=_EPOCHS * batches)
    for epoch in range(_EPOCHS):
        order = torch.randperm(_TRAINED_ON, generator=draw)[: batches * _BATCH].view(batches, _BATCH)
        for step, chosen in enumerate(order):
            if report:
                report((epoch + step / batches) / _EPOCHS)
            batch = images[chosen]
            if recipe.augment:
                down, right = torch.randint(16, (2,), generator=draw).tolist()
                batch = batch.roll((down, right), (2, 3))
            optimizer.zero_grad()
            F.cross_entropy(net(batch), labels[chosen]).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
    return net.eval()


@torch.no_grad()
def accuracy_by_shift(net: DigitNet) -> Tensor:
    """(SHIFTS,) share of the 450 test digits read right, shifted by 0, 1, ... px to the right and down."""
    images, labels = (part[_TRAINED_ON:] for part in digits())
    right = [net(images.roll((shift, shift), (2, 3))).argmax(1) == labels for shift in range(SHIFTS)]
    return torch.stack(right).float().mean(1)


def train_all(progress: Callable[[float, str, dict[str, Tensor] | None], None], *, seed: int = 0) -> dict[str, Tensor]:
    """Train every recipe; name -> accuracy by shift, published as each is done."""
    found: dict[str, Tensor] = {}
    for index, (name, recipe) in enumerate(RECIPES.items()):

        def report(fraction: float, index: int = index, name: str = name) -> None:
            progress((index + fraction) / len(RECIPES), f"Training: {name}", dict(found) if found else None)

        found[name] = accuracy_by_shift(train(recipe, seed=seed, report=report))
    return found
