"""Rules about datagram sockets: where datagrams go, what is told of them, and that each is read on its own."""
from __future__ import annotations

import ipaddress
from typing import Any, Dict, List, Optional

import vocabulary
from datagram_model import STREAM_READS, datagram_sockets, has_handlers, insert_error, lost, owner, receiver, replay, says_error
from differences import Event, View, is_call, rule
from rules_order import made_signal, set_values, values_of
from rules_waits import error_stays, signals_of

_UNBOUND = {"state": "UnconnectedState", "localAddress": "", "localPort": 0, "isValid": False, "socketDescriptor": -1}
_LARGEST = 65507


def _destination(event: Event) -> Any:
    """Where a writeDatagram goes: (address, port), None for the peer."""
    first = event["args"][0]
    if isinstance(first, dict) and "datagram" in first:
        fields = first["datagram"]
        return (vocabulary.literal(fields["host"]), fields["port"]) if "host" in fields else None
    return vocabulary.literal(event["args"][1]), event["args"][2]


def _family(address: str) -> str:
    """4, 6, or "4 in 6"."""
    number = ipaddress.ip_address(address.partition("%")[0])
    if number.version == 4:
        return "4"
    return "4 in 6" if number.ipv4_mapped else "6"


def _bound_family(event: Event) -> str:
    """The family of a socket after a bind, a connect, or with a descriptor."""
    if is_call(event, "bind"):
        address = vocabulary.ADDRESSES.get(*[(event.get("args") or ["Any"])[0]] * 2)
        return "dual" if address == "any" else _family(address) if vocabulary.literal(address) else "dual"
    if is_call(event, "connectToHost"):
        return _family(event["args"][0]) if vocabulary.literal(event["args"][0]) else "4"
    return "4"


def _objection(destination: Any, state: str, family: Optional[str]) -> Optional[str]:
    """Why nothing can be sent there."""
    if state in ("HostLookupState", "ConnectingState"):
        return "OperationError"
    if destination is None:
        return None if state == "ConnectedState" else "NetworkError"
    address, port = destination
    if port == 0:
        return "PortNumberOutOfRangeError"
    if not address or ipaddress.ip_address(address.partition("%")[0]).is_unspecified:
        return "InvalidArgumentError"
    wanted = _family(address)
    if family == "4" and wanted == "6" or family == "6" and wanted != "6":
        return "UnsupportedSocketOperationError"
    return None


@rule("destinations-are-checked")
def destinations_are_checked(view: View) -> None:
    """A datagram to no address, to port 0, to the other family, or of a socket that is still connecting: an error, and nothing else happens."""
    sockets = datagram_sockets(view)
    family: Dict[str, str] = {}
    unbound: Dict[str, bool] = {}
    bound_as: Dict[str, str] = {}    # the family before a connect
    missed: List[str] = []
    peers: Dict[str, str] = {}
    i = 0
    while i < len(view.events):
        event, name = view.events[i], view.events[i]["obj"]
        if name in sockets:
            if is_call(event, "bind", "connectToHost", "setSocketDescriptor") and event["ret"] is not False:
                bound_as[name] = family.get(name, "")
                family[name], unbound[name] = _bound_family(event), False
                if is_call(event, "connectToHost"):
                    peers[name] = owner(event["args"][1])
            elif view.is_signal(i, "stateChanged", "UnconnectedState"):
                family.pop(name, None)
            elif unbound.get(name):
                set_values(event, _UNBOUND)
            if is_call(event, "connectToHost") and view.states[i] == "ConnectedState":
                i = _connect(view, i, bound_as.get(name), family)
            if is_call(event, "writeDatagram"):
                i = _write(view, i, family, unbound, peers, missed)
        i += 1
    for name in dict.fromkeys(missed):
        if name in sockets and not has_handlers(view, name):
            replay(view, name)


def _connect(view: View, index: int, bound: Optional[str], family: Dict[str, str]) -> int:
    """A bound socket is not connected to the other family."""
    event, name = view.events[index], view.events[index]["obj"]
    address = vocabulary.literal(event["args"][0])
    raised = [i for i in signals_of(view, index) if view.is_signal(i, "stateChanged", "ConnectedState") or view.is_signal(i, "connected")]
    if not address or bound not in ("4", "6") or (bound == "4") != (_family(address) == "6") or not raised:
        return index
    is_open = view.events[raised[0]]["open"]
    context = name + ".connectToHost"
    view.events[raised[0]:index] = [made_signal(event, "stateChanged", "UnconnectedState", is_open, context, "UnconnectedState"),
                                    made_signal(event, "errorOccurred", "UnconnectedState", is_open, context, "ConnectionRefusedError")]
    view.refresh()
    call = raised[0] + 2
    says_error(view, call, name, "ConnectionRefusedError")
    for i in view.later(call, name):
        if view.is_signal(i, "stateChanged"):
            break
        set_values(view.events[i], {**_UNBOUND, "peerAddress": "", "peerPort": 0})
    family.pop(name, None)
    return call


def _write(view: View, index: int, family: Dict[str, str], unbound: Dict[str, bool], peers: Dict[str, str], missed: List[str]) -> int:
    event, name = view.events[index], view.events[index]["obj"]
    raised = signals_of(view, index)
    state = "UnconnectedState" if unbound.get(name) else view.states[raised[0]] if raised else view.states[index]
    destination = _destination(event)
    if state == "UnconnectedState":
        family.pop(name, None)
    objection = _objection(destination, state, family.get(name))
    if objection is None:
        if state == "UnconnectedState" and destination:
            family[name] = "4" if _family(destination[0]) != "6" else "dual"
            if unbound.get(name):
                unbound[name] = False
                view.events.insert(raised[0] if raised else index,
                                   made_signal(event, "stateChanged", "BoundState", False, "%s.writeDatagram" % name, "BoundState"))
                view.refresh()
                return index + 1
        return index
    told = [i for i in raised if view.is_signal(i, "errorOccurred")]
    is_open = view.events[raised[0]]["open"] if raised else False
    target = receiver(view, index, peers)
    if event["ret"] != -1 and target:
        lost(view, index, target)
        missed.append(target)
    event["ret"] = -1
    if told and view.events[told[0]]["args"] == [objection] and state == view.events[told[0]]["state"]:
        return index
    for i in reversed(raised):
        del view.events[i]
    index -= len(raised)
    if state == "UnconnectedState":
        unbound[name] = True
    view.refresh()
    insert_error(view, index, objection, state, is_open, "%s.writeDatagram" % name)
    return index + 1


@rule("implicit-bind-is-ipv4")
def implicit_bind_is_ipv4(view: View) -> None:
    """A socket that is bound by sending to IPv4 is an IPv4 socket: addresses are not mapped."""
    sockets = datagram_sockets(view)
    four: Dict[str, bool] = {}
    for i, event in enumerate(view.events):
        name = event["obj"]
        if name not in sockets:
            continue
        if view.is_signal(i, "stateChanged"):
            four[name] = four.get(name, False) and event["args"] != ["UnconnectedState"]
            if event["args"] == ["BoundState"] and event["in"] == name + ".writeDatagram":
                call = next((j for j in view.later(i, name) if is_call(view.events[j], "writeDatagram")), None)
                destination = _destination(view.events[call]) if call is not None else None
                four[name] = destination is not None and bool(destination[0]) and _family(destination[0]) != "6"
        elif four.get(name):
            for key in ("localAddress", "peerAddress"):
                text = str(values_of(event).get(key, ""))
                set_values(event, {key: "0.0.0.0" if text == "*" else text.replace("::ffff:", "")} if text else {})
            _unmap(event)


def _unmap(event: Event) -> None:
    """Addresses as an IPv4 socket has them."""
    value = event.get("ret")
    if is_call(event, "readDatagram") and value:
        value[1] = value[1].replace("::ffff:", "")
    elif is_call(event, "receiveDatagram") and value["valid"]:
        for key in ("sender", "destination"):
            value[key] = value[key].replace("::ffff:", "").partition("%")[0]
        value["hopLimit"] = 64 if value["hopLimit"] == -1 else value["hopLimit"]


@rule("details-of-both-families")
def details_of_both_families(view: View) -> None:
    """A socket for both families knows of IPv4 datagrams what an IPv4 socket knows; an IPv4 address has no scope."""
    hops = [s["args"][0]["datagram"].get("hopLimit", 64) for s in view.all_steps()
            if str(s.get("call", "")).endswith(".writeDatagram") and "datagram" in s["args"][0]]
    for event in view.events:
        if is_call(event, "receiveDatagram") and event["ret"]["destination"].startswith("::ffff:"):
            event["ret"]["destination"] = event["ret"]["destination"].partition("%")[0]
            if event["ret"]["hopLimit"] == -1:
                event["ret"]["hopLimit"] = hops[0] if len(set(hops)) == 1 else 64


@rule("icmp-errors-are-told")
def icmp_errors_are_told(view: View) -> None:
    """A connected socket is told of datagrams that reached nobody, once each: errorOccurred(ConnectionRefusedError), and it goes on."""
    for name in datagram_sockets(view):
        peers: Dict[str, str] = {}
        closed: List[str] = []
        refused = False
        for i, event in enumerate(view.events):
            if is_call(event, "connectToHost"):
                peers[event["obj"]] = owner(event["args"][1])
            elif is_call(event, "close", "abort", "disconnectFromHost"):
                closed.append(event["obj"])
            elif event["obj"] == name and is_call(event, "write", "writeDatagram") and view.states[i] == "ConnectedState":
                refused = refused or receiver(view, i, peers) in closed
        if refused and not has_handlers(view, name):
            replay(view, name)


@rule("datagram-borders-are-kept")
def datagram_borders_are_kept(view: View) -> None:
    """read, peek, readLine and skip of a connected socket keep to the next datagram; what they leave of it is read next."""
    for name in datagram_sockets(view):
        reads = [i for i, e in enumerate(view.events) if e["obj"] == name and view.states[i] == "ConnectedState"
                 and (is_call(e, "canReadLine", *STREAM_READS) or "canReadLine" in values_of(e))]
        if reads and not has_handlers(view, name):
            replay(view, name)


@rule("datagram-errors-do-not-stick")
def datagram_errors_do_not_stick(view: View) -> None:
    """An error concerns one datagram: a wait that comes later ends as if it had not been, and the socket stays as it is."""
    sockets = datagram_sockets(view)
    failed: Dict[str, str] = {}
    i = 0
    while i < len(view.events):
        event, name = view.events[i], view.events[i]["obj"]
        i += 1
        if name not in sockets:
            continue
        if is_call(event, "writeDatagram", "write") and event["ret"] == -1:
            failed[name] = "failed"
        if not (is_call(event, "waitForReadyRead") and event["ret"] is False and failed.get(name)):
            continue
        call = i - 1
        raised = signals_of(view, call)
        if not any(view.is_signal(j, "stateChanged", "UnconnectedState") for j in raised):
            continue
        state, is_open = view.states[raised[0]], view.events[raised[0]]["open"]
        for j in reversed(raised):
            del view.events[j]
        call -= len(raised)
        view.refresh()
        insert_error(view, call, "SocketTimeoutError", state, is_open, "%s.waitForReadyRead" % name)
        i = call + 2
        # The reference is closed by this, and binds anew to send.
        again = next((j for j in view.later(call + 1, name) if view.is_signal(j, "stateChanged")), None)
        for j in view.later(call + 1, name):
            if again is not None and j >= again:
                break
            set_values(view.events[j], {"state": state, "isOpen": is_open, "isValid": True, "socketDescriptor": "<fd>"})
        if again is not None and view.is_signal(again, "stateChanged", state):
            del view.events[again]
        view.refresh()


@rule("groups-are-checked")
def groups_are_checked(view: View) -> None:
    """Joining or leaving a group fails with an error that says why; the interface for groups is kept without a descriptor."""
    sockets = datagram_sockets(view)
    family: Dict[str, str] = {}
    joined: Dict[str, List[str]] = {}
    chosen: Dict[str, Any] = {}
    i = 0
    while i < len(view.events):
        event, name = view.events[i], view.events[i]["obj"]
        i += 1
        if name not in sockets:
            continue
        if is_call(event, "bind", "setSocketDescriptor") and event["ret"]:
            family[name] = _bound_family(event)
        elif view.is_signal(i - 1, "stateChanged", "BoundState") and event["in"] == name + ".writeDatagram":
            family[name] = "implicit"
        elif is_call(event, "setMulticastInterface") and view.states[i - 1] == "UnconnectedState":
            known = argument_interface(event["args"][0])
            chosen[name] = known
        elif is_call(event, "multicastInterface") and chosen.get(name) is not None and event["ret"] == {"iface": ""}:
            event["ret"] = {"iface": chosen[name]}
        if not is_call(event, "joinMulticastGroup", "leaveMulticastGroup"):
            continue
        if event["ret"]:
            joined.setdefault(name, []).append(event["args"][0])
            continue
        raised = signals_of(view, i - 1)
        if raised:
            continue
        if family.get(name) == "implicit" and _family(vocabulary.literal(event["args"][0]) or "::") == "4":
            event["ret"] = True
            continue
        group = vocabulary.literal(event["args"][0])
        code = "OperationError"
        if view.states[i - 1] == "BoundState":
            if not group or not ipaddress.ip_address(group.partition("%")[0]).is_multicast:
                code = "InvalidArgumentError"
            elif (_family(group) == "4") != (family.get(name, "4") == "4"):
                code = "UnsupportedSocketOperationError"
        is_open = _open_before(view, i - 1)
        insert_error(view, i - 1, code, view.states[i - 1], is_open, "%s.%s" % (name, event["name"]))
        i += 1


def argument_interface(value: Any) -> Any:
    return vocabulary.argument("interface", value)


def _open_before(view: View, index: int) -> bool:
    """Whether the object was open just before an event."""
    for i in range(index - 1, -1, -1):
        event = view.events[i]
        if event["obj"] == view.events[index]["obj"] and event["ev"] == "signal" and "open" in event:
            return bool(event["open"])
    return False


@rule("datagram-errors-are-told")
def datagram_errors_are_told(view: View) -> None:
    """A write that fails, a bind that fails, and a read of a datagram that is not there raise errorOccurred, whichever call it was."""
    sockets = datagram_sockets(view)
    i = 0
    while i < len(view.events):
        event, name = view.events[i], view.events[i]["obj"]
        i += 1
        if name not in sockets or event["ev"] != "call":
            continue
        raised = signals_of(view, i - 1)
        told = [j for j in raised if view.is_signal(j, "errorOccurred")]
        state = view.states[raised[0]] if raised else view.states[i - 1]
        code: Optional[str] = None
        if is_call(event, "write") and event["ret"] == -1 and state == "ConnectedState":
            if len(vocabulary.payload(event["args"][0])) > _LARGEST:
                code = "DatagramTooLargeError"
        elif is_call(event, "receiveDatagram") and told and view.events[told[0]]["args"] == ["UnknownSocketError"]:
            view.events[told[0]].update(args=["TemporaryError"], errorString="some text")
            says_error(view, told[0], name, "TemporaryError")
        elif is_call(event, "bind", "writeDatagram") and event["ret"] in (False, -1) and _without_descriptors(view, event):
            code = "SocketResourceError"
        if code is not None and not told:
            insert_error(view, i - 1, code, state, _open_before(view, i - 1), "%s.%s" % (name, event["name"]))
            i += 1


def _without_descriptors(view: View, event: Event) -> bool:
    """Whether the process may open no more descriptors at that step."""
    before = [s.get("sys") for s in view.scenario["steps"][:event["step"]] if s.get("sys") in ("limitFds", "unlimitFds")]
    return bool(before) and before[-1] == "limitFds"


@rule("bytes-written-is-not-recursive")
def bytes_written_is_not_recursive(view: View) -> None:
    """bytesWritten of a datagram that is sent inside its handler is told when that has returned."""
    sockets = datagram_sockets(view)
    i = 0
    while i < len(view.events):
        event, name = view.events[i], view.events[i]["obj"]
        i += 1
        if name not in sockets or not is_call(event, "writeDatagram", "write") or event.get("within") != name + ".bytesWritten":
            continue
        told = [j for j in signals_of(view, i - 1) if view.is_signal(j, "bytesWritten")]
        if told:
            # The innermost first: behind the outermost handler come what was left to tell.
            moved = view.events.pop(told[-1])
            outer = next((j for j in view.later(i - 2, name) if view.events[j].get("within") != name + ".bytesWritten"), len(view.events))
            view.events.insert(outer, moved)
            view.refresh()


@rule("udp-disconnect-is-remembered")
def udp_disconnect_is_remembered(view: View) -> None:
    """disconnectFromHost during the lookup is remembered: the socket connects and disconnects."""
    wished: Dict[str, bool] = {}
    ended: Dict[str, bool] = {}
    i = 0
    while i < len(view.events):
        event, name = view.events[i], view.events[i]["obj"]
        if name in datagram_sockets(view):
            if is_call(event, "disconnectFromHost", "close") and view.states[i] in ("HostLookupState", "ConnectingState"):
                wished[name] = True
            elif event["ev"] == "call" and event["name"] in ("abort", "close", "bind") or view.is_signal(i, "stateChanged", "HostLookupState") or view.is_signal(i, "stateChanged", "UnconnectedState"):
                wished[name] = ended[name] = False
            elif wished.get(name) and view.is_signal(i, "connected"):
                place = view.handler_end(i)
                view.events[place:place] = [
                    made_signal(event, "stateChanged", "ClosingState", event["open"], event["in"], "ClosingState"),
                    made_signal(event, "stateChanged", "UnconnectedState", event["open"], event["in"], "UnconnectedState"),
                    made_signal(event, "readChannelFinished", "UnconnectedState", event["open"], event["in"]),
                    made_signal(event, "disconnected", "UnconnectedState", event["open"], event["in"])]
                wished[name], ended[name] = False, True
                i = place + 3
                view.refresh()
            elif ended.get(name):
                set_values(event, {**_UNBOUND, "peerAddress": "", "peerPort": 0})
        i += 1


@rule("c-nothing-there-is-an-answer")
def c_nothing_there_is_an_answer(view: View) -> None:
    """In C to read until there is no datagram is how all are read: that there is none is told by the result alone."""
    if view.face != "c":
        return
    sockets = datagram_sockets(view)
    i = 0
    while i < len(view.events):
        event = view.events[i]
        i += 1
        if event["obj"] not in sockets or not is_call(event, "readDatagram", "receiveDatagram"):
            continue
        for j in reversed(signals_of(view, i - 1)):
            if view.is_signal(j, "errorOccurred", "TemporaryError"):
                error_stays(view, j)
                del view.events[j]
                i -= 1
        view.refresh()
