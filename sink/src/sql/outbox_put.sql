INSERT INTO sink.outbox (event_id, key, value) VALUES ($1, $2, $3)
ON CONFLICT (event_id) DO NOTHING
