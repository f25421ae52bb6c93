"""A packet relay between two TAP devices that adds delay and loss, where the kernel has no netem.

    lab_relay.py FIRST SECOND [--delay-ms D] [--loss P] [--seed N]

Makes both devices in the namespace it runs in, prints `ready`, and carries frames both ways until it is
ended: each frame waits D milliseconds, and is lost with the probability P (0.01 is 1%), drawn from the
seed; the order is kept. Offloads are off, so a frame is what a wire would carry. More than QUEUE_BYTES
waiting in one direction is dropped at the tail, as a router does.

    lab_relay.py --carries
Measures what it carries: one TCP connection over a relay without delay, between two namespaces.
"""

import argparse
import collections
import fcntl
import os
import random
import select
import signal
import struct
import subprocess
import sys
import time

TUNSETIFF = 0x400454CA
TUNSETOFFLOAD = 0x400454D0
IFF_TAP, IFF_NO_PI = 0x0002, 0x1000
FRAME_BYTES_MAX = 2048
QUEUE_BYTES = 32 << 20  # two seconds of 100 Mbit/s, ten times what any delay here holds
AT_ONCE = 64  # frames read from one side before the other gets its turn


def open_tap(name):
    device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(device, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TAP | IFF_NO_PI))
    fcntl.ioctl(device, TUNSETOFFLOAD, 0)
    return device


class Direction:
    """Frames from one device that wait for the other one."""

    def __init__(self, source, target, delay, loss, chance):
        self.source, self.target, self.delay, self.loss = source, target, delay, loss
        self.chance, self.waiting, self.bytes = chance, collections.deque(), 0

    def read(self):
        due = time.monotonic() + self.delay
        for _ in range(AT_ONCE):
            try:
                frame = os.read(self.source, FRAME_BYTES_MAX)
            except BlockingIOError:
                return
            except OSError:
                return  # the other end is being moved or is down
            if self.loss and self.chance.random() < self.loss:
                continue
            if self.bytes + len(frame) <= QUEUE_BYTES:
                self.bytes += len(frame)
                self.waiting.append((due, frame))

    def write(self):
        """Writes what is due; seconds until the next one is, or none."""
        while self.waiting:
            due, frame = self.waiting[0]
            left = due - time.monotonic()
            if left > 0:
                return left
            self.waiting.popleft()
            self.bytes -= len(frame)
            try:
                os.write(self.target, frame)
            except OSError:
                pass  # a full or a closed device loses a frame, as a wire does
        return None


def carry(first, second, delay, loss, seed):
    chance = random.Random(seed)
    directions = {first: Direction(first, second, delay, loss, chance),
                  second: Direction(second, first, delay, loss, chance)}
    waits = []
    while True:
        readable, _, _ = select.select([first, second], [], [], min(waits) if waits else None)
        for device in readable:
            directions[device].read()
        waits = [wait for one in directions.values() if (wait := one.write()) is not None]


def measure():
    import lab_net
    network = lab_net.Network([lab_net.Link(), lab_net.Link(delay_ms=0.001)], name="relay")
    try:
        rate = network.goodput(0, 1)
        print(f"{rate * 8 / 1e6:.0f} Mbit/s of one TCP connection, "
              f"{subprocess.check_output(['nproc'], text=True).strip()} cores")
    finally:
        network.close()


def main():
    parser = argparse.ArgumentParser(description="Delay and loss between two TAP devices.")
    parser.add_argument("devices", nargs="*", metavar="DEVICE")
    parser.add_argument("--delay-ms", type=float, default=0.0)
    parser.add_argument("--loss", type=float, default=0.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--carries", action="store_true")
    options = parser.parse_args()
    if options.carries:
        return measure()
    if len(options.devices) != 2:
        parser.error("two devices")
    first, second = map(open_tap, options.devices)
    print("ready", flush=True)
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    signal.signal(signal.SIGINT, lambda *_: os._exit(0))
    carry(first, second, options.delay_ms / 1000, options.loss, options.seed)


if __name__ == "__main__":
    sys.exit(main())
