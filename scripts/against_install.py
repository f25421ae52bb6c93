"""Gets the others for `scripts/bench-against` into a cache directory outside of the repository.

libtorrent comes from PyPI into an environment of its own, aria2 from Debian unpacked beside it (nothing is
installed into the system), sendme and rqbit from crates.io by `cargo install`, kubo as
`scripts/interop-kubo` builds it. Versions are fixed here; what is there already is not fetched again.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

LIBTORRENT = "2.1.1"
SENDME = "0.37.1"
RQBIT = "9.1.0"
INSTALL_SECONDS_MAX = 3600


def cache():
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "shoal-against"


def run(command, **options):
    print(f"  {' '.join(map(str, command))}", file=sys.stderr)
    subprocess.run([str(part) for part in command], check=True, timeout=INSTALL_SECONDS_MAX,
                   stdout=sys.stderr, **options)


def libtorrent():
    """A Python that has libtorrent."""
    python = cache() / "venv" / "bin" / "python"
    test = f"import libtorrent; assert libtorrent.version.startswith('{LIBTORRENT}')"
    there = python.exists() and subprocess.run([python, "-c", test], capture_output=True,
                                               check=False).returncode == 0
    if not there:
        run([sys.executable, "-m", "venv", cache() / "venv"])
        run([python, "-m", "pip", "install", "--quiet", f"libtorrent=={LIBTORRENT}"])
    return python


def aria2():
    """`aria2c`, and the libraries that it came with."""
    if found := shutil.which("aria2c"):
        return Path(found), None
    root = cache() / "aria2"
    binary = root / "usr" / "bin" / "aria2c"
    if not binary.exists():
        debs = cache() / "debs"
        (debs / "partial").mkdir(parents=True, exist_ok=True)
        run(["apt-get", "install", "--yes", "--quiet", "--download-only", "--no-install-recommends",
             "-o", f"Dir::Cache::archives={debs}", "-o", "APT::Sandbox::User=root", "aria2"])
        for package in sorted(debs.glob("*.deb")):
            run(["dpkg", "-x", package, root])
    return binary, next((root / "usr" / "lib").glob("*-linux-gnu*"))


def cargo(name, version, *flags):
    """A program from crates.io, in a directory of its own."""
    root = cache() / name
    binary = root / "bin" / name
    if not binary.exists():
        environment = {**os.environ, "CARGO_TARGET_DIR": str(cache() / "target")}
        run(["nice", "-n", "10", "cargo", "install", "--quiet", "--locked", "--root", root,
             *flags, f"{name}@{version}"], env=environment, cwd="/")
        shutil.rmtree(cache() / "target", ignore_errors=True)
    return binary


def sendme():
    return cargo("sendme", SENDME, "--no-default-features")


def rqbit():
    return cargo("rqbit", RQBIT, "--no-default-features", "--features", "default-tls")


def kubo():
    """As `scripts/interop-kubo` finds or builds it."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    binary = Path(os.environ.get("SHOAL_KUBO") or Path(base) / "shoal-kubo" / "ipfs")
    if not binary.exists():
        import importlib.machinery
        import importlib.util
        path = str(Path(__file__).resolve().parent / "interop-kubo")
        loader = importlib.machinery.SourceFileLoader("interop_kubo", path)
        module = importlib.util.module_from_spec(importlib.util.spec_from_loader(loader.name, loader))
        loader.exec_module(module)
        module.build_kubo(binary)
    return binary
