-- What the stages have reported for one batch so far, summed over partitions and ranges.
SELECT stage, name, sum(number::bigint)::bigint AS total
FROM audit.stage_report, jsonb_each_text(counts) AS count (name, number)
WHERE batch_id = $1
GROUP BY stage, name
