"""Conventions of well-known APIs are recognised, and each of their pages is read once, whatever is on the last one."""

from __future__ import annotations

import pytest

from tests.sources.http_api.api_fixture import read, serve, users
from tests.sources.http_api.conventions_fixture import Convention, events
from tests.sources.http_api.cursor_conventions_fixture import CURSOR_CONVENTIONS
from tests.sources.http_api.link_conventions_fixture import LINK_CONVENTIONS
from tests.sources.http_api.number_conventions_fixture import NUMBER_CONVENTIONS

CONVENTIONS = [*LINK_CONVENTIONS, *CURSOR_CONVENTIONS, *NUMBER_CONVENTIONS]


@pytest.mark.parametrize("number", [0, 7, 20, 25])
@pytest.mark.parametrize("convention", CONVENTIONS, ids=lambda convention: convention.name)
def test_convention_is_read_to_its_last_page(convention: Convention, number: int) -> None:
    records = events(number)
    with serve(convention.respond(records)) as server:
        server.url = server.url.removesuffix("/logs") + convention.path
        assert users(read(server.url + convention.query)) == [record["user_id"] for record in records]
    targets = [request.target for request in server.requests]
    assert len(set(targets)) == len(targets)
