"""A small network that learns handwritten digits while its dead units are counted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cvviz.ops.activations import Activation, Shape, activation
from cvviz.zoo.shifted_digits import digits

EPOCHS, BATCH, WIDTH, LAYERS = 20, 64, 64, 3
RATES = (0.05, 0.3, 0.7, 1.0)
TRAINED_ON = 1347  # three quarters of the scans, in the file's order
Report = Callable[[float, str, "Course"], None]


@dataclass(frozen=True, slots=True)
class Course:
    """How a training went, epoch by epoch, from before the first.

    Args:
        name, rate: activation and learning rate.
        dead: (E, L) share of each layer's units that answer 0 to every test scan.
        accuracy: (E,) on the test scans.
    """

    name: Activation
    rate: float
    dead: Tensor
    accuracy: Tensor


class Network(nn.Module):
    """Fully connected layers with one activation, weights by He's rule, no bias at the start."""

    def __init__(self, name: Activation, shape: Shape, seed: int) -> None:
        super().__init__()
        self.name, self.shape = name, shape
        widths = (64, *(WIDTH,) * LAYERS, 10)
        self.layers = nn.ModuleList(nn.Linear(before, after) for before, after in pairwise(widths))
        generator = torch.Generator().manual_seed(seed)
        for layer in self.layers:
            assert isinstance(layer, nn.Linear)
            nn.init.kaiming_normal_(layer.weight, generator=generator)
            nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Logits (N, 10), and the outputs of every hidden layer (N, WIDTH)."""
        hidden = []
        for layer in self.layers[:-1]:
            x = activation(layer(x), self.name, self.shape)
            hidden.append(x)
        return self.layers[-1](x), hidden


def train(name: Activation, shape: Shape, rate: float, seed: int, report: Report, epochs: int = EPOCHS) -> Course:
    """Train by plain SGD, and tell of every epoch.

    Args:
        name, shape: the activation.
        rate: learning rate.
        seed: of the first weights and the order of the scans.
        report: told the share that is done, a few words, and the course so far; may raise to stop.
        epochs: how many.
    """
    scans, labels = digits()
    flat = scans[:, 0, 4:12, 4:12].flatten(1)  # [1797, 64]: without the empty frame
    flat = (flat - flat.mean()) / flat.std()
    (seen, test), (seen_labels, test_labels) = (part.tensor_split([TRAINED_ON]) for part in (flat, labels))
    with torch.random.fork_rng(devices=[]):  # layers draw first weights, which ours replace
        network = Network(name, shape, seed)
    optimizer = torch.optim.SGD(network.parameters(), lr=rate)
    generator = torch.Generator().manual_seed(seed)
    dead, accuracy = [], []
    for epoch in range(epochs + 1):
        if epoch:
            for batch in torch.randperm(len(seen), generator=generator).tensor_split(len(seen) // BATCH):
                optimizer.zero_grad()
                torch.autograd.backward(F.cross_entropy(network(seen[batch])[0], seen_labels[batch]))
                optimizer.step()
        with torch.no_grad():
            logits, hidden = network(test)
        dead.append(torch.stack([(layer == 0).all(dim=0).float().mean() for layer in hidden]))
        accuracy.append((logits.argmax(dim=1) == test_labels).float().mean())
        course = Course(name, rate, torch.stack(dead), torch.stack(accuracy))
        report(epoch / epochs, f"Epoch {epoch} of {epochs}: {float(accuracy[-1]):.1%} right", course)
    return course


def train_at_rates(
    name: Activation, shape: Shape, seed: int, progress: Callable[[float, str, tuple[Course, ...]], None]
) -> tuple[Course, ...]:
    """``train`` at each of ``RATES``, one after the other; ``progress`` hears of every epoch, and may raise to stop."""
    done: list[Course] = []
    for index, rate in enumerate(RATES):

        def report(share: float, words: str, course: Course, index: int = index, rate: float = rate) -> None:
            progress((index + share) / len(RATES), f"Rate {rate:g}. {words}", (*done, course))

        done.append(train(name, shape, rate, seed, report))
    return tuple(done)
