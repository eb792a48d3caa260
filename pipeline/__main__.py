"""`python -m pipeline` is `sluice`."""

import sys

from pipeline.cli import main

sys.exit(main())
