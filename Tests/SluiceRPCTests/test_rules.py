"""--allow and --deny: what clients may connect to, bind and listen at."""
import os
import socket
import unittest

from support import Peer, TestCase


class Rules(TestCase):
    def allowed(self, rpc, host, port):
        """Whether the sidecar starts to connect there."""
        handle = rpc.call("tcpSocket.create")
        answer = rpc.ask("socket.connectToHost", handle, host, port)
        rpc.call("handle.destroy", handle)
        if "result" in answer:
            return True
        self.assertError(answer["error"], -32001, "NotPermittedError")
        self.assertEqual(answer["error"]["data"]["value"], 107)
        self.assertIn("not permitted", answer["error"]["message"])
        return False

    def may_listen(self, rpc, address, port):
        handle = rpc.call("tcpServer.create")
        answer = rpc.ask("tcpServer.listen", handle, address, port)
        rpc.call("handle.destroy", handle)
        return "error" not in answer or answer["error"]["data"]["error"] != "NotPermittedError"

    def check(self, options, good, bad):
        rpc = self.stdio(*options)
        for target in good:
            with self.subTest(options=options, good=target):
                self.assertTrue(self.allowed(rpc, *target))
        for target in bad:
            with self.subTest(options=options, bad=target):
                self.assertFalse(self.allowed(rpc, *target))

    def test_without_rules_all_is_allowed(self):
        self.check((), [("127.0.0.1", 1), ("::1", 65535), ("localhost", 1)], [])

    def test_denied_networks(self):
        self.check(("--deny", "127.0.0.0/8"), [("::1", 1), ("192.0.2.1", 1)],
                   [("127.0.0.1", 1), ("127.255.1.2", 80), ("::ffff:127.0.0.1", 1), ("0.0.0.0", 1), ("localhost", 1), ("127.1", 1), ("0x7f000001", 1), ("example.invalid", 1)])
        self.check(("--deny", "::1", "--deny", "[fe80::/10]:80"), [("127.0.0.1", 1), ("fe80::1", 81)], [("::1", 9), ("0:0:0:0:0:0:0:1", 9), ("::", 9), ("fe80::1", 80), ("febf::1", 80)])

    def test_an_interface_makes_a_name_of_an_ipv4_address(self):
        self.check(("--allow", "127.0.0.1"), [("127.0.0.1", 1)], [("127.0.0.1%lo", 1)])

    def test_denied_ports_and_names(self):
        self.check(("--deny", "*:25", "--deny", "example.invalid", "--deny", "*.bad.invalid:1-100"),
                   [("127.0.0.1", 24), ("good.invalid", 26), ("bad.invalid", 5), ("x.bad.invalid", 101)],
                   [("127.0.0.1", 25), ("::1", 25), ("good.invalid", 25), ("example.invalid", 1), ("EXAMPLE.invalid.", 1), ("x.bad.invalid", 50), ("a.b.bad.invalid", 1)])

    def test_allowed_alone(self):
        self.check(("--allow", "127.0.0.1:8000-8999", "--allow", "*.good.invalid:443", "--allow", "[::1]"),
                   [("127.0.0.1", 8000), ("127.0.0.1", 8999), ("www.good.invalid", 443), ("::1", 5)],
                   [("127.0.0.1", 7999), ("127.0.0.1", 9000), ("127.0.0.2", 8000), ("good.invalid", 443), ("www.good.invalid", 80), ("localhost", 8000), ("192.0.2.1", 443)])

    def test_denied_comes_before_allowed(self):
        self.check(("--allow", "*", "--deny", "10.0.0.0/8"), [("127.0.0.1", 1)], [("10.1.2.3", 1), ("some.invalid", 1)])
        # A name that is allowed by name is trusted to be where its resolver says.
        self.check(("--allow", "some.invalid", "--deny", "10.0.0.0/8"), [("some.invalid", 1)], [("other.invalid", 1), ("10.1.2.3", 1)])

    def test_listening_and_binding(self):
        rpc = self.stdio("--allow", "127.0.0.1", "--deny", "127.0.0.1:1-1023")
        self.assertTrue(self.may_listen(rpc, "127.0.0.1", 0))
        self.assertTrue(self.may_listen(rpc, "LocalHost", 0))
        for address, port in (("127.0.0.1", 80), ("any", 0), ("0.0.0.0", 0), ("::", 0), ("::1", 0)):
            with self.subTest(address=address, port=port):
                self.assertFalse(self.may_listen(rpc, address, port))
        handle = rpc.call("tcpSocket.create")
        self.assertError(rpc.error("socket.bind", handle, "::1", 0), -32001, "NotPermittedError")
        self.assertError(rpc.error("socket.bind", handle), -32001, "NotPermittedError")
        rpc.call("socket.bind", handle, "127.0.0.1")
        rpc = self.stdio("--deny", "10.0.0.0/8")
        self.assertFalse(self.may_listen(rpc, "any", 0), "every address would include the denied ones")
        self.assertTrue(self.may_listen(rpc, "127.0.0.1", 0))
        rpc = self.stdio("--allow", "*:0")
        self.assertTrue(self.may_listen(rpc, "any", 0))

    def test_paths(self):
        folder = self.folder()
        inside, outside = os.path.join(folder, "in"), os.path.join(folder, "out")
        os.mkdir(inside)
        os.mkdir(outside)
        os.symlink(outside, os.path.join(inside, "link"))
        rpc = self.stdio("--allow", inside, env={**os.environ, "TMPDIR": inside})

        def may(name):
            handle = rpc.call("localSocket.create")
            answer = rpc.ask("localSocket.connectToServer", handle, name)
            rpc.call("handle.destroy", handle)
            server = rpc.call("localServer.create")
            listening = rpc.ask("localServer.listen", server, name)
            rpc.call("handle.destroy", server)
            removing = rpc.ask("localServer.removeServer", name)
            verdicts = {"error" in a and a["error"]["data"]["error"] == "NotPermittedError" for a in (answer, listening, removing)}
            self.assertEqual(len(verdicts), 1, (answer, listening, removing))
            return verdicts == {False}
        for name in (inside + "/a", inside + "//a", inside + "/./a", inside + "/../in/a", "bare", "./bare"):
            with self.subTest(good=name):
                self.assertTrue(may(name))
        for name in (outside + "/a", inside + "x", inside + "/../out/a", inside + "/link/a", "../out/a", "/a", "/", "../x"):
            with self.subTest(bad=name):
                self.assertFalse(may(name))
        handle = rpc.call("localSocket.create")
        rpc.call("localSocket.setSocketOptions", handle, "AbstractNamespace")
        self.assertError(rpc.error("localSocket.connectToServer", handle, inside + "/a"), -32001, "NotPermittedError")
        self.assertFalse(self.allowed(rpc, "127.0.0.1", 1))

    def test_links_are_followed_as_connecting_follows_them(self):
        folder = os.path.realpath(self.folder())
        secret, public = os.path.join(folder, "secret"), os.path.join(folder, "public")
        os.makedirs(os.path.join(secret, "sub"))
        os.mkdir(public)
        listener = socket.socket(socket.AF_UNIX)
        self.addCleanup(listener.close)
        listener.bind(os.path.join(secret, "a"))
        listener.listen()
        os.symlink(os.path.join(secret, "a"), os.path.join(public, "link"))
        os.symlink(os.path.join(secret, "sub"), os.path.join(public, "folder"))
        rpc = self.stdio("--deny", secret)
        for name in ("/link", "/folder/../a"):
            with self.subTest(name=name):
                handle = rpc.call("localSocket.create")
                self.assertError(rpc.error("localSocket.connectToServer", handle, public + name), -32001, "NotPermittedError")

    def test_abstract_names(self):
        rpc = self.stdio("--allow", "@mine-")
        for name, good in (("mine-1", True), ("mine-", True), ("yours", False)):
            handle = rpc.call("localSocket.create")
            rpc.call("localSocket.setSocketOptions", handle, "AbstractNamespace")
            answer = rpc.ask("localSocket.connectToServer", handle, name)
            self.assertEqual("error" not in answer or answer["error"]["data"]["error"] != "NotPermittedError", good)
        handle = rpc.call("localSocket.create")
        self.assertError(rpc.error("localSocket.connectToServer", handle, "mine-1"), -32001, "NotPermittedError")

    def test_what_is_refused_changes_nothing(self):
        peer = Peer(self)
        rpc = self.stdio("--deny", "127.0.0.2")
        handle = rpc.call("tcpSocket.create")
        self.assertError(rpc.error("socket.connectToHost", handle, "127.0.0.2", peer.port), -32001, "NotPermittedError")
        self.assertEqual(rpc.call("socket.state", handle), "Unconnected")
        self.assertEqual(rpc.take_events(handle), [])
        rpc.call("socket.connectToHost", handle, "127.0.0.1", peer.port)
        self.assertIs(rpc.call("socket.waitForConnected", handle), True)


if __name__ == "__main__":
    unittest.main()
