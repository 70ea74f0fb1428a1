SELECT r.batch_id, r.stage, c.name, sum(c.count::bigint)::bigint AS total
FROM audit.stage_report r, jsonb_each_text(r.counts) AS c (name, count)
WHERE r.batch_id = ANY ($1)
GROUP BY r.batch_id, r.stage, c.name
