-- The version that is there of each person asked for, and where its row stands. A person without a
-- row gives no line: it is new.
SELECT s.ordinal,
       tidsend(p.ctid) AS place,
       timestamptz_send(p.last_updated) AS last_updated,
       timestamptz_send(p.fetched_at) AS fetched_at,
       p.rules_revision,
       p.content_hash,
       timestamptz_send(p.deleted_at) AS deleted_at
FROM unnest($1::uuid[]) WITH ORDINALITY AS s (person_id, ordinal)
-- One look-up by key for each, in key order. Written as a plain join the planner reads the whole
-- table instead as long as that seems to be a few hundred thousand rows.
CROSS JOIN LATERAL (SELECT ctid, * FROM sdmk.person WHERE person_id = s.person_id LIMIT 1) p
