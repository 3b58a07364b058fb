"""A limit for a row of operations."""

from __future__ import annotations

import time

from ..errors import InvalidArgumentError


class Deadline:
    """What is left of a time limit, in milliseconds; -1 is no limit."""

    def __init__(self, timeout: int) -> None:
        if not isinstance(timeout, (int, float)):
            raise TypeError(f"a time-out is a number of milliseconds, not {type(timeout).__name__}")
        if timeout < -1:
            raise InvalidArgumentError(f"a time-out is a number of milliseconds, or -1 for no limit, not {timeout}")
        self._end = None if timeout < 0 else time.monotonic() + timeout / 1000

    def left(self) -> int:
        if self._end is None:
            return -1
        return max(0, round((self._end - time.monotonic()) * 1000))
