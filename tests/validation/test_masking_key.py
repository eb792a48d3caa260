from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

import grpc
import pytest
from google.auth.exceptions import DefaultCredentialsError
from google.cloud import secretmanager
from google.cloud.secretmanager_v1.services.secret_manager_service.transports import (
    SecretManagerServiceGrpcTransport,
)
from google.cloud.secretmanager_v1.types import AccessSecretVersionRequest, AccessSecretVersionResponse
from sluice.contracts import Contract, Property
from sluice.errors import ConfigError
from sluice.validation.masking_key import read_privacy_key

KEY = b"a key that nobody must ever see"
SECRET = "projects/shop-prod-1/secrets/sluice-privacy-key"
SIGNUP = Contract(
    event_type="signup",
    table="signups",
    id="signup",
    version="1.0.0",
    domain="test",
    description="",
    properties=(
        Property("at", "timestamp", required=True),
        Property("email", "string", required=True, mask="hash"),
    ),
    event_time="at",
    identity="properties",
)


def test_contracts_without_masks_need_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SLUICE_PRIVACY_KEY", raising=False)
    plain = replace(SIGNUP, properties=tuple(replace(prop, mask=None) for prop in SIGNUP.properties))
    assert read_privacy_key([plain], SECRET) is None


def test_missing_or_short_key_is_a_config_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SLUICE_PRIVACY_KEY", raising=False)
    wanted = (
        "SLUICE_PRIVACY_KEY: expected the key that masks properties of the contracts, "
        "at least 16 bytes, in this environment variable, got "
    )
    with pytest.raises(ConfigError) as missing:
        read_privacy_key([SIGNUP])
    assert str(missing.value) == f"{wanted}nothing; set it"
    monkeypatch.setenv("SLUICE_PRIVACY_KEY", "short")
    with pytest.raises(ConfigError) as short:
        read_privacy_key([SIGNUP])
    assert str(short.value) == f"{wanted}5 bytes; set it"
    monkeypatch.setenv("SLUICE_PRIVACY_KEY", KEY.decode())
    assert read_privacy_key([SIGNUP]) == KEY


@dataclass
class SecretManager:
    """The one method of the service that is called, on a real gRPC server."""

    secrets: dict[str, bytes] = field(default_factory=dict)

    def access(self, asked: AccessSecretVersionRequest, context: grpc.ServicerContext) -> object:
        if asked.name not in self.secrets:
            context.abort(grpc.StatusCode.NOT_FOUND, f"Secret Version [{asked.name}] not found.")
        return AccessSecretVersionResponse(name=asked.name, payload={"data": self.secrets[asked.name]})


@pytest.fixture
def manager(monkeypatch: pytest.MonkeyPatch) -> Iterator[SecretManager]:
    service = SecretManager()
    method = grpc.unary_unary_rpc_method_handler(
        service.access, AccessSecretVersionRequest.deserialize, AccessSecretVersionResponse.serialize
    )
    server = grpc.server(ThreadPoolExecutor(1))
    server.add_generic_rpc_handlers(
        [
            grpc.method_handlers_generic_handler(
                "google.cloud.secretmanager.v1.SecretManagerService", {"AccessSecretVersion": method}
            )
        ]
    )
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    client = secretmanager.SecretManagerServiceClient
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        monkeypatch.setattr(
            secretmanager,
            "SecretManagerServiceClient",
            lambda: client(transport=SecretManagerServiceGrpcTransport(channel=channel)),
        )
        yield service
    server.stop(None).wait()


@pytest.mark.parametrize(
    ("secret", "version"),
    [(SECRET, f"{SECRET}/versions/latest"), (f"{SECRET}/versions/3", f"{SECRET}/versions/3")],
)
def test_key_is_read_from_secret_manager(manager: SecretManager, secret: str, version: str) -> None:
    manager.secrets[version] = KEY + b"\n"
    assert read_privacy_key([SIGNUP], secret) == KEY


@pytest.mark.parametrize(
    ("secret", "message"),
    [
        (
            "sluice-privacy-key",
            "privacy_key: expected projects/PROJECT/secrets/NAME, or one with /versions/VERSION, "
            "got 'sluice-privacy-key'",
        ),
        (
            SECRET,
            f"{SECRET}/versions/latest: expected the key that masks properties of the contracts, "
            f"got 404 Secret Version [{SECRET}/versions/latest] not found.",
        ),
        (
            f"{SECRET}/versions/1",
            f"{SECRET}/versions/1: expected the key that masks properties of the contracts, "
            "at least 16 bytes, got 5 bytes",
        ),
    ],
)
def test_secret_without_a_valid_key_is_a_config_error(
    manager: SecretManager, secret: str, message: str
) -> None:
    manager.secrets[f"{SECRET}/versions/1"] = b"short"
    with pytest.raises(ConfigError, match=f"(?m)^{re.escape(message)}$"):
        read_privacy_key([SIGNUP], secret)


def test_missing_google_credentials_are_a_config_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_credentials(*_: object, **__: object) -> None:
        message = "Your default credentials were not found."
        raise DefaultCredentialsError(message)  # type: ignore[no-untyped-call]  # the client has no types

    monkeypatch.setattr("google.auth.default", no_credentials)
    with pytest.raises(ConfigError, match=f"^{SECRET}/versions/latest: .*, got Your default credentials"):
        read_privacy_key([SIGNUP], SECRET)
