"""A tracker for one torrent, for clients of `scripts/bench-against` that take no peer's address (aria2).

    against_tracker.py IP PORT

It answers every announce with all peers that announced so far, in the compact form, and tells to come
again soon; nothing is kept and nothing is checked. Prints `ready` when it listens.
"""

import http.server
import socket
import struct
import sys
import urllib.parse

INTERVAL_SECONDS = 2
PEERS_MAX = 1000
PEERS = []


class Announce(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        query = urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query)
        if "port" in query:
            peer = socket.inet_aton(self.client_address[0]) + struct.pack(">H", int(query["port"][0]))
            if peer not in PEERS and len(PEERS) < PEERS_MAX:
                PEERS.append(peer)
        peers = b"".join(PEERS)
        body = b"d8:intervali%de5:peers%d:%se" % (INTERVAL_SECONDS, len(peers), peers)
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


if __name__ == "__main__":
    server = http.server.ThreadingHTTPServer((sys.argv[1], int(sys.argv[2])), Announce)
    print("ready", flush=True)
    server.serve_forever()
