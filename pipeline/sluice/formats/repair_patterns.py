"""The patterns of the grammar of repair: a member, an item, and runs of members that are written in one way.

Repeats are possessive: nothing is tried twice at one place, so that a match takes time in proportion to the text that
it reads.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

_END = r"(?=[\s,;|&}\])]|\Z)"
_JSON_STRING = r'"[^"\\\x00-\x1f]*+(?>(?:\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})[^"\\\x00-\x1f]*+)*)"'
_JSON_WORD = rf"(?:-?(?:0|[1-9]\d*+)(?:\.\d++)?(?:[eE][+-]?\d++)?|true|false|null){_END}"
_JSON_SCALAR = rf"{_JSON_STRING}|{_JSON_WORD}"
_RAW_STRING = r'"[^"\\]*+(?>(?:\\.[^"\\]*+)*)"'
_CURLY = r"[\u2018\u2019][^\u2018\u2019]*+[\u2018\u2019]|[\u201c\u201d][^\u201c\u201d]*+[\u201c\u201d]"
_SINGLE = rf"'[^'\\]*+(?>(?:\\.[^'\\]*+)*)'|{_CURLY}"
_TIME = r"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?(?:Z|[+-]\d\d:?\d\d)?)?"
KEY = r"[A-Za-z_@$][\w.@$-]*+"
_LITERAL = "True|False|None|NaN|nan|undefined"
_NOT_BARE = r"""\s,;|&"'{}\[\]()=\u2018\u2019\u201c\u201d"""
"""Characters that a value without quotes cannot contain."""

match_member = re.compile(
    rf"""
    (?P<gap>[\s,;|&]*+)
    (?: (?P<key>{_JSON_STRING}) | (?P<single_key>{_SINGLE}) | (?P<bare_key>{KEY}) )
    \s*+ (?P<sign>[:=]) \s*+
    (?: (?P<json>{_JSON_SCALAR})
      | (?P<open>[{{\[])
      | (?P<raw>{_RAW_STRING})
      | (?P<single>{_SINGLE})
      | (?P<time>{_TIME}){_END}
      | (?P<literal>{_LITERAL}){_END}
      | (?P<bare>[^{_NOT_BARE}]++){_END}
    )
    """,
    re.VERBOSE | re.ASCII,
).match
match_item = re.compile(
    rf"""
    (?P<gap>[\s,]*+)
    (?: (?P<json>{_JSON_SCALAR})
      | (?P<open>[{{\[])
      | (?P<raw>{_RAW_STRING})
      | (?P<single>{_SINGLE})
      | (?P<literal>{_LITERAL}){_END}
      | (?P<bare>[^{_NOT_BARE}:]++){_END}
    )
    """,
    re.VERBOSE | re.ASCII,
).match
match_unfinished = re.compile(
    r"""\s*+,?\s*+(?:"[^"]*+(?:"\s*+(?::\s*+(?:"[^"]*+)?)?)?|'[^']*+(?:'\s*+(?::\s*+(?:'[^']*+)?)?)?|[\w.-]*+\s*+:?\s*+["']?[^"'{}\[\]=:]*+)\Z"""
).match
"""The end of a line that was cut off: a member, or an item, that has no end."""

_PLAIN_KEY = r'"([^"\\\x00-\x1f]*+)"\s*+:\s*+'
_PAIR = rf"{KEY}=(?!(?:{_LITERAL}){_END})[^{_NOT_BARE}]++"
match_pairs = re.compile(rf"{_PAIR}(?>(?:(?:\s++|\s*+[,;|&]\s*+){_PAIR})*)\s*+\Z", re.ASCII).match
"""The rest of a line that is key=value throughout."""
find_pairs = re.compile(rf"({KEY})=([^{_NOT_BARE}]++)", re.ASCII).findall
match_json_word = re.compile(_JSON_WORD, re.ASCII).fullmatch


class _Run(NamedTuple):
    """One way to write members; a run of members that are all written so is read at once."""

    quote: str
    """The quotes around keys; a text without any has no such run."""
    rule: str | None
    """The rule that members other than the first need."""
    match_first: Callable[[str, int], re.Match[str] | None]
    match_more: Callable[[str, int], re.Match[str] | None]
    find: Callable[[str, int, int], list[tuple[str, str]]]
    """Returns key and value of each member in a part of the text that was matched."""


def _run(member: str, gap: str, rule: str | None = None) -> _Run:
    return _Run(
        member[0],
        rule,
        re.compile(rf"\s*+{member}(?>(?:{gap}{member})*)", re.ASCII).match,
        re.compile(rf"(?>(?:{gap}{member})+)", re.ASCII).match,
        re.compile(member, re.ASCII).findall,
    )


_JSON_MEMBER = rf"{_PLAIN_KEY}({_JSON_SCALAR})"
_SINGLE_MEMBER = r"'([^'\\]*+)'\s*+:\s*+'([^'\\]*+)'"
RUNS = (
    _run(_JSON_MEMBER, r"\s*+,\s*+"),
    _run(_JSON_MEMBER, r"\s++", "missing_commas"),
    _run(_SINGLE_MEMBER, r"\s*+,\s*+", "single_quotes"),
)

match_cut_member = re.compile(r',\s*+"[^"\\]*+(?:"\s*+(?::\s*+(?:"[^"\\]*+)?)?)?\Z').match
"""The end of a line that was cut off in a member in double quotes."""
match_separators = re.compile(r"[\s,;]*+").match
match_quoted_key = re.compile(r"""\s*+(?:"[^"\\]*+"|'[^'\\]*+')\s*+[:=]""").match
search_word = re.compile(r"\w").search
control_character = re.compile(r"[\x00-\x1f]")
unescaped_quote = re.compile(r'(?<!\\)"')
escape = re.compile(r"\\(.)", re.DOTALL)
