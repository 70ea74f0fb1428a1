INSERT INTO audit.stage_report (stage, topic, partition, first_offset, next_offset, batch_id, region, counts, reported_at)
SELECT 'sink', $1, $2, r.first_offset, r.next_offset, r.batch_id, NULL, r.counts::jsonb, now()
FROM unnest($3::bigint[], $4::bigint[], $5::uuid[], $6::text[]) AS r (first_offset, next_offset, batch_id, counts)
