UPDATE sink.offset SET next_offset = $4, updated_at = now()
WHERE topic = $1 AND partition = $2 AND next_offset = $3
