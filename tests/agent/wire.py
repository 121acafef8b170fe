# SPDX-License-Identifier: Apache-2.0
"""The client protocol in Python, generated from src/wire/*.def and message.h whenever it is imported, so that it cannot drift.

A Client is one raw socket, as polite or as hostile as the test wants.
"""
import array
import os
import pathlib
import re
import socket
import struct

WIRE = pathlib.Path(__file__).resolve().parents[2] / "src" / "wire"
HEADER = struct.Struct("<IHHQII")


def _parse_messages():
    numbers, layouts, kinds, binary = {}, {}, {}, set()
    current = None
    text = re.sub(r"/\*.*?\*/", "", (WIRE / "message.def").read_text() + (WIRE / "peer.def").read_text(), flags=re.S)
    for word, inner in re.findall(r"\b([A-Z0-9]+)\(([^)]*)\)", text):
        values = [v.strip() for v in inner.split(",")]
        if word == "MESSAGE":
            current = values[1]
            numbers[values[0]], layouts[current] = int(values[2], 0), []
            kinds[int(values[2], 0)] = current
        elif word == "RECORD":
            current = values[0]
            layouts[current] = []
        elif word in ("U32", "U64"):
            layouts[current].append((values[0], "I" if word == "U32" else "Q"))
        elif word in ("TEXT", "BYTES"):
            layouts[current].append((values[0], f"{int(values[1])}s"))
            if word == "BYTES":
                binary.add(values[0])
    return numbers, layouts, kinds, binary


NUMBER, LAYOUT, NAME, BINARY = _parse_messages()
STATUS = {name: int(number) for name, number in re.findall(r"^X\((\w+), (\d+),", (WIRE / "status.def").read_text(), re.M)}
STATUS_NAME = {number: name for name, number in STATUS.items()}
CONSTANT = {name: int(value, 16 if "x" in value else 8 if value[0] == "0" else 10) for name, value in re.findall(
    r"(?:#define\s+)?(WIRE_\w+)\s*(?:=\s*)?(0x[0-9a-fA-F]+|\d+)u?\b", (WIRE / "message.h").read_text() + (WIRE / "shared.h").read_text())}
ONEWAY = CONSTANT["WIRE_ONEWAY"]
REQUESTS = sorted(name for name, number in NUMBER.items() if number < 0x100)


def pack_record(name, **fields):
    layout = LAYOUT[name]
    unknown = set(fields) - {f for f, _ in layout}
    assert not unknown, f"{name} has no {unknown}"
    values = [fields.get(f, b"" if t.endswith("s") else 0) for f, t in layout]
    return struct.pack("<" + "".join(t for _, t in layout), *values)


def unpack_record(name, data):
    """The record's fields, and the rest of data; what is not there is zero."""
    layout = LAYOUT[name]
    s = struct.Struct("<" + "".join(t for _, t in layout))
    values = s.unpack(data[:s.size].ljust(s.size, b"\0"))
    return {f: v.split(b"\0")[0].decode(errors="replace") if t.endswith("s") and f not in BINARY else v
            for (f, t), v in zip(layout, values)}, data[s.size:]


def pack(type_, serial, body=b"", tail=b"", flags=0, status=0):
    return HEADER.pack(HEADER.size + len(body) + len(tail), type_, len(body), serial, status, flags) + body + tail


class Reply:
    def __init__(self, packet, fds):
        self.packet, self.fds = packet, fds
        self.size, self.type, self.body_size, self.serial, self.status, self.flags = HEADER.unpack(packet[:HEADER.size])
        self.name = NAME.get(self.type)
        body = packet[HEADER.size:HEADER.size + self.body_size]
        self.tail = packet[HEADER.size + self.body_size:]
        self.fields = unpack_record(self.name, body)[0] if self.name else {}

    def __getattr__(self, field):
        try:
            return self.__dict__["fields"][field]
        except KeyError:
            raise AttributeError(field) from None

    def close(self):
        while self.fds:
            os.close(self.fds.pop())

    def __repr__(self):
        return f"<{self.name} {STATUS_NAME.get(self.status, self.status)} {self.fields} fds={self.fds}>"


class Closed(Exception):
    """The other side cut us off."""


class Client:
    """A connection. Descriptors that come with replies are the reply's: close() it, or the client closes what hello brought."""

    def __init__(self, path, hello=True, timeout=5, **fields):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.sock.settimeout(timeout)
        self.sock.connect(str(path))
        self.serial, self.welcome = 0, None
        if hello:
            self.welcome = self.hello(**fields)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.sock.close()
        if self.welcome:
            self.welcome.close()

    def hello(self, major=CONSTANT["WIRE_MAJOR"], minor=CONSTANT["WIRE_MINOR"], **fields):
        return self.call("HELLO", major=major, minor=minor, **fields)

    def send_raw(self, packet, fds=()):
        control = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        try:
            self.sock.sendmsg([packet], control)
        except (BrokenPipeError, ConnectionResetError):
            raise Closed from None

    def send(self, name, fds=(), tail=b"", flags=0, serial=None, **fields):
        if serial is None:
            self.serial += 1
            serial = self.serial
        self.send_raw(pack(NUMBER[name], serial, pack_record(name.lower(), **fields), tail, flags), fds)

    def receive(self):
        try:
            packet, control, _, _ = self.sock.recvmsg(CONSTANT["WIRE_PACKET_MAX"], socket.CMSG_SPACE(16 * 4))
        except ConnectionResetError:
            raise Closed from None
        fds = [fd for level, kind, data in control if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS)
               for fd in array.array("i", data[:len(data) // 4 * 4])]
        if not packet:
            raise Closed
        return Reply(packet, fds)

    def call(self, name, fds=(), tail=b"", **fields):
        self.send(name, fds, tail, **fields)
        while True:
            reply = self.receive()
            if reply.serial == self.serial and reply.type != NUMBER["RESEND"]:
                return reply
            reply.close()

    def must(self, name, **fields):
        reply = self.call(name, **fields)
        assert reply.status == 0, f"{name}: {STATUS_NAME.get(reply.status)}"
        return reply

    def is_cut_off(self, seconds):
        """Reads what comes until the other side closes, at most so long."""
        self.sock.settimeout(seconds)
        try:
            while True:
                self.receive().close()
        except (Closed, BrokenPipeError):
            return True
        except TimeoutError:
            return False


def status(path):
    """NODE_STATUS of the node that answers there."""
    with Client(path) as c:
        return c.must("NODE_STATUS")
