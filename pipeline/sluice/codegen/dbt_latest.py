"""Contracts with keys -> dbt models `<type>_latest`: of each key the latest event, in whatever minute it happened.

The event log keeps a key once in each minute, or with `onConflict: keep_both` once with each content. What a reader
usually wants is the latest state.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import yaml

from sluice.arrow.schema import table_columns
from sluice.codegen.dbt import Dumper, column_aliases, model_name, word
from sluice.contracts import INGESTED_AT_COLUMN, ITEM, Contract

_MODEL = """\
with events as (

    select
        {{{{ {macro} }}}}
    from {{{{ source('{domain}', '{table}') }}}}
    where {{{{ loaded_before_run('{domain}', '{time}') }}}}

),

segments as (

    select
        segment_id,
        path
    from {{{{ source('{domain}', '_segments') }}}}
    where {{{{ any_partition('minute') }}}}

),

ranked as (

    select
        events.*,
        row_number() over (
            partition by {keys}
            order by {order}
        ) as _recency
    from events
    left join segments
        on events._segment_id = segments.segment_id

)

select
    {columns}
from ranked
where _recency = 1
"""


def has_latest(contract: Contract) -> bool:
    """Tell whether events of `contract` have a key, so that one of a key can be the latest."""
    return contract.identity == "properties"


def latest_name(contract: Contract) -> str:
    """Return the name of the model."""
    return f"{word(contract.event_type)}_latest"


def latest_sql(domain: str, contract: Contract) -> str:
    """Return the model of `contract`.

    Of events with one key the latest event time wins, then the segment that was written last, then the line that is
    last in it. None of these changes when the warehouse is rebuilt from the event log.
    """
    time = contract.event_time or INGESTED_AT_COLUMN
    # Without an event time the folder of the segment, which begins with its time, decides.
    aliases = column_aliases(table_columns(contract))
    order = [f"events.{aliases[(time,)]} desc"] if contract.event_time is not None else []
    order += ["length(segments.path) desc", "segments.path desc", "events._ingested_at desc"]
    columns = ",\n    ".join(f"ranked.{alias}" for alias in _columns(contract))
    return _MODEL.format(
        domain=domain,
        table=contract.table,
        macro=f"{model_name(domain, contract)}_columns()",
        time=time,
        keys=", ".join(f"events.{key}" for key in _keys(contract)),
        order=", ".join(order),
        columns=columns,
    )


def latest_yaml(domain: str, contracts: Iterable[Contract]) -> str:
    """Return the descriptions and tests of the models of `contracts`."""
    models = [_model(domain, contract) for contract in contracts]
    return yaml.dump({"models": models}, Dumper=Dumper, sort_keys=False, allow_unicode=True, width=110)


def _model(domain: str, contract: Contract) -> dict[str, Any]:
    keys = _keys(contract)
    return {
        "name": latest_name(contract),
        "description": f"The latest event of each {', '.join(keys)}, by event time.",
        "data_tests": [{"unique_together": {"arguments": {"columns": keys}}}],
        "columns": [
            {
                "name": alias,
                "description": f"{{{{ doc('{model_name(domain, contract)}__{alias}') }}}}",
            }
            for alias in _columns(contract)
        ],
    }


def _columns(contract: Contract) -> list[str]:
    aliases = column_aliases(table_columns(contract))
    return [alias for path, alias in aliases.items() if ITEM not in path]


def _keys(contract: Contract) -> list[str]:
    aliases = column_aliases(table_columns(contract))
    return [aliases[(prop.name,)] for prop in contract.properties if prop.unique]
