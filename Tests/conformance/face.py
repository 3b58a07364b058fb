"""What a face must offer: a way to reach the operations, be it C or JSON-RPC."""
from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, Callable, Dict, List, Optional

import peers
from vocabulary import Operation


@dataclass(frozen=True)
class Outcome:
    """How an operation ended: with a value, or with an error's number."""
    value: Any = None
    error: Optional[int] = None


@dataclass(frozen=True)
class Notice:
    """An event as it came: the object's handle, the signal's name, the object's state and openness at that moment, and its own value."""
    handle: int
    name: str
    state: int
    is_open: bool
    value: int = 0
    error: int = 0
    message: str = ""
    proxy: Optional[Dict[str, Any]] = None    # the one that asks for credentials; the message is its realm


class FaceError(Exception):
    """The face itself failed: the library is missing, the sidecar died."""


class Face:
    """A way to the operations.  Results are delivered to `done` in the order of the requests, events to `listener` in between, so that
    both stand in the record in the order in which they happened."""

    name = ""
    handlers = False    # whether steps can run inside a signal
    contexts = False    # whether it is known from which call a signal came
    ahead = False       # whether getters behind a wait are asked for together with it, because the loop does not stop after it

    def __init__(self) -> None:
        self.listener: Callable[[Notice], None] = lambda notice: None
        self.system = peers.Sys()

    def provides(self, operation: str) -> bool:
        raise NotImplementedError

    def prepare(self, scenario: Dict[str, Any]) -> Optional[str]:
        """Gets ready for a scenario, or says why this face cannot run it."""
        return None

    def request(self, operation: Operation, handle: int, values: Dict[str, Any], done: Callable[[Outcome], None]) -> None:
        """Starts an operation.  done may be called before this returns, or any time until the next `settle`."""
        raise NotImplementedError

    def settle(self) -> None:
        """Returns when all that was requested is done."""

    def run(self, milliseconds: float, condition: Optional[Callable[[], bool]] = None) -> bool:
        """Runs the event loop until the condition holds (then true) or the time is over."""
        raise NotImplementedError

    def watch(self, handle: int) -> None:
        """Begins to deliver all the events of an object."""
        raise NotImplementedError

    def sys(self, name: str, arguments: List[Any]) -> Any:
        """An operating-system step, in the process that holds the sockets where that matters."""
        return getattr(self.system, name)(*arguments)

    def watch_questions(self, handle: int) -> None:
        """What a proxy asks for will be answered, by an operation from within the event or soon after it."""

    def watch_incoming(self, handle: int, handler: Callable[[int], None]) -> None:
        """Has a server hand accepted connections over as descriptors."""
        raise NotImplementedError

    def hand_over(self, number: int, peer: Any) -> None:
        """The next operation is given a raw peer's descriptor: announces it, for a face that has to bring it along."""

    def own_number(self, number: Any) -> Any:
        """The number that a descriptor has where the sockets are."""
        return number

    def close(self) -> None:
        pass

    def ask(self, operation: Operation, handle: int, values: Optional[Dict[str, Any]] = None) -> Outcome:
        """An operation whose result is needed now."""
        out: List[Outcome] = []
        self.request(operation, handle, values or {}, out.append)
        self.settle()
        return out[0]


def wait_slices(milliseconds: float, condition: Optional[Callable[[], bool]], turn: Callable[[float], None]) -> bool:
    """Calls turn(longest sleep in milliseconds) until the condition holds or the time is over."""
    end = time.monotonic() + milliseconds / 1000
    while True:
        if condition and condition():
            return True
        left = (end - time.monotonic()) * 1000
        if left <= 0:
            return False
        turn(min(left, 2 if condition else 10))
