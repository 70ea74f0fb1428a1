//! `docker-compose.yml` against the JSON schema of the Compose Specification.

use serde_json::Value;

use crate::deployment::Deployment;

pub(crate) fn faults(deployment: &Deployment) -> Vec<String> {
    let schema: Value = serde_json::from_str(include_str!("compose-spec.json")).expect("the schema is JSON");
    let validator = jsonschema::validator_for(&schema).expect("the schema is a schema");
    validator
        .iter_errors(&deployment.compose)
        .map(|error| format!("compose schema: {}: {error}", error.instance_path()))
        .collect()
}
