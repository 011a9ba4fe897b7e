"""COCO's files: what is read, and what is refused with which words."""

import doctest
import json

import pytest
import torch

import cvviz.data.coco_files
from cvviz.data.coco_files import MOST_BYTES, predictions_for, read_results, read_truth, write_files
from cvviz.data.detection_sets import example_files, example_pair, own_set

TRUTH = {
    "images": [{"id": 9, "file_name": "b.jpg", "width": 64, "height": 48}, {"id": 4}],
    "categories": [{"id": 7, "name": "dog"}, {"id": 3, "name": "car"}],
    "annotations": [
        {"id": 1, "image_id": 4, "category_id": 7, "bbox": [1, 2, 10, 20], "area": 150.5, "iscrowd": 1},
        {"id": 2, "image_id": 9, "category_id": 3, "bbox": [0.5, 0, 8, 9.25]},
    ],
}
RESULT = {"image_id": 4, "category_id": 7, "bbox": [1, 2, 10, 20], "score": 0.9}


def truth(content=None, **changes):
    return read_truth("truth.json", json.dumps({**TRUTH, **changes} if content is None else content).encode())


def results(*rows):
    return read_results("results.json", json.dumps(rows).encode())


def annotation(**changes):
    return truth(annotations=[TRUTH["annotations"][0], {**TRUTH["annotations"][1], **changes}])


def test_examples_in_docstrings():
    assert doctest.testmod(cvviz.data.coco_files).failed == 0


class TestTruth:
    def test_images_and_categories_by_rising_id(self):
        found = truth()
        assert (found.images, found.titles) == ((4, 9), ("image 4", "b.jpg"))
        assert (found.categories, found.names) == ((3, 7), ("car", "dog"))
        assert found.truth.images.tolist() == [0, 1]
        assert found.truth.labels.tolist() == [1, 0]
        assert found.truth.crowd.tolist() == [True, False]

    def test_boxes_and_areas(self):
        found = truth()
        assert found.truth.boxes.tolist() == [[1, 2, 11, 22], [0.5, 0, 8.5, 9.25]]
        assert found.truth.areas.tolist() == [150.5, 74]  # of the mask, where the file gives it
        assert found.notes == ("1 annotations give no area: width × height was taken.",)

    def test_size_of_an_image_that_gives_none_is_that_of_its_boxes(self):
        assert truth().sizes == ((11, 22), (64, 48))

    def test_id_zero_is_told(self):
        assert "the id 0" in annotation(id=0).notes[-1]

    def test_other_keys_do_no_harm(self):
        found = truth(info={"year": 2014}, licenses=[], annotations=[{**TRUTH["annotations"][0], "segmentation": []}])
        assert len(found.bboxes) == 1

    @pytest.mark.parametrize(
        ("make", "words"),
        [
            (lambda: truth([]), "this is a list, as results are"),
            (lambda: truth(5), "must be an object with images, annotations, categories, got 5"),
            (lambda: truth({"images": [1]}), "annotations is missing"),
            (lambda: truth(images={}), "images must be a list, got {}"),
            (lambda: truth(annotations=[]), "annotations is empty"),
            (lambda: truth(images=[3]), r"images\[0\] must be an object, got 3"),
            (lambda: truth(images=[{"id": "4"}]), r"images\[0\].id must be a whole number, got \"4\""),
            (
                lambda: truth(images=[{"id": 4}, {"id": 9}, {"id": 4}]),
                r"images\[2\].id is 4, which an earlier entry has",
            ),
            (
                lambda: truth(images=[{"id": 4}, {"id": 9, "width": 0}]),
                r"images\[1\].width must be a number of at least 1",
            ),
            (lambda: truth(categories=[{"name": "dog"}]), r"categories\[0\].id is missing"),
            (lambda: annotation(image_id=5), r"annotations\[1\].image_id is 5, which is not among the images"),
            (
                lambda: annotation(category_id=8),
                r"annotations\[1\].category_id is 8, which is not among the categories",
            ),
            (lambda: annotation(category_id=True), r"annotations\[1\].category_id must be a whole number, got true"),
            (lambda: annotation(iscrowd=2), r"annotations\[1\].iscrowd must be 0 or 1, got 2"),
            (lambda: annotation(area="big"), r"annotations\[1\].area must be a number of at least 0, got \"big\""),
            (lambda: annotation(area=-1), r"annotations\[1\].area must be a number of at least 0, got -1"),
            (
                lambda: annotation(bbox=[1, 2, 3]),
                r"annotations\[1\].bbox must be four numbers x, y, width, height, got \[1,2,3\]",
            ),
            (lambda: annotation(bbox=[1, 2, 3, None]), r"bbox must be four numbers .* got \[1,2,3,null\]"),
            (lambda: annotation(bbox=[1, 2, 3, True]), r"bbox must be four numbers"),
            (lambda: annotation(bbox=[9, 9, -3, 4]), r"neither side may be negative, got \[9,9,-3,4\]"),
            (lambda: annotation(bbox=[9, 9, 3, 4e9]), r"bbox must stay within 1,000,000 px"),
        ],
    )
    def test_refused(self, make, words):
        with pytest.raises(ValueError, match=words) as error:
            make()
        assert str(error.value).startswith("“truth.json”")
        assert str(error.value).endswith(".")


class TestResults:
    def test_rows(self):
        found = results(RESULT, {**RESULT, "score": -3, "category_id": 3})
        assert found.images == (4, 4)
        assert found.categories == (7, 3)
        assert found.scores.tolist() == [0.9, -3]  # any number ranks
        predictions = predictions_for(truth(), found)
        assert predictions.labels.tolist() == [1, 0]
        assert predictions.images.tolist() == [0, 0]
        assert predictions.boxes[0].tolist() == [1, 2, 11, 22]

    @pytest.mark.parametrize(
        ("make", "words"),
        [
            (lambda: results(), "the list of results is empty"),
            (lambda: read_results("results.json", json.dumps(TRUTH).encode()), "this is a ground-truth file"),
            (lambda: read_results("results.json", b"{}"), "results must be a list, got {}"),
            (lambda: results(RESULT, 3), r"\[1\] must be an object, got 3"),
            (lambda: results(RESULT, {**RESULT, "image_id": 1.5}), r"\[1\].image_id must be a whole number, got 1.5"),
            (lambda: results({"image_id": 4, "category_id": 7, "bbox": [1, 2, 3, 4]}), r"\[0\].score is missing"),
            (lambda: results({**RESULT, "score": "high"}), r"\[0\].score must be a number, got \"high\""),
            (lambda: results({**RESULT, "bbox": {}}), r"\[0\].bbox must be four numbers"),
        ],
    )
    def test_refused(self, make, words):
        with pytest.raises(ValueError, match=words) as error:
            make()
        assert str(error.value).startswith("“results.json”")

    def test_results_of_another_set(self):
        with pytest.raises(ValueError, match=r"“results.json”: \[1\].image_id is 5, .* the images of “truth.json”"):
            predictions_for(truth(), results(RESULT, {**RESULT, "image_id": 5}))
        with pytest.raises(ValueError, match=r"\[0\].category_id is 1, .* the categories of “truth.json”"):
            predictions_for(truth(), results({**RESULT, "category_id": 1}))


@pytest.mark.parametrize("read", [read_truth, read_results])
@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "is not valid JSON: line 1, column 1"),
        (b'{"images": [\n1,]}', "is not valid JSON: line 2"),
        (b"\xff\xfe", "is not valid JSON"),
        (b"[NaN]", "is not valid JSON"),
        (b"[" * 100_000, "is not valid JSON"),
        (b" " * (MOST_BYTES + 1), "has more than 10 MB: leave out segmentations"),
    ],
)
def test_no_json(read, data, words):
    with pytest.raises(ValueError, match=words):
        read("mine.json", data)


class TestWritten:
    def test_read_back(self):
        found, said = example_pair()
        predictions = predictions_for(found, said)
        assert found.truth.labels.tolist() == [3, 3, 3, 3, 3, 3, 8, 8]
        assert len(predictions.scores) == 10
        again = write_files(found.truth, predictions, found.names, [(360, 270)])
        assert again == example_files()


class TestExcerpt:
    def large(self, count=100):
        """Image i holds i % 7 dogs and one car."""
        rows = [(image, 7) for image in range(count) for _ in range(image % 7)] + [(image, 3) for image in range(count)]
        content = {
            "images": [{"id": image, "width": 5000, "height": 4000} for image in range(count)],
            "categories": TRUTH["categories"],
            "annotations": [{"image_id": image, "category_id": label, "bbox": [0, 0, 40, 30]} for image, label in rows],
        }
        return truth(content), results(
            *({"image_id": image, "category_id": label, "bbox": [1, 0, 40, 30], "score": 0.5} for image, label in rows)
        )

    def test_fullest_images_of_the_class(self):
        chosen, label = own_set(*self.large(), 1)
        assert chosen.names[label] == "dog"
        assert len(chosen.titles) == 60
        counts = (chosen.truth.labels == label).long()
        per_image = torch.zeros(60, dtype=torch.long).index_add(0, chosen.truth.images, counts)
        assert per_image.min() >= 2  # of 0 to 6
        assert chosen.notes[-1] == "Walked here: the 60 of 100 images with most “dog”."

    def test_rank_of_the_class_ends_at_the_last_with_objects(self):
        assert [own_set(*self.large(), rank)[1] for rank in (1, 2, 100)] == [1, 0, 0]

    def test_large_pictures_are_shown_small(self):
        chosen, _ = own_set(*self.large(), 1)
        pixels, scale = chosen.picture(0)
        assert pixels.shape == (3, 288, 360)
        assert scale == 360 / 5000
