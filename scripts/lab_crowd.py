"""Crowds in the lab: one seed, many peers that fetch the same file at once, limited links.

Scenarios `b7`, `b7-16`, `unequal`, `e1`, `e2` and `e5`. Each peer runs for itself as `shoal seed`, so that
who has finished stays; at one moment all are told to `get`. A finisher's time is that of its whole `get`.
The fluid bound max(F/u_s, F/d_min, N F/(u_s + sum u_i)) counts with what one TCP connection was measured
to carry over the seed's link to a peer, not with the rate that it was given.
"""

import filecmp
import random
import statistics
import time

from lab_net import Failed, Link, Network
from lab_peer import RIDER, VERB_SECONDS_MAX, Peer

MIB = 1 << 20
SETTLED_SECONDS_MAX = 30
SLACK = 6  # times the bound, after which a crowd is given up


class Crowd:
    """One run: who stood where, and what came of it."""

    def __init__(self, links, riders=()):
        self.links, self.riders = links, frozenset(riders)
        self.seconds, self.ratio, self.fetched = {}, None, None

    @property
    def leechers(self):
        return range(1, len(self.links))

    @property
    def contributors(self):
        return [number for number in self.leechers if number not in self.riders]

    def bound(self, size, counted=None):
        """Seconds that no swarm can beat when all, or only the peers `counted`, fetch."""
        counted = list(self.leechers if counted is None else counted)
        rate = self.ratio * 1e6 / 8
        seed = self.links[0].up * rate
        ups = sum(self.links[number].up * rate for number in counted if number not in self.riders)
        downs = min(self.links[number].down * rate for number in counted)
        return max(size / seed, size / downs, len(counted) * size / (seed + ups))

    def mean(self, numbers):
        return statistics.fmean(self.seconds[number] for number in numbers)

    def last(self, numbers=None):
        return max(self.seconds[number] for number in (numbers or self.leechers))


def write_source(path, size, seed):
    chance = random.Random(seed)
    with open(path, "wb") as file:
        for begin in range(0, size, MIB):
            file.write(chance.randbytes(min(MIB, size - begin)))
    return path


def run(stage, crowd, size):
    """Builds the crowd's network, lets everybody fetch, and measures."""
    network = Network(crowd.links, stage.name, stage.seed, stage.congestion)
    try:
        work = stage.fresh(size * (2 + len(crowd.links)))
        source = write_source(work / "source", size, stage.seed)
        rate = network.goodput(0, 1)
        limit = min(crowd.links[0].up, crowd.links[1].down)
        crowd.ratio = rate * 8 / 1e6 / limit
        if not 0.5 < crowd.ratio <= 1.02:
            raise Failed(f"a link of {limit} Mbit/s carries {rate * 8 / 1e6:.1f}")
        fetched = run_peers(stage, network, work, source, len(crowd.links) - 1,
                            lambda number: RIDER if number in crowd.riders else (),
                            60 + SLACK * crowd.bound(size))
        for peer in fetched.peers:
            if not filecmp.cmp(source, peer.work / "out", shallow=False):
                raise Failed(f"what peer {peer.number} fetched differs from its source")
        crowd.seconds = dict(zip(crowd.leechers, fetched.seconds))
        crowd.fetched = fetched
        return crowd
    finally:
        network.close()
        stage.forget()


class Fetched:
    """What came of many peers fetching the same at once."""

    def __init__(self, peers):
        self.peers, self.seconds, self.added = peers, [], 0.0
        self.sent = self.interface = self.cpu = self.peak = self.duplicates = self.connected = None


def run_peers(stage, network, work, source, count, options=lambda _: (), patience=VERB_SECONDS_MAX):
    """A seed adds `source`, `count` peers are told of it, and all fetch it at one moment."""
    seed = Peer(network, 0, work, stage.shoal)
    began = time.monotonic()
    cid = seed.add(source)
    added = time.monotonic() - began
    seed.start()
    peers = [Peer(network, number, work, stage.shoal, options(number), (seed.address,)).start()
             for number in range(1, count + 1)]
    until = time.monotonic() + SETTLED_SECONDS_MAX
    while seed.status()["peers"] < count and time.monotonic() < until:
        time.sleep(0.1)
    seed.announced()  # alone it had nobody to tell
    result = fetch(seed, peers, cid, patience)
    result.added = added
    return result


def fetch(seed, peers, cid, patience):
    result, everybody = Fetched(peers), [seed, *peers]
    _, interface_before = seed.counters()
    cpu_before = sum(peer.cpu() for peer in everybody)
    gets = [peer.verb("get", cid, "-o", peer.work / "out", seconds_max=patience) for peer in peers]
    outcomes = [get.outcome() for get in gets]
    result.seconds = [get.seconds for get in gets]
    result.interface = seed.counters()[1] - interface_before
    result.cpu = sum(peer.cpu() for peer in everybody) - cpu_before + sum(get.cpu for get in gets)
    result.peak = max(peer.peak() for peer in everybody)
    result.sent = seed.status()["sent"]
    tree = seed.run("stat", cid)["dag_bytes"]
    received = sum(peer.status()["received"] for peer in peers)
    result.duplicates = received / (tree * len(peers)) - 1
    result.connected = statistics.fmean(outcome["peers_connected"] for outcome in outcomes)
    return result


def told(crowd, size):
    """The crowd in words."""
    ups = sorted({link.up for link in crowd.links[1:]})
    shape = ":".join(f"{up:g}" for up in ups) + f"/{crowd.links[1].down:g} Mbit/s"
    if crowd.links[0].up != ups[0]:
        shape += f", seed {crowd.links[0].up:g}"
    riders = f", {len(crowd.riders)} of them riders" if crowd.riders else ""
    return f"1 + {len(crowd.links) - 1} peers{riders}, {shape}, {size / MIB:g} MiB"


def figures(table, crowd, size, copies_most=None, last_most=None):
    bound, fetched = crowd.bound(size), crowd.fetched
    table.note(f"goodput {crowd.ratio:.3f} of the rate, bound {bound:.1f} s; finished after "
               + " ".join(f"{second:.1f}" for second in sorted(crowd.seconds.values())) + " s")
    table.row("last finisher / bound", crowd.last() / bound, "", most=last_most, budget="B7")
    table.row("mean finisher / bound", crowd.mean(crowd.leechers) / bound)
    table.row("copies that the seed sent, blocks", fetched.sent / size, "", most=copies_most)
    table.row("copies that the seed sent, interface", fetched.interface / size)
    table.row("duplicate bytes", 100 * crowd.fetched.duplicates, "%")
    delivered = size * len(crowd.seconds) / (1 << 30)
    table.row("CPU of all peers per GiB delivered", fetched.cpu / delivered, "s")
    memory = min(64 + 8 * (len(crowd.links) - 1), 512)
    table.row("peak memory of a peer", fetched.peak / MIB, "MiB", most=memory, budget="B20")
    table.row("peers connected to, mean", fetched.connected)


def b7(stage):
    return bottleneck(stage, "b7", [Link(50, 100)] * 9, 256)


def b7_16(stage):
    return bottleneck(stage, "b7-16", [Link(20, 100)] * 17, 256)


def e1(stage):
    return bottleneck(stage, "e1", [Link(20, 100)] * 9, 128)


def bottleneck(stage, name, links, mebibytes):
    """A crowd whose seed's uplink is what it waits for."""
    size = stage.size(mebibytes)
    table = stage.table(name, told(Crowd(links), size))
    crowd = run(stage, Crowd(links), size)
    figures(table, crowd, size, copies_most=1.15, last_most=1.15)
    return table.passed()


def unequal(stage):
    """Uplinks 1:2:4, four of each; the seed as fast as the middle ones."""
    size = stage.size(256)
    links = [Link(40, 200)] + [Link(up, 200) for up in (20, 40, 80) for _ in range(4)]
    table = stage.table("unequal", told(Crowd(links), size))
    crowd = run(stage, Crowd(links), size)
    figures(table, crowd, size, copies_most=1.15, last_most=1.15)
    for up in (20, 40, 80):
        which = [number for number in crowd.leechers if links[number].up == up]
        table.row(f"mean of those with {up} Mbit/s up", crowd.mean(which), "s")
    return table.passed()


def e2(stage):
    """Eight contributors alone, then beside four riders, at a seed whose uplink is the bottleneck."""
    size = stage.size(128)
    links = [Link(20, 100)] * 9
    table = stage.table("e2", told(Crowd(links + [Link(20, 100)] * 4, range(9, 13)), size))
    alone = run(stage, Crowd(links), size)
    table.note(f"bound {alone.bound(size):.1f} s; contributors alone {alone.mean(alone.leechers):.1f} s, "
               f"last {alone.last():.1f} s")
    beside = run(stage, Crowd(links + [Link(20, 100)] * 4, range(9, 13)), size)
    contributors, riders = beside.contributors, sorted(beside.riders)
    slowdown = beside.mean(contributors) / alone.mean(contributors)
    # What the riders' time is at most of the contributors' where everybody who finished stays.
    ceiling = beside.bound(size) / beside.bound(size, contributors)
    ratio = beside.mean(riders) / beside.mean(contributors)
    table.note(f"bound of all {beside.bound(size):.1f} s; contributors beside riders "
               f"{beside.mean(contributors):.1f} s, last {beside.last(contributors):.1f} s; riders "
               f"{beside.mean(riders):.1f} s")
    table.row("contributors' mean, beside / alone", slowdown, "", most=1.10, budget="B9")
    table.row("riders' mean / contributors' mean", ratio)
    table.row("its ceiling: bound of all / of contributors", ceiling)
    table.row("share of the ceiling", ratio / ceiling, "", least=0.9, budget="B9")
    table.row("copies that the seed sent, blocks", beside.fetched.sent / size)
    table.row("duplicate bytes", 100 * beside.fetched.duplicates, "%")
    return table.passed()


def e5(stage):
    """Spare capacity: a seed ten times as fast as a download; nobody has a reason to wait."""
    size = stage.size(64)
    links = [Link(200, 200)] + [Link(5, 20)] * 8
    crowd = Crowd(links, range(5, 9))
    table = stage.table("e5", told(crowd, size))
    crowd = run(stage, crowd, size)
    bound = crowd.bound(size)
    contributors, riders = crowd.contributors, sorted(crowd.riders)
    table.note(f"goodput {crowd.ratio:.3f} of the rate, bound {bound:.1f} s; contributors "
               f"{crowd.mean(contributors):.1f} s, riders {crowd.mean(riders):.1f} s")
    table.row("riders' mean / contributors' mean", crowd.mean(riders) / crowd.mean(contributors),
              "", most=1.05, least=0.95, budget="E5")
    table.row("downloads busy: bound / mean finisher", bound / crowd.mean(crowd.leechers), "",
              least=0.95, budget="E5")
    table.row("last finisher / bound", crowd.last() / bound)
    table.row("copies that the seed sent, blocks", crowd.fetched.sent / size)
    table.row("duplicate bytes", 100 * crowd.fetched.duplicates, "%")
    return table.passed()
