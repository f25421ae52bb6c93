"""What a store acknowledged, and whether it kept it: for `scripts/powerloss` and `scripts/killpoints`.

A `Shoal` runs verbs on one store. A `Workload` draws operations from a seed and notes, outside the store, what
each promised when it ended with 0; `broken` asks the store for all of that and says what is wrong.
No operation is sent a signal here and nothing is cut: that is the scripts' part.
"""

import hashlib
import os
import random
import signal
import subprocess
import time

VERB_SECONDS_MAX = 120
READY_SECONDS_MAX = 60
# Of the new files so many are changed copies of earlier ones.
CHANGED_SHARE = 0.4
SIZES = (300, 5_000, 90_000, 400_000, 1_500_000)


def environment(home):
    clean = {key: value for key, value in os.environ.items() if not key.startswith("SHOAL_")}
    clean.update(SHOAL_NETWORK="isolated", HOME=str(home))
    return clean


def digest(data):
    return hashlib.sha256(data).hexdigest()


class Shoal:
    """One store, and the verbs on it."""

    def __init__(self, binary, store, home, options=()):
        self.binary, self.store, self.home, self.options = str(binary), store, home, list(options)

    def command(self, *words, wrapper=()):
        return [*wrapper, self.binary, "--dir", str(self.store), *self.options, *map(str, words)]

    def run(self, *words, wrapper=()):
        """Runs one verb to its end, in a session of its own so that all of it can be ended."""
        process = subprocess.Popen(self.command(*words, wrapper=wrapper), env=environment(self.home),
                                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                   start_new_session=True)
        try:
            out, err = process.communicate(timeout=VERB_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            out, err = process.communicate()
            err += b"\nended: it took too long"
        return process.returncode, out, err.decode(errors="replace")

    def must(self, *words):
        code, out, err = self.run(*words)
        if code != 0:
            raise RuntimeError(f"{' '.join(map(str, words))}: exit {code}: {err}")
        return out.decode()


class Source:
    """A peer on a healthy disk that files are fetched from."""

    def __init__(self, binary, work, count, rng):
        self.shoal = Shoal(binary, work / "source-store", work)
        self.files = []
        for number in range(count):
            path = work / f"source-{number}"
            data = rng.randbytes(rng.choice(SIZES) + number)
            path.write_bytes(data)
            self.files.append((self.shoal.must("add", path).split()[0], digest(data)))
        self.process = subprocess.Popen(self.shoal.command("seed"), env=environment(work),
                                        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=subprocess.DEVNULL, start_new_session=True)
        deadline = time.monotonic() + READY_SECONDS_MAX
        line = self.process.stdout.readline().decode()
        while not line.startswith("ready "):
            if not line or time.monotonic() > deadline:
                raise RuntimeError("the source peer did not get ready")
            line = self.process.stdout.readline().decode()
        self.address = line.split()[1]

    def stop(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


class Workload:
    """Operations, and what those that ended with 0 promised."""

    KINDS = ("add", "get", "keep", "pin", "unpin", "rm", "gc", "publish")

    def __init__(self, shoal, source, work, out, rng):
        self.shoal, self.source, self.work, self.out, self.rng = shoal, source, work, out, rng
        self.made = 0
        self.log = (work / "acknowledged").open("a", encoding="utf-8")
        self.pins = {}  # CID: digest, or None where a version of it was under way
        self.files = {}  # path: digest
        self.version = (0, "")
        self.acknowledged = 0
        self.open_pins = set()  # an operation on them has no answer
        self.open_versions = []

    def prepare(self):
        """Makes the store and a name of its own."""
        self.shoal.must("name", "new", "published")

    def new_file(self):
        self.made += 1
        path = self.work / f"file-{self.made}"
        data = self.changed() or self.rng.randbytes(self.rng.choice(SIZES) + self.made)
        path.write_bytes(data)
        return path, digest(data)

    def changed(self):
        """An earlier file with some bytes put in, now and then: most of its leaves are known."""
        earlier = self.work / f"file-{self.rng.randrange(1, self.made + 1)}"
        if self.rng.random() >= CHANGED_SHARE or not earlier.exists():
            return None
        data = earlier.read_bytes()
        at = self.rng.randrange(len(data))
        return data[:at] + self.rng.randbytes(self.rng.randrange(1, 5_000)) + data[at:]

    def plan(self, kind):
        """The words of an operation, and what to do when it begins and when it is acknowledged."""
        if kind in ("add", "publish"):
            path, found = self.new_file()
            words = ("add", path) if kind == "add" else ("publish", "published", path)
            return words, self.added if kind == "add" else self.published, found
        if kind in ("get", "keep"):
            cid, found = self.rng.choice(self.source.files)
            self.made += 1
            out = self.out / f"out-{self.made}"
            extra = ("--keep",) if kind == "keep" else ("--sync",)
            words = ("--bootstrap", self.source.address, "get", cid, "-o", out, "--no-seed-on", *extra)
            return words, lambda _, found: self.got(cid, out, found, kind == "keep"), found
        if kind == "pin":
            cid, found = self.rng.choice(self.source.files)
            self.open_pins.add(cid)
            return ("--bootstrap", self.source.address, "pin", "add", cid), \
                lambda _, found: self.pinned(cid, found), found
        if kind == "gc":
            return ("gc",), lambda _, found: None, None
        cid = self.rng.choice(sorted(self.pins) or [self.source.files[0][0]])
        self.open_pins.add(cid)
        words = ("pin", "rm", cid) if kind == "unpin" else ("rm", cid)
        return words, lambda _, found: self.unpinned(cid), None

    def step(self, kind=None, wrapper=()):
        """Does one operation; gives its kind, its exit code and what it said."""
        kind = kind or self.rng.choice(self.KINDS)
        words, promise, found = self.plan(kind)
        code, out, err = self.shoal.run(*words, wrapper=wrapper)
        # A CID that was printed is a promise, whatever ended the process then.
        is_said = kind in ("add", "pin", "unpin", "rm", "publish") and out.endswith(b"\n")
        if code == 0 or is_said:
            promise(out.decode().split(), found)
            self.acknowledged += 1
            self.log.write(f"{kind} {' '.join(map(str, words))}\n")
            self.log.flush()
        return kind, code, err

    def pinned(self, cid, found):
        self.pins[cid] = found
        self.open_pins.discard(cid)

    def unpinned(self, cid):
        self.pins.pop(cid, None)
        self.open_pins.discard(cid)

    def added(self, words, found):
        self.pinned(words[0], found)

    def got(self, cid, out, found, keep):
        self.files[out] = found
        if keep:
            self.pinned(cid, found)

    def published(self, words, found):
        self.pins[words[0]] = found
        self.version = (int(words[1].split("@")[1]), words[0])

    def broken(self, cids=None):
        """What the store does not keep of what it acknowledged; also how long it took to open."""
        began = time.monotonic()
        code, out, err = self.shoal.run("pin", "ls")
        seconds = time.monotonic() - began
        if code != 0:
            return [f"it does not open: exit {code}: {err}"], seconds
        wrong = []
        listed = {line.split()[0] for line in out.decode().splitlines() if line}
        sure = {cid: found for cid, found in self.pins.items() if cid not in self.open_pins}
        wrong += [f"the pin {cid} is lost" for cid in sure if cid not in listed]
        for cid in cids if cids is not None else sure:
            found = sure.get(cid)
            if found is not None:
                code, out, err = self.shoal.run("cat", cid)
                if code != 0 or digest(out) != found:
                    wrong.append(f"cat {cid}: exit {code}, {len(out)} bytes: {err}")
        for path, found in self.files.items():
            data = path.read_bytes() if path.exists() else b""
            if digest(data) != found:
                wrong.append(f"{path} has {len(data)} bytes that are not what was fetched")
        number, cid = self.version
        if number:
            code, out, err = self.shoal.run("log", "published")
            lines = {line.split()[0]: line.split()[2] for line in out.decode().splitlines()}
            if code != 0 or lines.get(f"@{number}") != cid:
                wrong.append(f"version {number} is not {cid}: exit {code}: {lines} {err}")
        return wrong, seconds


def quantiles(seconds):
    """The middle and the most, in milliseconds, as text."""
    ordered = sorted(seconds) or [0]
    return f"p50 {ordered[len(ordered) // 2] * 1000:.0f} ms, max {ordered[-1] * 1000:.0f} ms"


def seeded(seed):
    return random.Random(seed)
