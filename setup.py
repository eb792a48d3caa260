"""Beam stages the package on remote workers through this file; the metadata is in pyproject.toml."""

from setuptools import setup

setup()
