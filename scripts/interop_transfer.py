"""Bytes between kubo and Shoal by Bitswap: the part `transfer` of scripts/interop-kubo.

A file and a tree of many small files, in both directions, over one connection on 127.0.0.1. kubo runs as
a daemon of its own that knows nobody: no routing, no bootstrap, no mDNS. Each row fetches into an empty
store, compares every byte, and prints the time. What is started here is ended here, whatever happens.
Run by scripts/interop-kubo, whose tools come in as `tools`.
"""

import os
import random
import shutil
import signal
import subprocess
import threading
import time

MIB = 1 << 20
START_SECONDS_MAX = 60
FETCH_SECONDS_MAX = 900
FILE_BYTES_MAX = 20_000

SETTINGS = (("Routing.Type", '"none"'), ("Swarm.RelayClient.Enabled", "false"),
            ("Swarm.EnableHolePunching", "false"), ("Swarm.RelayService.Enabled", "false"),
            ("AutoNAT", '{"ServiceMode":"disabled"}'), ("HTTPRetrieval.Enabled", "false"),
            ("Version.SwarmCheckEnabled", "false"))


class Started:
    """A process of ours whose stdout is read line by line; ended when the block is left."""

    def __init__(self, command, environment):
        self.process = subprocess.Popen(
            [os.fsencode(part) for part in command], stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment,
            start_new_session=True)
        self.timer = threading.Timer(START_SECONDS_MAX, self.process.kill)

    def line(self, tools, part):
        """Waits for a line that holds `part`; who says nothing in time is killed, which ends the wait."""
        self.timer.start()
        for line in self.process.stdout:
            if part in line.decode(errors="replace"):
                self.timer.cancel()
                threading.Thread(target=self.process.stdout.read, daemon=True).start()
                return line.decode().strip()
        raise tools.Failed(f"{self.process.args[0]} does not start")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.timer.cancel()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


def run(tools, command, environment):
    """Runs a program to its end within the bound; its stdout and seconds."""
    begin = time.monotonic()
    done = subprocess.run([os.fsencode(part) for part in command], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment,
                          timeout=FETCH_SECONDS_MAX, check=False)
    seconds = time.monotonic() - begin
    if done.returncode != 0:
        text = done.stderr.decode(errors="replace")[-2000:]
        raise tools.Failed(f"{command} ended with {done.returncode}:\n{text}")
    return done.stdout.decode(), seconds


class Kubo:
    """A daemon with a repository of its own."""

    def __init__(self, tools, binary, path):
        self.tools, self.binary = tools, binary
        clean = {key: value for key, value in os.environ.items() if not key.startswith("IPFS_")}
        self.environment = dict(clean, IPFS_PATH=str(path), IPFS_TELEMETRY="off")
        self.run("init", "--profile=test,unixfs-v1-2025")
        for name, value in SETTINGS:
            self.run("config", "--json", name, value)

    def run(self, *arguments):
        return run(self.tools, (self.binary, *arguments), self.environment)

    def daemon(self):
        return Started((self.binary, "daemon", "--migrate=false"), self.environment)

    def address(self):
        plain = [line for line in self.run("id", "--format=<addrs>")[0].splitlines()
                 if "/127.0.0.1/tcp/" in line and "/ws" not in line]
        return plain[0]


class Shoal:
    """A store of its own in the isolated network."""

    def __init__(self, tools, binary, path):
        self.tools, self.command = tools, (binary, "--dir", path, "-q")
        clean = {key: value for key, value in os.environ.items() if not key.startswith("SHOAL_")}
        self.environment = dict(clean, SHOAL_NETWORK="isolated")

    def run(self, *arguments):
        return run(self.tools, (*self.command, *arguments), self.environment)

    def seed(self):
        return Started((*self.command, "seed"), self.environment)


def make_file(path, chance, size):
    with open(path, "wb") as file:
        while size > 0:
            size -= file.write(chance.randbytes(min(size, MIB)))


def make_tree(path, chance, count):
    """Files of up to some kilobytes, a hundred in a directory."""
    for number in range(count):
        folder = path / f"d{number // 100:04}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"f{number:06}").write_bytes(chance.randbytes(chance.randrange(FILE_BYTES_MAX)))


def row(tools, what, direction, size, seconds, source, out):
    if not tools.same_tree(source, out):
        raise tools.Failed(f"{what} {direction}: the bytes differ")
    print(f"{what:24} {direction:16} {seconds:8.2f} s {size / MIB / seconds:8.1f} MiB/s  equal", flush=True)
    shutil.rmtree(out) if out.is_dir() else out.unlink()


def both_ways(tools, options, work, what, source, size):
    """One content from kubo to Shoal and from Shoal to kubo, into fresh stores."""
    ours, theirs, out = work / "ours", work / "theirs", work / "out"
    kubo = Kubo(tools, options.kubo.resolve(), theirs)
    with kubo.daemon() as daemon:
        daemon.line(tools, "Daemon is ready")
        cid = kubo.run("add", "-Q", "-r", "-H", source)[0].strip()
        shoal = Shoal(tools, options.shoal.resolve(), ours)
        got = shoal.run("--bootstrap", kubo.address(), "get", cid, "-o", out)
        row(tools, what, "kubo to Shoal", size, got[1], source, out)
    shutil.rmtree(ours)
    shutil.rmtree(theirs)
    shoal, kubo = Shoal(tools, options.shoal.resolve(), ours), Kubo(tools, options.kubo.resolve(), theirs)
    cid = shoal.run("add", source)[0].split()[0]
    with shoal.seed() as seed, kubo.daemon() as daemon:
        address = seed.line(tools, "ready ").split()[1]
        daemon.line(tools, "Daemon is ready")
        kubo.run("swarm", "connect", address)
        got = kubo.run("get", cid, "-o", out)
        row(tools, what, "Shoal to kubo", size, got[1], source, out)
    shutil.rmtree(ours)
    shutil.rmtree(theirs)


def transfer(tools, options, work):
    """All rows; ends by an exception at the first that is not equal."""
    chance = random.Random(f"{options.seed}/transfer")
    source = work / "file"
    make_file(source, chance, options.mib * MIB)
    both_ways(tools, options, work, f"a file of {options.mib} MiB", source, options.mib * MIB)
    source.unlink()
    source = work / "tree"
    make_tree(source, chance, options.files)
    size = sum(path.stat().st_size for path in source.rglob("*") if path.is_file())
    both_ways(tools, options, work, f"a tree of {options.files} files", source, size)
    shutil.rmtree(source)
