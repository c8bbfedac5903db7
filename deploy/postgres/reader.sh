#!/bin/sh
# Run once by the postgres image, on an empty data folder: whom Grafana asks as. It reads all tables and changes none.
set -e
psql --set=ON_ERROR_STOP=1 --set=password="$POSTGRES_READER_PASSWORD" --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" <<'SQL'
CREATE ROLE grafana LOGIN PASSWORD :'password' CONNECTION LIMIT 10;
ALTER ROLE grafana SET default_transaction_read_only = on;
ALTER ROLE grafana SET statement_timeout = '30s';
GRANT pg_read_all_data TO grafana;
SQL
