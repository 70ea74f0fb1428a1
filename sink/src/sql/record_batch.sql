-- What is known of a batch before it is closed. A closed one stays as it is.
INSERT INTO audit.batch AS b (batch_id, kind, source, started_at, trace_id, fetched, raw, quarantined, requests)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
ON CONFLICT (batch_id) DO UPDATE SET
    kind = excluded.kind,
    source = excluded.source,
    started_at = coalesce(excluded.started_at, b.started_at),
    trace_id = coalesce(excluded.trace_id, b.trace_id),
    fetched = greatest(excluded.fetched, b.fetched),
    raw = greatest(excluded.raw, b.raw),
    quarantined = greatest(excluded.quarantined, b.quarantined),
    requests = coalesce(excluded.requests, b.requests)
WHERE b.status IS NULL
