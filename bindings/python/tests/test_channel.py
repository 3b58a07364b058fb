"""The language of the protocol, without any wire."""

from __future__ import annotations

import base64
import json
import threading
import unittest
from typing import Any, Dict, List, Type

import support  # noqa: F401
from sluice import enums, errors
from sluice._core.channel import Channel, LineSplitter, decode_bytes, encode_bytes


class Future:
    def __init__(self, log: List[Any]) -> None:
        self.log = log

    def settle(self, result: Any) -> None:
        self.log.append(result)

    def fail(self, error: BaseException) -> None:
        self.log.append(error)


def as_line(message: Any) -> bytes:
    return json.dumps(message).encode() + b"\n"


class Bytes(unittest.TestCase):
    def test_text_travels_as_text_and_the_rest_as_base64(self) -> None:
        self.assertEqual(encode_bytes("Grüße\n".encode()), {"data": "Grüße\n"})
        for binary in (b"\xff\xfe", b"a\0b", "é".encode("latin-1")):
            self.assertEqual(encode_bytes(binary), {"data": base64.b64encode(binary).decode(), "encoding": "base64"})

    def test_both_ways_give_the_same_bytes(self) -> None:
        for data in (b"", b"plain", bytes(range(256)), "\u2028\U0001f600".encode()):
            sent = encode_bytes(data)
            self.assertEqual(decode_bytes({"encoding": "utf8", **sent}), data)

    def test_all_kinds_of_bytes_and_nothing_else(self) -> None:
        self.assertEqual(encode_bytes(bytearray(b"x")), encode_bytes(memoryview(b"x")))
        with self.assertRaises(TypeError):
            encode_bytes("text")  # type: ignore[arg-type]

    def test_what_is_not_base64_is_refused(self) -> None:
        with self.assertRaises(ValueError):
            decode_bytes({"data": "?", "encoding": "base64"})


class Lines(unittest.TestCase):
    def test_every_way_of_cutting_up_a_stream_gives_the_same_lines(self) -> None:
        stream = b"one\ntwo\n\nlonger line\nrest"
        for size in range(1, len(stream) + 1):
            splitter = LineSplitter()
            lines = [line for at in range(0, len(stream), size) for line in splitter.feed(stream[at : at + size])]
            self.assertEqual(lines, [b"one", b"two", b"", b"longer line"], size)


class Conversation(unittest.TestCase):
    def setUp(self) -> None:
        self.log: List[Any] = []
        self.channel = Channel(lambda method, parameters: self.log.append((method, parameters)))

    def ask(self, read: Any = lambda value: value) -> int:
        number, line = self.channel.request("noun.verb", {"a": 1}, read, Future(self.log))
        self.assertEqual(
            json.loads(line), {"jsonrpc": "2.0", "id": number, "method": "noun.verb", "params": {"a": 1}}
        )
        return number

    def test_events_and_answers_keep_their_order(self) -> None:
        number = self.ask()
        event = {"jsonrpc": "2.0", "method": "socket.readyRead", "params": {"handle": 1}}
        self.channel.receive(as_line(event) + as_line({"id": number, "result": 7}) + as_line(event))
        self.assertEqual(self.log, [("socket.readyRead", {"handle": 1}), 7, ("socket.readyRead", {"handle": 1})])

    def test_answers_find_their_requests_in_any_order(self) -> None:
        first, second = self.ask(), self.ask(lambda value: -value)
        self.channel.receive(as_line({"id": second, "result": 2}) + as_line({"id": first, "result": 1}))
        self.assertEqual(self.log, [-2, 1])

    def test_a_result_that_cannot_be_read_fails_its_request_alone(self) -> None:
        number, other = self.ask(decode_bytes), self.ask()
        self.channel.receive(as_line({"id": number, "result": 5}) + as_line({"id": other, "result": 6}))
        self.assertIsInstance(self.log[0], errors.ProtocolError)
        self.assertEqual(self.log[1], 6)

    def test_what_is_no_conversation_is_told(self) -> None:
        for line in (b"garbage\n", b"[]\n", b"3\n", as_line({"id": 99, "result": None}), as_line({"id": None, "error": {}})):
            with self.assertRaises(errors.ProtocolError, msg=line):
                self.channel.receive(line)

    def test_the_end_fails_every_request_once_and_later_ones_at_once(self) -> None:
        numbers = [self.ask(), self.ask()]
        cancellations = self.channel.fail(errors.SidecarLostError("gone"))
        self.assertEqual([json.loads(line)["params"]["id"] for line in cancellations.splitlines()], numbers)
        self.channel.fail(errors.SidecarLostError("again"))
        self.assertEqual([str(each) for each in self.log], ["gone", "gone"])
        self.assertIsNot(self.log[0], self.log[1])
        with self.assertRaises(errors.SidecarLostError):
            self.ask()
        # An answer that was under way.
        self.channel.receive(as_line({"id": numbers[0], "result": 1}))

    def test_only_open_requests_can_be_cancelled(self) -> None:
        number = self.ask()
        cancellation = self.channel.cancellation(number)
        assert cancellation is not None
        self.assertEqual(
            json.loads(cancellation), {"jsonrpc": "2.0", "method": "$/cancelRequest", "params": {"id": number}}
        )
        self.channel.receive(as_line({"id": number, "error": {"code": -32800, "message": "cancelled"}}))
        self.assertIsInstance(self.log[0], errors.RequestCancelled)
        self.assertIsNone(self.channel.cancellation(number))

    def test_a_request_beyond_the_limit_is_not_sent(self) -> None:
        self.channel.message_limit = 100
        with self.assertRaises(errors.LimitReachedError):
            self.channel.request("noun.verb", {"data": "x" * 100}, lambda value: value, Future(self.log))

    def test_what_the_sidecar_could_not_read_is_not_sent(self) -> None:
        self.channel.depth_limit = 10
        deep: Any = 1
        for _ in range(9):
            deep = [deep]
        unreadable = (float("nan"), object(), "\ud800", 1 << 63, -(1 << 63) - 1, [1 << 70], {1: 1}, {"a\0b": 1}, deep)
        for value in unreadable:
            with self.assertRaises((TypeError, ValueError, errors.LimitReachedError), msg=repr(value)):
                self.channel.request("noun.verb", {"value": value}, lambda value: value, Future(self.log))
        self.channel.request("noun.verb", {"value": [(1 << 63) - 1, deep[0][0]]}, lambda value: value, Future(self.log))


class Errors(unittest.TestCase):
    def of(self, code: int, **data: Any) -> errors.SluiceError:
        return errors.error_of_answer({"code": code, "message": "in words", "data": data or None})

    def test_each_number_has_its_class(self) -> None:
        for code in enums.ErrorCode:
            raised = errors.error_of_code(code, "m")
            if code not in (enums.ErrorCode.NO_ERROR, enums.ErrorCode.CANCELLED):
                name = code.name.title().replace("_", "") + "Error"
                self.assertEqual(type(raised).__name__, name)
                self.assertIs(raised.code, code)  # type: ignore[attr-defined]

    def test_they_are_what_python_calls_so(self) -> None:
        import builtins

        refused = self.of(-32000, error="ConnectionRefusedError", value=10, systemError=111)
        self.assertIsInstance(refused, builtins.ConnectionRefusedError)
        self.assertIsInstance(refused, errors.SocketError)
        self.assertEqual((str(refused), refused.errno), ("in words", 111))  # type: ignore[attr-defined]
        derived: Dict[int, Type[BaseException]] = {11: ConnectionResetError, 12: OSError, 13: PermissionError, 15: TimeoutError}
        for code, kind in derived.items():
            self.assertIsInstance(self.of(-32000, value=code), kind)
        derived = {101: TypeError, 103: ValueError, 107: PermissionError}
        for code, kind in derived.items():
            self.assertIsInstance(self.of(-32001, value=code), kind)
        self.assertIsInstance(self.of(-32602, parameter="port"), (TypeError, ValueError))
        self.assertIsInstance(self.of(-32601), errors.MethodNotFoundError)

    def test_a_failed_connection_tells_its_attempts(self) -> None:
        attempt = {"address": "::1", "phase": "connect", "milliseconds": 3, "systemError": 111}
        failed = self.of(-32000, value=10, attempts=[attempt])
        self.assertEqual(failed.attempts, (("::1", 2, 3, 111),))  # type: ignore[attr-defined]

    def test_they_survive_copying(self) -> None:
        import copy
        import pickle

        failed = errors.error_of_code(enums.ErrorCode.NETWORK, "m", 101)
        for again in (copy.copy(failed), pickle.loads(pickle.dumps(failed))):
            assert isinstance(again, errors.NetworkError)
            self.assertEqual((again.code, again.errno, str(again)), (17, 101, "m"))

    def test_unknown_numbers_are_errors_all_the_same(self) -> None:
        self.assertIsInstance(self.of(-32000, error="LaterError", value=77), errors.UnknownError)
        self.assertIsInstance(self.of(-32050), errors.RpcError)
        self.assertIsInstance(errors.error_of_answer("?"), errors.ProtocolError)


class Threads(unittest.TestCase):
    def test_requests_of_many_threads_get_different_numbers(self) -> None:
        channel = Channel(lambda method, parameters: None)
        numbers: List[int] = []

        def ask() -> None:
            for _ in range(200):
                numbers.append(channel.request("noun.verb", {}, lambda value: value, Future([]))[0])

        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(len(set(numbers)), 800)


if __name__ == "__main__":
    unittest.main()
