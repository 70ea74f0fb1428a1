//! What must agree with something outside the code: our Avro with apache-avro, our JSON with
//! serde_json, the schemas with their history and with `docs/CONTRACT.md`.

mod avro;
mod cut;
mod documents;
mod history;
mod json;
mod samples;
