-- What the stages before report. The same report may come again; one that differs from what is
-- there is told apart by `same`.
WITH given AS (
    SELECT * FROM unnest($1::text[], $2::text[], $3::int[], $4::bigint[], $5::bigint[], $6::uuid[], $7::text[], $8::text[], $9::timestamptz[])
        AS r (stage, topic, partition, first_offset, next_offset, batch_id, region, counts, reported_at)
), written AS (
    INSERT INTO audit.stage_report (stage, topic, partition, first_offset, next_offset, batch_id, region, counts, reported_at)
    SELECT stage, topic, partition, first_offset, next_offset, batch_id, region, counts::jsonb, reported_at
    FROM given
    ON CONFLICT (stage, topic, partition, first_offset) DO NOTHING
    RETURNING stage, topic, partition, first_offset
)
SELECT g.stage, g.topic, g.partition, g.first_offset,
       w.stage IS NOT NULL AS fresh,
       coalesce(r.next_offset = g.next_offset AND r.batch_id = g.batch_id AND r.counts = g.counts::jsonb, true) AS same,
       w.stage IS NOT NULL AND b.status IS NOT NULL AS late
FROM given g
LEFT JOIN written w USING (stage, topic, partition, first_offset)
-- As it was before this statement.
LEFT JOIN audit.stage_report r USING (stage, topic, partition, first_offset)
LEFT JOIN audit.batch b ON b.batch_id = g.batch_id
