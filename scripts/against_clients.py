"""The clients that `scripts/bench-against` runs: how each is prepared, seeds and fetches, with its best
settings.

A client stands in namespaces of a lab network. `prepare` makes what is needed to seed `source` (a store, a
torrent) and is not timed; `seed` starts the processes that give, `fetch` runs what takes, from the start
of its process to its end. Every process is followed from outside: CPU by /proc, memory as the peak of
anonymous pages, so that who maps files is not blamed for the page cache.
"""

import os
import re
import shutil
import subprocess
import threading
import time
from pathlib import Path

import against_install as install
from lab_net import READY_SECONDS_MAX, Failed, address
from lab_peer import cpu_of, environment, last_object, memory_of, tail

SCRIPTS = Path(__file__).resolve().parent
FETCH_SECONDS_MAX = 200
SAMPLE_SECONDS = 0.05
PREPARE_SECONDS_MAX = 600


class Process:
    """One process, with the peak of its anonymous memory and its CPU at the end."""

    def __init__(self, command, log, cwd=None, variables=None, stdin=subprocess.DEVNULL):
        self.log, self.peak, self.cpu_before, self.began = log, 0, 0.0, time.monotonic()
        with open(log, "wb") as errors:
            self.popen = subprocess.Popen([str(part) for part in command], stdin=stdin, stderr=errors,
                                          stdout=subprocess.PIPE, text=True, cwd=cwd,
                                          env={**environment(), **(variables or {})})
        self.done = threading.Event()
        threading.Thread(target=self.watch, daemon=True).start()

    def watch(self):
        while not self.done.wait(SAMPLE_SECONDS):
            self.peak = max(self.peak, memory_of(self.popen.pid, "RssAnon"))

    def line(self, pattern, seconds_max=READY_SECONDS_MAX):
        """The first line of its stdout that matches; what comes later is read away."""
        alarm = threading.Timer(seconds_max, self.popen.kill)
        alarm.start()
        try:
            for line in self.popen.stdout:
                if found := re.search(pattern, line):
                    return found
        finally:
            alarm.cancel()
        raise Failed(f"{self.popen.args[:8]} did not say {pattern!r}:\n{tail(self.log)}")

    def read_away(self):
        threading.Thread(target=self.popen.stdout.read, daemon=True).start()
        return self

    def finish(self, seconds_max=FETCH_SECONDS_MAX):
        """Waits for its end: seconds, CPU seconds."""
        alarm = threading.Timer(seconds_max, self.popen.kill)
        alarm.start()
        output = self.popen.stdout.read()
        _, status, usage = os.wait4(self.popen.pid, 0)
        seconds = time.monotonic() - self.began
        alarm.cancel()
        self.done.set()
        self.popen.returncode = os.waitstatus_to_exitcode(status)
        self.popen.stdout.close()
        if self.popen.returncode != 0:
            raise Failed(f"{' '.join(self.popen.args[:12])}\nended with {self.popen.returncode} after "
                         f"{seconds:.1f} s:\n{output[-1000:]}{tail(self.log)}")
        return seconds, usage.ru_utime + usage.ru_stime, output

    def cpu(self):
        return cpu_of(self.popen.pid)

    def stop(self):
        self.done.set()
        if self.popen.poll() is None:
            self.popen.terminate()
            try:
                self.popen.wait(5)
            except subprocess.TimeoutExpired:
                self.popen.kill()
                self.popen.wait()


class Client:
    """What all have: a directory, a network, the processes that seed."""

    name = ""

    def __init__(self, network, work, options):
        self.network, self.options, self.seeds, self.logs = network, options, [], 0
        self.work = work / self.name
        self.work.mkdir()

    def run(self, home, command, **kinds):
        """Starts a process in a namespace."""
        self.logs += 1
        return Process(self.network.command(home, command), self.work / f"{self.logs}.log", **kinds)

    def ran(self, home, command, **kinds):
        """Runs one to its end; its stdout."""
        return self.run(home, command, **kinds).finish(PREPARE_SECONDS_MAX)[2]

    def prepare(self, source):
        raise NotImplementedError

    def seed(self):
        raise NotImplementedError

    def fetch(self, home, out):
        """Starts what fetches into the directory `out`, in the namespace `home`."""
        raise NotImplementedError

    def running(self):
        """Processes that are part of a fetch and run before it, the seed's first."""
        return self.seeds

    def stop(self):
        for process in self.seeds:
            process.stop()
        self.seeds.clear()

    def fetched(self, out):
        """Where what was fetched lies below `out`."""
        return out / self.source.name


class Shoal(Client):
    name = "shoal"

    def shoal(self, store, listen, *arguments):
        return [self.options.shoal, "--dir", store, "-q", "--listen", f"/ip4/{listen}/tcp/0", *arguments]

    def prepare(self, source):
        self.source = source
        output = self.ran(0, self.shoal(self.work / "seed", address(0), "--json", "add", source))
        self.cid = next(line for line in map(last_object, output.splitlines()) if "cid" in line)["cid"]

    def seed(self):
        seed = self.run(0, self.shoal(self.work / "seed", address(0), "seed"))
        self.seeds, self.told = [seed], seed.line(r"^ready (\S+)")[1]
        seed.read_away()

    def fetch(self, home, out):
        store = out / "store"
        return self.run(home, self.shoal(store, address(home), "--bootstrap", self.told, "get", self.cid,
                                         "-o", out / self.source.name))

    def version(self):
        return subprocess.check_output([self.options.shoal, "--version"], text=True).strip()


class Libtorrent(Client):
    name = "libtorrent"
    PORT, SLOTS = 6881, -1  # all unchoked: nothing is to be traded with one seed

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.python = install.libtorrent()

    def peer(self, *arguments):
        return [self.python, SCRIPTS / "against_libtorrent.py", *arguments]

    def prepare(self, source):
        self.source, self.torrent = source, self.work / "torrent"
        self.ran(0, self.peer("make", source, self.torrent))

    def seed(self, slots=None):
        seed = self.run(0, self.peer("seed", self.torrent, self.source.parent, address(0), self.PORT,
                                     slots or self.SLOTS))
        self.seeds = [seed]
        seed.line("^ready", PREPARE_SECONDS_MAX)
        seed.read_away()

    def fetch(self, home, out):
        return self.run(home, self.peer("leech", self.torrent, out, address(home), self.PORT + 1 + home,
                                        self.SLOTS, f"{address(0)}:{self.PORT}"))

    def version(self):
        return f"libtorrent {install.LIBTORRENT}, plaintext"


class Aria2(Client):
    name = "aria2"
    PORT, TRACKER = 6900, 6999
    BOTH = ("--enable-dht=false", "--enable-dht6=false", "--bt-enable-lpd=false", "--disable-ipv6",
            "--enable-peer-exchange=false", "--file-allocation=none", "--bt-max-peers=0",
            "--bt-request-peer-speed-limit=0", "--bt-tracker-interval=2", "--no-conf",
            "--console-log-level=warn", "--summary-interval=0")

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.binary, libraries = install.aria2()
        self.variables = {"LD_LIBRARY_PATH": str(libraries)} if libraries else {}

    def aria2(self, home, port, directory, *flags):
        tracker = f"http://{address(0)}:{self.TRACKER}/announce"
        return [self.binary, *self.BOTH, f"--bt-tracker={tracker}", f"--listen-port={port}",
                f"--interface={address(home)}", f"--dir={directory}", *flags, self.torrent]

    def prepare(self, source):
        self.source, self.torrent = source, self.work / "a.torrent"
        maker = [install.libtorrent(), SCRIPTS / "against_libtorrent.py"]
        self.ran(0, [*maker, "make", source, self.torrent])

    def seed(self):
        tracker = self.run(0, ["python3", SCRIPTS / "against_tracker.py", address(0), self.TRACKER])
        tracker.line("^ready")
        tracker.read_away()
        seed = self.run(0, self.aria2(0, self.PORT, self.source.parent, "--bt-seed-unverified=true",
                                      "--allow-overwrite=true", "--seed-ratio=0.0"),
                        variables=self.variables).read_away()
        self.seeds = [seed, tracker]
        time.sleep(2)  # it says nothing when it has announced itself

    def fetch(self, home, out):
        return self.run(home, self.aria2(home, self.PORT + 1 + home, out, "--seed-time=0"),
                        variables=self.variables)

    def version(self):
        first = subprocess.check_output([self.binary, "--version"], text=True,
                                        env={**os.environ, **self.variables})
        return first.splitlines()[0] + ", plaintext"


class Rqbit(Client):
    name = "rqbit"
    PORT = 6950

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.binary = install.rqbit()

    def rqbit(self, port, *arguments):
        return [self.binary, "--disable-dht", "--disable-lsd", "--disable-trackers",
                "--disable-upnp-port-forward", "--ipv4-only", "--listen-port", port, "download",
                "--disable-http-api", *arguments]

    def prepare(self, source):
        self.source, self.torrent = source, self.work / "a.torrent"
        maker = [install.libtorrent(), SCRIPTS / "against_libtorrent.py"]
        self.ran(0, [*maker, "make", source, self.torrent])

    def variables(self, home):
        directory = self.work / f"home-{home}"
        directory.mkdir(exist_ok=True)
        return {"HOME": str(directory), "XDG_CACHE_HOME": str(directory)}

    def seed(self):
        seed = self.run(0, self.rqbit(self.PORT, "--overwrite", "-o", self.source.parent, self.torrent),
                        variables=self.variables(0))
        self.seeds = [seed.read_away()]
        time.sleep(4)  # it checks the file first and says nothing that could be waited for

    def fetch(self, home, out):
        return self.run(home, self.rqbit(self.PORT + 1 + home, "-e", "-o", out, "--initial-peers",
                                         f"{address(0)}:{self.PORT}", self.torrent),
                        variables=self.variables(home))

    def version(self):
        return subprocess.check_output([self.binary, "--version"], text=True).strip() + ", plaintext"


class Sendme(Client):
    name = "sendme"

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.binary = install.sendme()

    def prepare(self, source):
        self.source = source

    def seed(self):
        seed = self.run(0, [self.binary, "send", "--relay", "disabled", "--ticket-type", "addresses",
                            "--no-progress", "--magic-ipv4-addr", f"{address(0)}:7990", self.source],
                        cwd=self.work)
        self.seeds, self.ticket = [seed], seed.line(r"(blob[a-z0-9]{20,})", PREPARE_SECONDS_MAX)[1]
        seed.read_away()

    def fetch(self, home, out):
        return self.run(home, [self.binary, "receive", "--relay", "disabled", "--no-progress",
                               "--magic-ipv4-addr", f"{address(home)}:{7991 + home}", self.ticket],
                        cwd=out)

    def stop(self):
        super().stop()
        for left in self.work.glob(".sendme-*"):
            shutil.rmtree(left, ignore_errors=True)

    def version(self):
        return subprocess.check_output([self.binary, "--version"], text=True).strip()


class Kubo(Client):
    """Two daemons that know each other; what is timed is `ipfs get` at the second."""

    name = "kubo"

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.binary, self.getters = install.kubo(), {}

    def variables(self, repository):
        return {"IPFS_PATH": str(repository), "IPFS_TELEMETRY": "off", "LIBP2P_FORCE_PNET": "0"}

    def ipfs(self, home, repository, *arguments):
        return self.ran(home, [self.binary, *arguments], variables=self.variables(repository))

    def repository(self, home, path, port):
        """A new repository whose daemon listens at one address and asks nobody."""
        self.ipfs(home, path, "init", "--profile=test,unixfs-v1-2025")
        listen = f'["/ip4/{address(home)}/tcp/{port}"]'
        self.ipfs(home, path, "config", "--json", "Addresses.Swarm", listen)
        self.ipfs(home, path, "config", "Addresses.API", f"/ip4/127.0.0.1/tcp/{port + 1}")
        self.ipfs(home, path, "config", "--json", "Addresses.Gateway", "[]")
        self.ipfs(home, path, "config", "Routing.Type", "none")

    def daemon(self, home, path):
        daemon = self.run(home, [self.binary, "daemon"], variables=self.variables(path))
        daemon.line("Daemon is ready", 60)
        return daemon.read_away()

    def prepare(self, source):
        self.source, self.path = source, self.work / "seed"
        self.repository(0, self.path, 7800)
        self.cid = self.ipfs(0, self.path, "add", "-Q", "-r", "--pin=false", source).split()[-1]

    def seed(self):
        self.seeds = [self.daemon(0, self.path)]
        self.peer = f"/ip4/{address(0)}/tcp/7800/p2p/" + self.ipfs(0, self.path, "id", "-f", "<id>").strip()

    def fetch(self, home, out):
        path = out / "repository"
        self.repository(home, path, 7810 + 10 * home)
        self.seeds.append(self.daemon(home, path))
        self.ipfs(home, path, "swarm", "connect", self.peer)
        self.seeds[-1].cpu_before = self.seeds[-1].cpu()  # it was started, which is not fetching
        return self.run(home, [self.binary, "get", "-o", out / self.source.name, self.cid],
                        variables=self.variables(path))

    def version(self):
        return "kubo " + subprocess.check_output([self.binary, "version", "-n"], text=True).strip()


CLIENTS = {client.name: client for client in (Shoal, Libtorrent, Aria2, Rqbit, Sendme, Kubo)}
