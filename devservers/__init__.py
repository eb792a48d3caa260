"""Brokers, emulators and databases for tests, demos and benchmarks: one module a server.

Each module has a context manager `start(…)` that starts its server on a free loopback port, waits until it answers,
and yields an object with its address. When the block ends, the processes that it started end, and no others; should
the caller be killed, they end by themselves after `process.LIFETIME`. A server whose program is not installed raises
`MissingTool`.

This package is not part of the wheel.
"""
