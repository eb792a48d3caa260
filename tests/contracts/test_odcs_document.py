"""The keys that Sluice reads are those of the standard."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
import pytest
from open_data_contract_standard import model
from pydantic import BaseModel
from sluice.contracts import odcs_document

PAIRS: Mapping[type[msgspec.Struct], type[BaseModel]] = {
    odcs_document.CustomProperty: model.CustomProperty,
    odcs_document.Description: model.Description,
    odcs_document.Relationship: model.Relationship,
    odcs_document.EnumValue: model.EnumValue,
    odcs_document.MapDefinition: model.MapDefinition,
    odcs_document.SchemaProperty: model.SchemaProperty,
    odcs_document.SchemaObject: model.SchemaObject,
    odcs_document.DataContract: model.OpenDataContractStandard,
}
"""Object of Sluice -> that of the standard's own package."""


@pytest.mark.parametrize("ours", PAIRS, ids=lambda ours: ours.__name__)
def test_object_has_the_keys_of_the_standard(ours: type[msgspec.Struct]) -> None:
    keys = [field.encode_name for field in msgspec.structs.fields(ours)]
    assert keys == [field.alias or name for name, field in PAIRS[ours].model_fields.items()]
