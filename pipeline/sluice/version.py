"""The version of Sluice: what `sluice --version`, `sluice.__version__`, the distribution and reports say."""

from __future__ import annotations

VERSION = "0.1.0"
