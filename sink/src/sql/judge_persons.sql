-- What every staged state is against its row, and where that row stands. A person without a row
-- gives no line: it is new.
SELECT s.ordinal,
       tidsend(p.ctid) AS place,
       sink.outcome(s.last_updated, s.fetched_at, s.rules_revision, s.content_hash, s.fetched_stamp,
                    p.last_updated, p.fetched_at, p.rules_revision, p.content_hash, p.deleted_at) AS outcome,
       s.last_updated = p.last_updated AND s.content_hash <> p.content_hash AS conflict
FROM stage_version s
-- One look-up by key for each staged row, in key order. Written as a plain join the planner
-- reads the whole table instead as long as that seems to be a few hundred thousand rows.
CROSS JOIN LATERAL (SELECT ctid, * FROM sdmk.person WHERE person_id = s.person_id LIMIT 1) p
