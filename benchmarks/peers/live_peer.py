"""Runs one stream processor: `… live_peer NAME run|tally BROKER TOPIC RECORDS FLUSH_SECONDS OUT`."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path


def main() -> None:
    """Do what the command line asks."""
    name, verb, broker, topic, records, flush, out = sys.argv[1:]
    module = importlib.import_module(f"benchmarks.peers.{name}")
    if verb == "run":
        module.run(broker, topic, int(records), float(flush), Path(out))
    else:
        print(json.dumps(module.tally(Path(out))))


if __name__ == "__main__":
    main()
