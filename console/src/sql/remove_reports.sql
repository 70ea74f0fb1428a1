-- Positions that will be taken in again are accounted for again: a report of theirs would stand in the way of the next one.
DELETE FROM audit.stage_report WHERE stage = $1 AND topic = $2 AND partition = $3 AND next_offset > $4
