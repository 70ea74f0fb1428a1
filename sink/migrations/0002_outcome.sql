-- The version rule, as SQL: what an incoming record is against the stored row.
--
-- The same rule as `schemas::version::compare`; a test holds the two together. Written once here,
-- so that the statement that writes and the plan of a replay ask the same question. A plain SQL
-- expression, so that the planner inlines it.
--
-- `old_last_updated` null: there is no stored row. `fetched_stamp`: the source has no stamps of its
-- own, so the same content is always equal. A person found deleted comes back only with a record
-- that the source gave out after the deletion was seen.
CREATE FUNCTION sink.outcome(
    new_last_updated timestamptz, new_fetched_at timestamptz, new_rules_revision integer, new_content_hash bigint,
    fetched_stamp boolean,
    old_last_updated timestamptz, old_fetched_at timestamptz, old_rules_revision integer, old_content_hash bigint,
    old_deleted_at timestamptz
) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE
    WHEN old_last_updated IS NULL THEN 'inserted'
    WHEN old_deleted_at IS NOT NULL THEN
        CASE WHEN new_fetched_at > old_deleted_at THEN 'updated' ELSE 'sink_stale' END
    WHEN new_content_hash = old_content_hash AND (fetched_stamp OR new_last_updated = old_last_updated) THEN 'sink_equal'
    WHEN (new_last_updated, new_fetched_at, new_rules_revision, new_content_hash)
       > (old_last_updated, old_fetched_at, old_rules_revision, old_content_hash) THEN 'updated'
    ELSE 'sink_stale'
END;
