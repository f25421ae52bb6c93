"""What the store costs at its ends: `scripts/bench ref` (B2) and `scripts/bench large` (B15, its second part).

B2: `add --ref` of a file in the page cache, against one pass of chunking and hashing over the same bytes in
memory by two threads. B15: seconds a byte of a durable `add -` of a stream that nothing can find twice,
for --large bytes and for --size bytes, over the same quotient of `dd` and `sync`; the stream is made by a
small C program, so that both sides wait for the same writer. Run by scripts/bench, whose tools come in as
`tools`.
"""

import shutil
import subprocess

GIB = 1 << 30

# A keyed stream (xorshift64*), at several GB/s.
STREAM = r"""
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
static uint64_t block[32768];
int main(int argc, char **argv) {
    if (argc != 3) return 2;
    uint64_t left = strtoull(argv[1], 0, 10), key = strtoull(argv[2], 0, 10) * 2685821657736338717u + 1;
    while (left) {
        for (int i = 0; i < 32768; i++) {
            key ^= key >> 12; key ^= key << 25; key ^= key >> 27;
            block[i] = key * 2685821657736338717u;
        }
        size_t want = left < sizeof block ? left : sizeof block;
        for (size_t done = 0; done < want;) {
            ssize_t put = write(1, (char *)block + done, want - done);
            if (put <= 0) return 1;
            done += put;
        }
        left -= want;
    }
    return 0;
}
"""


def build_pass(tools):
    """The program of the limit of B2."""
    subprocess.run(["cargo", "build", "--release", "--locked", "-q", "-p", "shoal-dag", "--example", "pass"],
                   cwd=tools.REPOSITORY, check=True)
    return tools.SHOAL.parent / "examples" / "pass"


def bench_ref(work, source, options, table, tools):
    store, program = work / "store", build_pass(tools)

    def ours():
        shutil.rmtree(store, ignore_errors=True)
        tools.settle()
        sample, output = tools.timed(tools.shoal(store, "add", "--ref", source), work)
        tools.first_word(output)
        shutil.rmtree(store)
        return sample

    def limit():
        sample, output = tools.timed([program, source], work)
        return tools.Sample(float(output.split()[0]), sample.cpu, sample.peak)

    samples = tools.measure(options.runs, {"ours": ours, "limit": limit}, "add --ref")
    table.row("B2", f"add --ref {tools.size_shown(options.size)}", "s", samples["ours"],
              "one pass in memory", samples["limit"])


def build_stream(work, tools):
    compiler = shutil.which("cc")
    if compiler is None:
        raise tools.Failed("a C compiler is needed for the stream")
    source, program = work / "stream.c", work / "stream"
    source.write_text(STREAM)
    tools.timed([compiler, "-O2", "-o", program, source], work)
    return program


def bench_large(work, _source, options, table, tools):
    """Sizes by turns, one round of each: the disk holds no more than one of them at a time."""
    program, store, copy = build_stream(work, tools), work / "store", work / "copy"
    peaks = []

    def piped(size, key, command):
        words = " ".join(f"'{word}'" for word in map(str, command))
        return tools.timed(["sh", "-c", f"'{program}' {size} {key} | {words}"], work)

    def ours(size, key):
        shutil.rmtree(store, ignore_errors=True)
        tools.settle()
        sample, output = piped(size, key, tools.shoal(store, "add", "-"))
        tools.first_word(output)
        synced, _ = tools.timed(["sync", *tools.files_below(store)], work)
        peaks.append(sample.peak)
        shutil.rmtree(store)
        return (sample.value + synced.value) / size * GIB

    def limit(size, key):
        copy.unlink(missing_ok=True)
        tools.settle()
        sample, _ = piped(size, key, ["dd", f"of={copy}", "bs=1M", "iflag=fullblock", "status=none"])
        synced, _ = tools.timed(["sync", copy], work)
        copy.unlink()
        return (sample.value + synced.value) / size * GIB

    small, large = options.size, options.large
    names = {"ours": ours, "dd": limit}
    found = {name: {small: [], large: []} for name in names}
    for number in range(options.runs + 1):
        for size in (small, large):
            for name, side in tools.by_turns(number, {n: (lambda s=s: s(size, number)) for n, s in names.items()}).items():
                if number > 0:
                    found[name][size].append(side)
    middle = {name: {size: sorted(values)[len(values) // 2] for size, values in sizes.items()}
              for name, sizes in found.items()}
    for name, sizes in middle.items():
        table.note(f"B15  {name}: {sizes[small]:.3f} s/GiB at {small / GIB:.1f} GiB, "
                   f"{sizes[large]:.3f} at {large / GIB:.1f} GiB, quotient {sizes[large] / sizes[small]:.3f}")
    ratio = (middle["ours"][large] / middle["ours"][small]) / (middle["dd"][large] / middle["dd"][small])
    table.note(f"B15  ours over dd: {ratio:.3f} (must 1.3, goal 1.05), peak {max(peaks) / (1 << 20):.0f} MiB")
