"""The download is tested against a server on loopback, the networks with random weights in place of the real ones."""

import hashlib
import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import pytest
import torch

from cvviz.data.images import sample
from cvviz.zoo import pretrained
from cvviz.zoo.pretrained import MOST_BOXES, PRETRAINED, download, load_pretrained, named, pretrained_boxes

CONTENT = bytes(range(256)) * 2000
NAME = f"net-{hashlib.sha256(CONTENT).hexdigest()[:8]}.pth"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path.startswith("/missing"):
            self.send_error(404)
            return
        self.send_response(200)
        if not self.path.startswith("/unsized"):
            self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        body = CONTENT[:1000] if self.path.startswith("/short") else CONTENT
        self.wfile.write(body[::-1] if self.path.startswith("/damaged") else body)

    def log_message(self, *_):
        pass


@pytest.fixture
def url():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def model(tmp_path, monkeypatch):
    """A network whose file is ``CONTENT``, and a folder of its own for downloads."""
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    weights = SimpleNamespace(url=f"http://127.0.0.1:9/{NAME}", meta={"_file_size": len(CONTENT) / 2**20})
    fake = replace(PRETRAINED["ssdlite"], weights=weights, title="Net")
    monkeypatch.setitem(PRETRAINED, "net", fake)
    return fake


def quiet(share, words):
    pass


class TestDownload:
    @pytest.mark.parametrize("path", ["", "/unsized"])
    def test_the_file_arrives_whole_and_tells_how_far_it_is(self, url, model, path):
        told = []
        download("net", lambda share, words: told.append((share, words)), url=f"{url}{path}/{NAME}")
        assert model.here
        assert model.path.read_bytes() == CONTENT
        shares = [share for share, _ in told]
        assert shares == sorted(shares)
        assert shares[-1] == pytest.approx(1)
        assert told[-1][1] == "0.5 of 0.5 MB"
        assert list(model.path.parent.iterdir()) == [model.path], "nothing is left beside it"

    def test_what_is_here_is_not_fetched_again(self, url, model):
        download("net", quiet, url=f"{url}/{NAME}")
        download("net", quiet, url="http://127.0.0.1:9/closed")

    @pytest.mark.parametrize(
        ("path", "sentence"),
        [
            ("/missing", r"^Net could not be downloaded \(Not Found\): check the connection and try again, or go on"),
            ("/short", r"^Net could not be downloaded \(.*\): check the connection"),
            ("/damaged", "^The file of Net arrived damaged: try again.$"),
        ],
    )
    def test_what_goes_wrong_is_one_sentence_and_leaves_nothing(self, url, model, path, sentence):
        with pytest.raises(ValueError, match=sentence):
            download("net", quiet, url=f"{url}{path}/{NAME}")
        assert not model.here
        assert list(model.path.parent.iterdir()) == []

    def test_offline(self, model):
        with pytest.raises(ValueError, match=r"^Net could not be downloaded \(.*refused\): check the connection"):
            download("net", quiet)

    def test_stop(self, url, model):
        class StopError(Exception):
            pass

        def stop(share, words):
            raise StopError

        with pytest.raises(StopError):
            download("net", stop, url=f"{url}/{NAME}")
        assert not model.here
        assert list(model.path.parent.iterdir()) == []


class TestNetworks:
    def test_files_have_a_size_and_a_checksum(self):
        for model in PRETRAINED.values():
            assert 5 < model.megabytes < 100
            assert model.path.suffix == ".pth"
            assert "-" in model.path.name

    @pytest.mark.parametrize("name", ["ssdlite", "faster-rcnn"])
    def test_raw_boxes_of_a_network_with_random_weights(self, name, tmp_path, monkeypatch):
        monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
        monkeypatch.setattr(pretrained, "LOW", 0.0)
        model = PRETRAINED[name]
        options = {key: 0.0 if "score" in key else value for key, value in model.options.items()}
        monkeypatch.setitem(PRETRAINED, name, replace(model, options=options))
        model.path.parent.mkdir(parents=True)
        with torch.random.fork_rng():
            torch.manual_seed(0)
            torch.save(model.build(weights=None, weights_backbone=None).state_dict(), model.path)
        load_pretrained.cache_clear()
        found = pretrained_boxes(sample("coffee"), name)
        load_pretrained.cache_clear()
        assert 0 < len(found.scores) <= MOST_BOXES
        assert found.boxes.shape == (len(found.scores), 4)
        assert (found.scores.diff() <= 0).all()
        assert found.labels.max() < len(found.names)


def test_names_are_those_of_the_classes_that_occur():
    boxes = torch.tensor([[0.0, 0, 1, 1], [0, 0, 2, 2], [0, 0, 3, 3]])
    found = named(
        boxes, torch.tensor([0.2, 0.9, 0.5]), torch.tensor([3, 1, 3]), ["__background__", "person", "bicycle", "car"]
    )
    assert found.names == ("person", "car")
    assert found.labels.tolist() == [0, 1, 1]
    assert named(boxes[:0], torch.zeros(0), torch.zeros(0, dtype=torch.int64), []).names == ("nothing",)
