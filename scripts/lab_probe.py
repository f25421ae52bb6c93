"""One plain TCP connection, to know what a link carries: run by the lab in two namespaces.

    lab_probe.py receive ADDRESS PORT SECONDS     prints `ready`, then bytes per second
    lab_probe.py send ADDRESS PORT SECONDS

The sender sends for a second longer than is measured: what the start of the connection does, and the burst
that a token bucket allows, are left out.
"""

import socket
import sys
import time

WARM_UP_SECONDS = 1.0
CHUNK_BYTES = 256 << 10
WAIT_SECONDS_MAX = 20


def receive(address, port, seconds):
    with socket.create_server((address, port)) as listener:
        listener.settimeout(WAIT_SECONDS_MAX)
        print("ready", flush=True)
        connection, _ = listener.accept()
    buffer = bytearray(CHUNK_BYTES)
    began, total, since = time.monotonic(), 0, None
    with connection:
        connection.settimeout(WAIT_SECONDS_MAX)
        while count := connection.recv_into(buffer):
            now = time.monotonic()
            if since is not None:
                total += count
                if now - since >= seconds:
                    break
            elif now - began >= WARM_UP_SECONDS:
                since = now
        ended = time.monotonic()
    print(total / (ended - since) if since is not None else 0.0)


def send(address, port, seconds):
    with socket.create_connection((address, port), timeout=WAIT_SECONDS_MAX) as connection:
        until = time.monotonic() + WARM_UP_SECONDS + seconds + 1
        chunk = bytes(CHUNK_BYTES)
        try:
            while time.monotonic() < until:
                connection.sendall(chunk)
        except (BrokenPipeError, ConnectionResetError):
            pass  # it has measured enough


if __name__ == "__main__":
    what, address, port, seconds = sys.argv[1:]
    {"receive": receive, "send": send}[what](address, int(port), float(seconds))
