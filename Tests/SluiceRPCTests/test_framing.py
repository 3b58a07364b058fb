"""Lines and headers, and finding the next message again after whatever came."""
import json
import os
import random
import unittest

from support import TestCase

PING = b'{"jsonrpc":"2.0","id":"ping","method":"session.ping"}'


class Lines(TestCase):
    def setUp(self):
        self.rpc = self.stdio()

    def assertPing(self):
        self.assertEqual(self.rpc.message(), {"jsonrpc": "2.0", "id": "ping", "result": None})

    def test_line_ends_and_blank_lines(self):
        self.rpc.send(b"\n\r\n  \n\t\n" + PING + b"\r\n\n\n" + PING + b"  \n  " + PING + b"\n\n")
        for _ in range(3):
            self.assertPing()

    def test_byte_by_byte(self):
        for byte in PING + b"\n":
            self.rpc.send(bytes([byte]))
        self.assertPing()

    def test_many_in_one_write(self):
        self.rpc.send((PING + b"\n") * 5000)
        for _ in range(5000):
            self.assertPing()

    def test_large_messages(self):
        for size in (65535, 65536, 65537, 1 << 20, 10 << 20):
            text = "x" * size
            self.assertEqual(self.rpc.call("echo", text), [text])

    def test_garbage_lines(self):
        chance = random.Random(5)
        for _ in range(200):
            junk = bytes(b for b in chance.randbytes(chance.randrange(1, 300)) if b != 10).strip()
            self.rpc.send(junk + b"\n" + PING + b"\n")
        answers = [self.rpc.message() for _ in range(200)]
        while sum(a["id"] == "ping" for a in answers) < 200:
            answers.append(self.rpc.message())
        for answer in answers:
            if answer["id"] != "ping":
                self.assertIsNone(answer["id"])
                self.assertIn(answer["error"]["code"], (-32700, -32600))

    def test_one_line_of_garbage_is_one_error(self):
        self.rpc.send(os.urandom(3000000).replace(b"\n", b"") + b"\n")
        self.assertError(self.rpc.message()["error"], -32700)
        self.assertTrue(self.rpc.is_alive())

    def test_a_first_line_that_only_begins_like_a_header(self):
        for beginning in (b"C", b"Conten", b"content", b"Cat"):
            with self.subTest(beginning=beginning):
                rpc = self.stdio()
                rpc.send(beginning)
                rpc.send(b"\n" + PING + b"\n")
                self.assertError(rpc.message()["error"], -32700)
                self.assertEqual(rpc.message()["id"], "ping")

    def test_too_long_a_line(self):
        rpc = self.stdio("--max-message", "5000")
        for size in (5001, 70000, 3 << 20):
            with self.subTest(size=size):
                rpc.send(b'{"jsonrpc":"2.0","id":1,"method":"echo","params":["' + b"x" * size + b'"]}\n' + PING + b"\n")
                answer = rpc.message()
                self.assertIsNone(answer["id"])
                self.assertError(answer["error"], -32600, "LimitReachedError")
                self.assertIn("5000", answer["error"]["message"])
                self.assertEqual(rpc.message()["id"], "ping")
        rpc.send(PING + b" " * (5000 - len(PING)) + b"\n")
        self.assertEqual(rpc.message()["id"], "ping")
        rpc.send(PING + b" " * (5001 - len(PING)) + b"\n")
        self.assertIsNone(rpc.message()["id"])

    def test_a_hundred_megabytes_without_an_end(self):
        service = self.service()
        other = self.client(service)
        client = self.client(service)
        before = service.memory()
        piece = b"x" * (1 << 20)
        for _ in range(100):
            client.send(piece)
        self.assertTrue(other.is_alive())
        client.send(b"\n" + PING + b"\n")
        answer = client.message()
        self.assertIsNone(answer["id"])
        self.assertError(answer["error"], -32600, "LimitReachedError")
        self.assertEqual(client.message()["id"], "ping")
        self.assertLess(service.memory() - before, 64 << 20)


class Headers(TestCase):
    def setUp(self):
        self.rpc = self.stdio()
        self.rpc.headers = True

    def test_conversation(self):
        self.assertEqual(self.rpc.call("echo", 1, "zwei"), [1, "zwei"])
        handle = self.rpc.call("tcpSocket.create")
        self.assertEqual(self.rpc.call("socket.state", handle=handle), "Unconnected")
        self.rpc.call("socket.connectToHost", handle, "127.0.0.1", 1)
        self.rpc.event("socket.errorOccurred", handle)

    def test_newlines_within_a_body_are_blanks(self):
        body = PING.replace(b",", b",\r\n\n")
        self.rpc.send(b"content-length:%d\nX-Other: 1\r\n\r\n%s" % (len(body), body))
        self.assertEqual(self.rpc.message()["id"], "ping")

    def test_byte_by_byte(self):
        for byte in b"Content-Length: %d\r\nContent-Type: application/json\r\n\r\n%s" % (len(PING), PING):
            self.rpc.send(bytes([byte]))
        self.assertEqual(self.rpc.message()["id"], "ping")

    def test_what_is_out_of_step_is_told_and_the_next_good_message_found(self):
        good = b"Content-Length: %d\r\n\r\n%s" % (len(PING), PING)
        # A length that is too large swallows the beginning of the next header, and with it the next message.
        for length, answered in ((len(PING) - 1, 3), (len(PING) + 1, 2)):
            with self.subTest(length=length):
                rpc = self.stdio()
                rpc.headers = True
                rpc.send(b"Content-Length: %d\r\n\r\n%s" % (length, PING) + good * 3)
                codes = [rpc.message().get("error", {}).get("code") for _ in range(2 + answered)]
                self.assertEqual(codes, [-32700, -32600] + [None] * answered)

    def test_headers_without_a_length(self):
        rpc = self.stdio()
        rpc.headers = True
        good = b"Content-Length: %d\r\n\r\n%s" % (len(PING), PING)
        rpc.send(good + b"Content-Type: application/json\r\n\r\n" + good)
        self.assertEqual([rpc.message().get("error", {}).get("code") for _ in range(3)], [None, -32600, None])

    def test_other_header_first(self):
        self.rpc.send(b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(PING), PING))
        self.assertEqual(self.rpc.message()["id"], "ping")

    def test_length_counts_bytes(self):
        self.assertEqual(self.rpc.call("echo", "äöü\U0001f600"), ["äöü\U0001f600"])

    def test_too_large_a_body_is_left_out(self):
        rpc = self.stdio("--max-message", "5000")
        rpc.headers = True
        rpc.send(b"Content-Length: 1000000\r\n\r\n" + b"x" * 1000000)
        self.assertError(rpc.message()["error"], -32600, "LimitReachedError")
        self.assertTrue(rpc.is_alive())

    def test_bad_headers(self):
        self.assertTrue(self.rpc.is_alive())
        for head in (b"Content-Length: x\r\n", b"Content-Length: -5\r\n", b"Content-Length:\r\n", b"Content-Length: 99999999999999999999\r\n", b"nonsense\r\n",
                     b"x" * 100000 + b"\r\n", b"\xff\xfe\r\n"):
            with self.subTest(head=head[:20]):
                self.rpc.send(head + b"\r\n")
                self.assertError(self.rpc.message()["error"], -32600)
                self.assertTrue(self.rpc.is_alive())

    def test_empty_and_broken_bodies(self):
        self.assertTrue(self.rpc.is_alive())
        self.rpc.send(b"Content-Length: 0\r\n\r\n")
        self.assertError(self.rpc.message()["error"], -32700)
        self.rpc.send(b"Content-Length: 3\r\n\r\n{a}")
        self.assertError(self.rpc.message()["error"], -32700)
        self.assertTrue(self.rpc.is_alive())

    def test_the_input_ends_inside_a_message(self):
        for beginning in (b"Content-Length: 100\r\n\r\n{", b"Content-Length: 1"):
            rpc = self.stdio()
            rpc.headers = True
            self.assertTrue(rpc.is_alive())
            rpc.send(beginning)
            rpc.end_input()
            self.assertError(rpc.message()["error"], -32700)
            self.assertIsNone(rpc.raw_message())

    def test_batch(self):
        self.rpc.send_json([{"jsonrpc": "2.0", "id": 1, "method": "session.ping"}, {"jsonrpc": "2.0", "id": 2, "method": "session.ping"}])
        self.assertEqual([answer["id"] for answer in self.rpc.message()], [1, 2])


class Depth(TestCase):
    def test_nesting(self):
        rpc = self.stdio()
        for depth, is_good in ((62, True), (63, False), (10000, False), (1000000, False)):
            for opening, closing in ((b"[", b"]"), (b'{"a":', b"}")):
                with self.subTest(depth=depth, opening=opening):
                    value = opening * depth + b"1" + closing * depth
                    rpc.send(b'{"jsonrpc":"2.0","id":1,"method":"echo","params":[' + value + b"]}\n")
                    answer = rpc.message()
                    if is_good:
                        self.assertEqual(answer["result"], [json.loads(value)])
                    else:
                        self.assertIsNone(answer["id"])
                        self.assertError(answer["error"], -32700)
                        self.assertIn("64", answer["error"]["message"])
        rpc.send(b"[" * 5000000 + b"\n")
        self.assertError(rpc.message()["error"], -32700)

    def test_brackets_within_strings_do_not_count(self):
        rpc = self.stdio()
        text = '[{"\\' * 100000
        self.assertEqual(rpc.call("echo", text), [text])

    def test_the_limit_is_an_option(self):
        rpc = self.stdio("--max-depth", "2000")
        value = json.loads("[" * 900 + "]" * 900)
        self.assertEqual(rpc.call("echo", value), [value])
        rpc.send(b"[" * 2001 + b"]" * 2001 + b"\n")
        self.assertError(rpc.message()["error"], -32700)
        rpc = self.stdio("--max-depth", "1")
        rpc.send(PING + b"\n")
        self.assertIn("result", rpc.message())

    def test_a_small_text_may_not_become_a_large_tree(self):
        service = self.service()
        client = self.client(service)
        before = service.memory()
        client.send(b"[" + b"{}," * 4000000 + b"{}]\n")
        self.assertError(client.message()["error"], -32700)
        self.assertTrue(client.is_alive())
        self.assertLess(service.memory() - before, 64 << 20)


if __name__ == "__main__":
    unittest.main()
