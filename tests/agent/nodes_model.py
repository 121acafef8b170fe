# SPDX-License-Identifier: Apache-2.0
"""A model of segments, imports and signals over several nodes: random calls, of which it knows what each must say and every byte.

Where nodes are lost, a call may also say so. Then each byte it was to write is the old or the new one, until that importer has
connected anew and written or read it: nothing of the lost session moves any more after that. Each importer writes a part of its
own of each segment, so that no other one's writes are mixed up with these.
"""
import random
import threading
import time

from nodes import BARRIER_FAILURE, UNREACHABLE
from world import ABORTED, SLOW, TIMEOUT, fill

LIVES = 3  # kills in a row: a daemon that dies five times within a second of its start ends its node


class Segment:
    def __init__(self, size, seed):
        self.bytes, self.other, self.id, self.signals = bytearray(fill(size, seed)), {}, None, 0

    def write(self, offset, data):
        self.bytes[offset:offset + len(data)] = data
        for at in range(offset, offset + len(data)):
            self.other.pop(at, None)

    def may_write(self, offset, data):
        for at, byte in enumerate(data, offset):
            if byte != self.bytes[at]:
                self.other.setdefault(at, set()).add(byte)

    def wrong(self, offset, data):
        """Where data is neither what must be there nor what may be."""
        if data == self.bytes[offset:offset + len(data)]:
            return []
        return [at for at, byte in enumerate(data, offset) if byte != self.bytes[at] and byte not in self.other.get(at, ())]

    def learn(self, offset, data):
        self.write(offset, data)


class Import:
    def __init__(self, key, segment):
        self.key, self.segment, self.alive, self.signals = key, segment, True, 0


class Model:
    SIZE = 12288

    def __init__(self, nodes, seed, exporters=(1, 2), importers=(1, 2, 3), lossy=False):
        self.nodes, self.rng, self.lossy = nodes, random.Random(seed), lossy
        self.exporters, self.importers = [nodes.agent(n) for n in exporters], [nodes.agent(n) for n in importers]
        self.part = self.SIZE // len(importers)
        self.segments, self.imports = {}, {}  # (exporter, number) → Segment; (importer, number) → Import
        self.trace, self.slowest, self.slow, self.losses, self.calls = [], 0.0, None, 0, 0
        for e in self.exporters:
            for n in range(3):
                e.good("alloc", n, self.SIZE)
        self.verbs = [self.create, self.publish, self.unpublish, self.destroy, self.disconnect, self.compare, *[self.connect] * 3,
                      *[self.put] * 4, *[self.get] * 3, *[self.span] * 2, *[self.post] * (not lossy), *[self.wait] * (not lossy)]

    def call(self, agent, codes, verb, *args):
        began = time.monotonic()
        code, values = agent.ask(verb, *args, seconds=30)
        took = time.monotonic() - began
        self.calls += 1
        self.trace.append((agent.node, verb, [len(a) if isinstance(a, bytes) else a for a in args], code, round(took, 3)))
        if took > self.slowest:
            self.slowest, self.slow = took, self.trace[-1]
        assert code in codes, f"expected one of {codes}; last calls: {self.trace[-12:]}"
        return code, values

    def step(self):
        self.rng.choice(self.verbs)()

    # choices

    def any_segment(self, published=None):
        keys = [k for k, s in self.segments.items() if published is None or bool(s.id) == published]
        return self.rng.choice(keys) if keys else None

    def any_import(self):
        return self.rng.choice(list(self.imports)) if self.imports else None

    def any_range(self, who):
        """Within the part of an importer."""
        begin = self.rng.randrange(self.part - 1)
        return who * self.part + begin, self.rng.randrange(1, min(300, self.part - begin) + 1)

    # exporters

    def create(self):
        key = self.rng.randrange(len(self.exporters)), self.rng.randrange(3)
        if key not in self.segments:
            seed = self.rng.randrange(1 << 30)
            self.call(self.exporters[key[0]], [0], "fill", key[1], seed)
            self.call(self.exporters[key[0]], [0], "create", key[1], key[1])
            self.segments[key] = Segment(self.SIZE, seed)

    def publish(self):
        key = self.any_segment(published=False)
        if key:
            self.segments[key].id = int(self.call(self.exporters[key[0]], [0], "publish", key[1], 0)[1][0])

    def _cut_off(self, key):
        for i in self.imports.values():
            if i.key == key:
                i.alive = False

    def unpublish(self):
        key = self.any_segment(published=True)
        if key and self.rng.random() < 0.4:
            self.call(self.exporters[key[0]], [0], "unpublish", key[1])
            self.segments[key].id = None
            self._cut_off(key)

    def destroy(self):
        key = self.any_segment()
        if key and self.rng.random() < 0.3:
            self.call(self.exporters[key[0]], [0], "destroy", key[1])
            self._cut_off(key)
            self.check(key)
            del self.segments[key]

    def check(self, key):
        segment, content = self.segments[key], self.exporters[key[0]].load(key[1], 0, self.SIZE)
        wrong = segment.wrong(0, content)
        assert not wrong, f"{len(wrong)} wrong bytes from {wrong[0]}; last calls: {self.trace[-20:]}"

    def compare(self):
        key = self.any_segment()
        if key:
            self.check(key)

    # importers

    def connect(self):
        key, place = self.any_segment(published=True), (self.rng.randrange(len(self.importers)), self.rng.randrange(4))
        if key and place not in self.imports:
            code, _ = self.call(self.importers[place[0]], [0, UNREACHABLE] if self.lossy else [0], "connect", place[1],
                                self.segments[key].id, 0o600, self.exporters[key[0]].node)
            if not code:
                self.imports[place] = Import(key, self.segments[key])

    def disconnect(self):
        place = self.any_import()
        if place and (not self.imports[place].alive or self.rng.random() < 0.2):
            self.call(self.importers[place[0]], [0], "disconnect", place[1])
            del self.imports[place]

    def _data(self, place, codes, verb, *args):
        """A call on an import → code, values; 0 only if the import lives."""
        i = self.imports[place]
        code, values = self.call(self.importers[place[0]], [ABORTED] if not i.alive else [0, *codes] if self.lossy else [0],
                                 verb, place[1], *args)
        if code and i.alive:
            i.alive, self.losses = False, self.losses + 1
        return code, values

    def put(self):
        place = self.any_import()
        if place:
            i, (offset, n) = self.imports[place], self.any_range(place[0])
            data, alive = self.rng.randbytes(n), i.alive
            code, _ = self._data(place, [ABORTED], "put", offset, data)
            if code == 0:
                i.segment.write(offset, data)
            elif alive:
                i.segment.may_write(offset, data)

    def get(self):
        place = self.any_import()
        if place:
            i, (offset, n) = self.imports[place], self.any_range(place[0])
            code, values = self._data(place, [ABORTED], "get", offset, n)
            if code == 0:
                data = bytes.fromhex("".join(values))
                assert not i.segment.wrong(offset, data), self.trace[-20:]
                i.segment.learn(offset, data)

    def span(self):
        """Puts in explicit mode: what close says holds for all of them, in their order."""
        place = self.any_import()
        if not place or not self.imports[place].alive:
            return
        i, agent, puts = self.imports[place], self.importers[place[0]], []
        self.call(agent, [0], "mode", place[1], 0)
        code, _ = self._data(place, [ABORTED], "open")
        for _ in range(self.rng.randrange(1, 12) if not code else 0):
            offset, n = self.any_range(place[0])
            puts.append((offset, self.rng.randbytes(n)))
            code = code or self.call(agent, [0, ABORTED, BARRIER_FAILURE] if self.lossy else [0], "put", place[1], *puts[-1])[0]
        if puts:
            closed, _ = self.call(agent, [0, ABORTED, BARRIER_FAILURE], "close", place[1])
            code = code or closed
        for offset, data in puts:
            i.segment.may_write(offset, data) if code else i.segment.write(offset, data)
        if code:
            assert self.lossy or code == BARRIER_FAILURE, self.trace[-20:]
            i.alive, self.losses = code == BARRIER_FAILURE and not self.lossy, self.losses + 1
        if i.alive:
            self.call(agent, [0], "mode", place[1], 1)
        else:
            self.call(agent, [0], "disconnect", place[1])
            del self.imports[place]

    # signals

    def post(self):
        place = self.any_import()
        if place and self.imports[place].alive and self.rng.random() < 0.7:
            self.call(self.importers[place[0]], [0], "post", f"i{place[1]}")
            self.imports[place].segment.signals += 1
            return
        key = self.any_segment(published=True)
        if key:
            self.call(self.exporters[key[0]], [0], "post", f"e{key[1]}")
            for i in self.imports.values():
                i.signals += i.key == key and i.alive

    def _take(self, agent, handle, owner):
        self.call(agent, [0 if owner.signals else TIMEOUT], "wait", handle, 5000 if owner.signals else 0)
        owner.signals -= owner.signals > 0

    def wait(self):
        place, key = self.any_import(), self.any_segment()
        if place and self.imports[place].alive:
            self._take(self.importers[place[0]], f"i{place[1]}", self.imports[place])
        if key:
            self._take(self.exporters[key[0]], f"e{key[1]}", self.segments[key])

    # the end

    def finish(self):
        """With all nodes well: every signal is there, once; every importer reads its part; every byte is known and right."""
        for place, i in list(self.imports.items()):
            while not self.lossy and i.alive and i.signals:
                self._take(self.importers[place[0]], f"i{place[1]}", i)
            self.call(self.importers[place[0]], [0], "disconnect", place[1])
        self.imports.clear()
        for key, segment in self.segments.items():
            while not self.lossy and segment.signals:
                self._take(self.exporters[key[0]], f"e{key[1]}", segment)
            if not segment.id:
                segment.id = int(self.call(self.exporters[key[0]], [0], "publish", key[1], 0)[1][0])
            for who, importer in enumerate(self.importers):
                self._reconnect(importer, segment, self.exporters[key[0]].node)
                data = importer.get(15, who * self.part, self.part)[1]
                assert not segment.wrong(who * self.part, data)
                segment.learn(who * self.part, data)
                self.call(importer, [0], "disconnect", 15)
            assert not segment.other
            self.check(key)
            self.call(self.exporters[key[0]], [0], "destroy", key[1])

    def _reconnect(self, importer, segment, home):
        end = time.monotonic() + 10 * SLOW
        while self.call(importer, [0, UNREACHABLE] if self.lossy else [0], "connect", 15, segment.id, 0o600, home)[0]:
            assert time.monotonic() < end, "no connection although all is well"
            time.sleep(0.05)


class Trouble(threading.Thread):
    """Does one of these things to the nodes after the other, with pauses, until it is stopped."""

    def __init__(self, things, seed, pause=0.3):
        super().__init__()
        self.things, self.rng, self.pause, self.done, self.failure, self._end = things, random.Random(seed), pause, [], None, threading.Event()
        self.start()

    def run(self):
        try:
            while not self._end.wait(1.05 if len(self.done) % LIVES == LIVES - 1 else self.rng.random() * self.pause):
                thing = self.rng.choice(list(self.things))
                self.things[thing]()
                self.done.append(thing)
        except BaseException as e:  # shown by stop()
            self.failure = e

    def stop(self):
        self._end.set()
        self.join()
        if self.failure:
            raise self.failure


def run(model, things, seed, seconds):
    """The model works, and things happen; then all is well again, and it checks all."""
    trouble = Trouble(things, seed)
    end = time.monotonic() + seconds
    try:
        while time.monotonic() < end:
            model.step()
    finally:
        trouble.stop()
    model.finish()
    print(f"{model.calls} calls, slowest {model.slow}, {model.losses} losses; {trouble.done}")
    return trouble


def killers(nodes):
    """What no program may notice."""
    def daemon(*victims):
        for node, old in [(v, nodes.kill_daemon(v)) for v in victims]:
            nodes.wait_restart(node, old)
    return {**{f"daemon {n}": lambda n=n: daemon(n) for n in (1, 2, 3)}, "daemons 1 and 2": lambda: daemon(1, 2),
            **{f"keeper {n}": lambda n=n: nodes.kill_keeper(n) for n in (1, 2)}}


def losses(nodes):
    """What loses nodes, and what almost does. With netns."""
    def during(way, node, share):
        with way(node):
            time.sleep(share * nodes.detection)
    return {f"{way.__name__} {node} {share}": lambda way=way, node=node, share=share: during(way, node, share)
            for way in (nodes.cut, nodes.without_daemon, nodes.stopped, nodes.deaf) for node in (1, 2, 3) for share in (0.4, 1.5)}
