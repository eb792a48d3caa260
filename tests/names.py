"""Names that properties of a contract can have, though they are hard to quote in one language or another."""

from __future__ import annotations

ALLOWED_NAMES = (
    *(
        "ok?",
        "?",
        "??",
        "a.b",
        "it's",
        "`tick`",
        "50%",
        "%s",
        "%(x)s",
        "$1",
        "$",
        ":x",
        "{x}",
        "{{ x }}",
        "{% x %}",
    ),
    *(
        "a;b",
        "--",
        "/*",
        "a/b",
        ".",
        "..",
        "/",
        "a b",
        " a",
        "a ",
        "1st",
        "*",
        "#",
        "@",
        "a:b",
        "a,b",
        "a=b",
        "a-b",
    ),
    *("a[]b", "[0]", "(a)", "<b>", "&amp;", "select", "order", "user", "true", "null", "default", "column"),
    *("table.column", "timestamp", "rowid", "oid", "ctid", "filename", "METADATA$FILENAME", "c0", "x_id"),
    *("žluť", "名前", "مرحبا", "👩\u200d💻", "می\u200cخواهم", "é", "e\u0301x", "ß", "İ", "ı", "ſ"),
    *("x" * 63, "x" * 64, "é" * 32, "y" * 127, "z" * 255, "w" * 300, "v" * 1000),
)
"""No two of them fold to the same name."""


WORDS_OF_SCHEMAS = (
    *("$ref", "$id", "$schema", "$defs", "properties", "required", "const", "enum", "items", "allOf", "not"),
    *(
        "__proto__",
        "constructor",
        "record",
        "name",
        "fields",
        "string",
        "namespace",
        "pk",
        "FK",
        "Uk",
        "erDiagram",
    ),
    *(
        "0",
        "2024",
        "-",
        "-1",
        "_x",
        "__typename",
        "class",
        "None",
        "self",
        "end",
        "subgraph",
        "%%",
        "x]",
        "tags[]",
    ),
)
"""Names with a meaning in JSON Schema, JavaScript, Avro, Python or Mermaid."""
