SELECT role
FROM unnest(ARRAY ['sisdmk_owner', 'sisdmk_sink', 'sisdmk_reader', 'sisdmk_auditor']) AS role
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role)
