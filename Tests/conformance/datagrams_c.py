"""The structs of include/sluice.h that carry datagrams, and the calls that take them."""
from __future__ import annotations

import ctypes
from ctypes import POINTER, c_bool, c_char, c_char_p, c_int32, c_int64, c_uint32, c_uint64, c_uint8, c_void_p
from typing import Any, Callable, Dict, Optional

from face import Outcome
from vocabulary import Operation

_LARGEST = 1 << 16


class ReceivedDatagram(ctypes.Structure):
    """sluice_datagram."""
    _fields_ = [("size", c_uint32), ("truncated", c_bool), ("reserved", c_uint8 * 3), ("data", c_void_p), ("capacity", c_int64),
                ("length", c_int64), ("sender_port", c_int32), ("destination_port", c_int32), ("interface_index", c_int32),
                ("hop_limit", c_int32), ("sender_address", c_char * 64), ("destination_address", c_char * 64)]


class OutgoingDatagram(ctypes.Structure):
    """sluice_outgoing_datagram."""
    _fields_ = [("size", c_uint32), ("port", c_int32), ("data", c_char_p), ("length", c_int64), ("address", c_char_p),
                ("source_address", c_char_p), ("interface_index", c_int32), ("hop_limit", c_int32)]


def _read(library: Any, handle: int, max_size: int) -> Outcome:
    capacity = _LARGEST if max_size < 0 else max_size
    buffer = ctypes.create_string_buffer(max(1, capacity))
    datagram = ReceivedDatagram(size=ctypes.sizeof(ReceivedDatagram), data=ctypes.addressof(buffer), capacity=capacity)
    # To ask for a list is not to miss a datagram that is not there; to ask for one is.
    name = "sluice_udp_socket_read_datagrams" if max_size < 0 else "sluice_udp_socket_read_datagram"
    function = getattr(library, name)
    function.restype = c_int64
    function.argtypes = [c_uint64, POINTER(ReceivedDatagram)] + ([c_int64] if max_size < 0 else [])
    count = function(handle, ctypes.byref(datagram), *([1] if max_size < 0 else []))
    if count < 0:
        return Outcome(None, -count)
    if max_size < 0 and count == 0:
        return Outcome()
    return Outcome({"data": ctypes.string_at(buffer, datagram.length), "senderAddress": datagram.sender_address.decode(),
                    "senderPort": datagram.sender_port, "destinationAddress": datagram.destination_address.decode(),
                    "destinationPort": datagram.destination_port, "hopLimit": datagram.hop_limit,
                    "interfaceIndex": datagram.interface_index})


def _write(library: Any, handle: int, fields: Dict[str, Any]) -> Outcome:
    address = fields["address"].encode() if "address" in fields else None
    datagram = OutgoingDatagram(size=ctypes.sizeof(OutgoingDatagram), port=fields.get("port", 0), data=fields["data"],
                                length=len(fields["data"]), address=address, hop_limit=fields.get("hopLimit", 0))
    function = library.sluice_udp_socket_write_datagrams
    function.restype, function.argtypes = c_int64, [c_uint64, POINTER(OutgoingDatagram), c_int64]
    count = function(handle, ctypes.byref(datagram), 1)
    return Outcome(None, -count) if count < 0 else Outcome(len(fields["data"]))


def call(library: Any, operation: Operation, handle: int, values: Dict[str, Any]) -> Optional[Callable[[], Outcome]]:
    """The call of an operation whose datagrams travel in structs; None for the others."""
    if operation.name == "udpSocket.readDatagram":
        return lambda: _read(library, handle, values["maxSize"])
    if operation.name == "udpSocket.writeDatagrams":
        return lambda: _write(library, handle, values["datagrams"])
    return None
