"""Compute docs/scale.md and docs/costs.md from inputs.toml.

`python -m benchmarks.scale` prints the tables, `--write` writes them into the pages. `--measure` appends to folders of
up to ten million events on this machine, and prints what belongs below `[panes]` in inputs.toml; it takes some minutes,
5 GB of disk and 6 GB of memory.
"""

from __future__ import annotations

import argparse

from benchmarks.report.page import write
from benchmarks.scale.inputs import read_inputs
from benchmarks.scale.pages import DOCS, MINUTES, pages


def main() -> None:
    """Read the command line, compute or measure, print or write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--write", action="store_true", help="write the tables into the pages")
    parser.add_argument("--measure", action="store_true", help="measure panes of growing folders")
    options = parser.parse_args()
    inputs = read_inputs()
    if options.measure:
        from benchmarks.scale.measure import measure

        for events in MINUTES:
            same, new = measure(events, int(inputs.of("event_bytes")))
            print(
                f"{{events = {events:_}, same_worker = {same.cpu_seconds:.4f}, "
                f"new_worker = {new.cpu_seconds:.4f}, bytes_read = {new.bytes_read:_}}},",
                flush=True,
            )
        return
    for path, blocks in pages(inputs).items():
        if options.write:
            write(path, blocks)
            continue
        for name, block in blocks.items():
            print(f"{path.relative_to(DOCS.parent)}, {name}:\n\n{block}\n")


if __name__ == "__main__":
    main()
