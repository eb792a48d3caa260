"""usage: guard.py SECONDS COMMAND…: runs a command, and ends it after so many seconds at the latest."""

import subprocess
import sys

if __name__ == "__main__":
    with_limit = float(sys.argv[1])
    subprocess.run(sys.argv[2:], timeout=with_limit, check=False)
