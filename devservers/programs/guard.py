"""usage: guard.py SECONDS COMMAND…: runs a command, and kills it after so many seconds; exits with its code."""

import subprocess
import sys

if __name__ == "__main__":
    seconds, command = float(sys.argv[1]), sys.argv[2:]
    sys.exit(subprocess.run(command, timeout=seconds, check=False).returncode)
