"""A limit for a row of operations."""

from __future__ import annotations

import time


class Deadline:
    """What is left of a time limit, in milliseconds; -1 is no limit."""

    def __init__(self, timeout: int) -> None:
        self._end = None if timeout < 0 else time.monotonic() + timeout / 1000

    def left(self) -> int:
        if self._end is None:
            return -1
        return max(0, round((self._end - time.monotonic()) * 1000))
