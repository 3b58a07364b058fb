"""Events in their buffer."""

from __future__ import annotations

import unittest
from typing import Any, List

import support  # noqa: F401
import sluice
from sluice.events import Event, EventBuffer


class Source:
    def __init__(self, handle: int) -> None:
        self.handle = handle


def names(buffer: EventBuffer) -> List[str]:
    taken: List[str] = []
    while True:
        event = buffer.take()
        if event is None:
            return taken
        taken.append(event.name)


class Buffer(unittest.TestCase):
    def setUp(self) -> None:
        self.one, self.two = Source(1), Source(2)
        self.buffer = EventBuffer(limit=5)

    def add(self, name: str, source: Source, **values: Any) -> None:
        self.buffer.add(Event(name, source, {"state": "Connected", **values}))  # type: ignore[arg-type]

    def test_events_keep_their_order(self) -> None:
        for name in ("connected", "readyRead", "disconnected"):
            self.add(name, self.one)
        self.assertEqual(names(self.buffer), ["connected", "readyRead", "disconnected"])

    def test_more_of_the_same_joins_what_waits(self) -> None:
        for count in (1, 2, 3):
            self.add("bytesWritten", self.one, bytes=count)
            self.add("readyRead", self.one, bytesAvailable=count)
        written, ready = self.buffer.take(), self.buffer.take()
        assert written is not None and ready is not None
        self.assertEqual((written.bytes_written, ready.bytes_available), (6, 3))
        self.assertIsNone(self.buffer.take())

    def test_nothing_joins_over_another_event_or_another_object(self) -> None:
        self.add("readyRead", self.one)
        self.add("readyRead", self.two)
        self.add("disconnected", self.one)
        self.add("readyRead", self.one)
        self.assertEqual(names(self.buffer), ["readyRead", "readyRead", "disconnected", "readyRead"])

    def test_what_was_taken_is_joined_no_more(self) -> None:
        self.add("readyRead", self.one)
        self.buffer.take()
        self.add("readyRead", self.one)
        self.assertEqual(names(self.buffer), ["readyRead"])

    def test_the_limit_drops_the_oldest_and_tells(self) -> None:
        for count in range(8):
            self.add("newConnection", self.one, pending=count)
        with self.assertRaises(sluice.EventsLostError) as lost:
            self.buffer.take()
        self.assertEqual(lost.exception.count, 3)
        first = self.buffer.take()
        assert first is not None
        self.assertEqual(first.pending, 3)

    def test_an_event_carries_what_it_came_with(self) -> None:
        failed = Event(
            "errorOccurred",
            self.one,  # type: ignore[arg-type]
            {"state": "Unconnected", "isOpen": True, "error": "NetworkError", "value": 17, "message": "m", "systemError": 101},
        )
        self.assertEqual((failed.state, failed.is_open), (sluice.SocketState.UNCONNECTED, True))
        assert isinstance(failed.error, sluice.NetworkError)
        self.assertEqual((str(failed.error), failed.error.system_error), ("m", 101))


if __name__ == "__main__":
    unittest.main()
