"""Many in the lab: many nodes of which some are killed, and many small files in one tree.

Scenarios `nodes` and `small`. The nodes stand on the loopback of one namespace: the DHT is what is
measured there, not links. Small files travel over links without a limit: what they cost is work, not
bandwidth.
"""

import concurrent.futures
import hashlib
import os
import random
import statistics
import subprocess
import sys
import time

from lab_crowd import run_peers
from lab_net import Failed, Link
from lab_peer import Peer, memory_of
from lab_rough import Standing

MIB = 1 << 20
NODES = 300
NODE_BYTES = 40 * MIB  # what to expect of one, when asking how many fit
LOOKUPS = 200
LOOKUP_TIMEOUT = "20s"
ANNOUNCED_SECONDS_MAX = 300
AT_ONCE = 4  # starts and lookups side by side: two cores, and each waits for others
SHARES = "0,20,50"
FILES = 100_000
FILE_BYTES = 10 << 10
FILES_A_DIRECTORY = 100


# nodes

def nodes(stage):
    """Finds what living nodes hold, with none, 20 and 50 of 100 nodes killed at once."""
    wanted = stage.options.count or NODES
    count = min(wanted, int(memory_available() * 0.7) // NODE_BYTES)
    table = stage.table("nodes", f"{count} nodes on loopback, {LOOKUPS} lookups by fresh stores each"
                        + (f" ({wanted} do not fit into memory)" if count < wanted else ""))
    chance = random.Random(stage.seed)
    with Standing(stage, [Link()]) as network:
        crowd = Nodes(stage, network, count, chance)
        table.row("nodes that run", count)
        table.row("started and announced in", crowd.seconds, "s")
        for share in map(int, (stage.options.killed or SHARES).split(",")):
            killed = crowd.kill(share)
            found, connected, seconds = crowd.look_up(LOOKUPS)
            words = f"{share}% killed"
            table.row(f"{words}: found", 100 * found, "%", least=99.9, budget="B12")
            table.row(f"{words}: distinct peers connected, p95", percentile(connected, 0.95), "",
                      most=40, budget="B12")
            table.row(f"{words}: seconds of a whole get, p50", statistics.median(seconds), "s")
            table.row(f"{words}: the same, p95", percentile(seconds, 0.95), "s")
            crowd.start_again(killed)
        memory = [memory_of(node.process.pid, "VmRSS") for node in crowd.nodes]
        table.row("memory of a node, median", statistics.median(memory) / MIB, "MiB")
    return table.passed()


def percentile(values, share):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else None


def memory_available():
    with open("/proc/meminfo", encoding="ascii") as lines:
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))


class Nodes:
    """Many nodes, each with a file of its own, each told of one that started earlier."""

    def __init__(self, stage, network, count, chance):
        self.stage, self.network, self.chance = stage, network, chance
        self.work, began = stage.fresh(), time.monotonic()
        self.nodes, self.cids, self.lookups = [], {}, 0
        self.pool = concurrent.futures.ThreadPoolExecutor(AT_ONCE)
        self.nodes.append(self.start(0, []))
        for first in range(1, count, AT_ONCE):
            told = [[self.chance.choice(self.nodes).address]
                    for _ in range(first, min(count, first + AT_ONCE))]
            self.nodes += self.pool.map(self.start, range(first, first + len(told)), told)
            if first % 20 == 1:
                print(f"  {len(self.nodes)} nodes after {time.monotonic() - began:.0f} s",
                      file=sys.stderr, flush=True)
        self.all_announced(self.nodes)
        self.seconds = time.monotonic() - began

    def start(self, number, told):
        node = Peer(self.network, number, self.work, self.stage.shoal, told=told, loopback=True)
        source = node.work / "source"
        source.write_bytes(random.Random(f"{self.stage.seed}/{number}").randbytes(50_000))
        self.cids[number] = node.add(source)
        return node.start()

    def kill(self, share):
        """Kills so many of a hundred at once; which ones."""
        killed = self.chance.sample(self.nodes, len(self.nodes) * share // 100)
        for node in killed:
            node.process.kill()
        for node in killed:
            node.kill()
        return killed

    def start_again(self, killed):
        """Starts them with their stores, each told of one that lives: its own may have moved."""
        living = [node for node in self.nodes if node not in killed]
        for node in killed:
            node.told = (self.chance.choice(living).address,)
        for _ in self.pool.map(Peer.start, killed):
            pass
        self.all_announced(killed)

    def all_announced(self, nodes):
        """Many on two cores take their time: it is not what is measured."""
        for _ in self.pool.map(lambda node: node.announced(seconds_max=ANNOUNCED_SECONDS_MAX), nodes):
            pass

    def look_up(self, count):
        """Share found, peers connected to and seconds, of so many roots whose holders live."""
        living = [node for node in self.nodes if node.process.poll() is None]
        pairs = [(self.chance.choice(living), self.chance.choice(living)) for _ in range(count)]
        results = list(self.pool.map(self.one, range(self.lookups, self.lookups + count), pairs))
        self.lookups += count
        found = [result for result in results if result is not None]
        return (len(found) / count, [connected for connected, _ in found],
                [seconds for _, seconds in found] or [0.0])

    def one(self, number, pair):
        holder, told = pair
        reader = Peer(self.network, f"reader-{number}", self.work, self.stage.shoal,
                      options=("--timeout", LOOKUP_TIMEOUT), told=(told.address,), loopback=True)
        get = reader.verb("get", self.cids[holder.number], "-o", reader.work / "out")
        get.join()
        result = None
        if get.code == 0:
            if (reader.work / "out").read_bytes() != (holder.work / "source").read_bytes():
                raise Failed(f"what was fetched of node {holder.number} differs from its source")
            result = get.outcome()["peers_connected"], get.seconds
        subprocess.run(["rm", "-rf", str(reader.work)], check=True)
        return result


# small

def small(stage):
    """One tree of many small files, to one peer and to four."""
    files = stage.options.count or FILES
    size = files * FILE_BYTES
    table = stage.table("small", f"{files:,} files of {FILE_BYTES >> 10} KiB in one tree, "
                                 "links without a limit")
    source = write_tree(stage.fresh(10 * size) / "source", files, stage.seed)
    wanted = digest(source)
    for fetchers in (1, 4):
        with Standing(stage, [Link()] * (1 + fetchers)) as network:
            crowd = run_peers(stage, network, stage.fresh(9 * size), source, fetchers)
            for peer in crowd.peers:
                if digest(peer.work / "out") != wanted:
                    raise Failed(f"what peer {peer.number} fetched differs from its source")
        words, delivered = f"1 to {fetchers}", size * fetchers / (1 << 30)
        table.row(f"{words}: added in", crowd.added, "s")
        table.row(f"{words}: last finisher", max(crowd.seconds), "s")
        table.row(f"{words}: files a second, each", files / max(crowd.seconds))
        table.row(f"{words}: CPU of all peers per GiB delivered", crowd.cpu / delivered, "s")
        table.row(f"{words}: copies that the seed sent", crowd.sent / size)
        table.row(f"{words}: duplicate bytes", 100 * crowd.duplicates, "%")
        table.row(f"{words}: peak memory of a peer", crowd.peak / MIB, "MiB", most=64 + 8 * fetchers,
                  budget="B20")
    stage.forget()
    return table.passed()


def write_tree(root, files, seed):
    chance = random.Random(seed)
    for number in range(files):
        directory = root / f"{number // FILES_A_DIRECTORY:04}"
        if number % FILES_A_DIRECTORY == 0:
            directory.mkdir(parents=True)
        with open(directory / f"{number:06}", "wb") as file:
            file.write(chance.randbytes(FILE_BYTES))
    return root


def digest(root):
    """One hash over all names and bytes below a directory."""
    total = hashlib.blake2b()
    for folder, folders, files in os.walk(root):
        folders.sort()
        for name in sorted(files):
            path = os.path.join(folder, name)
            total.update(os.path.relpath(path, root).encode() + b"\0")
            with open(path, "rb") as file:
                total.update(hashlib.blake2b(file.read()).digest())
    return total.hexdigest()
