"""Sentences from interview notes, judged by measurements; see ``metric_learning``."""

from __future__ import annotations

from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from cvviz.concept import Claim, Evidence, magnitude
from cvviz.concepts.losses.metric_learning import APART, HEAP, LABELS, PRESETS, TRIO, Params, compute
from cvviz.figures.metric_learning_words import effective_negatives
from cvviz.ops.metric_forces import Recipe
from cvviz.ops.metric_learning import Rule, mine_triplets, pair_masks, pairwise_distances, triplet_margin_loss
from cvviz.zoo.embedding_digits import Course, raw_retrieval, train

EPOCHS = 10


@lru_cache(maxsize=16)
def course(recipe: Recipe, size: int = 16) -> Course:
    """A short training on digits."""
    return train(recipe, size, 0, lambda *_: None, epochs=EPOCHS)


def _formula() -> Evidence:
    draws = torch.randn(3, 500, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    a, p, n = draws
    plain = float(triplet_margin_loss(a, p, n, margin=1) - F.triplet_margin_loss(a, p, n))
    exact = float(triplet_margin_loss(a, p, n, margin=1) - F.triplet_margin_loss(a, p, n, eps=0))
    same = float(F.triplet_margin_loss(a, a, a, margin=0.2))
    text = (
        f"500 triplets of 8 numbers: {abs(plain):.1e} from torch, {abs(exact):.1e} with its eps set to 0. With all "
        f"three equal the loss is {same:.4f} at a margin of 0.2."
    )
    return Evidence(1e-9 < abs(plain) < 1e-5 and abs(exact) < 1e-12 and abs(same - 0.2) < 1e-9, text)


def _use() -> Evidence:
    (recall, precision), (raw_recall, raw_precision) = course(Recipe()).retrieval[0], raw_retrieval()[0]
    text = (
        f"450 held-out digits by nearest neighbours: pixels recall@1 {raw_recall:.3f} and R-precision "
        f"{raw_precision:.3f}; 16 numbers after {EPOCHS} epochs of batch hard {recall:.3f} and {precision:.3f}."
    )
    return Evidence(precision > raw_precision + 0.15 and recall > raw_recall - 0.04, text)


def _centroid() -> Evidence:
    result = compute(Params(mining="one", points=TRIO))
    slope = result.push.gradient
    rest = float(slope[[2, 4, 5, 6, 7, 8]].abs().max())
    moved = (*TRIO[:2], (2.3, -1.7), *TRIO[3:])  # A3, and with it the mean of the class
    same = float((compute(Params(mining="one", points=moved)).push.gradient - slope).abs().max())
    told = ", ".join(
        f"{name} ({x:+.2f}, {y:+.2f})" for name, (x, y) in zip("apn", slope[[0, 1, 3]].tolist(), strict=True)
    )
    total = float(slope.sum(dim=0).abs().max())
    text = f"Slopes {told}, sum {magnitude(total)}; of the other six {rest:g}. Moving A3 changes them by {same:g}."
    return Evidence(rest == 0 == same and total < 1e-12, text)


def _mining() -> Evidence:
    result = compute(Params())
    distance = pairwise_distances(result.way[-1])
    same, other = pair_masks(LABELS)
    worst = distance.masked_fill(~same, 0).amax(1) - distance.masked_fill(~other, 9).amin(1) + 0.5
    gap = abs(float(worst.clamp(min=0).mean() - result.push.loss))
    hard, random = (course(Recipe(rule=rule)).pushing for rule in ("hard", "random"))
    text = (
        f"The mean of the largest loss of each anchor is batch hard's loss to {magnitude(gap)}. On digits, in the "
        f"first and the last of {EPOCHS} epochs, {hard[1]:.0%} and {hard[-1]:.0%} of batch-hard triplets have a loss, "
        f"{random[1]:.0%} and {random[-1]:.0%} of random ones."
    )
    return Evidence(gap < 1e-12 and float(hard[1]) > 2 * float(random[1]), text)


def _harder() -> Evidence:
    flat = {rule: course(Recipe(rule=rule, margin=0.2, squared=True), 2) for rule in ("hard", "random")}
    roomy = {rule: course(Recipe(rule=rule)) for rule in ("hard", "random")}
    shares = [_touched(roomy["hard"], rule) for rule in ("hard", "random")]
    text = (
        f"R-precision with 16 numbers: batch hard {roomy['hard'].precision[-1]:.2f}, random "
        f"{roomy['random'].precision[-1]:.2f}. With 2 numbers and squared distances: batch hard collapses to "
        f"{flat['hard'].precision[-1]:.2f} (loss {flat['hard'].loss[-1]:.4f}, spread {flat['hard'].spread[-1]:.4f}), "
        f"random {flat['random'].precision[-1]:.2f}. With 5 % of 450 labels wrong, {shares[0]:.0%} of batch-hard "
        f"triplets touch a wrong one, {shares[1]:.0%} of random ones."
    )
    better = roomy["hard"].precision[-1] > roomy["random"].precision[-1] and shares[0] > 3 * shares[1]
    return Evidence(bool(better) and flat["hard"].collapsed and not flat["random"].collapsed, text)


def _touched(trained: Course, rule: Rule) -> float:
    """Share of the triplets of all test scans in which a scan is mislabelled, one in twenty being so."""
    wrong = torch.arange(len(trained.labels)) % 20 == 0
    labels = torch.where(wrong, (trained.labels + 1) % 10, trained.labels)
    generator = torch.Generator().manual_seed(0)
    chosen = mine_triplets(pairwise_distances(trained.embeddings[-1]), labels, rule, generator=generator)
    return float(wrong[chosen].any(dim=1).double().mean())


def _tight() -> Evidence:
    result = compute(PRESETS["Zero loss, loose classes"].params)
    after = compute(PRESETS["Contrastive keeps pulling"].params)
    widths = [_widest(item.embeddings) for item in (result, after)]
    slope = float(result.push.gradient.abs().max())
    text = (
        f"Triplet loss {float(result.losses[-1]):g} with slope {slope:g} and classes {widths[0]:.2f} wide, five times "
        f"the margin of 0.3; 40 steps of the contrastive loss bring them to {widths[1]:.2f}."
    )
    return Evidence(float(result.losses[-1]) == 0 == slope and widths[0] > 5 * 0.3 > 1.5 * widths[1], text)


def _widest(places: Tensor) -> float:
    """Largest distance within a class."""
    return float(pairwise_distances(places)[pair_masks(LABELS)[0]].max())


def _squared() -> Evidence:
    heaps = {squared: compute(Params(points=HEAP, squared=squared, steps=20)) for squared in (False, True)}
    slopes = {key: float(compute(Params(points=HEAP, squared=key)).push.gradient.norm(dim=1).max()) for key in heaps}
    text = (
        f"Nine points within 0.002 of each other, margin 0.5: steepest slope {slopes[False]:.2f} by distances and "
        f"{slopes[True]:.4f} by squares; after 20 steps the loss is {float(heaps[False].push.loss):.3f} and "
        f"{float(heaps[True].push.loss):.3f}."
    )
    return Evidence(slopes[False] > 100 * slopes[True] and float(heaps[False].push.loss) < 0.01, text)


def _margin() -> Evidence:
    small, large = (course(Recipe(margin=margin)) for margin in (0.5, 2.0))
    unit = course(Recipe(margin=2.0, unit=True))
    text = (
        f"R-precision {small.precision[-1]:.3f} at m = 0.5 and {large.precision[-1]:.3f} at m = 2, where the spread is "
        f"{large.spread[-1] / small.spread[-1]:.1f} times as large. On unit vectors at m = 2 {unit.pushing[-1]:.0%} of "
        f"the triplets still push, loss {unit.loss[-1]:.2f}, R-precision {unit.precision[-1]:.3f}."
    )
    close = abs(float(small.precision[-1] - large.precision[-1])) < 0.03
    return Evidence(close and float(large.spread[-1] / small.spread[-1]) > 2 and float(unit.pushing[-1]) > 0.99, text)


def _temperature() -> Evidence:
    shares = []
    for temperature in (0.02, 5.0):
        result = compute(Params(loss="info_nce", unit=True, temperature=temperature))
        shares.append(effective_negatives(result.measured, LABELS, temperature))
    cold, warm = (course(Recipe("info_nce", unit=True, temperature=tau)).precision[-1] for tau in (0.1, 5.0))
    text = (
        f"Of six negatives {shares[0]:.2f} share the push at τ = 0.02 and {shares[1]:.2f} at τ = 5. Digits: "
        f"R-precision {cold:.2f} at τ = 0.1, {warm:.2f} at τ = 5."
    )
    return Evidence(shares[0] < 1.1 and shares[1] > 5.5 and float(cold) > float(warm) + 0.08, text)


def _for_ever() -> Evidence:
    result = compute(Params(loss="contrastive", margin=0.3, points=APART))
    same, other = pair_masks(LABELS)
    pushes, pulls = result.push.slopes[other], result.push.slopes[same]
    text = (
        f"Classes apart, margin 0.3: of 27 pairs of two classes {int((pushes != 0).sum()) // 2} repel, of 9 of one "
        f"class {int((pulls > 0).sum()) // 2} attract."
    )
    return Evidence(bool((pushes == 0).all() and (pulls > 0).all()), text)


CLAIMS = (
    Claim(
        "Triplet = max(d(a,p) − d(a,n) + margin, 0).",
        "true",
        "torch adds 1e-6 to each difference inside the norm and takes a margin of 1; FaceNet squares distances of unit "
        "vectors. Equal embeddings cost exactly the margin.",
        _formula,
        "One triplet",
    ),
    Claim(
        "Triplet: metric learning, face recognition.",
        "true",
        "That is its use. Most face recognition now trains a classifier with an angular margin (ArcFace) instead.",
        _use,
    ),
    Claim(
        "Triplet: bring centroid closer to mean (anchor).",
        "wrong",
        "There is no centroid and no mean: the positive comes to the anchor and the negative leaves it, until the "
        "margin holds. Centre loss has centroids.",
        _centroid,
        "One triplet",
    ),
    Claim(
        "Hard triplet mining: bring extreme points closer to mean (point).",
        "wrong",
        "It chooses, for each anchor, the farthest positive and the nearest negative. The loss stays what it was.",
        _mining,
        "Batch hard",
    ),
    Claim(
        "The harder the triplets, the better.",
        "true with conditions",
        "If there is room and labels are right. In few dimensions and with squares the hardest ones collapse it.",
        _harder,
        "Digits collapse",
    ),
    Claim(
        "A triplet loss of zero means tight clusters.",
        "wrong",
        "It means order by the margin, among the triplets that were looked at. How wide a class is does not enter.",
        _tight,
        "Zero loss, loose classes",
    ),
    Claim(
        "Squared distances make no difference to the triplet loss.",
        "wrong",
        "The slope of d² is 2d, that of d is 1. In a heap squares have no force left; the margin has other units, too.",
        _squared,
        "A heap, squared",
    ),
    Claim(
        "A larger margin separates better.",
        "misleading",
        "Embeddings of any length just grow by as much. On unit vectors, one out of reach never lets a triplet rest.",
        _margin,
    ),
    Claim(
        "InfoNCE needs no mining, and its temperature hardly matters.",
        "misleading",
        "Its softmax is the mining, and the temperature says how hard it mines.",
        _temperature,
        "Cold InfoNCE",
    ),
    Claim(
        "The contrastive loss pushes all negatives apart for ever.",
        "wrong",
        "Beyond the margin a negative is left alone. What never ends is the pull on positives.",
        _for_ever,
        "Contrastive keeps pulling",
    ),
)
