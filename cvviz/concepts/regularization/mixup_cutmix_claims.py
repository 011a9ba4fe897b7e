"""Sentences from interview notes, judged by measurements; see ``mixup_cutmix``."""

from __future__ import annotations

from functools import partial
from types import SimpleNamespace

import torch
from scipy.special import betainc
from torch import Tensor
from torch.nn.functional import cross_entropy
from torchvision import tv_tensors
from torchvision.transforms import v2

from cvviz.concept import Claim, Evidence


def check_labels_are_mixed() -> Evidence:
    """Torchvision's label row, and the cross-entropy of it."""
    transform = v2.MixUp(num_classes=2)
    transform._dist = SimpleNamespace(sample=lambda _: 0.3)
    _, labels = transform(torch.zeros(2, 1, 4, 4), torch.tensor([0, 1]))
    logits = torch.tensor([[0.4, -1.1]])
    split = 0.3 * cross_entropy(logits, torch.tensor([0])) + 0.7 * cross_entropy(logits, torch.tensor([1]))
    gap = float((cross_entropy(logits, labels[:1]) - split).abs())
    mixed = torch.allclose(labels[0], torch.tensor([0.3, 0.7]))
    text = f"v2.MixUp at λ = 0.3 labels the second {labels[0, 1]:.2f}; CE = λ CE₁ + (1 − λ) CE₂ up to {gap:.1g}."
    return Evidence(mixed and gap < 1e-6, text)


def check_refused(transform: type[v2.Transform], extra: Tensor, kind: str) -> Evidence:
    """What the transform says to boxes or masks."""
    try:
        transform(num_classes=2)(torch.zeros(2, 3, 8, 8), torch.tensor([0, 1]), extra)
    except ValueError as error:
        return Evidence(kind in str(error), f"A batch of 2 with {kind} raises ValueError: {error}")
    return Evidence(False, f"v2.{transform.__name__} took a batch of 2 with {kind}.")


BOXES = tv_tensors.BoundingBoxes(torch.tensor([[1, 1, 5, 5]]), format="XYXY", canvas_size=(8, 8))


MASKS = tv_tensors.Mask(torch.zeros(2, 8, 8, dtype=torch.uint8))


def check_label_is_area() -> Evidence:
    """Label weight against the counted pixels, first picture white and second black."""
    transform, pictures = v2.CutMix(num_classes=2), torch.tensor([1.0, 0.0])[:, None, None, None].expand(2, 1, 64, 64)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        pairs = [transform(pictures, torch.tensor([0, 1])) for _ in range(300)]
    error = max(float((y[0, 0] - x[0].mean()).abs()) for x, y in pairs)
    return Evidence(error < 1e-5, f"300 draws of v2.CutMix: label and share of pixels differ by at most {error:.1g}.")


def check_mean_kept() -> Evidence:
    """Mean label of the first picture at α = 1."""
    transform, picture = v2.CutMix(alpha=1.0), torch.empty(1, 1, 224, 224)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        mean = sum(transform.make_params([picture])["lam_adjusted"] for _ in range(1500)) / 1500
    text = f"1500 draws of v2.CutMix(alpha=1) at 224 px keep {mean:.2f} of the first image on average, not 0.50."
    return Evidence(abs(mean - 163 / 240) < 0.03, text)


def check_few_draws_blend() -> Evidence:
    """Share of λ between 0.1 and 0.9 at α = 0.2 and 0.4."""
    few, half = (float(betainc(alpha, alpha, 0.9) - betainc(alpha, alpha, 0.1)) for alpha in (0.2, 0.4))
    text = f"Beta(0.2, 0.2) puts {few:.1%} of all λ between 0.1 and 0.9, Beta(0.4, 0.4) {half:.1%}."
    return Evidence(abs(few - 0.327) < 1e-3 and abs(half - 0.5) < 0.03, text)


def check_loss_has_a_floor() -> Evidence:
    """Mean entropy of the label at α = 1: the loss of a network that predicts every mixed label exactly."""
    weights = (torch.arange(10000, dtype=torch.float64) + 0.5) / 10000
    least = float((torch.special.entr(weights) + torch.special.entr(1 - weights)).mean())
    text = f"At α = 1 a network that predicts every mixed label exactly still has a mean loss of {least:.3f} nats."
    return Evidence(abs(least - 0.5) < 1e-3, text)


CLAIMS = (
    Claim(
        "Mixup: x̃ = λ xᵢ + (1 − λ) xⱼ.",
        "true with conditions",
        "That is half of it. The labels are mixed with the same λ, and λ is drawn anew from Beta(α, α) at each step.",
        check_labels_are_mixed,
        "As sure as the label",
    ),
    Claim(
        "Use Mixup for classification and detection.",
        "true with conditions",
        "Classification is what it was made for. Blended detection images need the boxes of both pictures, each with "
        "its weight in the loss; the plain transform knows nothing of boxes.",
        partial(check_refused, v2.MixUp, BOXES, "bounding boxes"),
    ),
    Claim(
        "CutMix: cut a patch from one image and paste it into another.",
        "true",
        "And weigh the two labels by the area that was really pasted, after the border has clipped the patch.",
        check_label_is_area,
        "Patch in the corner",
    ),
    Claim(
        "Use CutMix for segmentation awareness.",
        "misleading",
        "It regularises classifiers and sees no mask. For segmentation the masks must be cut with the pixels, as "
        "Copy-Paste, ClassMix and CutMix-Seg do.",
        partial(check_refused, v2.CutMix, MASKS, "masks"),
        "The face is gone",
    ),
    Claim(
        "With α = 1, CutMix keeps half of the first image on average.",
        "wrong",
        "λ has mean one half, but the border clips patches and never enlarges them: the mean kept is 163/240.",
        check_mean_kept,
        "One training step, α = 1",
    ),
    Claim(
        "Mixup trains on double exposures, half one image and half the other.",
        "misleading",
        "At the α = 0.1 to 0.4 of the paper's ImageNet runs Beta(α, α) is U-shaped: at 0.2 two steps in three mix in "
        "less than a tenth, at 0.4 about half of them.",
        check_few_draws_blend,
        "α = 0.2, as for ImageNet",
    ),
    Claim(
        "A well-fitted network's training loss goes to zero, with Mixup too.",
        "wrong",
        "The cross-entropy of a soft label is at least the label's entropy, reached where the prediction equals it.",
        check_loss_has_a_floor,
        "Half and half",
    ),
)
