import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from cvviz.zoo.digit_detector import DigitDetector, detect
from cvviz.zoo.progress import Progress
from cvviz.zoo.train import TRAINERS, main
from cvviz.zoo.weights import load_weights, save_weights


@pytest.fixture
def threads():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


class TestCommand:
    @pytest.mark.slow
    def test_a_few_steps(self, tmp_path, capsys, threads, monkeypatch):
        monkeypatch.setattr("cvviz.zoo.digit_detector_training.HELD_OUT", 4)
        out = tmp_path / "weights.safetensors"
        main(["digit-detector", "--steps", "20", "--seed", "1", "--out", str(out)])
        lines = capsys.readouterr().out
        losses = [float(number) for number in re.findall(r"loss ([\d.]+)", lines)]
        assert losses[-1] < 0.9 * losses[0]
        assert "step 20 of 20" in lines
        assert re.search(r"4 held-out scenes: mAP@0.5 [\d.]+, mAP@0.5:0.95 [\d.]+", lines)
        model = DigitDetector()
        load_weights(model, out)
        detect(model, torch.zeros(3, 64, 64, dtype=torch.uint8))

    def test_an_unknown_name(self, capsys):
        with pytest.raises(SystemExit):
            main(["no-such-model"])
        assert "digit-detector" in capsys.readouterr().err

    def test_the_same_seed_gives_the_same_weights(self, threads):
        from cvviz.zoo.digit_detector_training import fit

        first, second, other = (fit(1, seed, lambda line: None).state_dict() for seed in (3, 3, 4))
        assert all(torch.equal(first[name], second[name]) for name in first)
        assert not torch.equal(first["stem.0.weight"], other["stem.0.weight"])

    def test_every_model_has_its_weights_and_a_card(self):
        assets = Path(__file__).parents[2] / "assets"
        for name in TRAINERS:
            assert (assets / f"{name}.safetensors").exists()
            assert f"python -m cvviz.zoo.train {name}" in (assets / f"{name}.md").read_text(encoding="utf-8")


class TestWeights:
    def test_half_precision_on_disk_only(self, tmp_path):
        model, path = torch.nn.BatchNorm2d(2), tmp_path / "weights.safetensors"
        model.weight.data = torch.tensor([1 / 3, 2.0])
        save_weights(model, path)
        stored = load_file(path)
        assert stored["weight"].dtype == torch.float16
        assert stored["num_batches_tracked"].dtype == torch.int64
        again = torch.nn.BatchNorm2d(2)
        load_weights(again, path)
        assert again.weight.tolist() == pytest.approx([1 / 3, 2], rel=2**-11)
        assert again.weight.dtype == torch.float32
        assert not again.training
        assert not again.weight.requires_grad

    def test_exception(self, tmp_path):
        save_weights(torch.nn.Linear(2, 2), tmp_path / "weights.safetensors")
        with pytest.raises(RuntimeError, match="size mismatch"):
            load_weights(torch.nn.Linear(3, 2), tmp_path / "weights.safetensors")
        with pytest.raises(FileNotFoundError):
            load_weights(torch.nn.Linear(2, 2), tmp_path / "none.safetensors")


def test_progress_tells_the_first_and_the_last_step():
    lines = []
    progress = Progress(3, lines.append)
    for done, loss in enumerate([4.0, 2.0, 1.0], start=1):
        progress.step(done, loss)
    assert len(lines) == 2
    assert lines[0].startswith("step 1 of 3, loss 4.000, ")
    assert lines[1] == "step 3 of 3, loss 1.500, 0.0 minutes left"  # the mean since the last line
