-- Run by logins.sh at each start; a second run changes nothing but passwords.
\set setup_password `cat "$SECRETS/postgres_setup"`
\set sink_password `cat "$SECRETS/postgres_sink"`
\set registry_password `cat "$SECRETS/postgres_registry"`

-- A statement that fails, or a server that logs all of them, would else show the passwords below.
SET client_min_messages = 'warning';
SET log_statement = 'none';
SET log_min_error_statement = 'panic';
SET log_min_duration_statement = -1;

-- The product's roles, as `sisdmk setup` would make them. It finds them made, so that its login needs no right to
-- make roles.
SELECT format('CREATE ROLE %I NOLOGIN', name)
FROM unnest(ARRAY ['sisdmk_owner', 'sisdmk_sink', 'sisdmk_reader', 'sisdmk_auditor']) AS name
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) \gexec

SELECT format('CREATE ROLE %I LOGIN', name)
FROM unnest(ARRAY ['stream_setup', 'stream_sink', 'registry']) AS name
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) \gexec

ALTER ROLE stream_setup PASSWORD :'setup_password';
ALTER ROLE stream_sink PASSWORD :'sink_password';
ALTER ROLE registry PASSWORD :'registry_password';

GRANT sisdmk_owner TO stream_setup;
GRANT sisdmk_sink TO stream_sink;

-- Each login into its own database only.
REVOKE CONNECT ON DATABASE :"DBNAME" FROM PUBLIC;
GRANT CONNECT ON DATABASE :"DBNAME" TO sisdmk_owner, sisdmk_sink, sisdmk_reader, sisdmk_auditor;
GRANT CREATE ON DATABASE :"DBNAME" TO sisdmk_owner;

SELECT 'CREATE DATABASE registry OWNER registry'
WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = 'registry') \gexec
REVOKE CONNECT ON DATABASE registry FROM PUBLIC;
