import itertools

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.metrics import pairwise_distances as sklearn_distances
from torch.autograd import gradcheck

from cvviz.ops.metric_learning import (
    EASY,
    HARD,
    SEMI,
    all_triplets,
    contrastive_loss,
    info_nce_loss,
    mine_triplets,
    pair_masks,
    pairwise_distances,
    triplet_hinges,
    triplet_kinds,
    triplet_margin_loss,
)

LABELS = torch.tensor([0, 1, 0, 2, 1, 2, 0, 1, 3])  # 3 is alone: never an anchor, always a negative


def batch(seed=0, count=9, size=4):
    return torch.randn(count, size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def triplets(seed=0, count=50):
    return torch.randn(3, count, 5, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


class TestPairwiseDistances:
    @pytest.mark.parametrize("squared", [False, True])
    def test_like_sklearn(self, squared):
        x = batch()
        expected = sklearn_distances(x.numpy(), metric="sqeuclidean" if squared else "euclidean")
        np.testing.assert_allclose(pairwise_distances(x, squared=squared).numpy(), expected, atol=1e-12)

    def test_by_hand(self):
        # Sides 3 and 4 span 5.
        assert pairwise_distances(torch.tensor([[0.0, 0.0], [3.0, 4.0]]))[0, 1] == 5

    def test_equal_rows_have_no_slope_and_no_nan(self):
        x = torch.ones(3, 2, requires_grad=True)
        torch.autograd.backward(pairwise_distances(x).sum())
        assert torch.equal(x.grad, torch.zeros(3, 2))

    def test_laws(self):
        distances = pairwise_distances(batch())
        assert torch.equal(distances, distances.T)
        assert (distances.diagonal() == 0).all()
        assert (distances[:, None] <= distances[:, :, None] + distances[None] + 1e-12).all(), "the way round is longer"

    def test_empty(self):
        assert pairwise_distances(torch.zeros(0, 3)).shape == (0, 0)

    @pytest.mark.parametrize("squared", [False, True])
    def test_gradcheck(self, squared):
        assert gradcheck(lambda x: pairwise_distances(x, squared=squared), batch(count=4).requires_grad_())

    def test_exceptions(self):
        with pytest.raises(TypeError, match="embeddings must have a floating-point dtype"):
            pairwise_distances(torch.zeros(2, 2, dtype=torch.int64))
        with pytest.raises(ValueError, match=r"embeddings must have shape \(N, D\), got \(3,\)"):
            pairwise_distances(torch.zeros(3))


class TestContrastive:
    @pytest.mark.parametrize("margin", [0.5, 2.0, 6.0])
    def test_like_torchs_hinge_on_pairs_squared(self, margin):
        distances = pairwise_distances(batch())
        first, second = torch.triu_indices(9, 9, offset=1)
        sign = torch.where(LABELS[first] == LABELS[second], 1.0, -1.0)
        hinge = F.hinge_embedding_loss(distances[first, second], sign, margin=margin, reduction="none")
        expected = (hinge.square() / 2).mean()
        assert torch.allclose(contrastive_loss(distances, LABELS, margin=margin), expected, atol=1e-14)

    def test_by_hand(self):
        # One pair 0.4 apart: half its square if of one label, half of (1 - 0.4)^2 if of two.
        distances = torch.tensor([[0.0, 0.4], [0.4, 0.0]], dtype=torch.float64)
        assert float(contrastive_loss(distances, torch.tensor([5, 5]))) == pytest.approx(0.08)
        assert float(contrastive_loss(distances, torch.tensor([5, 6]))) == pytest.approx(0.18)

    def test_negatives_beyond_the_margin_have_no_slope(self):
        x = torch.tensor([[0.0], [3.0]], dtype=torch.float64, requires_grad=True)
        torch.autograd.backward(contrastive_loss(pairwise_distances(x), torch.tensor([0, 1]), margin=1.0))
        assert torch.equal(x.grad, torch.zeros(2, 1).double())

    @pytest.mark.parametrize("count", [0, 1])
    def test_without_a_pair(self, count):
        assert contrastive_loss(torch.zeros(count, count), torch.zeros(count)) == 0

    def test_gradcheck(self):
        x = batch().requires_grad_()
        assert gradcheck(lambda x: contrastive_loss(pairwise_distances(x), LABELS, margin=2.5), x)

    def test_exceptions(self):
        distances = pairwise_distances(batch())
        with pytest.raises(ValueError, match="margin must be positive, got 0"):
            contrastive_loss(distances, LABELS, margin=0)
        with pytest.raises(ValueError, match=r"distances must have shape \(N, N\), got \(9, 8\)"):
            contrastive_loss(distances[:, :8], LABELS)
        with pytest.raises(ValueError, match=r"labels must have shape \(9,\), got \(8,\)"):
            contrastive_loss(distances, LABELS[:8])
        with pytest.raises(TypeError, match="distances must have a floating-point dtype"):
            contrastive_loss(distances.long(), LABELS)


class TestTripletMarginLoss:
    @pytest.mark.parametrize("swap", [False, True])
    @pytest.mark.parametrize("margin", [0.1, 1.0, 3.0])
    def test_like_torch_without_its_eps(self, margin, swap):
        a, p, n = triplets()
        expected = F.triplet_margin_loss(a, p, n, margin=margin, swap=swap, eps=0)
        assert torch.allclose(triplet_margin_loss(a, p, n, margin=margin, swap=swap), expected, atol=1e-13)
        assert (triplet_margin_loss(a, p, n) - F.triplet_margin_loss(a, p, n)).abs() < 1e-5, "and near it with it"

    @pytest.mark.parametrize("swap", [False, True])
    def test_squared_like_torch_with_its_own_distance(self, swap):
        a, p, n = triplets()
        module = torch.nn.TripletMarginWithDistanceLoss(
            distance_function=lambda x, y: (x - y).square().sum(dim=1), margin=0.7, swap=swap
        )
        ours = triplet_margin_loss(a, p, n, margin=0.7, squared=True, swap=swap)
        assert torch.allclose(ours, module(a, p, n), atol=1e-13)

    def test_by_hand(self):
        # d(a, p) = 3, d(a, n) = 2, so 3 - 2 + 0.5; squared 9 - 4 + 0.5; the negative is sqrt(13) from the positive.
        a, p, n = (torch.tensor([xy]) for xy in ([0.0, 0.0], [3.0, 0.0], [0.0, 2.0]))
        assert triplet_margin_loss(a, p, n, margin=0.5) == 1.5
        assert triplet_margin_loss(a, p, n, margin=0.5, squared=True) == 5.5
        assert triplet_margin_loss(a, p, n, margin=0.5, swap=True) == 1.5

    def test_swap_takes_the_nearer_of_two(self):
        # The negative is 5 from the anchor but 1 from the positive: 4 - 1 + 0.5 in place of 4 - 5 + 0.5 < 0.
        a, p, n = (torch.tensor([[x]]) for x in (0.0, 4.0, 5.0))
        assert triplet_margin_loss(a, p, n, margin=0.5) == 0
        assert triplet_margin_loss(a, p, n, margin=0.5, swap=True) == 3.5

    def test_slopes_by_hand(self):
        # a at 0, p to the right, n above: the anchor is pulled right and pushed down, and all slopes sum to 0.
        a, p, n = (torch.tensor([xy], requires_grad=True) for xy in ([0.0, 0.0], [3.0, 0.0], [0.0, 2.0]))
        torch.autograd.backward(triplet_margin_loss(a, p, n))
        assert a.grad.tolist() == [[-1, 1]]
        assert p.grad.tolist() == [[1, 0]]
        assert n.grad.tolist() == [[0, -1]]

    def test_equal_embeddings_cost_the_margin(self):
        x = torch.ones(4, 3, dtype=torch.float64)
        assert triplet_margin_loss(x, x, x, margin=0.2) == pytest.approx(0.2)

    def test_scaling_all_scales_the_loss(self):
        a, p, n = triplets()
        scaled = triplet_margin_loss(3 * a, 3 * p, 3 * n, margin=3 * 0.4)
        assert torch.allclose(scaled, 3 * triplet_margin_loss(a, p, n, margin=0.4))

    def test_empty(self):
        assert triplet_margin_loss(*torch.zeros(3, 0, 2)) == 0

    @pytest.mark.parametrize("options", [{}, {"squared": True}, {"swap": True}])
    def test_gradcheck(self, options):
        a, p, n = triplets(count=6)
        parts = [part.clone().requires_grad_() for part in (a, p, n)]
        assert gradcheck(lambda *x: triplet_margin_loss(*x, margin=0.9, **options), parts)

    def test_exceptions(self):
        x = torch.zeros(2, 3)
        with pytest.raises(ValueError, match=r"must have one shape, got \(2, 3\), \(1, 3\), \(2, 3\)"):
            triplet_margin_loss(x, x[:1], x)
        with pytest.raises(ValueError, match=r"negative must have shape \(N, D\), got \(3,\)"):
            triplet_margin_loss(x, x, x[0])
        with pytest.raises(ValueError, match="margin must be positive, got -1"):
            triplet_margin_loss(x, x, x, margin=-1)
        with pytest.raises(TypeError, match="positive must be a Tensor, got list"):
            triplet_margin_loss(x, [1.0], x)


def by_loops(distances, labels, rule, margin):
    """Triplets by the words of the rules."""
    chosen, count = [], len(labels)
    for a in range(count):
        friends = [i for i in range(count) if labels[i] == labels[a] and i != a]
        others = [i for i in range(count) if labels[i] != labels[a]]
        if not friends or not others:
            continue
        if rule == "all":
            chosen += [(a, p, n) for p in friends for n in others]
        if rule == "hard":
            chosen.append((a, max(friends, key=lambda i: distances[a, i]), min(others, key=lambda i: distances[a, i])))
        if rule == "semi":
            for p in friends:
                between = [n for n in others if distances[a, p] < distances[a, n] < distances[a, p] + margin]
                chosen += [(a, p, min(between, key=lambda i: distances[a, i]))] if between else []
    return chosen


class TestMining:
    @pytest.mark.parametrize("squared", [False, True])
    @pytest.mark.parametrize("rule", ["all", "hard", "semi"])
    @pytest.mark.parametrize("seed", range(4))
    def test_like_plain_loops(self, rule, seed, squared):
        distances = pairwise_distances(batch(seed), squared=squared)
        chosen = mine_triplets(distances, LABELS, rule, margin=0.8)
        assert [tuple(row) for row in chosen.tolist()] == by_loops(distances, LABELS.tolist(), rule, 0.8)

    def test_random_is_seeded_valid_and_varied(self):
        distances = pairwise_distances(batch())
        first, again, other = (
            mine_triplets(distances, LABELS, "random", generator=torch.Generator().manual_seed(seed))
            for seed in (3, 3, 4)
        )
        assert torch.equal(first, again)
        assert not torch.equal(first, other)
        assert first[:, 0].tolist() == list(range(8)), "one for every item that has a positive"
        valid = {tuple(row) for row in all_triplets(LABELS).tolist()}
        assert {tuple(row) for row in first.tolist()} <= valid

    def test_random_draws_all_alike(self):
        # Anchor 0 has 2 positives and 6 negatives: 12 triplets, each expected 1,000 times in 12,000 draws.
        generator = torch.Generator().manual_seed(0)
        distances = pairwise_distances(batch())
        drawn = [
            tuple(mine_triplets(distances, LABELS, "random", generator=generator)[0].tolist()) for _ in range(3000)
        ]
        counts = [drawn.count(key) for key in set(drawn)]
        assert len(counts) == 12
        assert min(counts) > 180
        assert max(counts) < 320

    def test_all_counts(self):
        # Classes of 3, 3 and 2 of 9: 3 * 2 * 6 + 3 * 2 * 6 + 2 * 1 * 7.
        assert len(all_triplets(LABELS)) == 86

    def test_hard_has_the_largest_loss_of_each_anchor(self):
        distances = pairwise_distances(batch())
        every, hard = all_triplets(LABELS), mine_triplets(distances, LABELS, "hard")
        losses = triplet_hinges(distances, every, margin=5.0)
        for row, loss in zip(hard, triplet_hinges(distances, hard, margin=5.0), strict=True):
            assert loss == losses[every[:, 0] == row[0]].max()

    def test_semi_hard_is_semi_hard(self):
        distances = pairwise_distances(batch())
        chosen = mine_triplets(distances, LABELS, "semi", margin=0.8)
        assert len(chosen) > 0
        assert (triplet_kinds(distances, chosen, margin=0.8) == SEMI).all()

    def test_no_semi_hard_negative_no_triplet(self):
        # Positives 2 apart; negatives at 1 (hard) and 5 (beyond the margin).
        x = torch.tensor([[0.0], [2.0], [-1.0], [-5.0]])
        assert mine_triplets(pairwise_distances(x), torch.tensor([0, 0, 1, 2]), "semi", margin=0.5).shape == (0, 3)

    def test_choice_is_not_differentiated(self):
        x = batch().requires_grad_()
        assert not mine_triplets(pairwise_distances(x), LABELS, "hard").requires_grad

    @pytest.mark.parametrize("labels", [[], [0], [0, 0, 0], [0, 1, 2]], ids=str)
    @pytest.mark.parametrize("rule", ["all", "hard", "semi", "random"])
    def test_nothing_to_choose(self, rule, labels):
        distances = pairwise_distances(batch(count=len(labels)))
        labels = torch.tensor(labels, dtype=torch.int64)
        generator = torch.Generator().manual_seed(0)
        assert mine_triplets(distances, labels, rule, generator=generator).shape == (0, 3)

    def test_exceptions(self):
        distances = pairwise_distances(batch())
        with pytest.raises(ValueError, match="rule must be one of all, hard, semi, random, got 'hardest'"):
            mine_triplets(distances, LABELS, "hardest")
        with pytest.raises(ValueError, match="rule 'random' needs a generator"):
            mine_triplets(distances, LABELS, "random")
        with pytest.raises(ValueError, match="margin must be positive"):
            mine_triplets(distances, LABELS, "semi", margin=0)
        with pytest.raises(ValueError, match=r"labels must have shape \(N,\), got \(3, 3\)"):
            pair_masks(torch.zeros(3, 3))
        with pytest.raises(ValueError, match=r"labels must have shape \(N,\), got \(1, 2\)"):
            all_triplets(torch.zeros(1, 2))


class TestKinds:
    def test_by_hand(self):
        # The positive at 2, margin 1: negatives at 1 and 2 are hard, at 2.5 semi-hard, at 3 and 4 easy.
        x = torch.tensor([[0.0], [2.0], [-1.0], [-2.0], [-2.5], [-3.0], [-4.0]])
        rows = torch.tensor([[0, 1, n] for n in range(2, 7)])
        assert triplet_kinds(pairwise_distances(x), rows).tolist() == [HARD, HARD, SEMI, EASY, EASY]

    def test_easy_is_no_loss(self):
        distances, rows = pairwise_distances(batch()), all_triplets(LABELS)
        easy = triplet_kinds(distances, rows, margin=0.6) == EASY
        assert torch.equal(easy, triplet_hinges(distances, rows, margin=0.6) == 0)

    def test_exceptions(self):
        distances = pairwise_distances(batch())
        for function in (triplet_hinges, triplet_kinds):
            with pytest.raises(ValueError, match=r"triplets must have shape \(T, 3\), got \(4, 2\)"):
                function(distances, torch.zeros(4, 2, dtype=torch.int64))
            with pytest.raises(ValueError, match="margin must be positive, got 0"):
                function(distances, all_triplets(LABELS), margin=0)


class TestInfoNCE:
    @pytest.mark.parametrize("temperature", [0.05, 0.5, 3.0])
    def test_two_of_each_is_torchs_cross_entropy_over_the_others(self, temperature):
        # SimCLR's loss: find one's twin among all others.
        z = F.normalize(batch(count=10))
        labels, twin = torch.arange(10) // 2, torch.arange(10) ^ 1
        logits = (z @ z.T / temperature).fill_diagonal_(-torch.inf)
        expected = F.cross_entropy(logits, twin)
        assert torch.allclose(info_nce_loss(z @ z.T, labels, temperature=temperature), expected, atol=1e-12)

    def test_several_positives_like_a_loop_of_cross_entropies(self):
        similarities = batch() @ batch().T
        losses = []
        for a, p in itertools.permutations(range(9), 2):
            if LABELS[a] == LABELS[p]:
                logits = torch.cat([similarities[a, p][None], similarities[a][LABELS[a] != LABELS]]) / 0.7
                losses.append(F.cross_entropy(logits[None], torch.tensor([0])))
        ours = info_nce_loss(similarities, LABELS, temperature=0.7)
        assert torch.allclose(ours, torch.stack(losses).mean(), atol=1e-12)

    def test_by_hand(self):
        # A positive and k equal negatives: ln(1 + k), at any temperature.
        labels = torch.tensor([0, 0, 1, 2, 3])
        assert float(info_nce_loss(torch.ones(5, 5), labels, temperature=0.3)) == pytest.approx(np.log(4))

    def test_large_logits_stay_finite(self):
        similarities = torch.tensor([[0.0, -500.0, 500.0], [-500.0, 0.0, 500.0], [500.0, 500.0, 0.0]])
        assert info_nce_loss(similarities, torch.tensor([0, 0, 1]), temperature=0.1) == 10_000

    def test_adding_a_constant_changes_nothing(self):
        similarities = batch() @ batch().T
        same = [info_nce_loss(similarities + shift, LABELS, temperature=0.4) for shift in (0.0, 9.0)]
        assert torch.allclose(*same)

    @pytest.mark.parametrize("labels", [[], [0], [0, 0], [0, 1]], ids=str)
    def test_nothing_to_find_has_no_loss_and_no_nan_slope(self, labels):
        similarities = torch.zeros(len(labels), len(labels), requires_grad=True)
        loss = info_nce_loss(similarities, torch.tensor(labels, dtype=torch.int64))
        torch.autograd.backward(loss)
        assert loss == 0
        assert not similarities.grad.any()

    def test_gradcheck(self):
        x = batch().requires_grad_()
        assert gradcheck(lambda x: info_nce_loss(x @ x.T, LABELS, temperature=0.8), x)

    def test_exceptions(self):
        with pytest.raises(ValueError, match="temperature must be positive, got 0"):
            info_nce_loss(torch.zeros(2, 2), torch.zeros(2), temperature=0)
        with pytest.raises(ValueError, match=r"similarities must have shape \(N, N\), got \(2, 3\)"):
            info_nce_loss(torch.zeros(2, 3), torch.zeros(2))
        with pytest.raises(TypeError, match="similarities must be a Tensor, got list"):
            info_nce_loss([[1.0]], torch.zeros(1))
