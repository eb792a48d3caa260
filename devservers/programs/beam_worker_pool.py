"""Beam's pool of Python workers, for several TaskManagers of one machine.

TaskManagers number their workers alike. A TaskManager that stops its worker would therefore end the worker of another
one. This pool ends none: a worker ends by itself when its TaskManager closes the connection.
"""

import sys
from typing import Any

from apache_beam.portability.api import beam_fn_api_pb2
from apache_beam.runners.worker import worker_pool_main


class WorkerPool(worker_pool_main.BeamFnExternalWorkerPoolServicer):
    """A pool that ignores requests to stop a worker."""

    def StopWorker(self, request: Any, context: Any) -> Any:
        """Do nothing."""
        return beam_fn_api_pb2.StopWorkerResponse()


if __name__ == "__main__":
    worker_pool_main.BeamFnExternalWorkerPoolServicer = WorkerPool
    worker_pool_main.main(sys.argv[1:])
