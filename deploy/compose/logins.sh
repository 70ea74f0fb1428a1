#!/bin/sh
# Makes the logins of docker-compose.yml in Postgres, or gives them the passwords that stand in their files now.
# PGHOST, PGUSER and PGDATABASE name the server, an administrator and the product's database.
set -eu
SECRETS=${SECRETS:-/run/secrets}
PGPASSWORD=$(cat "$SECRETS/postgres_admin")
export SECRETS PGPASSWORD
exec psql --no-psqlrc --no-password --quiet --set ON_ERROR_STOP=1 --file "$(dirname "$0")/logins.sql"
