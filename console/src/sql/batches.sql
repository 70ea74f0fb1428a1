-- $1: how many, newest first. $2: null, or the first characters of a batch id.
SELECT batch_id,
       kind,
       source,
       started_at,
       finished_at,
       status,
       tied,
       fetched,
       raw,
       quarantined,
       clean,
       deletes_found,
       dlq,
       processor_equal,
       processor_stale,
       inserted,
       updated,
       deleted,
       sink_equal,
       sink_stale,
       superseded,
       rejected,
       conflict,
       requests,
       dlq_by_code,
       (extract(epoch FROM duration) * 1000)::bigint AS duration_ms,
       trace_id,
       detail
FROM audit.batch
WHERE $2::text IS NULL OR starts_with(batch_id::text, $2::text)
ORDER BY started_at DESC NULLS LAST, batch_id DESC
LIMIT $1
