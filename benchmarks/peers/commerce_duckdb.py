"""usage: commerce_duckdb SOURCE OUT: sales from a CSV file, checked by a DuckDB script, as Parquet."""

import sys

import duckdb

SCRIPT = """
    set threads = 2;
    create table raw as
    from read_csv('{source}', all_varchar = true, header = true, store_rejects = true);

    create table checked as
    select *, try_cast(quantity as bigint) as n, try_cast(unit_price as decimal(38, 9)) as p,
           try_cast(amount as decimal(38, 9)) as a, try_cast(sale_date as timestamptz) as t
    from raw;

    copy (
        select distinct sale_id, product_id, customer_id, n, p, a, currency, t, note
        from checked
        where sale_id <> '' and product_id <> '' and customer_id <> '' and n is not null and t is not null
          and (p is not null or unit_price is null) and (a is not null or amount is null)
          and regexp_matches(currency, '^[A-Z]{{3}}$')
    ) to '{out}/sales.parquet';

    copy (select * from checked where n is null or t is null or product_id is null) to '{out}/rejected.csv';
"""

if __name__ == "__main__":
    duckdb.sql(SCRIPT.format(source=sys.argv[1], out=sys.argv[2]))
