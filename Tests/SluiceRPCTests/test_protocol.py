"""JSON-RPC 2.0 to the letter."""
import json
import unittest

from support import TestCase


class Requests(TestCase):
    def setUp(self):
        self.rpc = self.stdio()

    def exchange(self, text):
        self.rpc.send(text.encode() + b"\n")
        return self.rpc.message()

    def test_result_and_error_have_exactly_their_members(self):
        answer = self.exchange('{"jsonrpc":"2.0","id":1,"method":"session.ping"}')
        self.assertEqual(answer, {"jsonrpc": "2.0", "id": 1, "result": None})
        answer = self.exchange('{"jsonrpc":"2.0","id":1,"method":"nothing.here"}')
        self.assertEqual(set(answer), {"jsonrpc", "id", "error"})
        self.assertError(answer["error"], -32601)

    def test_ids_of_every_legal_type_come_back_as_they_were(self):
        for text in ("1", "0", "-7", "9223372036854775807", "-9223372036854775808", '"1"', '""', '"a\\u0000b"', '"\\ud83d\\ude00"',
                     "1.5", "0.1", "-0.25", "1e300", "null", '"%s"' % ("x" * 70000)):
            with self.subTest(id=text[:30]):
                self.rpc.send(b'{"jsonrpc":"2.0","id":%s,"method":"session.ping"}\n' % text.encode())
                answer = json.loads(self.rpc.raw_message(), parse_float=lambda t: ("real", float(t)))
                self.assertEqual(answer["id"], json.loads(text, parse_float=lambda t: ("real", float(t))))
        self.rpc.send(b'{"jsonrpc":"2.0","id":0.1,"method":"session.ping"}\n')
        self.assertIn(b'"id":0.1,', self.rpc.raw_message())

    def test_other_ids_are_invalid_requests(self):
        for text in ("true", "false", "[]", "[1]", "{}"):
            with self.subTest(id=text):
                answer = self.exchange('{"jsonrpc":"2.0","id":%s,"method":"session.ping"}' % text)
                self.assertIsNone(answer["id"])
                self.assertError(answer["error"], -32600)

    def test_what_is_no_request(self):
        cases = {
            "1": None, '"session.ping"': None, "null": None, "true": None, "{}": None,
            '{"jsonrpc":"2.0","id":5}': 5, '{"jsonrpc":"2.0","id":5,"method":1}': 5, '{"jsonrpc":"2.0","id":5,"method":null}': 5,
            '{"id":5,"method":"session.ping"}': 5, '{"jsonrpc":"1.0","id":5,"method":"session.ping"}': 5,
            '{"jsonrpc":2.0,"id":5,"method":"session.ping"}': 5, '{"jsonrpc":"2.0","id":5,"method":"session.ping","params":1}': 5,
            '{"jsonrpc":"2.0","id":5,"method":"session.ping","params":null}': 5,
            '{"jsonrpc":"2.0","id":5,"method":"session.ping","params":"x"}': 5, '{"jsonrpc":"2.0","method":1}': None,
        }
        for text, number in cases.items():
            with self.subTest(text=text):
                answer = self.exchange(text)
                self.assertError(answer["error"], -32600)
                self.assertEqual(answer["id"], number)
        self.assertTrue(self.rpc.is_alive())

    def test_what_is_no_json(self):
        for text in ("{", "foo", '{"jsonrpc":"2.0"', "[1,", '{"a":1}x', "'a'", "NaN", "{a:1}", '{"a":1,}', "[1,2,]", "01", "+1", "/* */ 1",
                     '"\t"', '"\\x"', '"\\ud800"', '"\\udc00\\ud800"', '{"a\\u0000b":1}', "1e999", "9223372036854775808", "-9223372036854775809",
                     '{"jsonrpc":"2.0","id":1,"id":2,"method":"session.ping"}', '{"jsonrpc":"2.0","id":1,"method":"echo","params":{"a":{"b":1,"b":1}}}'):
            with self.subTest(text=text):
                answer = self.exchange(text)
                self.assertIsNone(answer["id"])
                self.assertError(answer["error"], -32700)
        for data in (b"\xff", b'"\xc0\x80"', b'"\xed\xa0\x80"', b'"\xf5\x80\x80\x80"', b"\xef\xbb\xbf{}", b"\x00", b"\x01\x02\x03"):
            with self.subTest(data=data):
                self.rpc.send(data + b"\n")
                self.assertError(self.rpc.message()["error"], -32700)
        self.assertTrue(self.rpc.is_alive())

    def test_notifications_are_answered_by_nothing(self):
        for text in ('{"jsonrpc":"2.0","method":"session.ping"}', '{"jsonrpc":"2.0","method":"nothing.here"}',
                     '{"jsonrpc":"2.0","method":"socket.read","params":{"bad":1}}', '{"jsonrpc":"2.0","method":"$/unknown","params":[]}',
                     '{"jsonrpc":"2.0","method":"$/cancelRequest"}', '{"jsonrpc":"2.0","method":"tcpSocket.create"}'):
            self.rpc.send(text.encode() + b"\n")
        self.assertEqual(self.exchange('{"jsonrpc":"2.0","id":"last","method":"session.ping"}')["id"], "last")
        self.assertEqual(self.rpc.call("session.stats")["handles"], 1)

    def test_notifications_take_effect(self):
        handle = self.rpc.call("tcpSocket.create")
        self.rpc.send_json({"jsonrpc": "2.0", "method": "socket.setReadBufferSize", "params": {"handle": handle, "bytes": 77}})
        self.assertEqual(self.rpc.call("socket.readBufferSize", handle), 77)

    def test_requests_of_the_protocol_itself(self):
        self.assertError(self.exchange('{"jsonrpc":"2.0","id":1,"method":"$/whatever"}')["error"], -32601)
        self.assertIsNone(self.exchange('{"jsonrpc":"2.0","id":1,"method":"$/cancelRequest","params":{"id":99}}')["result"])
        self.assertError(self.exchange('{"jsonrpc":"2.0","id":1,"method":"$/cancelRequest","params":{}}')["error"], -32602)

    def test_names_are_exact(self):
        for name in ("Session.ping", "session.Ping", "session.ping ", "session", "", "session.ping\\u0000", "rpc.other", "x" * 100000):
            with self.subTest(name=name[:20]):
                self.assertError(self.exchange('{"jsonrpc":"2.0","id":1,"method":"%s"}' % name)["error"], -32601)

    def test_an_unknown_member_of_a_request_is_no_harm(self):
        self.assertIn("result", self.exchange('{"jsonrpc":"2.0","id":1,"method":"session.ping","extra":{}}'))


class Batches(TestCase):
    def setUp(self):
        self.rpc = self.stdio()

    def exchange(self, text):
        self.rpc.send(text.encode() + b"\n")
        return self.rpc.message()

    def test_empty(self):
        answer = self.exchange("[]")
        self.assertIsInstance(answer, dict)
        self.assertIsNone(answer["id"])
        self.assertError(answer["error"], -32600)

    def test_of_nonsense(self):
        for text, count in (("[1]", 1), ("[1,2,3]", 3), ("[[]]", 1), ("[{}]", 1)):
            answers = self.exchange(text)
            self.assertEqual(len(answers), count)
            for answer in answers:
                self.assertIsNone(answer["id"])
                self.assertError(answer["error"], -32600)

    def test_of_notifications_alone(self):
        self.rpc.send(b'[{"jsonrpc":"2.0","method":"session.ping"},{"jsonrpc":"2.0","method":"nothing.here"}]\n')
        self.assertTrue(self.rpc.is_alive())
        self.assertEqual(self.rpc.seen, [])

    def test_mixed(self):
        answers = self.exchange(
            '[{"jsonrpc":"2.0","id":"a","method":"echo","params":[1]},{"jsonrpc":"2.0","method":"session.ping"},{"foo":"boo"},'
            '{"jsonrpc":"2.0","id":"b","method":"foo.get"},{"jsonrpc":"2.0","id":9,"method":"session.ping"}]')
        by_id = {answer["id"]: answer for answer in answers}
        self.assertEqual(len(answers), 4)
        self.assertEqual(by_id["a"]["result"], [1])
        self.assertError(by_id["b"]["error"], -32601)
        self.assertError(by_id[None]["error"], -32600)
        self.assertIn("result", by_id[9])

    def test_takes_effect_in_order(self):
        answers = self.exchange(
            '[{"jsonrpc":"2.0","id":1,"method":"tcpSocket.create"},'
            '{"jsonrpc":"2.0","id":2,"method":"socket.setReadBufferSize","params":[1,5]},'
            '{"jsonrpc":"2.0","id":3,"method":"socket.readBufferSize","params":[1]}]')
        self.assertEqual([answer["result"] for answer in answers], [1, None, 5])

    def test_waits_for_its_last_answer(self):
        server = self.rpc.call("tcpServer.create")
        self.rpc.call("tcpServer.listen", server, "127.0.0.1")
        self.rpc.send_json([
            {"jsonrpc": "2.0", "id": "wait", "method": "server.waitForNewConnection", "params": [server, -1]},
            {"jsonrpc": "2.0", "id": "ping", "method": "session.ping"},
        ])
        self.assertTrue(self.rpc.is_alive())
        self.rpc.send_json({"jsonrpc": "2.0", "method": "$/cancelRequest", "params": {"id": "wait"}})
        batch = self.rpc.until(lambda message: isinstance(message, list))
        by_id = {answer["id"]: answer for answer in batch}
        self.assertError(by_id["wait"]["error"], -32800, "CancelledError")
        self.assertIsNone(by_id["ping"]["result"])

    def test_too_many(self):
        answer = self.exchange("[" + ",".join(["1"] * 10001) + "]")
        self.assertError(answer["error"], -32001, "LimitReachedError")
        self.assertEqual(len(self.exchange("[" + ",".join(["1"] * 10000) + "]")), 10000)


class Text(TestCase):
    def setUp(self):
        self.rpc = self.stdio()

    def test_all_of_unicode_comes_back(self):
        every = "".join(chr(code) for code in range(0x110000) if not 0xD800 <= code <= 0xDFFF)
        self.assertEqual(self.rpc.call("echo", every), [every])
        text = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "echo", "params": [every]}, ensure_ascii=False).encode() + b"\n"
        self.rpc.send(text)
        raw = self.rpc.raw_message()
        self.assertEqual(json.loads(raw)["result"], [every])

    def test_nul_survives_where_strings_are(self):
        handle = self.rpc.call("tcpSocket.create")
        error = self.rpc.error("socket.property", handle, "a\0b")
        self.assertError(error, -32602)
        # Not cut there; what a message quotes is without control characters.
        self.assertIn('"a?b"', error["message"])
        self.assertEqual(self.rpc.call("session.ping", payload="a\0b"), "a\0b")

    def test_values_come_back(self):
        value = {"a": [1, -1, 0, 9223372036854775807, -9223372036854775808, True, False, None, "", {}, [], 1.5, 1e300, -2.5e-10], "": "empty key", "ä": "\u2028\u2029"}
        self.assertEqual(self.rpc.call("session.ping", payload=value), value)
        self.assertEqual(self.rpc.call("echo", **value), value)

    def test_answers_are_one_line(self):
        self.rpc.send(json.dumps({"jsonrpc": "2.0", "id": "\n\r", "method": "echo", "params": ["\n\r\u0085\u2028"]}).encode() + b"\n")
        self.assertEqual(json.loads(self.rpc.raw_message()), {"jsonrpc": "2.0", "id": "\n\r", "result": ["\n\r\u0085\u2028"]})


if __name__ == "__main__":
    unittest.main()
