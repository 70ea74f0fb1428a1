-- $1: a person, request or batch. Columns that say where a row comes from, and nothing about the person.
SELECT person_id, batch_id, request_id, trace_id, raw_partition, raw_offset, last_updated, fetched_at,
       deleted_at IS NOT NULL AS deleted, count(*) OVER () AS rows
FROM sdmk.person
WHERE person_id = $1 OR request_id = $1 OR batch_id = $1
ORDER BY person_id
LIMIT 20
