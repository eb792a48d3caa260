"""The key of the hashes that mask values: from the environment, or from Secret Manager.

Secret Manager is for workers on other machines, which do not have the environment of the launcher. Every process that
decodes records reads the key itself, so that the key is never sent to workers.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable

from sluice.contracts import Contract
from sluice.errors import ConfigError
from sluice.validation.masking import is_masked

KEY_VARIABLE = "SLUICE_PRIVACY_KEY"
"""Environment variable with the key, unless the job's `privacy_key` names a secret."""

MIN_KEY_BYTES = 16

_SECRET = re.compile(r"(projects/[^/]+/secrets/[\w-]{1,255})(/versions/[\w-]+)?")
_TIMEOUT_SECONDS = 60.0


def read_privacy_key(contracts: Iterable[Contract], secret: str | None = None) -> bytes | None:
    """Return the key if `contracts` mask a property, else None.

    `secret` is `projects/P/secrets/S` for the latest version, or `projects/P/secrets/S/versions/V`. Without it the key
    is in the environment variable SLUICE_PRIVACY_KEY. A line end after the key is not part of the key.

    Raises:
        ConfigError: the key is missing, cannot be read, or is shorter than MIN_KEY_BYTES.

    """
    if not is_masked(contracts):
        return None
    if secret is None:
        place, hint = "in this environment variable, ", "; set it"
        key = os.environ.get(KEY_VARIABLE, "").encode()
    else:
        place, hint = "", ""
        key = _from_secret_manager(secret)
    key = key.rstrip(b"\r\n")
    if len(key) < MIN_KEY_BYTES:
        got = "nothing" if not key else f"{len(key)} bytes"
        message = (
            f"{secret or KEY_VARIABLE}: expected the key that masks properties of the contracts, "
            f"at least {MIN_KEY_BYTES} bytes, {place}got {got}{hint}"
        )
        raise ConfigError(message)
    return key


def _from_secret_manager(secret: str) -> bytes:
    match = _SECRET.fullmatch(secret)
    if match is None:
        message = f"privacy_key: expected projects/PROJECT/secrets/NAME, or one with /versions/VERSION, got {secret!r}"
        raise ConfigError(message)
    version = match[1] + (match[2] or "/versions/latest")
    try:
        from google.api_core.exceptions import GoogleAPICallError, RetryError
        from google.auth.exceptions import GoogleAuthError
        from google.cloud.secretmanager import SecretManagerServiceClient
    except ImportError as error:
        message = f"privacy_key: {secret}: its client is not installed: pip install 'sluice-beam[gcp]'"
        raise ConfigError(message) from error
    try:
        response = SecretManagerServiceClient().access_secret_version(name=version, timeout=_TIMEOUT_SECONDS)
    except (GoogleAPICallError, RetryError, GoogleAuthError) as error:
        reason = str(error).splitlines()[0]
        message = f"{version}: expected the key that masks properties of the contracts, got {reason}"
        raise ConfigError(message) from error
    return bytes(response.payload.data)
