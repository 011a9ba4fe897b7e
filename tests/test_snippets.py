"""The code panel: what is copied from the reference, and that it runs where cvviz is not installed."""

import re
from dataclasses import replace

import pytest
import torch

from cvviz.data.images import Picture, sample
from cvviz.snippets import imports_for, snippet, with_helpers
from tests import toys
from tests.toys import CONCEPT, FROM_INPUTS, Params


def source_of(concept, params):
    return snippet(concept, params, concept.compute(params))


def run(source):
    space = {}
    exec(compile(source, "<snippet>", "exec"), space)
    return space["result"]


class TestScript:
    def test_gives_the_numbers_on_the_screen(self, capsys):
        params = Params(gain=0.3, count=5)
        source = source_of(CONCEPT, params)
        assert torch.equal(run(source), CONCEPT.compute(params).values)
        assert "tensor" in capsys.readouterr().out

    def test_needs_nothing_of_ours(self):
        assert not re.search("cvviz|toys", source_of(CONCEPT, Params()))

    def test_current_values_are_written_out(self):
        assert source_of(CONCEPT, Params(gain=0.3, count=5)).endswith(
            "result = reference(\n    gain=0.3,\n    count=5,\n)\nprint(result)\n"
        )

    def test_values_computed_on_the_way_are_written_as_literals(self):
        params = Params(gain=0.5, count=3)
        source = source_of(FROM_INPUTS, params)
        assert "    weights=[0.0, 1.0, 2.0],\n" in source
        assert torch.equal(run(source), FROM_INPUTS.compute(params).values)

    def test_reference_without_arguments(self):
        source = source_of(replace(CONCEPT, reference=toys.of_nothing()), Params())
        assert source.endswith("result = reference()\nprint(result)\n")
        assert torch.equal(run(source), torch.ones(2, dtype=torch.float64))

    def test_no_reference(self):
        with pytest.raises(ValueError, match=r"^toys has no reference\.$"):
            source_of(replace(CONCEPT, reference=None), Params())


class TestPicture:
    CONCEPT = replace(CONCEPT, reference=toys.of_picture())

    @pytest.mark.parametrize("name", ["astronaut", "flower", "coins"])
    def test_sample_is_read_from_its_own_library(self, name):
        source = source_of(self.CONCEPT, Params(picture=sample(name)))
        assert f"    picture={sample(name).code},\n" in source
        assert torch.equal(run(source), toys.of_picture()(sample(name).pixels))

    def test_own_picture_is_read_from_the_users_folder(self):
        own = Picture("mine", "My cat", lambda: torch.zeros(3, 2, 2, dtype=torch.uint8), file="it's my cat.png")
        source = source_of(self.CONCEPT, Params(picture=own))
        assert 'decode_image("it\'s my cat.png"' in source
        assert "import torchvision\n" in source
        compile(source, "<snippet>", "exec")

    def test_pixels_are_never_written_out(self):
        assert len(source_of(self.CONCEPT, Params())) < 1000


class TestHelpers:
    def test_each_before_its_caller_and_once(self):
        assert with_helpers(toys.reference) == [toys.scaled, toys.whole, toys.ramp, toys.reference]

    def test_function_that_calls_itself(self):
        assert with_helpers(toys.halvings) == [toys.halvings]

    def test_functions_of_other_modules_are_imported_and_not_copied(self):
        source = source_of(CONCEPT, Params())
        assert re.findall(r"^def (\w+)", source, re.MULTILINE) == ["scaled", "whole", "ramp", "reference"]


class TestImports:
    def test_of_the_script(self):
        head = source_of(CONCEPT, Params()).partition("\n\n\n")[0]
        assert head.splitlines() == [
            "import math",
            "import torch",
            "import torch.nn.functional as F",
            "from torch import Tensor",
            "from torch import arange as count_up",
            "from torch.nn.functional import relu",
        ]

    @pytest.mark.parametrize(
        ("used", "module", "lines"),
        [
            ("np.ones(3)", "import numpy as np, math", ["import numpy as np"]),
            ("scipy.stats.norm", "import scipy.stats", ["import scipy.stats"]),
            ("b(2)", "from math import (a,\n    b)", ["from math import b"]),
            ("down(2)", "from math import floor as down, ceil", ["from math import floor as down"]),
            ("floor(2)", "from math import floor as down", []),
            ("x.torch", "import torch", []),  # an attribute of that name is no use of the module
            ("def f(x: Tensor): ...", "if TYPE_CHECKING:\n    from torch import Tensor", ["from torch import Tensor"]),
            ("annotations", "from __future__ import annotations", []),
        ],
    )
    def test_names(self, used, module, lines):
        assert imports_for(used, module) == lines
