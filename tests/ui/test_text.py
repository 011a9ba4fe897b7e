"""A user's words stay words."""

import pytest

from cvviz.ui.text import literal


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("γ must lie between 0 and 5, got 9.", "γ must lie between 0 and 5, got 9."),
        ("![x](https://a.example/y)", r"!\[x\](https\://a.example/y)"),
        ("<img src=x>", r"\<img src=x\>"),
        ("$x$ `y` *z* _w_ ~~v~~", r"\$x\$ \`y\` \*z\* \_w\_ \~\~v\~\~"),
        (":red[hot] www.example.org", r":red\[hot\] www\.example.org"),
    ],
)
def test_markup_is_escaped_and_sentences_are_left_alone(text, expected):
    assert literal(text) == expected
