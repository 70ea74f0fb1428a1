-- Batches in a row that did not end complete, the end of the last one that did, and those still open.
SELECT (SELECT count(*) FROM audit.batch
        WHERE status <> 'complete' AND finished_at > coalesce(good.at, '-infinity'))  AS failed,
       extract(epoch FROM good.at)::float8                                            AS last_success,
       (SELECT count(*) FROM audit.batch WHERE status IS NULL)                        AS open
FROM (SELECT max(finished_at) AS at FROM audit.batch WHERE status = 'complete') AS good
