from __future__ import annotations

import pytest
from sluice.errors import WarehouseError
from sluice.warehouses.client_errors import client_errors, file_errors


class ClientError(Exception):
    pass


class BusyError(WarehouseError):
    pass


NO_ROUTE = ClientError("\n no route\nto host")
LOGIN_FAILED = ClientError("login with s3cret failed")


def test_client_error_becomes_one_line_with_its_cause() -> None:
    with pytest.raises(WarehouseError) as error, client_errors("db://host", "an answer", (ClientError,)):
        raise NO_ROUTE
    assert str(error.value) == "db://host: expected an answer: no route"
    assert isinstance(error.value.__cause__, ClientError)


def test_client_error_without_text_is_named_by_its_type() -> None:
    with pytest.raises(WarehouseError) as error, client_errors("db://host", "an answer", (ClientError,)):
        raise ClientError
    assert str(error.value) == "db://host: expected an answer: ClientError"


def test_secrets_are_redacted_and_the_cause_is_cut_off() -> None:
    with (
        pytest.raises(WarehouseError) as error,
        client_errors("db://host", "an answer", (ClientError,), secrets=["s3cret", ""]),
    ):
        raise LOGIN_FAILED
    assert str(error.value) == "db://host: expected an answer: login with *** failed"
    assert error.value.__cause__ is None
    assert error.value.__suppress_context__


def test_error_type_is_chosen_by_the_client_error() -> None:
    with (
        pytest.raises(BusyError),
        client_errors("db://host", "an answer", (ClientError,), error_type=lambda _: BusyError),
    ):
        raise ClientError


def test_other_errors_are_raised_as_they_are() -> None:
    with pytest.raises(KeyError), client_errors("db://host", "an answer", (ClientError,)):
        raise KeyError


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (FileNotFoundError(2, "No such file", "/data/x"), "/data/x: expected {}: No such file"),
        (OSError("broken pipe"), "/data/w.db: expected {}: broken pipe"),
    ],
)
def test_file_error_names_its_file_or_the_warehouse(error: OSError, message: str) -> None:
    with pytest.raises(WarehouseError) as raised, file_errors("/data/w.db"):
        raise error
    assert str(raised.value) == message.format("to read or write the warehouse")
