"""Results kept as long as the value that they belong to, so that what is derived from a user's file dies with it."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

T = TypeVar("T")


class Memo:
    """A small store of results, for an attribute of the value that they are computed from.

    Example:
        >>> memo = Memo()
        >>> memo("square", lambda: 3 * 3), memo("square", lambda: 0)
        (9, 9)
    """

    def __init__(self, most: int = 16) -> None:
        self._most, self._lock = most, threading.RLock()
        self._results: OrderedDict[Hashable, Any] = OrderedDict()

    def __call__(self, key: Hashable, make: Callable[[], T]) -> T:
        """The result under ``key``, made if it is not there; of more than ``most`` the one unused longest is dropped.

        Threads that ask at the same time wait for one computation.
        """
        with self._lock:
            if key not in self._results:
                self._results[key] = make()
            self._results.move_to_end(key)
            if len(self._results) > self._most:
                self._results.popitem(last=False)
            result: T = self._results[key]
            return result
