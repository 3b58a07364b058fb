"""Tests of the driver itself: they need neither the library nor the sidecar."""
from __future__ import annotations

import copy
import json
import sys
import unittest
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import compare  # noqa: E402
import peers  # noqa: E402
import vocabulary  # noqa: E402
from differences import RULES, Differences, LeftOut, digest, kinds_of  # noqa: E402
from face import Face, Notice, Outcome, wait_slices  # noqa: E402
from record import Record, objects_of  # noqa: E402
from scenario import Player  # noqa: E402
from survey import survey  # noqa: E402

DOCUMENT = Differences.load(HERE / "DIFFERENCES.md", HERE / "expected")


def load(folder: str, name: str) -> Dict[str, Any]:
    return json.loads((HERE / folder / (name + ".json")).read_text())


def wanted(name: str, face: str = "c") -> List[Any]:
    return DOCUMENT.transformed(load("scenarios", name), face, load("traces", name), False)


class Recording(unittest.TestCase):
    def test_every_recorded_timeline_coalesces_to_its_objects(self) -> None:
        for folder in ("traces", "traces-alt"):
            for path in sorted((HERE / folder).glob("*.json")):
                trace, scenario = json.loads(path.read_text()), load("scenarios", path.stem)
                with self.subTest(path.stem):
                    self.assertEqual(objects_of(trace["timeline"], "bytesWritten" in scenario.get("loose", ())), trace["objects"])

    def test_values_are_named(self) -> None:
        record = Record("/tmp/xyz", "cf77")
        record.learn_port(40001, "s")
        record.learn_port(40001, "p")
        self.assertEqual(record.value(vocabulary.Port(40001)), "<port:s>")
        self.assertEqual(record.value(vocabulary.Port(40002)), "<port>")
        self.assertEqual(record.value(vocabulary.Port(80)), 80)
        self.assertEqual(record.value("/tmp/xyz/cf77 at 127.0.0.1:40001"), "<tmp>/<uniq> at 127.0.0.1:<port:s>")
        self.assertEqual(record.value([b"abc", b"\x00\x01"]), [{"utf8": "abc"}, {"hex": "0001"}])
        self.assertEqual(record.value(b"\xff" * 65)["bytes"], 65)


class Vocabulary(unittest.TestCase):
    def test_arguments_are_filled_in(self) -> None:
        connect = vocabulary.METHODS["socket"]["connectToHost"]
        self.assertEqual(vocabulary.arguments(connect, "connectToHost", ["::1", 9, "ReadWrite|Unbuffered", "IPv6Protocol"]),
                         {"host": "::1", "port": 9, "openMode": 35, "protocol": 1})
        self.assertEqual(vocabulary.arguments(connect, "connectToHost", ["h", 9])["protocol"], 2)
        self.assertEqual(vocabulary.arguments(vocabulary.METHODS["server"]["listen"], "listen", ["AnyIPv6", 0])["address"], "::")
        self.assertEqual(vocabulary.arguments(vocabulary.METHODS["socket"]["readLine"], "readLine", [5]), {"maxSize": 4})
        with self.assertRaises(ValueError):
            vocabulary.arguments(connect, "connectToHost", ["h"])

    def test_results_print_as_recorded(self) -> None:
        self.assertEqual(vocabulary.printed("openMode", "socket", 35, None, False), "ReadOnly|WriteOnly|Unbuffered")
        self.assertEqual(vocabulary.printed("openMode", "socket", 3, None, False), "ReadWrite")
        self.assertEqual(vocabulary.printed("access", "localserver", 3, None, False), "UserAccessOption|GroupAccessOption")
        self.assertEqual(vocabulary.printed("access", "localserver", 0, None, False), "0")
        self.assertEqual(vocabulary.printed("error", "local", 12, None, False), "ServerNotFoundError")
        self.assertEqual(vocabulary.printed("error", "socket", 12, None, False), "HostNotFoundError")
        self.assertEqual(vocabulary.printed("count", "socket", None, 29, True), -1)
        self.assertIsNone(vocabulary.printed("data", "socket", None, 29, True))
        self.assertEqual(vocabulary.printed("line", "socket", None, 29, False), b"")
        self.assertEqual(vocabulary.printed("char", "socket", None, 32, False), [False, b"\0"])

    def test_every_word_of_the_scenarios_is_known_or_left_out(self) -> None:
        for path in sorted((HERE / "scenarios").glob("*.json")):
            scenario = json.loads(path.read_text())
            if scenario["area"] in ("udp", "proxy"):
                continue
            reason = survey(scenario, lambda operation: not operation.startswith("udp"), True, DOCUMENT.left_out).reason
            with self.subTest(path.stem):
                self.assertNotIn("unknown", reason or "")


class Surveys(unittest.TestCase):
    def look(self, *steps: Dict[str, Any], provides: Callable[[str], bool] = lambda name: True, handlers: bool = True) -> Any:
        return survey({"name": "x", "steps": list(steps)}, provides, handlers, LeftOut({"seek": "event", "setTextModeEnabled": "scenario"}))

    def test_unknown_words_are_named(self) -> None:
        self.assertEqual(self.look({"new": "Gadget", "as": "g"}).reason, "unknown object: Gadget")
        self.assertEqual(self.look({"new": "TcpSocket", "as": "c"}, {"call": "c.fly"}).reason, "unknown method: socket.fly")
        self.assertEqual(self.look({"dance": 1}).reason, "unknown step: dance")

    def test_left_out_calls(self) -> None:
        self.assertIsNone(self.look({"new": "TcpSocket", "as": "c"}, {"call": "c.seek", "args": [1]}).reason)
        self.assertEqual(self.look({"new": "TcpSocket", "as": "c"}, {"call": "c.setTextModeEnabled", "args": [True]}).reason,
                         "setTextModeEnabled is left out")

    def test_handlers_and_missing_operations(self) -> None:
        socket = {"new": "TcpSocket", "as": "c"}
        self.assertEqual(self.look(socket, {"on": "c.connected", "do": []}, handlers=False).reason, "steps inside a handler: face c")
        needs = self.look(socket, {"new": "UdpSocket", "as": "q"}, {"call": "q.bind"}, provides=lambda name: not name.startswith("udp"))
        self.assertEqual((needs.reason, needs.dropped), (None, {"q"}))


class Rules(unittest.TestCase):
    def test_the_document_and_the_rules_agree(self) -> None:
        self.assertEqual(sorted(DOCUMENT.rules), sorted(RULES))

    def test_every_single_scenario_has_its_wanted_trace(self) -> None:
        for name in DOCUMENT.scenarios:
            scenario = load("scenarios", name.split(".")[0])
            with self.subTest(name):
                self.assertEqual(load("expected", name)["scenario"], digest(scenario))
        self.assertEqual({p.stem for p in (HERE / "expected").glob("*.json")}, set(DOCUMENT.scenarios))

    def test_a_trace_without_differences_is_left_alone(self) -> None:
        self.assertEqual(wanted("tcp_echo"), [(load("traces", "tcp_echo")["objects"], [])])

    def test_no_rule_is_forgotten(self) -> None:
        used = set()
        for path in (HERE / "scenarios").glob("*.json"):
            if (HERE / "traces" / path.name).exists():
                for _, applied in wanted(path.stem) + wanted(path.stem, "rpc"):
                    used.update(applied)
        # These concern scenarios of the same kinds that are not among the recorded ones.
        self.assertLessEqual(set(RULES) - used, {
            "proxy-answer-has-no-body",
            "local-disconnect-is-remembered", "pause-acts-at-once", "local-server-files", "local-descriptor", "rpc-others-do-not-rest",
            "rpc-waits-know-what-they-missed", "details-of-both-families", "bound-descriptor-stays-bound", "setters-are-for-virtual-sockets",
            "unbuffered-descriptor", "udp-disconnect-is-remembered",
            "bytes-written-is-not-recursive", "datagram-errors-do-not-stick"})

    def test_local_connect_order(self) -> None:
        (objects, applied), = wanted("local_connect_not_found")
        self.assertEqual(applied[0], "local-connect-order")
        signals = [(e["name"], e["state"]) for e in objects["c"] if e["ev"] == "signal"]
        self.assertEqual(signals, [("stateChanged", "ConnectingState"), ("stateChanged", "UnconnectedState"), ("errorOccurred", "UnconnectedState")])

    def test_datagrams_are_read_one_by_one(self) -> None:
        (objects, applied), = wanted("udp_connected_readline_peek")
        self.assertIn("datagram-borders-are-kept", applied)
        results = [e["ret"] for e in objects["q"] if e["ev"] == "call" and e["name"] in ("peek", "readLine", "readAll")]
        self.assertEqual(results, [{"utf8": "ab"}, {"utf8": "ab\n"}, {"utf8": "cd\n"}, {"utf8": "second"}])
        sizes = [e["value"] for e in objects["q"] if e["ev"] == "get" and e["name"] == "bytesAvailable"]
        self.assertEqual(sizes, [6, 6, 3])

    def test_errors_of_earlier_datagrams_are_told(self) -> None:
        (objects, applied), = wanted("udp_connected_refused", "rpc")
        self.assertIn("icmp-errors-are-told", applied)
        told = [e["args"][0] for e in objects["q"] if e["ev"] == "signal" and e["name"] == "errorOccurred"]
        self.assertEqual(told, ["ConnectionRefusedError", "ConnectionRefusedError", "TemporaryError"])
        self.assertFalse([e for e in objects["q"] if e["ev"] == "signal" and e["name"] == "readyRead"])

    def test_a_datagram_to_nobody_binds_nothing(self) -> None:
        (objects, applied), = wanted("udp_null_address")
        self.assertEqual(applied, ["destinations-are-checked"])
        self.assertEqual([e.get("ret") for e in objects["b"] if e["ev"] == "call"], [-1])
        self.assertEqual([e["value"] for e in objects["b"] if e["ev"] == "get"], ["InvalidArgumentError", "UnconnectedState", ""])

    def test_a_refused_descriptor_changes_nothing(self) -> None:
        (objects, _), = wanted("fd_set_invalid")
        self.assertEqual({e["args"][0] for e in objects["c"] if e["ev"] == "signal"}, {"UnsupportedSocketOperationError"})
        self.assertEqual({e["ret"] for e in objects["c"] if e["ev"] == "call"}, {False})
        self.assertEqual({e["value"] for e in objects["c"] if e["ev"] == "get" and e["name"] == "state"}, {"UnconnectedState"})

    def test_time_outs_are_told_once(self) -> None:
        (objects, _), = wanted("wait_connected_zero")
        signals = [e["name"] for e in objects["c"] if e["ev"] == "signal" and e["in"] == "c.waitForConnected"]
        self.assertEqual(signals, ["stateChanged", "errorOccurred"])

    def test_a_request_to_a_proxy_is_put_in_order(self) -> None:
        trace = {"objects": {}, "timeline": [{"obj": "px", "step": 0, "ev": "get", "name": "log", "value": [
            "conn 0", "CONNECT ::1:<port:t> HTTP/1.1", "Proxy-Connection: keep-alive", "Host: ::1", "User-Agent: Mozilla/5.0", "conn 1"]}]}
        scenario = {"name": "x", "steps": [{"new": "HttpProxy", "as": "px"}, {"get": "px.log"}]}
        (objects, applied), = DOCUMENT.transformed(scenario, "c", trace, False)
        self.assertEqual(applied, ["http-request"])
        self.assertEqual(objects["px"][0]["value"], ["conn 0", "CONNECT [::1]:<port:t> HTTP/1.1", "Host: [::1]:<port:t>",
                                                     "Proxy-Connection: keep-alive", "User-Agent: Sluice", "conn 1"])

    def test_a_refused_listen_through_a_proxy_is_told_later(self) -> None:
        (objects, applied), = wanted("socks5_listen_refused", "rpc")
        self.assertEqual(applied, ["proxied-listen-is-asynchronous"])
        self.assertEqual([e.get("ret", e.get("value", e.get("args"))) for e in objects["s"]][1:],
                         [True, True, "NoError", "", ["UnsupportedSocketOperationError"]])

    def test_a_full_buffer_behind_a_proxy_is_filled_again(self) -> None:
        (objects, _), = wanted("socks5_readbuffer")
        self.assertEqual([e["ret"]["utf8"] for e in objects["c"] if e["ev"] == "call" and e["name"] == "readAll"], ["0123", "4567", "89"])

    def test_what_a_proxy_sends_behind_its_answer_is_data(self) -> None:
        script = [["recvUntil", "\r\n\r\n"], ["send", {"utf8": "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nabcdef"}], ["hold"]]
        steps = [{"new": "ScriptServer", "as": "px", "script": script}, {"new": "TcpSocket", "as": "c"},
                 {"call": "c.setProxy", "args": [{"proxy": {"type": "HttpProxy", "host": "127.0.0.1", "port": "$px.port"}}]},
                 {"until": "c.connected"}, {"call": "c.readAll"}]
        signals = [{"obj": "c", "step": 3, "ev": "signal", "name": name, "in": "loop", "state": "ConnectedState", "open": True}
                   for name in ("connected", "readyRead")]
        trace = {"objects": {}, "timeline": signals + [{"obj": "c", "step": 4, "ev": "call", "name": "readAll", "ret": {"utf8": "ef"}}]}
        (objects, applied), = DOCUMENT.transformed({"name": "x", "steps": steps}, "c", trace, False)
        self.assertEqual(applied, ["proxy-answer-has-no-body"])
        self.assertEqual(objects["c"][-1]["ret"], {"utf8": "abcdef"})

    def test_a_half_close_has_two_outcomes(self) -> None:
        name = "tcp_remote_close_pending_write"
        outcomes = DOCUMENT.transformed(load("scenarios", name), "c", load("traces-alt", name), False)
        for objects, _ in outcomes:
            self.assertEqual(sum(e["args"][0] for e in objects["c"] if e["ev"] == "signal" and e["name"] == "bytesWritten"), 11)
        self.assertEqual(len(outcomes), 2)


class Comparing(unittest.TestCase):
    def test_a_changed_value_is_a_difference(self) -> None:
        objects = load("traces", "tcp_echo")["objects"]
        other = copy.deepcopy(objects)
        next(e for e in other["c"] if e["ev"] == "get")["value"] = 4
        self.assertEqual(compare.differences(compare.prepared(objects, True, True), compare.prepared(objects, True, True)), [])
        self.assertTrue(compare.differences(compare.prepared(objects, True, True), compare.prepared(other, True, True)))

    def test_a_missing_text_is_a_difference_and_another_text_is_not(self) -> None:
        objects = load("traces", "tcp_connect_refused")["objects"]
        for text, same in (("refused by ::1", True), ("", False)):
            other = copy.deepcopy(objects)
            for event in other["c"]:
                if "errorString" in event:
                    event["errorString"] = text
            lines = compare.differences(compare.prepared(objects, True, True), compare.prepared(other, True, True))
            self.assertEqual(not lines, same)


class ScriptedFace(Face):
    """A face that answers from a list and raises what it is told to."""
    name, handlers, contexts = "scripted", True, True

    def __init__(self) -> None:
        super().__init__()
        self.asked: List[str] = []

    def provides(self, operation: str) -> bool:
        return True

    def watch(self, handle: int) -> None:
        self.asked.append("watch %d" % handle)

    def request(self, operation: Any, handle: int, values: Dict[str, Any], done: Callable[[Outcome], None]) -> None:
        self.asked.append(operation.name)
        if operation.name == "socket.connectToHost":
            self.listener(Notice(7, "stateChanged", 1, True, 1))
        done(Outcome({"handle": 7, "state": 2, "port": 0, "int": 3, "count": 5}.get(operation.result, "")))

    def run(self, milliseconds: float, condition: Optional[Callable[[], bool]] = None) -> bool:
        def turn(longest: float) -> None:
            self.listener(Notice(7, "connected", 3, True))
        return wait_slices(min(milliseconds, 20), condition, turn)


class Playing(unittest.TestCase):
    def play(self, *steps: Dict[str, Any]) -> List[Dict[str, Any]]:
        record = Record("/tmp/none", "cf1")
        Player({"name": "x", "steps": list(steps)}, ScriptedFace(), record, set(), LeftOut({})).play()
        return [e for e in record.trace("x", False)["timeline"] if e["step"] < len(steps)]

    def test_signals_stand_before_the_call_that_raised_them(self) -> None:
        events = self.play({"new": "TcpSocket", "as": "c"}, {"call": "c.connectToHost", "args": ["h", 9]})
        self.assertEqual([(e["ev"], e["name"], e.get("in")) for e in events],
                         [("signal", "stateChanged", "c.connectToHost"), ("call", "connectToHost", None)])

    def test_steps_inside_a_handler_say_so(self) -> None:
        events = self.play({"new": "TcpSocket", "as": "c"}, {"on": "c.connected", "once": True, "do": [{"get": "c.state"}]}, {"until": "c.connected"})
        self.assertEqual([e.get("within") for e in events][:3], [None, "c.connected", None])
        self.assertEqual(events[1]["value"], "ConnectingState")
        self.assertTrue(events[2]["ok"])

    def test_peers_are_played_beside(self) -> None:
        events = self.play({"new": "RawTcpListener", "as": "l"}, {"new": "RawTcpClient", "as": "a", "port": "$l.port"},
                           {"call": "l.accept", "as": "r"}, {"call": "a.send", "args": [{"utf8": "hi"}]}, {"call": "r.recv", "args": [2]},
                           {"check": "r.port", "op": "==", "value": "$l.port"})
        self.assertEqual([e.get("ret", e.get("ok")) for e in events], ["<object:r>", 2, {"utf8": "hi"}, True])


class Peers(unittest.TestCase):
    def test_all_are_in_the_table(self) -> None:
        self.assertIn("ScriptServer", peers.PEERS)

    def test_kinds_are_inferred(self) -> None:
        self.assertEqual(kinds_of(load("scenarios", "local_echo")), {"s": "localserver", "c": "local", "p": "local"})


if __name__ == "__main__":
    unittest.main()
