#!/bin/bash
# What the entrypoint of the official image does with POSTGRES_USER, POSTGRES_PASSWORD and POSTGRES_DB.
set -euo pipefail
export PATH="$PATH:/usr/lib/postgresql/15/bin"
if [ ! -s "$PGDATA/PG_VERSION" ]; then
  initdb --username="$POSTGRES_USER" --pwfile=<(printf '%s\n' "$POSTGRES_PASSWORD") --auth-host=scram-sha-256 \
    --auth-local=trust --encoding=UTF8 --locale=C.UTF-8
  echo "host all all all scram-sha-256" >>"$PGDATA/pg_hba.conf"
  pg_ctl --options="-c listen_addresses=''" --wait start
  createdb --username="$POSTGRES_USER" --maintenance-db=postgres "$POSTGRES_DB"
  pg_ctl --mode=fast --wait stop
fi
exec "$@"
