#!/bin/sh
# Makes the secrets that docker-compose.yml mounts: FOLDER/secrets/, random, and FOLDER/.env with the group that
# may read them. What is there already is left as it is.
#
#   scripts/compose-secrets.sh [FOLDER]     FOLDER: the one with docker-compose.yml, which is the default
#
# Compose mounts a secret's file as it is, with its owner and mode. The services run under different users and
# none of them is yours; so the files are readable by one group (and by nobody else), and the services that need
# one are members of that group: yours, or 10001 where root runs this.
set -eu
umask 077
folder=${1:-$(dirname "$0")/..}
cd "$folder"

if [ "$(id -u)" -eq 0 ]; then group=10001; else group=$(id -g); fi

mkdir -p secrets
random() { od -An -vtx1 -N32 /dev/urandom | tr -d ' \n'; }
# In place at once: a run that is cut off leaves no half secret that the next one would keep.
keep() {
    [ -e "secrets/$1" ] && return
    cat >"secrets/.$1.new"
    chgrp "$group" "secrets/.$1.new"
    chmod 0640 "secrets/.$1.new"
    mv "secrets/.$1.new" "secrets/$1"
    echo "made secrets/$1"
}

# identity_hmac_key makes every person_id: keep a copy in a safe place, another key is a migration.
for name in identity_hmac_key source_token producer_admin_token grafana_admin \
    postgres_admin postgres_setup postgres_sink postgres_registry; do
    random | keep "$name"
done
# The registry takes its password from a file of properties only.
printf 'apicurio.datasource.password=%s\n' "$(cat secrets/postgres_registry)" | keep registry.properties

if ! grep -q '^SISDMK_SECRETS_GID=' .env 2>/dev/null; then
    echo "SISDMK_SECRETS_GID=$group" >>.env
    echo "added SISDMK_SECRETS_GID=$group to .env"
fi
