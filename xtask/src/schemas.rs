//! The machine-readable contracts in `schemas/`.

use crate::rendered::Rendered;

/// All contract files.
pub(crate) fn render() -> Vec<Rendered> {
    let service = serde_json::to_string_pretty(&serving::schema()).unwrap_or_default();
    vec![Rendered { path: "schemas/service.schema.json".into(), text: service + "\n" }]
}
