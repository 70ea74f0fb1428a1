-- What every connection of the sink is set to. Names only what matters, and says why.
SET search_path = pg_catalog, pg_temp;
SET TIME ZONE 'UTC';
-- One plan a batch: compiling it costs more than running it.
SET jit = off;
-- A batch of 20,000 rows is joined, sorted and hashed in memory.
SET work_mem = '64MB';
-- The stage tables of such a batch, which would otherwise be written to files and read back.
SET temp_buffers = '64MB';
-- Look-ups by key in a table that is mostly in memory. With the default for spinning disks the
-- planner reads the whole table instead once a batch has some thousand rows.
SET random_page_cost = 1.1;
-- A row that an operator holds must not hold the partition without a word.
SET lock_timeout = '30s';
SET statement_timeout = '60s';
-- A sink that stands still with a transaction open, as on a machine that is paused, keeps its successor waiting for no
-- longer than this. Longer than a dead letter may take to be written, which is done inside the transaction.
SET idle_in_transaction_session_timeout = '30s';
