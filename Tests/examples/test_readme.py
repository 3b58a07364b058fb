"""The programs in README.md: each is run as it stands there, but for the port."""

import re
import shlex

from support import BUILD, CC, EXAMPLES, PYTHON, ROOT, SLUICE_FLAGS, ExampleTest, run

README = (ROOT / "README.md").read_text()
BLOCKS = dict(re.findall(r"^```(\w+)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL))
PORT = "7000"


class Readme(ExampleTest):
    def program(self, language):
        """The block of that language in a file, with the port of a running server."""
        text = BLOCKS[language]
        self.assertIn(PORT, text)
        path = self.folder / f"program.{language}"
        path.write_text(text.replace(PORT, str(self.line_server())))
        return path

    def test_c(self):
        program = self.folder / "program"
        warnings = ("-std=c99", "-Wall", "-Wextra", "-pedantic", "-Werror")
        self.assertRan(run(CC, *warnings, self.program("c"), *shlex.split(SLUICE_FLAGS), "-o", program))
        result = run(program)
        self.assertRan(result)
        self.assertEqual(result.stdout, "hello\n")

    def test_python(self):
        result = run(PYTHON, "-W", "error", self.program("python"))
        self.assertRan(result)
        self.assertEqual(result.stdout, "hello\n")

    def test_bash(self):
        result = run("bash", "-euo", "pipefail", self.program("bash"))
        self.assertRan(result)
        self.assertIn('"hello\\n"', result.stdout)

    def test_swift_is_the_example(self):
        self.assertEqual(BLOCKS["swift"], (EXAMPLES / "swift" / "main.swift").read_text())
        result = run(BUILD / "sluice-example", self.line_server())
        self.assertRan(result)
        self.assertEqual(result.stdout, "hello\n")

    def test_it_names_files_that_exist(self):
        for target in re.findall(r"\]\(([^)#:]+)\)", README):
            self.assertTrue((ROOT / target).exists(), target)
