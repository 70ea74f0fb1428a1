SELECT partition, next_offset FROM sink.offset WHERE topic = $1 AND partition = ANY ($2)
