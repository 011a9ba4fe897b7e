import json

import pytest
import torch

from cvviz.data.detections import detections, read_detections


def csv(*lines):
    return read_detections("boxes.csv", "\n".join(lines).encode())


def coco(content):
    return read_detections("boxes.json", json.dumps(content).encode())


class TestCsv:
    def test_corners(self):
        found = csv("x1,y1,x2,y2,score,label", "1,2,11,22,0.9,cat", "3,4,5,6,0.25,dog", "3,4,5,6.5,0.5,cat")
        assert found.boxes.tolist() == [[1, 2, 11, 22], [3, 4, 5, 6], [3, 4, 5, 6.5]]
        assert found.scores.tolist() == [0.9, 0.25, 0.5]
        assert found.names == ("cat", "dog")
        assert found.labels.tolist() == [0, 1, 0]
        assert found.notes == ()
        assert found.boxes.dtype == found.scores.dtype == torch.float64

    def test_place_and_size_in_any_order_among_other_columns(self):
        found = csv("id, Height ,W,x,Y,Confidence,Class", "7,20,10,1,2,0.5,cat")
        assert found.boxes.tolist() == [[1, 2, 11, 22]]
        assert (found.names, found.scores.tolist()) == (("cat",), [0.5])

    def test_semicolons_with_decimal_commas(self):
        assert csv("x1;y1;x2;y2;score", "1,5;2;11;22;0,75").boxes.tolist() == [[1.5, 2, 11, 22]]

    def test_tabs_byte_order_mark_and_blank_lines(self):
        data = "\ufeff\r\nx1\ty1\tx2\ty2\r\n\r\n1\t2\t3\t4\r\n".encode()
        assert read_detections("a.tsv", data).boxes.tolist() == [[1, 2, 3, 4]]

    def test_negative_coordinates_are_kept_because_detectors_overshoot(self):
        assert csv("x1,y1,x2,y2", "-3,-4,5,6").boxes.tolist() == [[-3, -4, 5, 6]]

    def test_numbers_are_rounded_to_what_is_shown(self):
        found = csv("x1,y1,x2,y2,score", "0.123456,0,10.005001,9,0.123456")
        assert found.boxes.tolist() == [[0.12, 0, 10.01, 9]]
        assert found.scores.tolist() == [0.1235]

    def test_bad_rows_are_named_and_the_rest_kept(self):
        rows = ("0,0,9,9,0.5", "0,0,0,9,0.5", "a,0,9,9,0.5", "0,0,9", "0,0,9,9,87", "0,0,8,8,0.5")
        found = csv("x1,y1,x2,y2,score", *rows)
        assert found.boxes.tolist() == [[0, 0, 9, 9], [0, 0, 8, 8]]
        assert found.notes == (
            "4 rows were left out: line 3: the box is 0 wide and 9 high; line 4: x1 is “a”, which is no number; "
            "line 5: y2 is “”, which is no number; and 1 more.",
        )

    @pytest.mark.parametrize(
        ("row", "reason"),
        [
            ("0,0,9,9,87", "score 87 does not lie between 0 and 1"),
            ("0,0,9,nan,0.5", "y2 is “nan”, which is no number"),
            ("0,0,1e400,9,0.5", "x2 is “1e400”, which is no number"),
            ("0,0,1e9,9,0.5", "the box reaches beyond 100000 px"),
            ("9,0,4,9,0.5", "the box is -5 wide and 9 high"),
            ("0,0,0.001,9,0.5", "the box is 0 wide and 9 high"),
        ],
    )
    def test_reasons(self, row, reason):
        (note,) = csv("x1,y1,x2,y2,score", row, "0,0,9,9,0.5").notes
        assert note == f"1 row was left out: line 2: {reason}."

    def test_without_scores_the_order_of_the_file_decides(self):
        found = csv("x1,y1,x2,y2", "0,0,9,9", "0,0,8,8")
        assert found.scores.tolist() == [1, 1]
        assert found.names == ("object",)
        assert found.notes == ("Boxes without a score got 1; among equals, the first in the file wins.",)

    def test_of_several_images_the_one_with_the_most_boxes(self):
        found = csv("image,x1,y1,x2,y2,score", "a.jpg,0,0,9,9,1", "b.jpg,0,0,8,8,1", "b.jpg,0,0,7,7,1")
        assert found.boxes[:, 2].tolist() == [8, 7]
        assert found.notes == ("Of 2 images, “b.jpg” is shown: it has 2 boxes.",)


class TestCoco:
    def test_results(self):
        found = coco([{"image_id": 4, "category_id": 18, "bbox": [1, 2, 10, 20], "score": 0.9}])
        assert found.boxes.tolist() == [[1, 2, 11, 22]]
        assert found.names == ("category 18",)

    def test_annotations_have_names_but_no_scores(self):
        categories = [{"id": 18, "name": "dog"}, {"id": 1, "name": "person"}]
        entries = [
            {"image_id": 1, "category_id": 18, "bbox": [0, 0, 5, 5]},
            {"image_id": 2, "category_id": 1, "bbox": [0, 0, 5, 5]},
            {"image_id": 2, "category_id": 18, "bbox": [0, 0, 6, 5]},
        ]
        found = coco({"images": [], "annotations": entries, "categories": categories})
        assert found.names == ("person", "dog")
        assert found.scores.tolist() == [1, 1]
        assert found.notes[0] == "Of 2 images, “2” is shown: it has 2 boxes."
        assert found.notes[1].startswith("Boxes without a score got 1")

    @pytest.mark.parametrize(
        ("entry", "reason"),
        [
            (5, "is not an object"),
            ({"bbox": [1, 2, 3]}, "bbox must be [x, y, width, height]"),
            ({"score": 0.5}, "bbox must be [x, y, width, height]"),
            ({"bbox": [1, 2, None, 4]}, "bbox is “None”, which is no number"),
            ({"bbox": [1, 2, True, 4]}, "bbox is “True”, which is no number"),
            ({"bbox": [1, 2, 10**400, 4]}, f"bbox is “1{'0' * 38}…”, which is no number"),
            ({"bbox": [1, 2, 3, 4], "score": [1]}, "score is “[1]”, which is no number"),
            ({"bbox": [1, 2, -3, 4]}, "the box is -3 wide and 4 high"),
        ],
    )
    def test_bad_entries(self, entry, reason):
        found = coco([{"bbox": [0, 0, 5, 5], "score": 1}, entry])
        assert found.notes[-1] == f"1 row was left out: entry 2: {reason}."

    def test_categories_of_any_kind_do_no_harm(self):
        entries = [{"bbox": [0, 0, 5, 5], "score": 1, "category_id": odd} for odd in ("cat", [1], {"a": 1}, None)]
        names = coco({"annotations": entries, "categories": [3, {"id": [1]}, {"id": 1}]}).names
        assert names == ("category cat", "category [1]", "category {'a': 1}", "object")


class TestNothingUsable:
    @pytest.mark.parametrize(
        ("data", "words"),
        [
            (b"", "has no box that can be used"),
            (b"0,0,5,5,0.9", "must name its columns in the first line"),
            (b"x1,y1,score\n1,2,3", "must name its columns in the first line"),
            (b"x1,y1,x2,y2", "has no box that can be used"),
            (b"x1,y1,x2,y2\n5,5,1,1", "used: line 2: the box is -4 wide and -4 high"),
            (b"x1,y1,x2,y2\n0.1,0.1,0.5,0.9", "multiply them by the size of the image"),
            (b'x1,y1,x2,y2\n"' + b"1" * 140_000, "cannot be read as CSV at line 2"),
            (b"\xff\xfe\x00x", "is not text in UTF-8"),
            (b"[{", r"is not valid JSON \(line 1\)"),
            (b"[" * 100_000, "is not valid JSON"),
            (b"{}", "must be COCO's list of results"),
            (b'{"annotations": 3}', "must be COCO's list of results"),
            (b"[]", "has no box that can be used"),
            (b"x" * (10 * 2**20 + 1), "has more than 10 MB"),
        ],
    )
    def test_one_sentence(self, data, words):
        with pytest.raises(ValueError, match=words) as error:
            read_detections("mine.csv", data)
        assert str(error.value).startswith("“mine.csv” ")
        assert str(error.value).endswith(".")


def test_best_keeps_the_order_of_equal_scores_and_says_what_it_left_out():
    found = detections([[0, 0, 1, x] for x in (1, 2, 3, 4)], [0.5, 0.9, 0.5, 0.5], [0, 0, 1, 0], ("a", "b"))
    best = found.best(3)
    assert best.boxes[:, 3].tolist() == [2, 1, 3]
    assert best.labels.tolist() == [0, 0, 1]
    assert best.notes == ("Of 4 boxes, the 3 with the highest scores are used.",)
    assert found.best(4).notes == ()
