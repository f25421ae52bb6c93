"""Peers of the lab: processes of the real binary in namespaces, what they say, and what they cost.

A peer is `shoal seed` with a store of its own, told of the addresses that it is given; verbs run in its
namespace and attach to it. It ends with the network that it stands in (`lab_net.Network.close`), which
knows every process in its namespaces. CPU and memory are read from /proc: the peer's own, children have
none.
"""

import json
import os
import subprocess
import threading
import time
from pathlib import Path

from lab_net import READY_SECONDS_MAX, Failed, address

PORT = 4001
VERB_SECONDS_MAX = 240
TICKS = os.sysconf("SC_CLK_TCK")
# A limit of one byte a second lets the first leaf out and no other: a peer that takes, says what it
# has, and gives nothing.
RIDER = ("--bwlimit", "1:off")


def environment():
    clean = {key: value for key, value in os.environ.items() if not key.startswith("SHOAL_")}
    clean["SHOAL_NETWORK"] = "isolated"
    return clean


def tail(path, size=2000):
    try:
        return Path(path).read_text(errors="replace")[-size:]
    except OSError:
        return ""


def last_object(text):
    lines = [line for line in text.splitlines() if line.strip()]
    try:
        return json.loads(lines[-1])
    except (IndexError, ValueError) as error:
        raise Failed(f"no outcome in what was written: {text[-500:]!r}") from error


def cpu_of(pid):
    """Seconds of CPU that a process used so far; 0 when it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except (OSError, IndexError):
        return 0.0
    return (int(fields[11]) + int(fields[12])) / TICKS


def memory_of(pid, what="VmHWM"):
    """Bytes by a line of /proc/PID/status: the peak of what was resident, or `RssAnon`, `VmRSS`."""
    try:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith(what + ":"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 0


class Verb(threading.Thread):
    """A verb that runs; `finish` waits for it."""

    def __init__(self, command, log, seconds_max):
        super().__init__(daemon=True)
        self.log, self.seconds_max, self.code, self.output = log, seconds_max, None, ""
        self.began = time.monotonic()
        with open(log, "wb") as errors:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=errors,
                                            stdout=subprocess.PIPE, text=True, env=environment())
        self.ended, self.peak, self.cpu = None, 0, 0.0
        self.start()

    def run(self):
        alarm = threading.Timer(self.seconds_max, self.process.kill)
        alarm.start()
        self.output = self.process.stdout.read()
        _, status, usage = os.wait4(self.process.pid, 0)
        self.ended = time.monotonic()
        alarm.cancel()
        self.process.stdout.close()
        self.cpu = usage.ru_utime + usage.ru_stime
        self.peak = usage.ru_maxrss * 1024
        self.process.returncode = os.waitstatus_to_exitcode(status)
        self.code = self.process.returncode

    @property
    def seconds(self):
        return self.ended - self.began

    def finish(self):
        self.join(self.seconds_max + READY_SECONDS_MAX)
        if self.code != 0:
            shown = " ".join(map(str, self.process.args))
            raise Failed(f"{shown}\nended with {self.code}:\n{tail(self.log)}")
        return self

    def outcome(self):
        return last_object(self.finish().output)


class Peer:
    """One peer, started or not."""

    def __init__(self, network, number, work, shoal, options=(), told=(), loopback=False):
        """`loopback`: one of many in the first namespace, at any port of 127.0.0.1."""
        self.network, self.number, self.shoal = network, number, shoal
        self.home = 0 if loopback else number
        self.listen = "/ip4/127.0.0.1/tcp/0" if loopback else f"/ip4/{address(number)}/tcp/{PORT}"
        self.options, self.told = tuple(options), tuple(told)
        self.work = work / f"peer-{number}"
        self.work.mkdir(parents=True, exist_ok=True)
        self.store, self.process, self.address = self.work / "store", None, None
        self.verbs, self.spent, self.peak_before = 0, 0.0, 0

    def command(self, *arguments):
        told = [part for peer in self.told for part in ("--bootstrap", peer)]
        return self.network.command(self.home, [self.shoal, "--dir", self.store, "-q", "--listen",
                                                self.listen, *told, *self.options, *arguments])

    def start(self):
        """Starts it and waits until it is ready."""
        self.address = None
        with open(self.work / "seed.stderr", "ab") as errors:
            self.process = subprocess.Popen(self.command("seed"), stdin=subprocess.DEVNULL,
                                            stdout=subprocess.PIPE, stderr=errors, text=True,
                                            env=environment())
        alarm = threading.Timer(READY_SECONDS_MAX, self.process.kill)
        alarm.start()
        for line in self.process.stdout:
            words = line.split()
            if len(words) >= 2 and words[0] == "ready":
                self.address = words[1]
                break
        alarm.cancel()
        if self.address is None:
            raise Failed(f"peer {self.number} did not get ready:\n{tail(self.work / 'seed.stderr')}")
        threading.Thread(target=self.process.stdout.read, daemon=True).start()
        return self

    def kill(self):
        """SIGKILL, and waits: nothing of it is flushed."""
        self.spent += cpu_of(self.process.pid)
        self.process.kill()
        self.process.wait()

    def verb(self, *arguments, seconds_max=VERB_SECONDS_MAX):
        """Starts a verb with `--json`, on this peer if it runs and else by itself."""
        self.verbs += 1
        log = self.work / f"verb-{self.verbs}.stderr"
        return Verb(self.command("--json", *arguments), log, seconds_max)

    def run(self, *arguments):
        """Runs a verb to its end; its outcome."""
        return self.verb(*arguments).outcome()

    def add(self, path):
        """Adds one path; its CID."""
        for line in self.verb("add", path).finish().output.splitlines():
            added = json.loads(line)
            if added.get("type") == "added":
                return added["cid"]
        raise Failed(f"`add` did not say what {path} became")

    def status(self):
        return self.run("status")

    def announced(self, roots=1, seconds_max=60):
        """Waits until so many roots are announced and none waits."""
        until = time.monotonic() + seconds_max
        while time.monotonic() < until:
            status = self.status()
            if status["announced"] >= roots and status["announce_queue"] == 0:
                return
            time.sleep(0.1)
        raise Failed(f"peer {self.number} has not announced {roots} root(s): {self.status()}")

    def cpu(self):
        return self.spent + cpu_of(self.process.pid)

    def peak(self):
        return memory_of(self.process.pid)

    def counters(self):
        return self.network.counters(self.home)
