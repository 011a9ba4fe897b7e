import doctest
import gc
import weakref
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import cvviz.data.memo
from cvviz.data.memo import Memo


@dataclass(eq=False)
class Owner:
    memo: Memo = field(default_factory=Memo)


def test_example_in_docstring():
    assert doctest.testmod(cvviz.data.memo).failed == 0


def test_the_one_unused_longest_is_dropped():
    memo, made = Memo(most=2), []
    for key in "abacab":
        memo(key, lambda key=key: made.append(key))
    assert made == ["a", "b", "c", "b"]  # a was used before c came, so that b went


def test_threads_wait_for_one_computation():
    memo, made = Memo(), []
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: memo("key", lambda: made.append(1) or 7), range(50)))
    assert made == [1]


def test_results_die_with_their_owner():
    owner = Owner()
    alive = weakref.ref(owner.memo("key", Owner))
    assert alive() is not None
    del owner
    gc.collect()
    assert alive() is None
