SELECT jsonb_build_object(
    'person_id', person_id,
    'batch_id', batch_id,
    'request_id', request_id,
    'trace_id', trace_id,
    'raw_partition', raw_partition,
    'raw_offset', raw_offset,
    'fetched_at', to_char(fetched_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'))::text
FROM sdmk.person
