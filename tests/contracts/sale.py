"""A contract as YAML, with a property of every type, for tests of reading."""

from __future__ import annotations

from pathlib import Path

HEAD = """\
apiVersion: v3.2.0
kind: DataContract
id: shop-sale
version: 2.1.0
domain: shop
customProperties:
  - {property: consumers, value: [finance]}
schema:
  - name: sale
    physicalName: sales
    description: Something was sold.
    customProperties:
      - {property: eventTime, value: at}
      - {property: identity, value: properties}
      - {property: clusterBy, value: [shop, id]}
    properties:
"""
PROPERTIES = """\
      - {name: id, logicalType: string, logicalTypeOptions: {format: uuid}, required: true, unique: true}
      - {name: at, logicalType: timestamp, required: true, description: " When. "}
      - {name: shop, logicalType: string, logicalTypeOptions: {minLength: 1, maxLength: 9, pattern: "^[a-z]+"}}
      - {name: count, logicalType: integer, logicalTypeOptions: {minimum: 1, maximum: 9}}
      - {name: price, logicalType: number, physicalType: "decimal(38, 9)"}
      - {name: weight, logicalType: number, logicalTypeOptions: {minimum: 0.5}}
      - {name: paid, logicalType: boolean, classification: restricted}
      - {name: due, logicalType: date}
      - {name: kind, logicalType: string, enum: [{value: a}, {value: b}]}
      - {name: level, logicalType: integer, enum: [{value: 1}, {value: 2}]}
      - {name: extra, logicalType: object}
      - {name: buyer, logicalType: object, properties: [{name: id, logicalType: string}]}
      - {name: tags, logicalType: array, logicalTypeOptions: {maxItems: 3}, items: {logicalType: string}}
      - {name: product, logicalType: string, relationships: [{to: products.id}]}
"""
YAML = HEAD + PROPERTIES

P = "schema[0].properties"
C = "schema[0].customProperties"


def write(path: Path, text: str, name: str = "sale.odcs.yaml") -> str:
    file = path / name
    file.write_text(text, encoding="utf-8")
    return str(file)
