"""Trains one of the app's small models: ``python -m cvviz.zoo.train NAME [--steps N] [--seed S] [--out PATH]``.

Seeded, and made for two processor cores. The weights go to ``assets/NAME.safetensors``, where the app reads them.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from cvviz.zoo.digit_detector_training import train_digit_detector
from cvviz.zoo.progress import Report
from cvviz.zoo.weights import ASSETS

Trainer = Callable[[int | None, int, Path, Report], None]
TRAINERS: dict[str, Trainer] = {"digit-detector": train_digit_detector}
MOST_THREADS = 2


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the command line and train."""
    parser = argparse.ArgumentParser(prog="python -m cvviz.zoo.train", description="Train one of the app's models.")
    parser.add_argument("name", choices=TRAINERS, help="which model")
    parser.add_argument("--steps", type=int, help="steps of the optimiser; the model's own number by default")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="where the weights go; assets/NAME.safetensors by default")
    options = parser.parse_args(arguments)
    torch.set_num_threads(min(MOST_THREADS, torch.get_num_threads()))
    out = options.out or ASSETS / f"{options.name}.safetensors"
    TRAINERS[options.name](options.steps, options.seed, out, lambda line: print(line, flush=True))  # noqa: T201


if __name__ == "__main__":
    main()
