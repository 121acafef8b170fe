# SPDX-License-Identifier: Apache-2.0
"""A node in Python, as polite or as hostile as the test wants: the control protocol over TLS, and data connections.

TLS is GnuTLS's by ctypes, as Python's own has no keys that are agreed on beforehand. A Peer always dials; a session is the
same whoever dialled, so it is home and importer, too.
"""
import contextlib
import ctypes
import pathlib
import socket
import struct
import threading
import time

import wire

TLS = ctypes.CDLL("libgnutls.so.30")
CLIENT, CRD_PSK, KEY_RAW = 2, 4, 0
AGAIN, PREMATURE = -28, -110
PRIORITY = b"NORMAL:-VERS-ALL:+VERS-TLS1.3:-KX-ALL:+ECDHE-PSK:+DHE-PSK"
TLS.gnutls_record_recv.restype = TLS.gnutls_record_send.restype = ctypes.c_ssize_t
TLS.gnutls_record_send.argtypes = TLS.gnutls_record_recv.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t]
PRIORITY_DATA = PRIORITY + b":-CIPHER-ALL:+AES-128-GCM:-GROUP-ALL:+GROUP-X25519"
EXPORTED = b"EXPERIMENTAL causeway data"
POSSIBLE, REQUIRED = 1, 2  # WIRE_ENCRYPTION_…
TLS.gnutls_prf_rfc5705.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_char_p, ctypes.c_size_t, ctypes.c_char_p, ctypes.c_size_t, ctypes.c_char_p]
TLS.gnutls_transport_set_int2.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_int]
for _name in ("bye", "handshake", "deinit", "priority_set_direct", "credentials_set"):
    getattr(TLS, f"gnutls_{_name}").argtypes = {"bye": [ctypes.c_void_p, ctypes.c_int],
                                                "priority_set_direct": [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p],
                                                "credentials_set": [ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p],
                                                }.get(_name, [ctypes.c_void_p])
SERIALS = 1 << 32


class Datum(ctypes.Structure):
    _fields_ = [("data", ctypes.c_char_p), ("size", ctypes.c_uint)]


class Refused(Exception):
    """The handshake failed: the error of GnuTLS."""


def keys_of(path):
    """Of a key file: node → key."""
    rows = (line.split() for line in pathlib.Path(path).read_text().splitlines() if line and line[0] != "#")
    return {int(node): bytes.fromhex(key) for node, key in rows}


def connect(address, timeout=5):
    s = socket.create_connection(address, timeout)
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return s


def is_closed(s, seconds):
    """Whether the other side closes within that time, whatever it says before."""
    s.settimeout(seconds)
    try:
        while s.recv(65536):
            pass
        return True
    except ConnectionError:
        return True
    except TimeoutError:
        return False


class Tls:
    def __init__(self, sock, identity, key, priority=PRIORITY):
        self.sock = sock
        sock.settimeout(None)
        self.set_timeout(5)
        self.session, self.credentials, self.sending = ctypes.c_void_p(), ctypes.c_void_p(), threading.Lock()
        assert TLS.gnutls_init(ctypes.byref(self.session), CLIENT) == 0
        assert TLS.gnutls_priority_set_direct(self.session, priority, None) == 0
        assert TLS.gnutls_psk_allocate_client_credentials(ctypes.byref(self.credentials)) == 0
        assert TLS.gnutls_psk_set_client_credentials(self.credentials, identity.encode(), ctypes.byref(Datum(key, len(key))), KEY_RAW) == 0
        assert TLS.gnutls_credentials_set(self.session, CRD_PSK, self.credentials) == 0
        TLS.gnutls_transport_set_int2(self.session, sock.fileno(), sock.fileno())
        r = TLS.gnutls_handshake(self.session)
        if r:
            self.close()
            raise Refused(r)

    def set_timeout(self, seconds):
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", int(seconds), int(seconds % 1 * 1e6)))

    def send(self, data):
        with self.sending:
            while data:
                n = TLS.gnutls_record_send(self.session, data, len(data)) if self.session else -1
                if n < 0:
                    raise wire.Closed
                data = data[n:]

    def receive(self):
        """Some bytes; Closed at the end, however it came."""
        buffer = ctypes.create_string_buffer(1 << 14)
        n = TLS.gnutls_record_recv(self.session, buffer, len(buffer))
        if n == AGAIN:
            raise TimeoutError
        if n <= 0:
            raise wire.Closed
        return buffer.raw[:n]

    def secret(self, grant):
        """What both ends know, for a data connection with this grant."""
        key = ctypes.create_string_buffer(32)
        assert TLS.gnutls_prf_rfc5705(self.session, len(EXPORTED), EXPORTED, len(grant), grant, len(key), key) == 0
        return key.raw

    def close(self):
        with self.sending:
            if self.session:
                TLS.gnutls_deinit(self.session)
                TLS.gnutls_psk_free_client_credentials(self.credentials)
            self.session = None
        self.sock.close()


def identity(uid=0, gid=0, groups=(), pid=77, command=b"peer", n_groups=None):
    """The tail that says who asks."""
    return wire.pack_record("identity", uid=uid, gid=gid, pid=pid, command=command,
                            n_groups=len(groups) if n_groups is None else n_groups) + \
        b"".join(wire.pack_record("group", gid=g) for g in groups)


class Peer:
    """The control connection of node `me` to a daemon."""

    def __init__(self, address, key, me=2, to=1, hello=True, claims=None, incarnation=None, **fields):
        self.me, self.to, self.serial, self.bytes = me, to, 0, b""
        self.incarnation = incarnation or time.monotonic_ns()
        self.others = []  # what came while something else was awaited
        self.ended, self.heart = threading.Event(), None
        self.tls = Tls(connect(address), claims or f"causeway:{me}:{to}", key)
        self.welcome = self.hello(**fields) if hello else None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.leave()

    def leave(self):
        """In order: what was in common is over."""
        with contextlib.suppress(wire.Closed):
            self.send("PEER_BYE")
        self.close()

    def close(self):
        self.ended.set()
        if self.heart:
            self.heart.join()
        self.tls.close()

    def hello(self, **fields):
        reply = self.call("PEER_HELLO", **{"major": wire.CONSTANT["WIRE_MAJOR"], "minor": wire.CONSTANT["WIRE_MINOR"], "node": self.me,
                                           "to": self.to, "incarnation": self.incarnation, "detection": 2 * 10**9, **fields})
        if reply.status == 0:
            self.session = reply.session
        return reply

    def send_raw(self, packet):
        self.tls.send(packet)

    def send(self, name, tail=b"", serial=None, status=0, **fields):
        if serial is None:
            self.serial += 1
            serial = self.serial
        self.send_raw(wire.pack(wire.NUMBER[name], serial, wire.pack_record(name.lower(), **fields), tail, 0, status))
        return serial

    def receive(self, seconds=5):
        """The next packet, heartbeats left out."""
        self.tls.set_timeout(seconds)
        while True:
            size = int.from_bytes(self.bytes[:4], "little") if len(self.bytes) >= 4 else 0
            if size and len(self.bytes) >= size:
                packet, self.bytes = self.bytes[:size], self.bytes[size:]
                reply = wire.Reply(packet, [])
                if reply.name != "peer_ping":
                    return reply
            else:
                self.bytes += self.tls.receive()

    def wait(self, name, seconds=5, serial=None):
        """The next packet of that name; others are kept."""
        for i, reply in enumerate(self.others):
            if reply.name == name and serial in (None, reply.serial):
                return self.others.pop(i)
        while True:
            reply = self.receive(seconds)
            if reply.name == name and serial in (None, reply.serial):
                return reply
            self.others.append(reply)

    def call(self, name, tail=b"", **fields):
        serial = self.send(name, tail, **fields)
        return self.wait(f"{name.lower()}_reply", serial=serial)

    def ping(self):
        self.send("PEER_PING")

    def live(self):
        """Heartbeats from now on, by a thread."""
        def beat():
            with contextlib.suppress(wire.Closed):
                while not self.ended.wait(0.2):
                    self.ping()
        self.heart = threading.Thread(target=beat, daemon=True)
        self.heart.start()

    def is_up(self):
        """Whether the daemon still answers here; it has read everything that was said before."""
        try:
            return self.call("PEER_ECHO", value=7).value == 7
        except wire.Closed:
            return False

    def is_cut_off(self, seconds=3):
        try:
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                self.receive(end - time.monotonic())
        except wire.Closed:
            return True
        except TimeoutError:
            pass
        return False

    # as an importer

    def connect(self, id, client=1, index=0, generation=1, rights=6, data=0, tail=None, **fields):
        return self.call("PEER_CONNECT", identity() if tail is None else tail, client=client, index=index, generation=generation, space=1,
                         id=id, rights=rights, data=data, **fields)

    def disconnect(self, client=1, index=0, generation=1):
        self.send("PEER_DISCONNECT", client=client, index=index, generation=generation)


# --- data connections -----------------------------------------------------------------------------

PUT, BATCH, GET, ADD, SWAP, SIGNAL, DONE, FAILED, DATA = 1, 2, 3, 4, 5, 6, 0x81, 0x82, 0x83
REQUEST, REPLY = struct.Struct("<BBHIQ16s"), struct.Struct("<BBHIQ")
MORE, CHECK, ACCUMULATE = 1, 2, 4


def hello(node, grant, flags=0):
    return b"CWdata\0\1" + struct.pack("<II", node, flags) + grant


class Encrypted:
    """A data connection through TLS of our own, with the face of a socket: the kernel of the other side has the same keys."""

    def __init__(self, address, node, grant, secret, to=1, priority=PRIORITY_DATA):
        s = connect(address)
        s.sendall(hello(node, grant, flags=1))
        self.tls = Tls(s, f"causeway:{node}:{to}", secret, priority)
        self.sock = s

    def sendall(self, data):
        try:
            self.tls.send(data)
        except wire.Closed:
            raise BrokenPipeError from None

    def recv(self, _):
        """May be more than was asked for."""
        try:
            return self.tls.receive()
        except wire.Closed:
            return b""

    def settimeout(self, seconds):
        self.tls.set_timeout(seconds)

    def close(self):
        self.tls.close()


def record(off, data, width=1):
    return struct.pack("<Q", off << 16 | (width.bit_length() - 1) << 14 | len(data)) + data


class Stream:
    """A data connection, importer's end."""

    def __init__(self, address, node=2, grant=None, sock=None):
        self.sock, self.rest = sock or connect(address), b""
        if grant is not None:
            self.sock.sendall(hello(node, grant))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()

    def send(self, kind, key, off=0, size=0, data=b"", width=0, flags=0):
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.sock.sendall(REQUEST.pack(kind, width, flags, size, off, key) + data)

    def _exactly(self, n, seconds=5):
        self.sock.settimeout(seconds)
        while len(self.rest) < n:
            try:
                more = self.sock.recv(n - len(self.rest))
            except ConnectionError:
                more = b""
            if not more:
                raise wire.Closed
            self.rest += more
        data, self.rest = self.rest[:n], self.rest[n:]
        return data

    def reply(self, seconds=5):
        """Type, status, number, bytes (of DATA) or size."""
        kind, _, status, size, number = REPLY.unpack(self._exactly(REPLY.size, seconds))
        return kind, status, number, self._exactly(size, seconds) if kind == DATA else size

    def status(self, *args, **kwargs):
        """Says a request; the status of the operation."""
        self.send(*args, **kwargs)
        kind, status, _, value = self.reply()
        if kind == DATA:
            self.data = value
            kind, status, _, value = self.reply() if args[0] == GET else (DONE, 0, 0, 0)
        return status

    def put(self, key, off, data):
        return self.status(PUT, key, off, len(data), data)

    def get(self, key, off, size):
        """Status and bytes."""
        status = self.status(GET, key, off, size)
        return status, b"" if status else self.data

    def is_cut_off(self, seconds=3):
        return is_closed(self.sock, seconds)

    def close(self):
        self.sock.close()


class HomeStream:
    """A data connection, home's end, just taken from a listener: it has said its grant."""

    def __init__(self, listener):
        (self.sock, _), self.rest = listener.accept(), b""
        said = self._exactly(32)
        self.node, self.grant = int.from_bytes(said[8:12], "little"), said[16:]

    _exactly = Stream._exactly

    def request(self):
        """Type, flags, size, offset, key; what follows is thrown away."""
        kind, _, flags, size, off, key = REQUEST.unpack(self._exactly(REQUEST.size))
        self._exactly({PUT: size, BATCH: size, ADD: 16, SWAP: 16}.get(kind, 0))
        return kind, flags, size, off, key

    def answer(self, kind, number, status=0, size=0, data=b""):
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.sock.sendall(REPLY.pack(kind, 0, status, size, number) + data)

    def close(self):
        self.sock.close()
