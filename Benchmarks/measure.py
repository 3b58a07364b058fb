#!/usr/bin/env python3
"""Measures sluice beside programs that do the same work on the system's calls alone, and prints the ratios.

    measure.py --programs DIR --sluiced FILE [--rounds 5] [--only WORKLOAD,...] [--out results.json]

Within a round the contenders of a workload run one after another, and each round begins with another one. A ratio is formed within a
round; shown are the median of the ratios, the smallest and the largest. While other processes use more than 15 % of a core a measurement
is repeated, twice at most; not so with TLS, where processor time is what counts. Server on one core and client on another, unless the
workload says `_1core`.
"""
import argparse
import json
import os
import select
import statistics
import subprocess
import sys
import tempfile
import time

GIB = 1 << 30
NOISE = 0.15
TIME_LIMIT = 60


class Workload:
    """What is measured: what the server does, what the client is told, and which figure of its result counts. ciphers are those of TLS, - for
    the ones that are spoken anyway."""

    def __init__(self, kind, mode, operation, numbers, figure="rate", lower_is_better=False, same_core=False, rounds=None, ciphers="-"):
        self.kind, self.mode, self.operation, self.ciphers = kind, mode, operation, ciphers
        self.numbers = [str(number) for number in numbers]
        self.figure, self.lower_is_better, self.same_core, self.rounds = figure, lower_is_better, same_core, rounds


WORKLOADS = {
    "tcp_rtt_1core": Workload("tcp", "echo", "rtt", [20000, 64], same_core=True),
    "local_rtt_1core": Workload("unix", "echo", "rtt", [20000, 64], same_core=True),
    "tcp_rtt": Workload("tcp", "echo", "rtt", [20000, 64]),
    "local_rtt": Workload("unix", "echo", "rtt", [20000, 64]),
    "tcp_many": Workload("tcp", "echo", "many", [1000, 200000, 64]),
    "conn_rate": Workload("tcp", "echo", "connrate", [20000]),
    "tcp_stream64k": Workload("tcp", "sink", "stream", [2 * GIB, 65536], figure="gibps"),
    "local_stream64k": Workload("unix", "sink", "stream", [2 * GIB, 65536], figure="gibps"),
    "tcp_stream1k": Workload("tcp", "sink", "stream", [GIB // 4, 1024], figure="gibps"),
    "local_stream1k": Workload("unix", "sink", "stream", [GIB // 4, 1024], figure="gibps"),
    "udp_64": Workload("udp", "udpsink", "udp", [2, 64]),
    "udp_1200": Workload("udp", "udpsink", "udp", [2, 1200]),
    "udp_batch_64": Workload("udp", "udpsink", "udp", [2, 64]),
    "udp_batch_1200": Workload("udp", "udpsink", "udp", [2, 1200]),
    "tls_stream64k_1core": Workload("tls", "sink", "stream", [2 * GIB, 65536], figure="gibps", same_core=True),
    "tls_stream64k_aes128_1core": Workload(
        "tls", "sink", "stream", [2 * GIB, 65536], figure="gibps", same_core=True, ciphers="TLS_AES_128_GCM_SHA256"),
    "tls_handshakes_1core": Workload("tls", "echo", "connrate", [2000], same_core=True),
    "tls_resumed_1core": Workload("tls", "echo", "resume", [2000], same_core=True),
    "idle_mem": Workload("tcp", "echo", "idle", [5000], figure="bytes", lower_is_better=True, rounds=3),
    "rpc_h1": Workload("rpc", None, "rtt", [10000]),
    "rpc_h1_newconn": Workload("rpc", None, "rtt1", [5000]),
    "rpc_h2": Workload("rpc", None, "pipe", [100000, 64]),
    "startup": Workload("rpc", None, "start", [7], figure="p50_ms", lower_is_better=True),
}


class Contender:
    """A pair of server and client programs. The first contender of a workload is the one the others are compared with."""

    def __init__(self, name, program, style=None, by_input=False):
        self.name, self.program, self.style, self.by_input = name, program, style, by_input

    def server(self, workload, address, folder):
        if workload.kind == "rpc":
            return [*self.program, address]
        return [*self.program, self.style, "server", workload.mode, address, *self.encryption(workload, folder)]

    def encryption(self, workload, folder):
        return [folder, workload.ciphers] if workload.kind == "tls" else []

    def client(self, workload, address, programs, folder):
        if workload.operation == "start":
            place = "-" if self.by_input else address
            command = self.program if self.by_input else [*self.program, address]
            return [f"{programs}/rpc_load", "start", place, *workload.numbers, *command]
        if workload.kind == "rpc":
            return [f"{programs}/rpc_load", workload.operation, address, *workload.numbers]
        if workload.operation == "idle":
            return [f"{programs}/baseline", "epoll", "client", "idle", address, *workload.numbers]
        return [*self.program, self.style, "client", workload.operation, address, *workload.numbers, *self.encryption(workload, folder)]


def contenders(name, workload, programs, sluiced):
    if name == "startup":
        return [
            Contender("C + jansson, stdio", [f"{programs}/rpc_server", "-"], by_input=True),
            Contender("sluiced --stdio", [sluiced, "--stdio"], by_input=True),
            Contender("C + jansson, socket", [f"{programs}/rpc_server"]),
            Contender("sluiced --socket", [sluiced, "--socket"]),
        ]
    if workload.kind == "rpc":
        return [Contender("C + jansson", [f"{programs}/rpc_server"]), Contender("sluiced", [sluiced, "--socket"])]
    if workload.kind == "udp":
        plain, own = [f"{programs}/datagrams"], [f"{programs}/sluice_datagrams"]
        if "batch" in name:
            return [
                Contender("plain sendmmsg/recvmmsg", plain, "mmsg"),
                Contender("sluice, batches", own, "batch"),
                Contender("plain UDP_SEGMENT/UDP_GRO", plain, "gso"),
            ]
        return [
            Contender("plain epoll", plain, "single"),
            Contender("sluice, events", own, "event"),
            Contender("plain blocking", plain, "blocking"),
            Contender("sluice, blocking", own, "blocking"),
        ]
    if workload.kind == "tls":
        plain = [f"{programs}/tls"]
        return [
            Contender("OpenSSL, epoll", plain, "epoll"),
            Contender("sluice, events", [f"{programs}/sluice_bench"], "event"),
            Contender("OpenSSL, blocking", plain, "blocking"),
        ]
    plain, own = [f"{programs}/baseline"], [f"{programs}/sluice_bench"]
    chosen = [Contender("plain epoll", plain, "epoll"), Contender("sluice, events", own, "event")]
    if workload.operation not in ("many", "idle"):
        chosen += [Contender("plain blocking", plain, "blocking"), Contender("sluice, blocking", own, "blocking")]
    if workload.operation == "stream":
        chosen.append(Contender("plain gathering", plain, "gather"))
    return chosen


class Process:
    def __init__(self, command, core, stdin=subprocess.DEVNULL):
        cores = sorted(os.sched_getaffinity(0))
        chosen = {cores[core % len(cores)]} if core is not None else set(cores)
        self.child = subprocess.Popen(command, stdin=stdin, stdout=subprocess.PIPE, preexec_fn=lambda: os.sched_setaffinity(0, chosen))
        self.received = b""

    def line(self):
        end = time.monotonic() + TIME_LIMIT
        while b"\n" not in self.received:
            if not select.select([self.child.stdout], [], [], max(0, end - time.monotonic()))[0]:
                raise RuntimeError(f"{self.child.args[0]} said nothing for {TIME_LIMIT} s")
            bytes_read = os.read(self.child.stdout.fileno(), 65536)
            if not bytes_read:
                raise RuntimeError(f"{self.child.args[0]} ended")
            self.received += bytes_read
        line, self.received = self.received.split(b"\n", 1)
        return line.decode()

    def succeed(self):
        """Waits for the end, which must come without an error: a result of a program that then failed is none."""
        status = self.child.wait(TIME_LIMIT)
        if status != 0:
            raise RuntimeError(f"{' '.join(self.child.args)} ended with status {status}")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.child.kill()
        self.child.wait()
        for stream in (self.child.stdin, self.child.stdout):
            if stream:
                stream.close()


def busy_seconds():
    """User and system time of all cores."""
    with open("/proc/stat") as file:
        fields = file.readline().split()[1:]
    return (int(fields[0]) + int(fields[1]) + int(fields[2])) / os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_bytes(pid):
    with open(f"/proc/{pid}/smaps_rollup") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("Rss:"))


def idle_connections(server, command, count):
    """Bytes of memory that the server has for each connection on which nothing was ever sent."""
    pid = server.child.pid
    time.sleep(0.2)
    before, descriptors = resident_bytes(pid), len(os.listdir(f"/proc/{pid}/fd"))
    with Process(command, 1, stdin=subprocess.PIPE) as client:
        client.line()
        while len(os.listdir(f"/proc/{pid}/fd")) < descriptors + count:
            time.sleep(0.05)
        time.sleep(0.3)
        return {"bytes": (resident_bytes(pid) - before) / count}


def datagram_result(sent, received):
    """What both sides tell, per second and per datagram. A rate that is lost on the way counts for nothing."""
    return {
        "rate": received["received"] / received["seconds"],
        "sent": sent["sent"] / sent["seconds"],
        "loss": 1 - received["received"] / sent["sent"],
        "send_ns": sent["cpu"] * 1e9 / sent["sent"],
        "receive_ns": received["cpu"] * 1e9 / received["received"],
    }


def make_certificates(folder):
    """An authority, and the certificate for localhost that it issued."""
    make = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
    issuer = [f"{folder}/authority.pem", f"{folder}/authority-key.pem"]
    subprocess.run([*make, "-subj", "/CN=Authority", "-out", issuer[0], "-keyout", issuer[1]], check=True, stderr=subprocess.DEVNULL)
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-addext", "basicConstraints=critical,CA:FALSE"]
    own = ["-out", f"{folder}/certificate.pem", "-keyout", f"{folder}/key.pem", "-CA", issuer[0], "-CAkey", issuer[1]]
    subprocess.run([*make, *names, *own], check=True, stderr=subprocess.DEVNULL)


def run_once(contender, workload, folder, programs):
    run_once.number = getattr(run_once, "number", 0) + 1
    if workload.kind in ("tcp", "udp", "tls"):
        address = f"{workload.kind}:127.0.0.1:{20000 + (os.getpid() * 37 + run_once.number) % 12000}"
    else:
        address = f"{'unix:' if workload.kind == 'unix' else ''}{folder}/s{run_once.number}"
    command = contender.client(workload, address, programs, folder)
    if workload.operation == "start":
        with Process(command, None) as client:
            result = json.loads(client.line())
            client.succeed()
            return result
    with Process(contender.server(workload, address, folder), 0) as server:
        while server.line() != "READY":
            pass
        if workload.operation == "idle":
            return idle_connections(server, command, int(workload.numbers[0]))
        wall, busy, before = time.monotonic(), busy_seconds(), cpu_seconds(server.child.pid)
        with Process(command, 0 if workload.same_core else 1) as client:
            result = json.loads(client.line())
            work = {"server_cpu": cpu_seconds(server.child.pid) - before, "client_cpu": cpu_seconds(client.child.pid)}
            client.succeed()
            if workload.kind == "udp":
                result = datagram_result(result, json.loads(server.line()))
        result["others"] = max(0, (busy_seconds() - busy - sum(work.values())) / (time.monotonic() - wall))
        return result | work


def measure(contender, workload, folder, programs):
    for _ in range(3):
        result = run_once(contender, workload, folder, programs)
        if workload.kind == "tls" or result.get("others", 0) <= NOISE:
            break
    return result


def spread(ratios):
    return f"{statistics.median(ratios):.2f} ({min(ratios):.2f}–{max(ratios):.2f})"


def datagram_summary(name, rounds):
    """The rate is of both programs together; the processor time of each says what it does itself, and other processes disturb it less."""
    names = list(rounds[0])
    first = names[0]
    yield f"### {name}\n"
    yield f"| | received/s | ratio to {first} | lost | ns to send | ratio | ns to receive | ratio |"
    yield "|---|---|---|---|---|---|---|---|"
    for contender in names:
        def middle(figure):
            return statistics.median(result[contender][figure] for result in rounds)

        def ratio(figure):
            return spread([result[contender][figure] / result[first][figure] for result in rounds])

        yield (f"| {contender} | {middle('rate'):.0f} | {ratio('rate')} | {middle('loss'):.1%} | {middle('send_ns'):.0f} | {ratio('send_ns')} | "
               f"{middle('receive_ns'):.0f} | {ratio('receive_ns')} |")
    yield ""


def encryption_summary(name, workload, rounds):
    """Processor time for each GiB or connection, of both programs and of each. Another process disturbs it less than the rate."""
    names = list(rounds[0])
    first = names[0]
    is_stream = workload.operation == "stream"
    count = int(workload.numbers[0]) / (GIB if is_stream else 1e6)
    sides = [("both", ("server_cpu", "client_cpu")), ("server", ("server_cpu",)), ("client", ("client_cpu",))]
    others = [result[contender]["others"] for result in rounds for contender in names]
    yield f"### {name} (others used {statistics.median(others):.2f} cores, {min(others):.2f}–{max(others):.2f})\n"
    unit = "s/GiB" if is_stream else "µs"
    yield f"| | {workload.figure} | ratio to {first} |" + "".join(f" {unit}, {side} | ratio |" for side, _ in sides)
    yield "|---|---|---|" + "---|---|" * len(sides)
    for contender in names:
        figure = statistics.median(result[contender][workload.figure] for result in rounds)
        line = f"| {contender} | {figure:.{0 if figure >= 100 else 2}f} | "
        line += spread([result[contender][workload.figure] / result[first][workload.figure] for result in rounds]) + " |"
        for _, parts in sides:
            def work(result, who):
                return sum(result[who][part] for part in parts) / count

            middle = statistics.median(work(result, contender) for result in rounds)
            line += f" {middle:.{3 if is_stream else 0}f} | {spread([work(result, contender) / work(result, first) for result in rounds])} |"
        yield line
    yield ""


def summarise(name, workload, rounds):
    if workload.kind == "udp":
        return datagram_summary(name, rounds)
    if workload.kind == "tls":
        return encryption_summary(name, workload, rounds)
    return summary(name, workload, rounds)


def summary(name, workload, rounds):
    """Lines of a Markdown table. Where there are times of single round trips, their medians are compared too: other processes disturb
    them less than the rate."""
    names = list(rounds[0])
    first = names[0]
    has_times = "p50_us" in rounds[0][first]
    yield f"### {name}\n"
    yield f"| | {workload.figure} | ratio to {first} |" + (" p50 µs | ratio of p50 |" if has_times else "")
    yield "|---|---|---|" + ("---|---|" if has_times else "")
    for contender in names:
        figure = statistics.median(result[contender][workload.figure] for result in rounds)
        ratios = [result[contender][workload.figure] / result[first][workload.figure] for result in rounds]
        line = f"| {contender} | {figure:.{0 if figure >= 1000 else 2}f} | {spread(ratios)} |"
        if has_times:
            middle = statistics.median(result[contender]["p50_us"] for result in rounds)
            line += f" {middle:.1f} | {spread([result[first]['p50_us'] / result[contender]['p50_us'] for result in rounds])} |"
        yield line
    yield ""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--programs", required=True, help="folder with the programs that run.sh builds")
    parser.add_argument("--sluiced", required=True)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", help="workloads, joined by commas")
    parser.add_argument("--out", help="file for the figures of every round")
    options = parser.parse_args()
    chosen = options.only.split(",") if options.only else list(WORKLOADS)
    unknown = [name for name in chosen if name not in WORKLOADS]
    if unknown:
        parser.error(f"no workload is called {unknown[0]}; there are {', '.join(WORKLOADS)}")
    results = {name: [] for name in chosen}
    with tempfile.TemporaryDirectory(prefix="sluice-bench-") as folder:
        if any(WORKLOADS[name].kind == "tls" for name in chosen):
            make_certificates(folder)
        for number in range(options.rounds):
            for name in chosen:
                workload = WORKLOADS[name]
                if workload.rounds and number >= workload.rounds:
                    continue
                row = contenders(name, workload, options.programs, options.sluiced)
                found = {}
                for index in range(len(row)):
                    contender = row[(index + number) % len(row)]
                    found[contender.name] = measure(contender, workload, folder, options.programs)
                    figure = found[contender.name][workload.figure]
                    print(f"round {number + 1} {name:16} {contender.name:20} {figure:.5g}", file=sys.stderr)
                results[name].append({contender.name: found[contender.name] for contender in row})
    if options.out:
        with open(options.out, "w") as file:
            json.dump(results, file, indent=1)
    for name in chosen:
        print("\n".join(summarise(name, WORKLOADS[name], results[name])))


if __name__ == "__main__":
    main()
