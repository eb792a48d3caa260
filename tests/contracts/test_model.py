from __future__ import annotations

import re
from pathlib import Path

import pytest
from sluice.contracts import Property, load_contract, load_contracts
from sluice.contracts.patterns import python_pattern
from sluice.errors import ContractError

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


def write(path: Path, text: str, name: str = "sale.odcs.yaml") -> str:
    file = path / name
    file.write_text(text, encoding="utf-8")
    return str(file)


def test_every_kind_is_read(tmp_path: Path) -> None:
    path = write(tmp_path, YAML)
    contract = load_contract(path)
    assert contract.properties == (
        Property("id", "uuid", required=True, unique=True),
        Property("at", "timestamp", required=True, description="When."),
        Property("shop", "string", min_length=1, max_length=9, pattern="^[a-z]+"),
        Property("count", "integer", minimum=1, maximum=9),
        Property("price", "decimal"),
        Property("weight", "float", minimum=0.5),
        Property("paid", "boolean", classification="restricted"),
        Property("due", "date"),
        Property("kind", "string", enum=("a", "b")),
        Property("level", "integer", enum=(1, 2)),
        Property("extra", "json"),
        Property("buyer", "object", properties=(Property("id", "string"),)),
        Property("tags", "array", max_length=3, items=Property("item", "string", required=True)),
        Property("product", "string", references="products.id"),
    )
    assert (contract.event_type, contract.table, contract.label) == ("sale", "sales", "shop-sale@2.1.0")
    assert (contract.domain, contract.description) == ("shop", "Something was sold.")
    assert (contract.event_time, contract.identity) == ("at", "properties")
    assert (contract.cluster_by, contract.consumers, contract.path) == (("shop", "id"), ("finance",), path)


P = "schema[0].properties"
C = "schema[0].customProperties"
LOGICAL = "string, integer, number, boolean, timestamp, date, object, array"

MISTAKES = [
    ("logicalType: date", "logicalType: dat", f"{P}[7].logicalType: expected one of {LOGICAL}, got 'dat'"),
    (", logicalType: date", "", f"{P}[7].logicalType: expected one of {LOGICAL}, got nothing"),
    (
        "minLength: 1",
        "minlength: 1",
        f"{P}[2].logicalTypeOptions.minlength: unknown key; expected one of format,"
        " minLength, maxLength, pattern",
    ),
    (
        "format: uuid",
        "format: uuid, maxLength: 9",
        f"{P}[0].logicalTypeOptions.maxLength: unknown key; expected one of format",
    ),
    ("format: uuid", "format: email", f"{P}[0].logicalTypeOptions.format: expected uuid, got 'email'"),
    (
        "name: due, logicalType: date",
        "name: due, logicalType: date, logicalTypeOptions: {format: x}",
        f"{P}[7].logicalTypeOptions.format: unknown key; expected no options for date",
    ),
    (
        "minimum: 1,",
        "minimum: 10,",
        f"{P}[3].logicalTypeOptions: expected the minimum at most the maximum, got 10 and 9",
    ),
    (
        "minLength: 1",
        "minLength: 10",
        f"{P}[2].logicalTypeOptions: expected the minimum at most the maximum, got 10 and 9",
    ),
    (
        "minLength: 1",
        "minLength: -1",
        f"{P}[2].logicalTypeOptions.minLength: expected an integer of at least 0, got -1",
    ),
    (
        "minimum: 1,",
        "minimum: 1.5,",
        f"{P}[3].logicalTypeOptions.minimum: expected an integer of 64 bits, got 1.5",
    ),
    (
        "minimum: 1,",
        "minimum: 9223372036854775808,",
        f"{P}[3].logicalTypeOptions.minimum: expected an integer of 64 bits, got 9223372036854775808",
    ),
    ("minimum: 0.5", "minimum: .inf", f"{P}[5].logicalTypeOptions.minimum: expected a number, got inf"),
    (
        "^[a-z]+",
        "^[a-z+",
        f"{P}[2].logicalTypeOptions.pattern: expected a portable regular expression, got"
        " '^[a-z+': unterminated character set",
    ),
    (
        "decimal(38, 9)",
        "DECIMAL(10,2)",
        f"{P}[4].physicalType: expected one of DECIMAL(38,9), NUMERIC(38,9),"
        " NUMERIC, DOUBLE, FLOAT64, FLOAT, got 'DECIMAL(10,2)'",
    ),
    ("[{value: a}, {value: b}]", "[{value: a}, {value: 1}]", f"{P}[8].enum[1].value: expected string, got 1"),
    (
        "[{value: 1}, {value: 2}]",
        "[{value: 1}, {value: true}]",
        f"{P}[9].enum[1].value: expected integer, got True",
    ),
    (
        "[{value: a}, {value: b}]",
        "[{value: a}, {value: a}]",
        f"{P}[8].enum[1].value: 'a' is listed twice; remove one",
    ),
    ("[{value: a}, {value: b}]", "[]", f"{P}[8].enum: expected at least one value, got none"),
    (
        "paid, logicalType: boolean",
        "paid, logicalType: boolean, enum: [{value: true}]",
        f"{P}[6].enum: expected it on a string or an integer without logicalTypeOptions; remove one of them",
    ),
    (
        "[{value: a}, {value: b}]",
        "[a, b]",
        "schema[0].properties[8].enum[0]: input should be a valid dictionary or"
        " instance of enumvalue, got 'a'",
    ),
    ("name: due", "name: ID", f"{P}[7].name: 'ID' is already used by {P}[0]; rename one"),
    (
        "name: due",
        "name: _due",
        f"{P}[7].name: '_due' begins with an underscore, which is reserved for Sluice; rename it",
    ),
    ("name: due, ", "", f"{P}[7].name: expected a name without quotes and backslashes, got nothing"),
    ("{to: products.id}", "{to: products}", f"{P}[13].relationships: expected one, with `to: table.column`"),
    (
        "items: {logicalType: string}",
        "items: {logicalType: string, required: false}",
        f"{P}[12].items.required: expected true or nothing (arrays hold no nulls), got False",
    ),
    (", items: {logicalType: string}", "", f"{P}[12].items: expected the items of the array"),
    (
        "properties: [{name: id, logicalType: string}]",
        "properties: []",
        f"{P}[11].properties: expected a list of properties, of an object only",
    ),
    (
        "[{name: id, logicalType: string}]",
        "[{name: id, logicalType: string, unique: true}]",
        f"{P}[11].properties[0].unique: expected it on a scalar property of the event itself; remove it",
    ),
    (
        "name: due, ",
        "name: due, customProperties: [{property: color, value: hash}], ",
        f"{P}[7].customProperties[0].property: expected one of aliases, flatten, mask, got 'color'",
    ),
    (
        "name: due, ",
        "name: due, customProperties: [{property: mask, value: hash}], ",
        f"{P}[7].classification: expected restricted beside mask, got nothing",
    ),
    (
        "name: due, ",
        "name: due, classification: restricted, customProperties: [{property: mask, value: rot13}], ",
        f"{P}[7].customProperties.mask: expected one of hash, drop, truncate_ip, got 'rot13'",
    ),
    (
        "name: due, ",
        "name: due, classification: restricted, customProperties: [{property: mask, value: hash}], ",
        f"{P}[7].customProperties.mask: expected drop, got hash, which is for strings; the property is date",
    ),
    (
        "name: id, ",
        "name: id, classification: restricted, customProperties: [{property: mask, value: drop}], ",
        f"{P}[0].customProperties.mask: expected an optional property, as drop leaves nothing of it; "
        "make it optional, or hash it",
    ),
    (
        "name: id, ",
        "name: id, classification: restricted, customProperties: [{property: mask, value: truncate_ip}], ",
        f"{P}[0].customProperties.mask: expected hash, got truncate_ip, which does not tell unique values apart",
    ),
    (
        "name: due, ",
        "name: due, physicalName: due_date, ",
        f"{P}[7].physicalName: expected 'due' or nothing, got 'due_date'",
    ),
    (
        "eventTime, value: at",
        "eventTime, value: due",
        f"{C}.eventTime: expected a required timestamp (at), got 'due'",
    ),
    (
        "timestamp, required: true",
        "timestamp",
        f"{C}.eventTime: expected a required timestamp (no property is one), got 'at'",
    ),
    (
        "value: properties}",
        "value: id}",
        f"{C}.identity: expected one of content, properties, delivery, got 'id'",
    ),
    (
        ", unique: true",
        "",
        f"{C}.identity: expected a property with `unique: true` for identity properties, got none",
    ),
    (
        ", required: true, unique: true",
        ", unique: true",
        f"{C}.identity: expected unique properties to be required, got optional id",
    ),
    (
        "[shop, id]",
        "[shop, tags]",
        f"{C}.clusterBy: expected some of id, at, shop, count, price, paid, due, kind,"
        " level, product, got 'tags'",
    ),
    (
        "[shop, id]",
        "[shop, shop]",
        f"{C}.clusterBy: expected at most 4 different names, got ['shop', 'shop']",
    ),
    (
        "property: clusterBy",
        "property: cluster",
        f"{C}[2].property: expected one of eventTime, identity, countBy, clusterBy, logPartition, "
        "eventTimeDefault, repair, got 'cluster'",
    ),
    (
        "{property: clusterBy, value: [shop, id]}",
        "{property: logPartition, value: week}",
        f"{C}.logPartition: expected one of minute, hour, day, got 'week'",
    ),
    (
        "{property: clusterBy, value: [shop, id]}",
        "{property: eventTimeDefault, value: now}",
        f"{C}.eventTimeDefault: expected one of arrival, got 'now'",
    ),
    (
        "{property: eventTime, value: at}",
        "{property: eventTimeDefault, value: arrival}",
        f"{C}.eventTime: expected the timestamp that `eventTimeDefault` fills, got nothing",
    ),
    (
        "{property: clusterBy, value: [shop, id]}",
        "{property: repair, value: text_around}",
        f"{C}.repair: expected a list of rules, got 'text_around'",
    ),
    (
        "{property: clusterBy, value: [shop, id]}",
        "{property: repair, value: [text_around, text_around]}",
        f"{C}.repair[1]: 'text_around' is listed twice; remove one",
    ),
    (
        "{property: clusterBy, value: [shop, id]}",
        "{property: repair, value: [guess]}",
        f"{C}.repair[0]: expected one of text_around, single_quotes, bare_words, literals, trailing_commas,"
        " missing_commas, missing_braces, cut_off, control_characters, key_value, escaped, or name and pattern of"
        " a rule with another name, got 'guess'",
    ),
    (
        "{property: clusterBy, value: [shop, id]}",
        "{property: repair, value: [{name: own, pattern: '('}]}",
        f"{C}.repair[0].pattern: expected a regular expression, got '(': missing ), unterminated"
        " subpattern at position 0",
    ),
    (
        "{property: clusterBy, value: [shop, id]}",
        "{property: repair, value: [{name: own, pattern: '(?P<color>.)'}]}",
        f"{C}.repair[0].pattern: expected groups, named as some of id, at, shop, count, price, weight, paid, due,"
        " kind, level, extra, buyer, tags, product; got color",
    ),
    (
        "name: due, ",
        "name: due, customProperties: [{property: flatten, value: true}], ",
        f"{P}[7].customProperties.flatten: expected true, on an object of the event itself",
    ),
    (
        "properties: [{name: id, logicalType: string}]",
        "customProperties: [{property: flatten, value: true}], properties: [{name: Id, logicalType: string}]",
        f"{P}[11]: 'Id' cannot be a column: reserved for Sluice, or used by {P}[0]; rename it",
    ),
    (
        "value: [finance]",
        "value: finance",
        "customProperties.consumers: expected a list of names, got 'finance'",
    ),
    (
        "physicalName: sales",
        "physicalName: 1-sales",
        "schema[0].physicalName: expected [A-Za-z][A-Za-z0-9_]*, got '1-sales'",
    ),
    ("name: sale\n", "name: ../sale\n", "schema[0].name: expected [A-Za-z0-9][A-Za-z0-9._-]*, got '../sale'"),
    ("v3.2.0", "v2.0.0", "apiVersion: expected v3.2.0, got 'v2.0.0'"),
    ("DataContract", "Contract", "kind: expected DataContract, got 'Contract'"),
    ("domain: shop\n", "", "domain: expected a text, got nothing"),
    ("id: shop-sale", "id: [a]", "id: input should be a valid string, got ['a']"),
    (
        "id: shop-sale",
        "id: x\nid: y",
        "line 4, column 1: expected YAML, got a mistake: the key 'id' is given twice",
    ),
    (
        "id: shop-sale",
        "id: 'x",
        "line 31, column 1: expected YAML, got a mistake: found unexpected end of stream",
    ),
]


def test_a_flattened_object_becomes_columns(tmp_path: Path) -> None:
    old = "properties: [{name: id, logicalType: string}]"
    new = "properties: [{name: mail, logicalType: string, required: true}]"
    flat = f"customProperties: [{{property: flatten, value: true}}], {new}"
    contract = load_contract(write(tmp_path, YAML.replace(old, flat)))
    nested = Property(
        "buyer", "object", properties=(Property("mail", "string", required=True),), flatten=True
    )
    assert contract.properties[11] == nested
    assert contract.columns[11] == Property("mail", "string")
    assert len(contract.columns) == len(contract.properties)


def test_what_a_contract_says_of_folders_stamps_salvage_and_aliases(tmp_path: Path) -> None:
    own = "{name: own, pattern: '(?P<shop>.)'}"
    said = f"""\
      - {{property: logPartition, value: day}}
      - {{property: eventTimeDefault, value: arrival}}
      - {{property: repair, value: [key_value, {own}]}}
    properties:
"""
    due = "name: due, customProperties: [{property: aliases, value: [until, by]}], "
    text = YAML.replace("    properties:\n", said, 1).replace("name: due, ", due)
    contract = load_contract(write(tmp_path, text))
    assert (contract.log_partition, contract.event_time_from_arrival) == ("day", True)
    assert contract.repair == (("key_value", None), ("own", "(?P<shop>.)"))
    assert contract.properties[7].aliases == ("until", "by")


def test_custom_properties_with_an_earlier_name_are_read_as_what_they_are_called_now(tmp_path: Path) -> None:
    earlier = """\
      - {property: folder, value: hour}
      - {property: stamp, value: arrival}
      - {property: salvage, value: [key_value]}
    properties:
"""
    due = "name: due, classification: restricted, customProperties: [{property: protect, value: drop}], "
    text = YAML.replace("    properties:\n", earlier, 1).replace("name: due, ", due)
    contract = load_contract(write(tmp_path, text))
    assert (contract.log_partition, contract.event_time_from_arrival) == ("hour", True)
    assert contract.repair == (("key_value", None),)
    assert contract.properties[7].mask == "drop"


@pytest.mark.parametrize(("old", "new", "message"), MISTAKES)
def test_mistakes_name_file_key_and_fix(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in YAML
    path = write(tmp_path, YAML.replace(old, new, 1))
    with pytest.raises(ContractError) as raised:
        load_contract(path)
    assert str(raised.value) == f"{path}: {message}"


@pytest.mark.parametrize(
    ("old", "new", "where"),
    [
        ("domain: shop", "domain: shop\nowner: me", "owner"),
        ("name: sale\n", "name: sale\n    table: x\n", "schema[0].table"),
        ("name: due, ", "name: due, nullable: true, ", "schema[0].properties[7].nullable"),
        ("{value: a}", "{valeu: a}", "schema[0].properties[8].enum[0].valeu"),
        ("items: {", "items: {min: 3, ", "schema[0].properties[12].items.min"),
        ("to: products.id", "too: products.id", "schema[0].properties[13].relationships[0].too"),
        ("domain: shop", "domain: shop\nteam: {nam: x}", "team.nam"),
    ],
)
def test_unknown_keys_fail_at_any_depth(tmp_path: Path, old: str, new: str, where: str) -> None:
    path = write(tmp_path, YAML.replace(old, new, 1))
    with pytest.raises(
        ContractError, match=f"^{re.escape(f'{path}: {where}: unknown key; expected one of ')}"
    ):
        load_contract(path)


def test_a_folder_is_read_in_the_order_of_its_files(tmp_path: Path) -> None:
    write(tmp_path, YAML, "b.odcs.yaml")
    write(tmp_path, YAML.replace("name: sale\n", "name: refund\n").replace("sales", "refunds"), "a.odcs.yaml")
    write(tmp_path, "no contract", "other.yaml")
    (tmp_path / "deeper").mkdir()
    write(tmp_path / "deeper", "no contract", "c.odcs.yaml")
    assert list(load_contracts(str(tmp_path))) == ["refund", "sale"]
    assert list(load_contracts(str(tmp_path / "a.odcs.yaml"))) == ["refund"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (YAML, "schema[0].name: 'sale' is already used by {a}: schema[0]; rename one"),
        (
            YAML.replace("name: sale\n", "name: refund\n"),
            "schema[0].physicalName: 'sales' is already used by {a}: schema[0]; rename one",
        ),
    ],
)
def test_event_types_and_tables_are_unique(tmp_path: Path, text: str, message: str) -> None:
    first, second = write(tmp_path, YAML, "a.odcs.yaml"), write(tmp_path, text, "b.odcs.yaml")
    with pytest.raises(ContractError) as raised:
        load_contracts(str(tmp_path))
    assert str(raised.value) == f"{second}: {message.format(a=first)}"


def test_nothing_to_read(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match="expected a folder of contracts named"):
        load_contracts(str(tmp_path))
    with pytest.raises(ContractError, match=r"x\.yaml: expected a contract, got: No such file or directory$"):
        load_contracts(str(tmp_path / "x.yaml"))
    with pytest.raises(ContractError, match=r"expected a data contract \(ODCS v3.2.0\), got 'text'$"):
        load_contract(write(tmp_path, "text"))
    with pytest.raises(ContractError, match="schema: expected a list with an event type, got nothing$"):
        load_contract(write(tmp_path, HEAD[: HEAD.index("schema:")]))
    with pytest.raises(ContractError, match="expected YAML in UTF-8, got a mistake: "):
        (tmp_path / "latin.odcs.yaml").write_bytes(b"id: \xff")
        load_contracts(str(tmp_path / "latin.odcs.yaml"))


@pytest.mark.parametrize(
    ("pattern", "text", "matches"),
    [
        ("^a$", "a", True),
        ("^a$", "a\n", False),
        ("b", "abc", True),
        (r"^\d$", "\u0661", False),
        (r"^\w$", "é", False),
        ("^.$", "\u2028", False),
        ("^.$", "\U0001f600", True),
        (r"^[$.\]]+$", "$.]", True),
        (r"^(?:a|b){1,2}?\/$", "ab/", True),
        (r"^\u0061\x62$", "ab", True),
    ],
)
def test_patterns_mean_what_ecmascript_means(pattern: str, text: str, matches: bool) -> None:
    assert (re.search(python_pattern(pattern), text) is not None) is matches


@pytest.mark.parametrize(
    "pattern",
    [
        "(?i)a",
        "(?=a)",
        r"(a)\1",
        r"\s",
        r"\ba",
        r"a\Z",
        r"\p{L}",
        "a++",
        "a{1}+",
        "[[a]",
        "[]a]",
        "[a&&b]",
        "a{,2}",
        "a]",
        "(a",
        r"\ud800",
        "a\\",
        "a**",
    ],
)
def test_unportable_patterns_are_refused(pattern: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        python_pattern(pattern)
