"""Prints one line for each change of a health worker in sisdmk.clean: no NIK, no name, nothing personal.

person_id  op  status_aktif  kode_wilayah  last_updated        (or: person_id  deleted)
"""

import argparse
import io
import json
import struct
import urllib.request

import fastavro
from confluent_kafka import Consumer, KafkaException

options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
options.add_argument("bootstrap_servers", help="for example 127.0.0.1:9092")
options.add_argument("registry", help="for example http://127.0.0.1:8080/apis/ccompat/v7")
options.add_argument("--group", default="consume-clean-example", help="consumer group [%(default)s]")
options.add_argument("--max", type=int, default=0, help="end after so many records [never]")
options.add_argument("--timeout", type=float, default=10, help="end when none came for so many seconds [%(default)s]")
options = options.parse_args()

schemas = {}


def decode(frame):
    """A byte 0, the schema's id in four bytes, then the record in Avro: Confluent's frame."""
    magic, schema_id = struct.unpack(">bI", frame[:5])
    if magic != 0:
        raise ValueError("not a Confluent frame")
    if schema_id not in schemas:  # One question for each schema, not for each record.
        with urllib.request.urlopen(f"{options.registry}/schemas/ids/{schema_id}", timeout=10) as answer:
            schemas[schema_id] = fastavro.parse_schema(json.loads(json.load(answer)["schema"]))
    return fastavro.schemaless_reader(io.BytesIO(frame[5:]), schemas[schema_id])


consumer = Consumer({
    "bootstrap.servers": options.bootstrap_servers,
    "group.id": options.group,
    "auto.offset.reset": "earliest",
    # Without it, records of transactions that were given up would be taken for real.
    "isolation.level": "read_committed",
    # Each run of this example begins anew. A program that keeps what it reads commits after it has kept it.
    "enable.auto.commit": False,
})
consumer.subscribe(["sisdmk.clean"])
count = 0
try:
    while not options.max or count < options.max:
        message = consumer.poll(options.timeout)
        if message is None:  # Not `if not message`: a tombstone's length is 0, so it counts as false.
            break
        if message.error():
            raise KafkaException(message.error())
        count += 1
        key = message.key().decode()
        if message.value() is None:  # A tombstone: the source no longer has this worker.
            print(key, "deleted", sep="\t")
            continue
        worker = decode(message.value())
        region = worker["kode_wilayah"] or "-"
        print(key, worker["op"], worker["status_aktif"], region, worker["last_updated"].isoformat(), sep="\t")
finally:
    consumer.close()
