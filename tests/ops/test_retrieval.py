import pytest
import torch
from sklearn.neighbors import KNeighborsClassifier, NearestNeighbors

from cvviz.ops.retrieval import r_precision, recall_at_1


def data(seed=0, count=60, size=3):
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(4, (count,), generator=generator)
    return torch.randn(count, size, generator=generator) + labels[:, None], labels


class TestRecall:
    @pytest.mark.parametrize("seed", range(3))
    def test_among_themselves_like_sklearn(self, seed):
        x, labels = data(seed)
        nearest = NearestNeighbors(n_neighbors=1).fit(x.numpy()).kneighbors(return_distance=False)[:, 0]
        expected = (labels[nearest] == labels).float().mean()
        assert 0.3 < recall_at_1(x, labels) < 1
        assert recall_at_1(x, labels) == expected

    def test_in_a_gallery_like_sklearn(self):
        (x, labels), (gallery, known) = data(0), data(1, 100)
        model = KNeighborsClassifier(1).fit(gallery.numpy(), known.numpy())
        expected = model.score(x.numpy(), labels.numpy())
        assert float(recall_at_1(x, labels, gallery=gallery, gallery_labels=known)) == pytest.approx(expected)

    def test_by_hand(self):
        # 0 and 1 are each other's nearest and of one label; the nearest of 5 is 1, of another.
        assert float(recall_at_1(torch.tensor([[0.0], [1.0], [5.0]]), torch.tensor([0, 0, 1]))) == pytest.approx(2 / 3)

    def test_an_item_is_not_its_own_neighbour_but_is_in_a_gallery(self):
        x, labels = torch.tensor([[0.0], [9.0]]), torch.tensor([0, 1])
        assert recall_at_1(x, labels) == 0
        assert recall_at_1(x, labels, gallery=x, gallery_labels=labels) == 1

    def test_scale_and_place_do_not_matter(self):
        x, labels = data()
        assert recall_at_1(x, labels) == recall_at_1(1000 * x + 7, labels)

    def test_no_queries(self):
        assert recall_at_1(torch.zeros(0, 2), torch.zeros(0)).isnan()

    def test_exceptions(self):
        x, labels = data()
        with pytest.raises(ValueError, match=r"labels must have shape \(60,\), got \(59,\)"):
            recall_at_1(x, labels[:-1])
        with pytest.raises(ValueError, match="gallery needs gallery_labels"):
            recall_at_1(x, labels, gallery=x)
        with pytest.raises(ValueError, match="1 queries need a neighbour, got 1 items to look among"):
            recall_at_1(x[:1], labels[:1])
        with pytest.raises(ValueError, match="60 queries need a neighbour, got 0 items"):
            recall_at_1(x, labels, gallery=x[:0], gallery_labels=labels[:0])
        with pytest.raises(ValueError, match=r"queries must have shape \(N, D\)"):
            recall_at_1(x[0], labels)
        with pytest.raises(TypeError, match="gallery must have a floating-point dtype"):
            recall_at_1(x, labels, gallery=x.long(), gallery_labels=labels)


class TestRPrecision:
    def test_like_sklearns_neighbours(self):
        x, labels = data()
        order = NearestNeighbors(n_neighbors=59).fit(x.numpy()).kneighbors(return_distance=False)
        shares = []
        for item, neighbours in enumerate(order):
            count = int((labels == labels[item]).sum()) - 1
            shares.append(float((labels[neighbours[:count]] == labels[item]).float().mean()))
        assert float(r_precision(x, labels)) == pytest.approx(sum(shares) / len(shares), abs=1e-6)

    def test_by_hand(self):
        # Of 0, 1 and 4 (R = 2): the nearest two of 0 are 1 and 1.5, of 1 they are 1.5 and 0, of 4 they are 1.5 and 1.
        x, labels = torch.tensor([[0.0], [1.0], [1.5], [4.0]]), torch.tensor([0, 0, 1, 0])
        assert r_precision(x, labels) == 0.5

    def test_classes_apart_are_perfect_and_recall_asks_for_less(self):
        x, labels = torch.tensor([[0.0], [0.1], [0.2], [5.0], [5.1]]), torch.tensor([0, 0, 0, 1, 1])
        assert r_precision(x, labels) == 1
        # Pairs far from their likes: every nearest neighbour is right, yet half of each class comes late.
        x, labels = torch.tensor([[0.0], [0.1], [9.0], [9.1], [4.0], [4.1]]), torch.tensor([0, 0, 0, 0, 1, 1])
        assert recall_at_1(x, labels) == 1
        assert float(r_precision(x, labels)) == pytest.approx((4 / 3 + 2) / 6)

    @pytest.mark.parametrize("labels", [[], [0], [0, 1, 2]], ids=str)
    def test_nobody_has_a_like(self, labels):
        assert r_precision(torch.rand(len(labels), 2), torch.tensor(labels, dtype=torch.int64)).isnan()

    def test_exceptions(self):
        with pytest.raises(ValueError, match=r"embeddings must have shape \(N, D\), got \(4,\)"):
            r_precision(torch.zeros(4), torch.zeros(4))
        with pytest.raises(ValueError, match=r"labels must have shape \(4,\), got \(2,\)"):
            r_precision(torch.zeros(4, 1), torch.zeros(2))
        with pytest.raises(TypeError, match="embeddings must have a floating-point dtype"):
            r_precision(torch.zeros(4, 1, dtype=torch.int64), torch.zeros(4))
