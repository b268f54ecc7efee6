#!/bin/sh
# Two databases with an owner each: a shipper writes the journal and can't read the registry, a publisher the other way round.
# The postgres image runs this once, on an empty volume.
set -eu
for name in registry journal; do
  # psql itself reads the password: its arguments can be seen by others.
  psql --quiet --set=ON_ERROR_STOP=1 --username postgres --set=name="$name" --set=file="/run/secrets/$name-password" <<'SQL'
\set password `cat :'file'`
CREATE ROLE :"name" LOGIN PASSWORD :'password';
CREATE DATABASE :"name" OWNER :"name";
REVOKE CONNECT ON DATABASE :"name" FROM PUBLIC;
SQL
done
