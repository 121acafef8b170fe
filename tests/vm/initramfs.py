# SPDX-License-Identifier: Apache-2.0
"""The file system a test machine starts with: busybox, our init, our programs, what a test brings along, and modules.

Built in memory, as nobody in particular, in the plain form of the kernel's documentation (cpio, "newc"). Programs go to /bin and
their shared libraries to /lib, where the loader looks last, so that paths into the build tree do no harm.
"""
import lzma
import os
import pathlib
import re
import shutil
import stat
import subprocess

HERE = pathlib.Path(__file__).resolve().parent
BUSYBOX = "/bin/busybox"
LIBGCC = "/lib/x86_64-linux-gnu/libgcc_s.so.1"  # libc loads it when a thread is cancelled
TEXTS = {
    "/etc/passwd": "root:x:0:0::/root:/bin/sh\nuser:x:1000:1000::/tmp:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n",
    "/etc/group": "root:x:0:\nuser:x:1000:\nnogroup:x:65534:\n",
    "/etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\nservices: files\nprotocols: files\n",
    "/etc/hosts": "127.0.0.1 localhost\n10.9.9.1 vm1\n10.9.9.2 vm2\n",
}


def build_dir():
    return pathlib.Path(os.environ["CAUSEWAY_BUILD_DIR"])


def locate(name):
    """A file to bring along: absolute, or in the build, or in the tree, or a program of this system."""
    for candidate in (build_dir() / name, HERE.parents[1] / name):
        if candidate.is_file():
            return candidate
    found = shutil.which(name, path=os.environ["PATH"] + ":/usr/sbin:/sbin")
    if not found:
        raise FileNotFoundError(f"{name}: not in the build, not in the tree, not a program of this system")
    return pathlib.Path(found)


def libraries(path):
    """The shared libraries of a program: its name in the program to the file."""
    if path.read_bytes()[:4] != b"\x7fELF":
        return {}
    listing = subprocess.run(["ldd", path], capture_output=True, text=True).stdout
    if lost := re.findall(r"(\S+) => not found", listing):
        raise FileNotFoundError(f"{path}: its library {lost[0]} is not found; was it built?")
    return {pathlib.Path(m[1]).name: m[2] for m in re.finditer(r"^\s*(\S+) => (/\S+)", listing, re.M)}


class Archive:
    def __init__(self):
        self.parts, self.known = [], set()

    def add(self, name, mode, data=b""):
        """Adds a file once, and the folders above it."""
        name = name.strip("/")
        if name in self.known:
            return
        if "/" in name:
            self.folder(name.rpartition("/")[0])
        self.known.add(name)
        self._entry(name, mode, data)

    def folder(self, name):
        self.add(name, stat.S_IFDIR | 0o755)

    def file(self, name, source):
        self.add(name, stat.S_IFREG | 0o755, pathlib.Path(source).read_bytes())

    def text(self, name, text):
        self.add(name, stat.S_IFREG | 0o644, text.encode())

    def program(self, source, name=None):
        source = locate(source)
        self.file(name or f"/bin/{source.name}", source)
        for library, file in libraries(source).items():
            self.file(f"/lib/{library}", file)

    def module(self, path):
        data = path.read_bytes()
        name = path.name.removesuffix(".xz")
        self.add(f"/modules/{name}", stat.S_IFREG | 0o644, lzma.decompress(data) if path.suffix == ".xz" else data)
        return name

    def _entry(self, name, mode, data):
        path = name.encode() + b"\0"
        fields = (0, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(path), 0)
        head = b"070701" + b"".join(b"%08x" % field for field in fields) + path
        self.parts += [head, b"\0" * (-len(head) % 4), data, b"\0" * (-len(data) % 4)]

    def write(self, path):
        self._entry("TRAILER!!!", 0, b"")
        with open(path, "wb") as file:
            file.writelines(self.parts)


def build(path, kernel, modules, files):
    """Writes the initramfs. `files` are names for locate(), or pairs (name, where it goes)."""
    archive = Archive()
    for folder in ("/proc", "/sys", "/dev", "/tmp", "/run", "/root", "/lib64"):
        archive.folder(folder)
    archive.file("/init", HERE / "init")
    archive.program(BUSYBOX)
    archive.file("/lib64/ld-linux-x86-64.so.2", "/lib64/ld-linux-x86-64.so.2")
    archive.file("/lib/libgcc_s.so.1", LIBGCC)
    for program in ("src/daemon/causewayd", "src/cli/causeway"):
        archive.program(program)
    for file in files:
        archive.program(*((file,) if isinstance(file, str) else file))
    for name, text in TEXTS.items():
        archive.text(name, text)
    archive.text("/modules/order", "".join(f"{archive.module(f)}\n" for f in kernel.module_files(modules)))
    archive.write(path)
