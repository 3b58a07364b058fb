"""`make install` into a folder of its own: what it lays down, and that a C program builds and runs against it."""

import ctypes
import os
import pathlib
import re
import shutil
import stat
import subprocess
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
CC = os.environ.get("CC") or subprocess.run([ROOT / ".ci" / "cc"], check=True, capture_output=True, text=True).stdout.strip()
VERSION = re.search(r'#define SLUICE_VERSION "(.*)"', (ROOT / "include" / "sluice.h").read_text()).group(1)

PROGRAM = r"""
#include <sluice.h>
#include <stdio.h>

int main(void)
{
    sluice_handle loop = sluice_loop_create();
    sluice_handle server = sluice_tcp_server_create(loop);
    sluice_handle client = sluice_tcp_socket_create(loop);
    char line[16];
    if (sluice_tcp_server_listen(server, "127.0.0.1", 0, SLUICE_BIND_DEFAULT) != SLUICE_ERROR_NONE)
        return 1;
    sluice_socket_connect_to_host(client, "127.0.0.1", sluice_server_port(server), SLUICE_OPEN_READ_WRITE, SLUICE_PROTOCOL_ANY);
    if (!sluice_socket_wait_for_connected(client, 10000) || !sluice_server_wait_for_new_connection(server, 10000, NULL))
        return 2;
    sluice_handle accepted = sluice_server_next_pending_connection(server);
    sluice_socket_write(accepted, "installed\n", 10);
    if (sluice_socket_sync(accepted, 10000) != SLUICE_ERROR_NONE || !sluice_socket_wait_for_ready_read(client, 10000))
        return 3;
    int64_t length = sluice_socket_read_line(client, line, sizeof line);
    printf("%s %.*s", sluice_version(), (int)length, line);
    sluice_loop_destroy(loop);
    return 0;
}
"""

PLAIN_NAMES = {
    "bin/sluiced",
    "include/sluice.h",
    "lib/libsluice.so",
    "lib/libsluice.so.0",
    f"lib/libsluice.so.{VERSION}",
    "lib/pkgconfig/sluice.pc",
    "lib/cmake/sluice/sluiceConfig.cmake",
    "lib/cmake/sluice/sluiceConfigVersion.cmake",
    "share/man/man1/sluiced.1",
    "share/man/man3/sluice.3",
    "share/doc/sluice/LICENSE",
}


def run(*command, **more):
    result = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=300, **more)
    if result.returncode != 0:
        raise AssertionError(f"{command}\nstatus {result.returncode}\n{result.stdout}{result.stderr}")
    return result.stdout


def make(*arguments):
    # What was said to an outer make must not reach this one.
    foreign = {"MAKEFLAGS", "MFLAGS", "MAKEOVERRIDES", "DESTDIR", "PREFIX", "BINDIR", "LIBDIR", "INCLUDEDIR", "MANDIR", "DOCDIR"}
    environment = {name: value for name, value in os.environ.items() if name not in foreign}
    return run("make", "-C", ROOT, "--no-print-directory", *arguments, env=environment)


def files_below(folder):
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir()}


class Installed(unittest.TestCase):
    """One installation into a prefix, which the tests look at."""

    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory(prefix="sluice-")
        cls.addClassCleanup(folder.cleanup)
        cls.prefix = pathlib.Path(folder.name) / "prefix"
        make("install", f"PREFIX={cls.prefix}")
        cls.work = pathlib.Path(folder.name)
        (cls.work / "program.c").write_text(PROGRAM)

    def pkg_config(self, *arguments):
        return run("pkg-config", *arguments, "sluice", env=os.environ | {"PKG_CONFIG_PATH": str(self.prefix / "lib" / "pkgconfig")})

    def test_lays_down_these_files_and_no_others(self):
        self.assertEqual(files_below(self.prefix), PLAIN_NAMES)
        self.assertEqual(os.readlink(self.prefix / "lib" / "libsluice.so"), "libsluice.so.0")
        self.assertEqual(os.readlink(self.prefix / "lib" / "libsluice.so.0"), f"libsluice.so.{VERSION}")
        self.assertEqual(stat.S_IMODE((self.prefix / "bin" / "sluiced").stat().st_mode), 0o755)
        self.assertEqual(stat.S_IMODE((self.prefix / "lib" / f"libsluice.so.{VERSION}").stat().st_mode), 0o644)

    def test_no_template_is_left_unfilled(self):
        for name in ("lib/pkgconfig/sluice.pc", "lib/cmake/sluice/sluiceConfig.cmake", "lib/cmake/sluice/sluiceConfigVersion.cmake"):
            self.assertNotRegex((self.prefix / name).read_text(), r"@[A-Z]+@", name)

    def test_a_c_program_builds_and_runs_with_pkg_config(self):
        flags = self.pkg_config("--cflags", "--libs").split()
        program = self.work / "program"
        run(CC, "-std=c99", "-Wall", "-Wextra", "-pedantic", "-Werror", self.work / "program.c", *flags, "-o", program)
        # The program asks for the soname, not for the file or the link it was built with.
        (self.prefix / "lib" / "libsluice.so").rename(self.work / "aside")
        try:
            output = run(program, env=os.environ | {"LD_LIBRARY_PATH": str(self.prefix / "lib")})
        finally:
            (self.work / "aside").rename(self.prefix / "lib" / "libsluice.so")
        self.assertEqual(output, f"{VERSION} installed\n")

    def test_one_version_everywhere(self):
        self.assertEqual(self.pkg_config("--modversion").strip(), VERSION)
        library = ctypes.CDLL(str(self.prefix / "lib" / "libsluice.so"))
        library.sluice_version.restype = ctypes.c_char_p
        self.assertEqual(library.sluice_version().decode(), VERSION)
        self.assertIn(VERSION, run(self.prefix / "bin" / "sluiced", "--version"))
        for page in ("man1/sluiced.1", "man3/sluice.3"):
            self.assertIn(f"Sluice {VERSION}", (self.prefix / "share" / "man" / page).read_text().splitlines()[0])

    def test_what_is_installed_is_stripped(self):
        for installed, built in (("lib/libsluice.so", "libsluice.so"), ("bin/sluiced", "sluiced")):
            self.assertLess((self.prefix / installed).stat().st_size, (ROOT / ".build" / "release" / built).stat().st_size, built)

    def test_the_installed_sidecar_answers(self):
        answer = run(self.prefix / "bin" / "sluiced", "--stdio", input='{"jsonrpc":"2.0","id":1,"method":"session.ping"}\n')
        self.assertIn('"id":1', answer)

    def test_the_manual_names_every_option(self):
        page = (self.prefix / "share" / "man" / "man1" / "sluiced.1").read_text().replace("\\-", "-")
        options = set(re.findall(r"^  .*?(--[a-z-]+)", run(self.prefix / "bin" / "sluiced", "--help"), re.MULTILINE))
        self.assertIn("--stdio", options)
        for option in options:
            self.assertIn(option, page)

    def test_the_manual_pages_are_clean(self):
        if not shutil.which("groff"):
            self.skipTest("groff is not here to read them")
        for page in ("man1/sluiced.1", "man3/sluice.3"):
            result = subprocess.run(
                ["groff", "-man", "-Tutf8", "-ww", "-z", self.prefix / "share" / "man" / page], capture_output=True, text=True
            )
            self.assertEqual(result.stderr, "", page)

    @unittest.skipUnless(shutil.which("cmake"), "cmake is not here to ask")
    def test_cmake_finds_the_package(self):
        project = self.work / "project"
        project.mkdir()
        shutil.copy(self.work / "program.c", project)
        (project / "CMakeLists.txt").write_text(
            "cmake_minimum_required(VERSION 3.16)\nproject(program C)\nfind_package(sluice 0.1 REQUIRED)\n"
            "add_executable(program program.c)\ntarget_link_libraries(program sluice::sluice)\n"
        )
        run("cmake", "-S", project, "-B", project / "out", f"-DCMAKE_PREFIX_PATH={self.prefix}", f"-DCMAKE_C_COMPILER={shutil.which(CC)}")
        run("cmake", "--build", project / "out")
        self.assertEqual(run(project / "out" / "program"), f"{VERSION} installed\n")


class Staged(unittest.TestCase):
    def test_destdir_is_put_before_the_prefix_and_uninstall_takes_all_away(self):
        with tempfile.TemporaryDirectory(prefix="sluice-") as folder:
            stage = pathlib.Path(folder)
            arguments = (f"DESTDIR={stage}", "PREFIX=/usr", "LIBDIR=/usr/lib/somewhere")
            make("install", *arguments)
            placed = {name.replace("lib/", "lib/somewhere/", 1) if name.startswith("lib/") else name for name in PLAIN_NAMES}
            self.assertEqual(files_below(stage / "usr"), placed)
            description = (stage / "usr/lib/somewhere/pkgconfig/sluice.pc").read_text()
            self.assertIn("prefix=/usr\n", description)
            self.assertIn("libdir=${prefix}/lib/somewhere\n", description)
            self.assertNotIn(folder, description)
            make("uninstall", *arguments)
            self.assertEqual(files_below(stage), set())


if __name__ == "__main__":
    unittest.main()
