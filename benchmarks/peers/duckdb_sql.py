"""A hand-written DuckDB script with the same duties, on two threads: what an expert would write once.

Each line is parsed once, into text; validation looks at that text, so that a number in quotes is distinguished from a
number. Only lines that fail are looked at again, property by property, for all their reasons.
"""

from __future__ import annotations

import re
from pathlib import Path

import duckdb

from benchmarks.measurement.outcome import (
    TABLES,
    Outcome,
    dead_letters_outcome,
    files_outcome,
    main,
    windows_outcome,
)

UUID = "'[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}'"
MONEY = r"'-?(0|[1-9]\d{0,28})(\.\d{1,9})?'"
WHOLE = r"'-?(0|[1-9]\d{0,18})'"
TIME = r"'\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:?\d\d)?'"
STATUS = "'pending', 'processing', 'shipped', 'delivered'"
REASON = "'restock', 'sale', 'return', 'damage'"
ACTIVITY = "'login', 'logout', 'view_product', 'add_to_cart', 'remove_from_cart'"
PLATFORM = "'web', 'mobile', 'tablet'"

SHAPE = """{"event_type": "VARCHAR", "order_id": "VARCHAR", "customer_id": "VARCHAR", "order_date": "VARCHAR",
"status": "VARCHAR",
"items": [{"product_id": "VARCHAR", "product_name": "JSON", "quantity": "JSON", "price": "JSON"}],
"shipping_address": {"street": "JSON", "city": "JSON", "country": "JSON"}, "total_amount": "JSON",
"inventory_id": "VARCHAR", "product_id": "VARCHAR", "warehouse_id": "VARCHAR", "quantity_change": "JSON",
"reason": "VARCHAR", "timestamp": "VARCHAR", "user_id": "VARCHAR", "activity_type": "VARCHAR",
"ip_address": "JSON", "user_agent": "JSON", "metadata": {"session_id": "VARCHAR", "platform": "VARCHAR"}}"""

SETTINGS = """
set threads = 2;
set TimeZone = 'UTC';
-- memory given back and asked for again costs a tenth of the run, so keep it
set allocator_flush_threshold = '4GB';
set allocator_bulk_deallocation_flush_threshold = '8GB';
"""

VALIDATE = rf"""
create temp table raw as select line from read_csv($source, columns = {{'line': 'VARCHAR'}},
  delim = '\x01', quote = '', escape = '', header = false, auto_detect = false, max_line_size = 20000000);

-- from here on order does not matter: the line's number says where it stood
set preserve_insertion_order = false;

create temp table parsed as
with one as (
  select rowid as number, line, json_transform(line, '{SHAPE}') as e from raw where json_valid(line)),
timed as (
  select *, coalesce(e.order_date, e.timestamp) as moment, case e.event_type
    when 'order' then
      regexp_full_match(e.order_id, {UUID}) and regexp_full_match(e.customer_id, {UUID})
      and e.status in ({STATUS}) and regexp_full_match(e.total_amount, {MONEY}) and e.order_date is not null
      and starts_with(e.shipping_address.street, '"') and starts_with(e.shipping_address.city, '"')
      and starts_with(e.shipping_address.country, '"')
      and json_type(line, '$.items') = 'ARRAY'
      and coalesce(list_bool_and([coalesce(regexp_full_match(x.product_id, {UUID})
        and starts_with(x.product_name, '"') and regexp_full_match(x.quantity, {WHOLE})
        and regexp_full_match(x.price, {MONEY}), false) for x in e.items]), true)
    when 'inventory' then
      regexp_full_match(e.inventory_id, {UUID}) and regexp_full_match(e.product_id, {UUID})
      and regexp_full_match(e.warehouse_id, {UUID}) and regexp_full_match(e.quantity_change, {WHOLE})
      and try_cast(e.quantity_change as bigint) between -100 and 100 and e.reason in ({REASON})
      and e.timestamp is not null
    when 'user_activity' then
      regexp_full_match(e.user_id, {UUID}) and e.activity_type in ({ACTIVITY}) and e.timestamp is not null
      and starts_with(e.ip_address, '"') and starts_with(e.user_agent, '"')
      and regexp_full_match(e.metadata.session_id, {UUID}) and e.metadata.platform in ({PLATFORM})
    else false end as fits
  from one)
select number, line, hash(line) as content, e,
  case when regexp_full_match(moment, {TIME}) then try_cast(moment as timestamptz) end as ts,
  coalesce(fits and ts is not null, false) as ok
from timed;

create temp table repeats as
with suspects as (
  select number, line from parsed
  where ok and content in (select content from parsed where ok group by content having count(*) > 1))
select number from suspects qualify row_number() over (partition by line order by number) > 1;

create temp view accepted as
select * from parsed where ok and number not in (select number from repeats);
"""

LOAD = """
-- try_cast, because the planner may cast before it filters; every accepted value has been shown to fit
create table order_events as
select try_cast(e.order_id as uuid) as order_id, try_cast(e.customer_id as uuid) as customer_id,
  ts as order_date, e.status as status,
  [{'product_id': try_cast(x.product_id as uuid), 'product_name': x.product_name->>'$',
    'quantity': try_cast(x.quantity as bigint), 'price': try_cast(x.price as decimal(38, 9))}
   for x in e.items] as items,
  {'street': e.shipping_address.street->>'$', 'city': e.shipping_address.city->>'$',
   'country': e.shipping_address.country->>'$'} as shipping_address,
  try_cast(e.total_amount as decimal(38, 9)) as total_amount, content as _event_id
from accepted where e.event_type = 'order';

create table inventory_events as
select try_cast(e.inventory_id as uuid) as inventory_id, try_cast(e.product_id as uuid) as product_id,
  try_cast(e.warehouse_id as uuid) as warehouse_id, try_cast(e.quantity_change as bigint) as quantity_change,
  e.reason as reason, ts as timestamp, content as _event_id
from accepted where e.event_type = 'inventory';

create table user_activity_events as
select try_cast(e.user_id as uuid) as user_id, e.activity_type as activity_type,
  e.ip_address->>'$' as ip_address, e.user_agent->>'$' as user_agent, ts as timestamp,
  {'session_id': try_cast(e.metadata.session_id as uuid), 'platform': e.metadata.platform} as metadata,
  content as _event_id
from accepted where e.event_type = 'user_activity';

create table event_counts as
select e.event_type as event_type, time_bucket(interval 10 seconds, ts) as window_start,
  window_start + interval 10 seconds as window_end, count(*) as events
from accepted group by all;

copy (select line, e.event_type as event_type, strftime(ts, '%Y%m%d%H%M') as minute from accepted)
to $files (format csv, partition_by (event_type, minute), header false, quote '', escape '', delim '\x01');
"""

REASONS = f"""
create temp macro because(code, p, got) as {{'code': code, 'path': p, 'got': got}};
create temp macro text_of(l, p) as case
  when coalesce(json_type(l, p), 'NULL') = 'NULL' then because('missing', p, null)
  when json_type(l, p) <> 'VARCHAR' then because('type', p, l->>p) end;
create temp macro uuid_of(l, p) as coalesce(text_of(l, p),
  case when not regexp_full_match(l->>p, {UUID}) then because('format', p, l->>p) end);
create temp macro enum_of(l, p, allowed) as coalesce(text_of(l, p),
  case when not list_contains(allowed, l->>p) then because('enum', p, l->>p) end);
create temp macro time_of(l, p) as coalesce(text_of(l, p),
  case when not regexp_full_match(l->>p, {TIME}) or try_cast(l->>p as timestamptz) is null
  then because('format', p, l->>p) end);
create temp macro whole_of(l, p) as case
  when coalesce(json_type(l, p), 'NULL') = 'NULL' then because('missing', p, null)
  when json_type(l, p) not in ('BIGINT', 'UBIGINT') then because('type', p, l->>p) end;
create temp macro bound_of(l, p, low, high) as coalesce(whole_of(l, p),
  case when (l->>p)::hugeint not between low and high then because('range', p, l->>p) end);
create temp macro money_of(l, p) as case
  when coalesce(json_type(l, p), 'NULL') = 'NULL' then because('missing', p, null)
  when json_type(l, p) not in ('BIGINT', 'UBIGINT', 'DOUBLE') then because('type', p, l->>p)
  when not regexp_full_match(l->>p, {MONEY}) then because('range', p, l->>p) end;
create temp macro object_of(l, p, kind) as case
  when coalesce(json_type(l, p), 'NULL') = 'NULL' then because('missing', p, null)
  when json_type(l, p) <> kind then because('type', p, l->>p) end;
create temp macro item_of(l, p) as [uuid_of(l, p || '.product_id'), text_of(l, p || '.product_name'),
  whole_of(l, p || '.quantity'), money_of(l, p || '.price')];

create table dead_letters as
with broken as (select number, line, e.event_type as named from parsed where not ok),
explained as (
  select *, case
    when json_type(line) <> 'OBJECT' then [because('not_an_object', '$', line)]
    when named = 'order' then [uuid_of(line, '$.order_id'), uuid_of(line, '$.customer_id'),
      time_of(line, '$.order_date'), enum_of(line, '$.status', [{STATUS}]), money_of(line, '$.total_amount'),
      object_of(line, '$.items', 'ARRAY'), object_of(line, '$.shipping_address', 'OBJECT')]
      || case when json_type(line, '$.items') = 'ARRAY' then flatten(
        [item_of(line, '$.items[' || i || ']')
         for i in range(json_array_length(line, '$.items')::bigint)]) else [] end
      || case when json_type(line, '$.shipping_address') = 'OBJECT' then [
        text_of(line, '$.shipping_address.street'), text_of(line, '$.shipping_address.city'),
        text_of(line, '$.shipping_address.country')] else [] end
    when named = 'inventory' then [uuid_of(line, '$.inventory_id'), uuid_of(line, '$.product_id'),
      uuid_of(line, '$.warehouse_id'), bound_of(line, '$.quantity_change', -100, 100),
      enum_of(line, '$.reason', [{REASON}]), time_of(line, '$.timestamp')]
    when named = 'user_activity' then [uuid_of(line, '$.user_id'),
      enum_of(line, '$.activity_type', [{ACTIVITY}]), text_of(line, '$.ip_address'),
      text_of(line, '$.user_agent'), time_of(line, '$.timestamp'), object_of(line, '$.metadata', 'OBJECT')]
      || case when json_type(line, '$.metadata') = 'OBJECT' then [
        uuid_of(line, '$.metadata.session_id'),
        enum_of(line, '$.metadata.platform', [{PLATFORM}])] else [] end
    else [because('unknown_type', '$.event_type', named)] end as reasons
  from broken
  union all select rowid, line, null, [because('not_json', '$', null)] from raw where not json_valid(line))
select line as payload, number + 1 as line, $source as source,
  case when named in ('order', 'inventory', 'user_activity') then named else 'unknown' end as event_type,
  list_filter(reasons, lambda r: r is not null) as violations, now() as rejected_at
from explained;

copy dead_letters to $dead (format json);
"""


def run(source: Path, out: Path) -> None:
    """Do all the work."""
    out.mkdir(parents=True)
    connection = duckdb.connect(out / "warehouse.duckdb")
    connection.execute(SETTINGS)
    names = {"source": source, "files": out / "files", "dead": out / "dead_letters.json"}
    script = VALIDATE + LOAD + REASONS
    for name, path in names.items():
        script = script.replace(f"${name}", f"'{path}'")
    connection.execute(script)
    connection.close()


def tally(out: Path) -> Outcome:
    """Read the outputs back."""
    connection = duckdb.connect(out / "warehouse.duckdb", read_only=True)
    connection.execute("set TimeZone = 'UTC'")
    rows = {
        event_type: connection.table(table).aggregate("count(*)").fetchall()[0][0]
        for event_type, table in TABLES.items()
    }
    windows = connection.sql(
        "select event_type, strftime(window_start, '%Y-%m-%dT%H:%M:%SZ'), events from event_counts"
    ).fetchall()
    dead_letters = connection.sql(
        "select event_type, [v.code for v in violations] from dead_letters"
    ).fetchall()
    return {
        **files_outcome(out / "files", re.compile(r"event_type=(?P<type>\w+)/minute=(?P<minute>\d+)/")),
        "rows": rows,
        **windows_outcome(windows),
        **dead_letters_outcome(dead_letters),
    }


if __name__ == "__main__":
    main(run, tally)
