SELECT version, success, checksum FROM sink.migration ORDER BY version
