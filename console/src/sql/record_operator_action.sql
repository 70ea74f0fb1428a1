-- What an operator did, in the transaction that does it. The database says who asked.
INSERT INTO audit.event (event_id, event_type, occurred_at, batch_id, detail, payload)
VALUES ($1, 'operator_action', $2, NULL, $3, $4::jsonb || jsonb_build_object('database_user', current_user))
