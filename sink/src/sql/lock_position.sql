SELECT next_offset FROM sink.offset WHERE topic = $1 AND partition = $2 FOR UPDATE
