-- Places where a range does not begin where the one before it ended.
SELECT stage || ' on ' || topic || '/' || partition || ' at ' || first_offset
FROM (
    SELECT stage, topic, partition, first_offset, next_offset,
           lag(next_offset) OVER (PARTITION BY stage, topic, partition ORDER BY first_offset) AS expected
    FROM audit.stage_report) AS ranges
WHERE coalesce(expected, 0) <> first_offset OR next_offset < first_offset
