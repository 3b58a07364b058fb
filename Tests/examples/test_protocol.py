"""The session in docs/protocol.md, played against the sidecar: what stands there is what it sends."""

import json
import re

from support import ROOT, SLUICED, ExampleTest, start

TEXT = (ROOT / "docs" / "protocol.md").read_text()
PORT = "7000"


def without_wording(message):
    """A message with the sentence for people taken out, which the document leaves open."""
    message.get("error", {}).pop("message", None)
    return message


class Protocol(ExampleTest):
    def test_the_session_goes_as_written(self):
        lines = re.findall(r"^([<>]) (.*)$", TEXT, re.MULTILINE)
        self.assertTrue(any(PORT in line for _, line in lines))
        port = str(self.line_server())
        sidecar = start(SLUICED, "--stdio")
        try:
            for direction, line in lines:
                if direction == ">":
                    sidecar.stdin.write(line.replace(PORT, port) + "\n")
                    sidecar.stdin.flush()
                else:
                    expected = without_wording(json.loads(line))
                    self.assertEqual(without_wording(json.loads(sidecar.stdout.readline())), expected)
            rest, _ = sidecar.communicate()
            self.assertEqual(rest, "")
            self.assertEqual(sidecar.returncode, 0)
        finally:
            sidecar.kill()
            sidecar.communicate()

    def test_other_messages_of_the_document_are_json(self):
        for block in re.findall(r"^```json\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL):
            for line in block.splitlines():
                self.assertEqual(json.loads(line)["jsonrpc"], "2.0")

    def test_the_length_in_the_header_is_right(self):
        header, message = re.search(r"^Content-Length: (\d+)\\r\\n\n\\r\\n\n(.*)$", TEXT, re.MULTILINE).groups()
        self.assertEqual(int(header), len(message))
