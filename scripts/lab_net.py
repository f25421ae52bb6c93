"""The network of the lab: namespaces around a bridge, a limited link for each, and nothing else.

Everything lives in namespaces of its own, the bridge too (`shoal-NAME-hub`), so that no interface,
address, route or filter of the machine is touched, and deleting the namespaces removes all of it. Peer K
is the namespace `shoal-NAME-K` with one interface `eth0` at 10.77.X.Y; its other end is `pK` in the hub.
`tc tbf` on `eth0` is the peer's upload, on `pK` its download. There is no way out of these namespaces.

A link with delay or loss is a pair of TAP devices with `lab_relay.py` between them instead of a veth.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

SCRIPTS = Path(__file__).resolve().parent
PREFIX = "shoal-"
PEERS_MAX = 512  # of the addresses below, and far more than two cores carry
IP_SECONDS_MAX = 60
READY_SECONDS_MAX = 20
# A segment of 64 KiB must fit, or tbf cuts it up; above that a burst is only an unlimited moment.
BURST_BYTES = 128 << 10
QUEUE_MS = 50  # what waits before a limited link: as much as home routers have, and more than a burst
PROBE_SECONDS = 3.0
PROBE_PORT = 7077


class Failed(Exception):
    """Ends the run with a message and exit code 1."""


def need_root():
    if os.geteuid() != 0:
        raise Failed("network namespaces need root: run this as root")


def address(number):
    return f"10.77.{number // 200}.{number % 200 + 1}"


def ip(*arguments, check=True, text=None):
    """Runs `ip`; its stdout."""
    done = subprocess.run(["ip", *map(str, arguments)], input=text, capture_output=True, text=True,
                          timeout=IP_SECONDS_MAX, check=False)
    if check and done.returncode != 0:
        raise Failed(f"ip {' '.join(map(str, arguments))}: {done.stderr.strip()[-500:]}")
    return done.stdout


def spaces(name):
    """The namespaces of one lab that exist."""
    found = [line.split()[0] for line in ip("netns", "list").splitlines() if line.strip()]
    return [space for space in found if space.startswith(f"{PREFIX}{name}-")]


def clean(name):
    """Ends what runs in the namespaces of one lab, and removes them; how many there were."""
    found = spaces(name)
    for space in found:
        kill(space, 15)
    deadline = time.monotonic() + 5
    while any(pids(space) for space in found) and time.monotonic() < deadline:
        time.sleep(0.05)
    for space in found:
        kill(space, 9)
    for space in found:
        ip("netns", "delete", space)
    return len(found)


def pids(space):
    return [int(pid) for pid in ip("netns", "pids", space, check=False).split()]


def kill(space, signal):
    for pid in pids(space):
        if pid != os.getpid():
            try:
                os.kill(pid, signal)
            except ProcessLookupError:
                pass


class Link:
    """What one peer's link can do; rates in Mbit/s, none is no limit. Delay and loss are one way."""

    def __init__(self, up=None, down=None, delay_ms=0.0, loss=0.0):
        self.up, self.down, self.delay_ms, self.loss = up, down, delay_ms, loss

    @property
    def relayed(self):
        return self.delay_ms > 0 or self.loss > 0


class Network:
    """A hub and its peers, made at once and removed by `close`."""

    def __init__(self, links, name="lab", seed=1, congestion=None):
        need_root()
        if len(links) > PEERS_MAX:
            raise Failed(f"at most {PEERS_MAX} peers")
        if spaces(name):
            raise Failed(f"a lab called {name} stands already: `scripts/lab clean --name {name}` "
                         "removes it, --name makes another one")
        self.name, self.links, self.seed, self.relays = name, links, seed, []
        self.congestion = congestion or default_congestion()
        self.hub = f"{PREFIX}{name}-hub"
        try:
            self.build()
        except BaseException:
            self.close()
            raise

    def space(self, number):
        return f"{PREFIX}{self.name}-{number}"

    def build(self):
        ip("netns", "add", self.hub)
        quiet(self.hub)
        ip("-n", self.hub, "link", "add", "hub", "type", "bridge", "stp_state", "0",
           "forward_delay", "0", "mcast_snooping", "0")
        ip("-n", self.hub, "link", "set", "hub", "up")
        for number, link in enumerate(self.links):
            self.add_peer(number, link)

    def add_peer(self, number, link):
        space, port = self.space(number), f"p{number}"
        ip("netns", "add", space)
        quiet(space)
        if link.relayed:
            self.relay(number, link)
        else:
            ip("-n", self.hub, "link", "add", port, "type", "veth", "peer", "name", "eth0",
               "netns", space)
        lines = [f"link set {port} master hub", f"link set {port} up"]
        ip("-n", self.hub, "-batch", "-", text="\n".join(lines) + "\n")
        choose(space, self.congestion)
        lines = ["link set lo up", f"address add {address(number)}/16 dev eth0", "link set eth0 up"]
        ip("-n", space, "-batch", "-", text="\n".join(lines) + "\n")
        limit(space, "eth0", link.up)
        limit(self.hub, port, link.down)

    def relay(self, number, link):
        """Two TAP devices with a process between them; one of them moves to the peer."""
        command = [sys.executable, str(SCRIPTS / "lab_relay.py"), f"t{number}", f"p{number}",
                   "--delay-ms", str(link.delay_ms), "--loss", str(link.loss),
                   "--seed", str(self.seed + number)]
        relay = subprocess.Popen(["ip", "netns", "exec", self.hub, *command], text=True,
                                 stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        self.relays.append(relay)
        if relay.stdout.readline().strip() != "ready":
            raise Failed(f"the relay of peer {number} did not start")
        ip("-n", self.hub, "link", "set", f"t{number}", "netns", self.space(number), "name", "eth0")

    def command(self, number, arguments):
        """A command line that runs in a peer's namespace; its process id is the command's."""
        return ["ip", "netns", "exec", self.space(number), *map(str, arguments)]

    def cut(self, number):
        """The link carries nothing, as if a cable was drawn: both ends stay configured."""
        cut(self.name, number)

    def heal(self, number):
        heal(self.name, number)

    def counters(self, number):
        """Bytes received and sent by a peer's interface since it was made."""
        return counters(self.space(number))

    def goodput(self, sender, receiver):
        """Bytes per second of one plain TCP connection over the two links, measured."""
        listener = subprocess.Popen(
            self.command(receiver, [sys.executable, SCRIPTS / "lab_probe.py", "receive",
                                    address(receiver), PROBE_PORT, PROBE_SECONDS]),
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        try:
            if listener.stdout.readline().strip() != "ready":
                raise Failed("the probe does not listen")
            subprocess.run(
                self.command(sender, [sys.executable, SCRIPTS / "lab_probe.py", "send",
                                      address(receiver), PROBE_PORT, PROBE_SECONDS]),
                stdin=subprocess.DEVNULL, timeout=PROBE_SECONDS + READY_SECONDS_MAX, check=True)
            return float(listener.communicate(timeout=READY_SECONDS_MAX)[0])
        finally:
            if listener.poll() is None:
                listener.kill()
            listener.wait()

    def close(self):
        clean(self.name)
        for relay in self.relays:
            relay.wait()
            relay.stdout.close()


def cut(name, number):
    ip("-n", f"{PREFIX}{name}-hub", "link", "set", f"p{number}", "down")


def heal(name, number):
    ip("-n", f"{PREFIX}{name}-hub", "link", "set", f"p{number}", "up")


def counters(space):
    link = json.loads(ip("-n", space, "-s", "-j", "link", "show", "dev", "eth0"))[0]["stats64"]
    return link["rx"]["bytes"], link["tx"]["bytes"]


def quiet(space):
    """No IPv6: its announcements would be traffic that nobody asked for."""
    ip("netns", "exec", space, "sh", "-c",
       "for which in all default; do echo 1 > /proc/sys/net/ipv6/conf/$which/disable_ipv6; done",
       check=False)


def default_congestion():
    """TCP's congestion control of this machine, which new namespaces take over."""
    return Path("/proc/sys/net/ipv4/tcp_congestion_control").read_text().strip()


def choose(space, congestion):
    """TCP's congestion control for this namespace alone: one that the machine allows everybody."""
    if congestion == default_congestion():
        return
    allowed = Path("/proc/sys/net/ipv4/tcp_allowed_congestion_control").read_text().split()
    if congestion not in allowed:
        raise Failed(f"{congestion} is not allowed in a namespace here, only {', '.join(allowed)}")
    ip("netns", "exec", space, "sh", "-c",
       f"echo {congestion} > /proc/sys/net/ipv4/tcp_congestion_control")


def limit(space, device, mbit):
    if mbit is None:
        return
    command = ["tc", "-n", space, "qdisc", "replace", "dev", device, "root", "tbf",
               "rate", f"{int(mbit * 1000)}kbit", "burst", str(BURST_BYTES),
               "latency", f"{QUEUE_MS}ms"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=IP_SECONDS_MAX,
                          check=False)
    if done.returncode != 0:
        raise Failed(f"{' '.join(command)}: {done.stderr.strip()}")
