INSERT INTO audit.event (event_id, event_type, occurred_at, batch_id, kind, source, region, status, detail, payload)
SELECT event_id, event_type, occurred_at, batch_id, kind, source, region, status, detail, payload::jsonb
FROM unnest($1::uuid[], $2::text[], $3::timestamptz[], $4::uuid[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[], $10::text[])
    AS e (event_id, event_type, occurred_at, batch_id, kind, source, region, status, detail, payload)
ON CONFLICT (event_id) DO NOTHING
