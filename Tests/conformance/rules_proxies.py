"""Rules about proxies: nothing blocks, everything has a limit, and the read buffer's size holds."""
from __future__ import annotations

import re
from typing import Any, Dict, List, Optional

import peers
from differences import Event, View, is_call, rule
from rules_order import made_signal, set_values

TIME_LIMIT = 30000       # of the talk with a proxy, in milliseconds, at first
HEADER_LIMIT = 64 << 10
_LOOP_STEPS = {"pump", "until", "untilValue"}


def proxies_of(view: View) -> Dict[str, Dict[str, Any]]:
    """The proxies that a scenario gives its objects, as the scenario writes them; the last of each."""
    out: Dict[str, Dict[str, Any]] = {}
    for step in view.all_steps():
        if step.get("call", "").endswith(".setProxy"):
            out[step["call"].split(".")[0]] = step["args"][0]["proxy"]
    common = next((s["applicationProxy"]["proxy"] for s in view.all_steps() if "applicationProxy" in s), None)
    if common is not None:
        out.update({name: common for name, kind in view.kinds.items() if kind in ("socket", "server") and name not in out})
    return out


def peer_named(view: View, port: Any) -> Optional[Event]:
    """The peer whose port a scenario names as "$px.port"."""
    match = re.fullmatch(r"\$(\w+)\.port", str(port))
    return next((s for s in view.all_steps() if "new" in s and match and s["as"] == match.group(1)), None)


def next_loop_step(view: View, step: int) -> int:
    """The first step after that one in which the loop runs; at the end it runs for a moment too."""
    steps = view.scenario["steps"]
    return next((n for n in range(step + 1, len(steps)) if _LOOP_STEPS & set(steps[n])), len(steps))


def place_of(view: View, index: int, step: int) -> int:
    """Where an event of the object at index stands that happens when that step begins."""
    return next((j for j in view.later(index, view.events[index]["obj"]) if view.events[j]["step"] >= step), len(view.events))


def insert(view: View, place: int, step: int, signals: List[Event]) -> None:
    for signal in signals:
        signal["step"] = step
    view.events[place:place] = signals


def _request_lines(lines: List[str]) -> List[str]:
    """The lines of a CONNECT in the project's order and with its own words."""
    out: List[str] = []
    target, fields = "", []
    for line in lines + ["conn"]:
        match = re.fullmatch(r"CONNECT (.*) HTTP/1\.1", line.replace("<port:", "<port|"))
        if target and (match or not re.match(r"[\w-]+: ", line)):
            out += ["Host: " + target] + fields
            target, fields = "", []
        if match:
            host, _, port = match.group(1).rpartition(":")
            target = "[%s]:%s" % (host, port) if ":" in host and not host.startswith("[") else match.group(1)
            out.append("CONNECT %s HTTP/1.1" % target)
        elif not target:
            out.append(line)
        elif not line.startswith("Host: "):
            fields.append("User-Agent: Sluice" if line.startswith("User-Agent: ") else line)
    return [line.replace("<port|", "<port:") for line in out[:-1]]


@rule("http-request")
def http_request(view: View) -> None:
    """An HTTP proxy is sent Host first, with the port, IPv6 addresses in brackets, and the project's name."""
    for event in view.events:
        if view.kinds.get(event["obj"]) != "peer":
            continue
        for word in ("value", "ret"):
            told = event.get(word)
            if isinstance(told, list) and all(isinstance(line, str) for line in told):
                event[word] = _request_lines(told)
            elif isinstance(told, dict) and str(told.get("utf8", "")).startswith("CONNECT "):
                told["utf8"] = "\r\n".join(_request_lines(told["utf8"].split("\r\n")))


def _endless_header(peer: Optional[Event]) -> bool:
    """Whether a scripted proxy answers a request with more than a header may have."""
    if peer is None or peer.get("new") != "ScriptServer":
        return False
    sent = b""
    for word, *rest in peer.get("script") or (peer.get("scripts") or [[]])[0]:
        if word == "send":
            sent += peers.payload(rest[0])
    return len(sent) > HEADER_LIMIT and b"\r\n\r\n" not in sent[:HEADER_LIMIT]


@rule("proxy-header-limit")
def proxy_header_limit(view: View) -> None:
    """A header of more than 64 KiB ends the attempt with ProxyProtocolError."""
    for name, proxy in proxies_of(view).items():
        call = next((i for i, e in enumerate(view.events) if e["obj"] == name and is_call(e, "connectToHost")), None)
        if proxy["type"] != "HttpProxy" or call is None or not _endless_header(peer_named(view, proxy.get("port"))):
            continue
        step = next_loop_step(view, view.events[call]["step"])
        wait = next((j for j in view.later(call, name) if is_call(view.events[j], "waitForConnected") and view.events[j]["step"] < step), None)
        begin = view.events[wait]["step"] if wait is not None else step
        context = name + ".waitForConnected" if wait is not None else "loop"
        place = place_of(view, call, begin)
        # What the reference tells when its patience ends is told already.
        later = [e for e in view.events[place:] if e["obj"] == name and e["ev"] == "signal" and e["name"] in ("stateChanged", "errorOccurred")]
        view.events[place:] = [e for e in view.events[place:] if all(e is not other for other in later)]
        told = [made_signal(view.events[call], "stateChanged", "UnconnectedState", True, context, "UnconnectedState"),
                made_signal(view.events[call], "errorOccurred", "UnconnectedState", True, context, "ProxyProtocolError")]
        insert(view, place, begin, told)
        for j in view.later(place, name):
            event = view.events[j]
            set_values(event, {"state": "UnconnectedState", "error": "ProxyProtocolError", "errorString": "some text"})
            if event["ev"] == "until" and event["name"] in ("errorOccurred", "stateChanged"):
                event["ok"] = True


def _swallowed(peer: Optional[Event]) -> bytes:
    """What the reference takes for the body of an answer by which a connection begins."""
    if peer is not None and peer.get("new") == "HttpProxy" and str(peer.get("status", "")).startswith("2"):
        return str(peer.get("body", "")).encode()
    if peer is None or peer.get("new") != "ScriptServer":
        return b""
    sent = b"".join(peers.payload(rest[0]) for word, *rest in peer.get("script") or (peer.get("scripts") or [[]])[0] if word == "send")
    head, _, body = sent.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
    return body[:int(length.group(1))] if length and re.match(rb"HTTP/1\.\d 2", head) else b""


@rule("proxy-answer-has-no-body")
def proxy_answer_has_no_body(view: View) -> None:
    """What follows a 2xx answer is the target's, whatever Content-Length says."""
    for name, proxy in proxies_of(view).items():
        begin = _swallowed(peer_named(view, proxy.get("port"))) if proxy["type"] == "HttpProxy" else b""
        connected = next((i for i, e in enumerate(view.events) if begin and e["obj"] == name and view.is_signal(i, "connected")), None)
        if connected is None:
            continue
        following = view.later(connected, name)
        read = next((j for j in following if is_call(view.events[j], "readAll")), len(view.events))
        for j in following:
            event = view.events[j]
            available = event.get("values", {}).get("bytesAvailable") if event["ev"] == "snapshot" else event.get("value")
            if j < read and isinstance(available, int):
                set_values(event, {"bytesAvailable": available + len(begin), "atEnd": False})
        if read < len(view.events) and isinstance(view.events[read]["ret"], dict):
            view.events[read]["ret"] = {"utf8": begin.decode("latin1") + view.events[read]["ret"].get("utf8", "")}
        if not any(view.is_signal(j, "readyRead") for j in following if j < read):
            told = made_signal(view.events[connected], "readyRead", "ConnectedState", True, view.events[connected]["in"])
            view.events.insert(connected + 1, told)


@rule("proxy-time-limit")
def proxy_time_limit(view: View) -> None:
    """A silent proxy is ProxyConnectionTimeoutError after 30 s, unless a wait's own limit is over before."""
    proxies = proxies_of(view)
    late: Dict[str, bool] = {}
    for i, event in enumerate(view.events):
        name = event["obj"]
        if name not in proxies or proxies[name]["type"] not in ("Socks5Proxy", "HttpProxy") or view.kinds.get(name) != "socket":
            continue
        if is_call(event, "connectToHost"):
            late[name] = False
        elif view.is_signal(i, "errorOccurred"):
            call = next((view.events[j] for j in view.later(i, name) if is_call(view.events[j], event["in"].split(".")[-1])), None)
            limit = ((call or {}).get("args") or [30000])[0]
            late[name] = event["args"] == ["SocketTimeoutError"] and (event["in"] == "loop" or limit == -1 or limit > TIME_LIMIT) \
                and name in late
            if late[name]:
                event["args"] = ["ProxyConnectionTimeoutError"]
        elif late.get(name):
            set_values(event, {"error": "ProxyConnectionTimeoutError"})
            step = view.scenario["steps"][event["step"]] if event["step"] < len(view.scenario["steps"]) else {}
            if "elapsedOk" in event and "elapsed" in step:
                event["elapsedOk"] = step["elapsed"][0] <= TIME_LIMIT <= step["elapsed"][1]


# The errors that a SOCKS 5 proxy's answers stand for.
_REPLIES = {1: "NetworkError", 2: "SocketAccessError", 3: "NetworkError", 4: "HostNotFoundError", 5: "ConnectionRefusedError", 6: "NetworkError",
            7: "UnsupportedSocketOperationError", 8: "UnsupportedSocketOperationError"}


def _listens_far_away(view: View, call: Event, proxies: Dict[str, Dict[str, Any]]) -> bool:
    """Whether a listen or bind goes to a SOCKS 5 proxy: on this machine's own addresses a server needs none."""
    proxy = proxies.get(call["obj"], {})
    local = view.kinds.get(call["obj"]) == "server" and str((call.get("args") or ["Any"])[0]) in ("127.0.0.1", "::1", "localhost", "LocalHost",
                                                                                                 "LocalHostIPv6")
    return proxy.get("type") == "Socks5Proxy" and not local


def _refusal(view: View, index: int, getter: str, proxy: Dict[str, Any]) -> str:
    """Why a listen or bind through a proxy failed, as the trace has it or the proxy's answer says."""
    told = [e for e in (view.events[j] for j in view.later(index, view.events[index]["obj"])) if e["ev"] == "get" and e["name"] == getter]
    if told:
        return str(told[0]["value"])
    return _REPLIES.get((peer_named(view, proxy.get("port")) or {}).get("rep", 7), "UnknownSocketError")


@rule("proxied-listen-is-asynchronous")
def proxied_listen(view: View) -> None:
    """listen through a proxy returns at once; the address, or acceptError, comes while the loop runs."""
    proxies = proxies_of(view)
    for i, event in list(enumerate(view.events)):
        if not is_call(event, "listen") or view.kinds.get(event["obj"]) != "server" or not _listens_far_away(view, event, proxies):
            continue
        i = next(j for j, e in enumerate(view.events) if e is event)
        step = next_loop_step(view, event["step"])
        place = place_of(view, i, step)
        for j in range(i + 1, place):
            if view.events[j]["obj"] == event["obj"]:
                set_values(view.events[j], {"isListening": True, "serverError": "NoError", "errorString": "", "serverAddress": "", "serverPort": 0}
                           if event["ret"] else {"serverAddress": "", "serverPort": 0})
        if event["ret"]:
            continue
        error = _refusal(view, i, "serverError", proxies[event["obj"]])
        for j in range(i + 1, place):
            if view.events[j]["obj"] == event["obj"]:
                set_values(view.events[j], {"isListening": True, "serverError": "NoError", "errorString": ""})
        event["ret"] = True
        insert(view, place, step, [{"obj": event["obj"], "step": step, "ev": "signal", "name": "acceptError", "args": [error], "in": "loop"}])


@rule("proxied-bind-is-asynchronous")
def proxied_bind(view: View) -> None:
    """A UDP bind through a proxy returns at once; a refusal is told while the loop runs."""
    proxies = proxies_of(view)
    for event in list(view.events):
        if not is_call(event, "bind") or event["ret"] or event["obj"] not in proxies or not _listens_far_away(view, event, proxies):
            continue
        if not any(s.get("new") == "UdpSocket" and s["as"] == event["obj"] for s in view.all_steps()):
            continue
        name = event["obj"]
        view.events[:] = [e for e in view.events if not (e["obj"] == name and e["ev"] == "signal" and e.get("in") == name + ".bind")]
        i = next(j for j, e in enumerate(view.events) if e is event)
        error = _refusal(view, i, "error", proxies[name])
        event["ret"] = True
        view.events.insert(i, made_signal(event, "stateChanged", "BoundState", False, name + ".bind", "BoundState"))
        step = next_loop_step(view, event["step"])
        place = place_of(view, i + 1, step)
        for j in range(i + 2, place):
            if view.events[j]["obj"] == name:
                set_values(view.events[j], {"state": "BoundState", "error": "NoError", "errorString": ""})
        insert(view, place, step, [made_signal(event, "errorOccurred", "BoundState", False, "loop", error),
                                   made_signal(event, "stateChanged", "UnconnectedState", False, "loop", "UnconnectedState"),
                                   made_signal(event, "readChannelFinished", "UnconnectedState", False, "loop")])


def _stream(view: View, port: Any) -> Optional[bytes]:
    """What a scripted target sends before it waits for anything."""
    peer = peer_named(view, port)
    if peer is None or peer.get("new") != "ScriptServer":
        return None
    out = b""
    for word, *rest in peer.get("script") or (peer.get("scripts") or [[]])[0]:
        if word == "send":
            out += peers.payload(rest[0])
        elif word != "sleep":
            break
    return out


@rule("proxied-read-limit")
def proxied_read_limit(view: View) -> None:
    """The limit of the read buffer holds through SOCKS 5, and what waits behind it follows when there is room."""
    for name, proxy in proxies_of(view).items():
        limit = next((s["args"][0] for s in view.all_steps() if s.get("call") == name + ".setReadBufferSize"), 0)
        call = next((i for i, e in enumerate(view.events) if e["obj"] == name and is_call(e, "connectToHost")), None)
        if proxy["type"] != "Socks5Proxy" or not isinstance(limit, int) or limit <= 0 or call is None:
            continue
        stream = _stream(view, view.events[call]["args"][1])
        first = next((j for j in view.later(call, name) if view.is_signal(j, "readyRead")), None)
        if not stream or len(stream) <= limit or first is None:
            continue
        waiting, buffer = stream[limit:], stream[:limit]
        out, step = view.events[:first + 1], view.events[first]["step"]
        for event in view.events[first + 1:]:
            if event["obj"] == name and event["step"] > step:
                ran = [n for n in range(step + 1, event["step"] + 1) if n == next_loop_step(view, n - 1)]
                room = limit - len(buffer)
                if ran and room > 0 and waiting:
                    out.append({**made_signal(view.events[first], "readyRead", "ConnectedState", True, "loop"), "step": ran[0]})
                    buffer, waiting = buffer + waiting[:room], waiting[room:]
                step = event["step"]
            if event["obj"] == name:
                if event["ev"] == "signal" and event["name"] == "readyRead":
                    continue
                set_values(event, {"bytesAvailable": len(buffer)})
                if is_call(event, "readAll", "read") and isinstance(event["ret"], dict):
                    taken = buffer if event["name"] == "readAll" else buffer[:event["args"][0]]
                    buffer = buffer[len(taken):]
                    event["ret"] = {"utf8": taken.decode("latin1")}
            out.append(event)
        view.events[:] = out
