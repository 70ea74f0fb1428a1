SELECT (to_jsonb(p) || jsonb_build_object(
    'last_updated', to_char(p.last_updated AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
    'employments', coalesce((
        SELECT jsonb_agg(to_jsonb(e) - 'person_id' ORDER BY e.employment_key COLLATE "C")
        FROM sdmk.employment e
        WHERE e.person_id = p.person_id), '[]'::jsonb)))::text
FROM sdmk.person p
ORDER BY p.nik COLLATE "C"
