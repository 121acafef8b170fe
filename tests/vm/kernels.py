# SPDX-License-Identifier: Apache-2.0
"""Debian's kernels for the test machines, in a cache that can be deleted at any time.

`fetch` asks apt for the package behind Debian's metapackage, by its exact name, and unpacks it; only what a machine needs
is kept. CACHE/6.1 is a link to the newest one that was fetched. Tests never download: they take what is there (`find`).
Runs in parallel share the cache: a lock stands before a fetch, and a kernel appears under its name when it is complete.
"""
import fcntl
import lzma
import os
import pathlib
import re
import shutil
import struct
import subprocess
import tempfile

SERIES = ("6.1", "6.12")
REMEDY = "tests/vm/fetch-kernels gets it, and needs the network and a fresh `apt-get update`"


class Missing(Exception):
    """What a machine needs is not here, and why."""


def cache():
    home = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    return pathlib.Path(os.environ.get("CAUSEWAY_CACHE") or pathlib.Path(home) / "causeway") / "vm"


class Kernel:
    """One unpacked package: its image, and its modules with their order."""

    def __init__(self, root):
        plain = root / "boot" / "vmlinux"
        self.image = plain if plain.exists() else next((root / "boot").glob("vmlinuz-*"))
        self.modules = next((root / "lib" / "modules").iterdir())

    def module_files(self, names):
        """The files of these modules and of what they need, in the order of loading."""
        needs, by_name = {}, {}
        for line in (self.modules / "modules.dep").read_text().splitlines():
            file, _, others = line.partition(":")
            needs[file] = others.split()
            by_name[pathlib.Path(file).name.split(".")[0].replace("-", "_")] = file
        built_in = (self.modules / "modules.builtin").read_text()
        files = {}  # a dict keeps the order
        for name in names:
            if re.search(rf"/{name.replace('_', '[-_]')}\.ko$", built_in, re.M):
                continue
            file = by_name[name.replace("-", "_")]
            files.update(dict.fromkeys([*reversed(needs[file]), file]))
        return [self.modules / file for file in files]


def find(series):
    link = cache() / series
    if not link.exists():
        raise Missing(f"no Debian kernel {series} in {cache()}: {REMEDY}")
    return Kernel(link.resolve())


def package_name(series):
    """The package with the image that Debian's metapackages now stand for."""
    for meta in (f"linux-image-{series}-amd64", "linux-image-amd64"):
        listing = subprocess.run(["apt-cache", "depends", meta], capture_output=True, text=True)
        for name in re.findall(r"Depends: (\S+)", listing.stdout):
            if name.startswith((f"linux-image-{series}.", f"linux-image-{series}+")):
                return name
    raise Missing(f"the package sources of this system offer no kernel {series}; Debian 12 does, after `apt-get update`")


def decompress(image, plain):
    """Unpacks a kernel that would unpack itself from xz: translated code takes seconds for that at every boot. Offsets are those of
    the kernel's boot protocol; the last four bytes of what is packed are its length."""
    data = image.read_bytes()
    offset, length = struct.unpack_from("<II", data, 0x248)
    begin = (data[0x1f1] + 1) * 512 + offset
    packed = data[begin:begin + length - 4]
    if packed.startswith(b"\xfd7zXZ\0"):
        plain.write_bytes(lzma.decompress(packed))


def unpack(package, parent):
    """Downloads and unpacks below parent, and gives the folder."""
    root = pathlib.Path(tempfile.mkdtemp(dir=parent, prefix="new-"))
    try:
        subprocess.run(["apt-get", "download", "-qq", package], cwd=root, check=True, capture_output=True, text=True)
        archive = next(root.glob("*.deb"))
        subprocess.run(["dpkg", "-x", archive, root], check=True, capture_output=True, text=True)
        archive.unlink()
        shutil.rmtree(root / "usr", ignore_errors=True)
        decompress(next((root / "boot").glob("vmlinuz-*")), root / "boot" / "vmlinux")
        version = next((root / "lib" / "modules").iterdir()).name
        subprocess.run(["/sbin/depmod", "-b", root, version], check=True, capture_output=True, text=True)
    except subprocess.CalledProcessError as error:
        shutil.rmtree(root)
        raise Missing(f"{package}: {error.cmd[0]} failed: {error.stderr.strip()}; is there a network?") from error
    return root


def fetch(series):
    """Makes CACHE/series the newest package, and says which it is."""
    folder = cache()
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        package, link = package_name(series), folder / series
        if not (folder / package).exists():
            unpack(package, folder).rename(folder / package)
        old = link.resolve() if link.is_symlink() else None
        if old != (folder / package).resolve():
            fresh = folder / f"{series}.new"
            fresh.unlink(missing_ok=True)
            fresh.symlink_to(package)
            fresh.rename(link)
            if old and old.exists():
                shutil.rmtree(old)
        return package
