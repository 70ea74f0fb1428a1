-- Marks the persons whom the source no longer lists. Their content stays for the auditors; a
-- record that the source gave out after the deletion was seen brings them back.
WITH judged AS MATERIALIZED (
    SELECT s.run, s.person_id, s.fetched_at,
           CASE
               WHEN p.person_id IS NULL THEN 'sink_stale'
               WHEN p.deleted_at = s.fetched_at THEN 'sink_equal'
               WHEN p.fetched_at > s.fetched_at OR p.deleted_at > s.fetched_at THEN 'sink_stale'
               ELSE 'deleted'
           END AS outcome
    FROM stage_deletion s
    LEFT JOIN LATERAL (SELECT * FROM sdmk.person WHERE person_id = s.person_id LIMIT 1) p ON true
), written AS (
    UPDATE sdmk.person p
    SET deleted_at = j.fetched_at
    FROM judged j
    WHERE j.outcome = 'deleted'
      AND p.person_id = j.person_id
      AND p.fetched_at <= j.fetched_at
      AND (p.deleted_at IS NULL OR p.deleted_at < j.fetched_at)
    RETURNING p.person_id
)
SELECT run,
       count(*)                                       AS staged,
       count(*) FILTER (WHERE outcome = 'deleted')    AS deleted,
       count(*) FILTER (WHERE outcome = 'sink_equal') AS sink_equal,
       count(*) FILTER (WHERE outcome = 'sink_stale') AS sink_stale,
       (SELECT count(*) FROM written)                 AS written
FROM judged
GROUP BY run
