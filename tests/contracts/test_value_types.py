"""Tables by value type are complete."""

from __future__ import annotations

import pytest
from sluice.contracts import LEAF_TYPES, SCALAR_TYPES, VALUE_TYPES, by_type


def test_table_with_an_entry_for_each_type_is_returned_as_it_is() -> None:
    table = dict.fromkeys(VALUE_TYPES, 1)
    assert by_type(table) is table


def test_table_without_an_entry_for_a_type_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^expected an entry for each type, got none for \['decimal'\] and"):
        by_type(dict.fromkeys(SCALAR_TYPES - {"decimal"}, 1), SCALAR_TYPES)


def test_table_with_an_entry_too_many_is_refused() -> None:
    with pytest.raises(ValueError, match=r"got none for \[\] and unexpected ones for \['array'\]$"):
        by_type({**dict.fromkeys(LEAF_TYPES, 1), "array": 1}, LEAF_TYPES)
