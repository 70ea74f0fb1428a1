-- One setup at a time, for as long as this connection lives.
SELECT pg_advisory_lock(hashtextextended('sisdmk setup', 0))
