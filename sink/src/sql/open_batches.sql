-- Batches whose fetching has ended and that nobody else is closing at this moment.
SELECT b.batch_id, b.kind, b.source, b.trace_id, b.started_at, e.payload::text AS payload, e.recorded_at,
       clock_timestamp() AS now
FROM audit.batch b
JOIN audit.event e ON e.batch_id = b.batch_id AND e.event_type = 'batch_fetched'
WHERE b.status IS NULL
ORDER BY e.recorded_at
LIMIT 20
FOR UPDATE OF b SKIP LOCKED
