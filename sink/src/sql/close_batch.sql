UPDATE audit.batch SET
    status = $2, tied = $3, detail = $4, requests = $5, dlq_by_code = $6::jsonb,
    finished_at = $7,
    duration = $7 - started_at,
    fetched = $8, raw = $9, quarantined = $10, clean = $11, deletes_found = $12, dlq = $13, processor_equal = $14,
    processor_stale = $15, inserted = $16, updated = $17, deleted = $18, sink_equal = $19, sink_stale = $20,
    superseded = $21, rejected = $22, conflict = $23
WHERE batch_id = $1 AND status IS NULL
