"""Small networks that learn to find faint discs in noise, one under each loss."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from cvviz.ops.mask_shapes import disc_mask
from cvviz.ops.segmentation_losses import Loss, Options, mask_counts, segmentation_loss
from cvviz.ops.segmentation_study import Judgement, judge_masks, thresholded

SIDE, RADII, CONTRAST = 32, (1.0, 3.0), 1.6  # px; px; of a disc in deviations of the noise
SEEN, TEST, BATCH, EPOCHS, RATE, WIDTH = 192, 96, 16, 30, 0.02, 8
JUDGED = 5  # epochs between judgements, which cost as much as half an epoch


@dataclass(frozen=True, slots=True)
class Lesson:
    """A loss, and what a network that learns under it is worth on test pictures.

    Args:
        loss: name.
        course: (E,) mean Dice at 0.5 after each epoch so far.
        judgement: after the last of them, or at most ``JUDGED`` epochs earlier.
    """

    loss: Loss
    course: Tensor
    judgement: Judgement


Report = Callable[[float, str, tuple[Lesson, ...]], None]


def pictures(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Noise with one faint disc in each.

    Args:
        count: number of pictures.
        seed: of places, sizes and noise.

    Returns:
        (N, 1, SIDE, SIDE) pictures and (N, SIDE, SIDE) masks, float32.
    """
    generator = torch.Generator().manual_seed(seed)
    draws = torch.rand(count, 3, generator=generator)
    low, high = RADII
    masks = torch.stack(
        [disc_mask(SIDE, 3 + 26 * float(x), 3 + 26 * float(y), low + (high - low) * float(r)) for x, y, r in draws]
    ).float()
    noise = torch.randn(count, SIDE, SIDE, generator=generator)
    return (noise + CONTRAST * masks)[:, None], masks


def network(seed: int) -> nn.Sequential:
    """Three convolutions, (N, 1, H, W) -> (N, 1, H, W) logits."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(
            nn.Conv2d(1, WIDTH, 5, padding=2),
            nn.ReLU(),
            nn.Conv2d(WIDTH, WIDTH, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(WIDTH, 1, 3, padding=1),
        )


def train(
    losses: Sequence[Loss], options: Options, seed: int, report: Report, *, epochs: int = EPOCHS
) -> tuple[Lesson, ...]:
    """Train one network under each loss: one start, one order of the same pictures.

    Args:
        losses: names.
        options: of the losses.
        seed: of everything random.
        report: told the share that is done, a few words, and the lessons so far; may raise to stop.
        epochs: how many.
    """
    seen, test = pictures(SEEN, seed), pictures(TEST, seed + 1000)
    done: list[Lesson] = []
    for index, loss in enumerate(losses):
        model, generator = network(seed), torch.Generator().manual_seed(seed)
        optimizer, course = torch.optim.Adam(model.parameters(), lr=RATE), []
        for epoch in range(1, epochs + 1):
            for batch in torch.randperm(SEEN, generator=generator).view(-1, BATCH):
                optimizer.zero_grad()
                p = model(seen[0][batch])[:, 0].sigmoid()
                torch.autograd.backward(segmentation_loss(p, seen[1][batch], loss, options).mean())
                optimizer.step()
            with torch.no_grad():
                p = model(test[0])[:, 0].sigmoid()
            course.append(mask_counts(thresholded(p).float(), test[1]).dice.mean())
            if epoch in (1, epochs) or epoch % JUDGED == 0:
                judgement = judge_masks(p, test[1])
            lesson = Lesson(loss, torch.stack(course), judgement)
            words = f"{loss.replace('_', ' ')}, epoch {epoch} of {epochs}: Dice {float(course[-1]):.2f}"
            report((index + epoch / epochs) / len(losses), words, (*done, lesson))
        done.append(lesson)
    return tuple(done)
