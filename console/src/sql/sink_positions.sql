SELECT topic, partition, next_offset
FROM sink.offset
ORDER BY topic, partition
