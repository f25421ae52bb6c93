"""One libtorrent peer, run by `scripts/bench-against` with the Python that has libtorrent.

    against_libtorrent.py make SOURCE TORRENT
    against_libtorrent.py seed TORRENT DIR IP PORT SLOTS
    against_libtorrent.py leech TORRENT DIR IP PORT SLOTS [wait] PEER...

`seed` and `leech` print `ready` once they listen. A leecher dials the peers that it is told, by `wait`
only after a line on its stdin, prints `done` when it has everything, and ends; one that waited seeds on
until it is ended. There is no tracker, no DHT and no limit; the settings are the fast ones that its
authors use for their own benchmarks.
"""

import os
import sys
import time

import libtorrent as lt

PIECE_BYTES = 1 << 20
POLL_SECONDS = 0.02
SETTINGS = {
    "enable_incoming_utp": False, "enable_outgoing_utp": False, "mixed_mode_algorithm": 0,
    "enable_dht": False, "enable_lsd": False, "enable_upnp": False, "enable_natpmp": False,
    "in_enc_policy": 2, "out_enc_policy": 2,
    "max_out_request_queue": 1500, "max_allowed_in_request_queue": 2000,
    "send_buffer_watermark": 3 << 20, "send_buffer_low_watermark": 1 << 20,
    "send_buffer_watermark_factor": 150, "send_not_sent_low_watermark": 512 << 10,
    "max_queued_disk_bytes": 64 << 20, "connection_speed": 500, "smooth_connects": False,
    "tick_interval": 100,  # half of the default 500 ms is waited for each dial
    "aio_threads": 4, "allow_multiple_connections_per_ip": True,
    "alert_mask": int(lt.alert.category_t.storage_notification),
}


def make(source, torrent):
    """A v1 torrent with 1 MiB pieces: as its authors measure with."""
    storage = lt.file_storage()
    lt.add_files(storage, source)
    creator = lt.create_torrent(storage, PIECE_BYTES, lt.create_torrent.v1_only)
    lt.set_piece_hashes(creator, os.path.dirname(source))
    with open(torrent, "wb") as file:
        file.write(lt.bencode(creator.generate()))


def session(ip, port, slots):
    settings = dict(SETTINGS, listen_interfaces=f"{ip}:{port}", unchoke_slots_limit=int(slots))
    return lt.session(settings)


def parameters(torrent, directory):
    parameters = lt.add_torrent_params()
    # A tree of 100,000 files is beyond what it takes from strangers by default.
    parameters.ti = lt.torrent_info(torrent, {"max_decode_tokens": 30_000_000,
                                              "max_buffer_size": 256 << 20})
    parameters.save_path = directory
    parameters.flags &= ~(lt.torrent_flags.paused | lt.torrent_flags.auto_managed)
    return parameters


def seed(torrent, directory, ip, port, slots):
    ours = session(ip, port, slots)
    wanted = parameters(torrent, directory)
    wanted.flags |= lt.torrent_flags.seed_mode
    handle = ours.add_torrent(wanted)
    while not handle.status().is_seeding:
        time.sleep(POLL_SECONDS)
    print("ready", flush=True)
    while True:
        time.sleep(60)


def flush(ours, handle):
    """Waits until what is in its own cache is in the files, where others can read it."""
    handle.flush_cache()
    while True:
        ours.wait_for_alert(1000)
        if any(isinstance(alert, lt.cache_flushed_alert) for alert in ours.pop_alerts()):
            return


def leech(torrent, directory, ip, port, slots, *peers):
    ours = session(ip, port, slots)
    stays = peers[:1] == ("wait",)
    wanted = parameters(torrent, directory)
    print("ready", flush=True)
    if stays:
        sys.stdin.readline()
    handle = ours.add_torrent(wanted)
    told = [peer.rsplit(":", 1) for peer in peers if peer != "wait"]
    tried = 0.0
    while not handle.status().is_seeding:
        # Told again every two seconds: a peer that was not up yet is not dialled twice by itself.
        if time.monotonic() - tried > 2:
            for address, number in told:
                handle.connect_peer((address, int(number)))
            tried = time.monotonic()
        time.sleep(POLL_SECONDS)
    flush(ours, handle)
    print("done", flush=True)
    if not stays:
        os._exit(0)
    while True:
        time.sleep(60)


if __name__ == "__main__":
    {"make": make, "seed": seed, "leech": leech}[sys.argv[1]](*sys.argv[2:])
