"""The models' weights in ``assets/``: safetensors in half precision, float32 again when loaded."""

from __future__ import annotations

from pathlib import Path

from safetensors.torch import load_file, save
from torch import nn

ASSETS = Path(__file__).parents[2] / "assets"


def save_weights(model: nn.Module, path: Path) -> None:
    """Write the model's state; floating-point numbers are rounded to float16."""
    state = {name: value.half() if value.is_floating_point() else value for name, value in model.state_dict().items()}
    path.write_bytes(save(state))  # save_file would make a file that only its owner may read


def load_weights(model: nn.Module, path: Path) -> None:
    """Read what :func:`save_weights` wrote, and make the model ready to predict: eval mode, no gradients.

    Raises:
        FileNotFoundError: if there is no such file.
        RuntimeError: if the weights belong to another model.
    """
    state = {name: value.float() if value.is_floating_point() else value for name, value in load_file(path).items()}
    model.load_state_dict(state)
    model.eval().requires_grad_(False)
