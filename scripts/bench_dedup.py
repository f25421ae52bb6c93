"""What versions of a file cost: `scripts/bench dedup` (B10).

A file and four versions of it, each added to a store that has the file, and fetched by a peer that has
it; beside our chunks, the fixed ones of kubo's profile. For each: bytes that the store grew by, bytes of
the blocks that the peer lacks (leaves and branches, counted from the files), bytes that it received. Then
one byte put at the start of 100 GiB, by the tree alone. Space is what the file system says. Run by
scripts/bench, whose tools come in as `tools`.
"""

import filecmp
import json
import random
import shutil
import subprocess

PROFILES = ("shoal", "unixfs-v1-2025")
PIECES = 100
INSERTED = 4096
TREE_GIB = 100
SEED = 20_251_106


def build_counter(tools):
    """The program that counts blocks."""
    subprocess.run(["cargo", "build", "--release", "--locked", "-q", "-p", "shoal-dag",
                    "--example", "dedup"], cwd=tools.REPOSITORY, check=True)
    return tools.SHOAL.parent / "examples" / "dedup"


def versions(size):
    """Name, bytes that changed, and the pieces of each version: slices of the file, or new bytes."""
    generator = random.Random(SEED)
    part = size // 100
    yield "1% in one piece", part, [(0, size // 2), generator.randbytes(part),
                                    (size // 2 + part, size)]
    piece = part // PIECES
    at, pieces = 0, []
    for number in range(PIECES):
        start = number * (size // PIECES) + generator.randrange(size // PIECES - piece)
        pieces += [(at, start), generator.randbytes(piece)]
        at = start + piece
    yield f"1% in {PIECES} overwrites", piece * PIECES, [*pieces, (at, size)]
    at, pieces = 0, []
    for number in range(PIECES):
        start = number * (size // PIECES) + generator.randrange(size // PIECES)
        pieces += [(at, start), generator.randbytes(INSERTED)]
        at = start
    yield f"{PIECES} insertions of 4 KiB", INSERTED * PIECES, [*pieces, (at, size)]
    yield "one byte at the start", 1, [b"x", (0, size)]


def write_version(source, pieces, target):
    with open(source, "rb") as old, open(target, "wb") as new:
        for piece in pieces:
            if isinstance(piece, bytes):
                new.write(piece)
                continue
            start, end = piece
            old.seek(start)
            while start < end:
                part = old.read(min(1 << 20, end - start))
                new.write(part)
                start += len(part)


def taken(directory, tools):
    """Bytes on the disk of all files."""
    tools.settle()
    return sum(path.stat().st_blocks * 512 for path in tools.files_below(directory))


def copy_store(source, target):
    shutil.rmtree(target, ignore_errors=True)
    subprocess.run(["cp", "-a", "--sparse=always", source, target], check=True)


def stored_and_fetched(work, base, version, profile, tools):
    """Bytes that a store with the base grew by, and that a peer with the base received."""
    store, peer, out = work / "dedup-store", work / "dedup-peer", work / "dedup-out"
    copy_store(base, store)
    before = taken(store, tools)
    _, output = tools.timed(tools.shoal(store, "add", "--profile", profile, version), work)
    cid = tools.first_word(output)
    stored = taken(store, tools) - before
    copy_store(base, peer)
    seed = tools.Seed(store, work)
    out.unlink(missing_ok=True)
    _, output = tools.timed(tools.shoal(peer, "get", "--json", cid, "-o", out), work,
                            {"SHOAL_BOOTSTRAP": seed.address})
    seed.stop()
    if not filecmp.cmp(version, out, shallow=False):
        raise tools.Failed("what was fetched differs from the version")
    received = json.loads(output.splitlines()[-1])["bytes_received"]
    for directory in (store, peer):
        shutil.rmtree(directory)
    out.unlink()
    return stored, received


def count(counter, profile, *rest):
    """Bytes of new leaves and of new branches."""
    output = subprocess.run([counter, profile, *rest], check=True, stdout=subprocess.PIPE).stdout
    *_, leaves, branches, _, _ = output.decode().split()
    return int(leaves), int(branches)


def mib(number):
    return f"{number / (1 << 20):.2f}" if number >= 1 << 14 else f"{number} B"


def run(work, source, options, _table, tools):
    counter = build_counter(tools)
    print(f"{'change':<26}{'MiB changed':>12}{'chunks':>16}{'MiB stored':>12}{'MiB lacking':>13}"
          f"{'of it branches':>16}{'MiB received':>14}{'times the change':>18}", flush=True)
    bases = {}
    for profile in PROFILES:
        bases[profile] = work / f"base-{profile}"
        tools.timed(tools.shoal(bases[profile], "add", "--profile", profile, source), work)
    version = work / "version"
    for name, changed, pieces in versions(options.size):
        write_version(source, pieces, version)
        for profile in PROFILES:
            leaves, branches = count(counter, profile, source, version)
            stored, received = stored_and_fetched(work, bases[profile], version, profile, tools)
            print(f"{name:<26}{mib(changed):>12}{profile:>16}{mib(stored):>12}"
                  f"{mib(leaves + branches):>13}{mib(branches):>16}{mib(received):>14}"
                  f"{(leaves + branches) / changed:>18.1f}", flush=True)
    for profile in PROFILES:
        leaves, branches = count(counter, profile, "tree", str(TREE_GIB << 30))
        print(f"{f'one byte, {TREE_GIB} GiB (tree)':<26}{'1 B':>12}{profile:>16}{'-':>12}"
              f"{mib(leaves + branches):>13}{mib(branches):>16}{'-':>14}{'-':>18}", flush=True)
