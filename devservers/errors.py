"""Why a server is not there."""


class ServerError(Exception):
    """A server was started and did not answer."""


class ConditionTimeout(ServerError):
    """What a caller waits for did not happen in time."""


class MissingTool(ServerError):
    """A program that a server needs is not installed; the message says how to install it."""
