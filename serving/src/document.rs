//! Reading and writing service documents across versions of the format.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::service::{SCHEMA_VERSION, Service};

/// The largest document that is read, in bytes. A document with 1,000 models in six versions is below 4 MiB.
pub const MAX_DOCUMENT_BYTES: usize = 16 << 20;

/// Why bytes are not a service document that this program understands.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// Larger than [`MAX_DOCUMENT_BYTES`].
    #[error("the document has {0} bytes, more than the limit of {MAX_DOCUMENT_BYTES}")]
    TooLarge(usize),
    /// Not JSON.
    #[error("the document is not JSON: {0}")]
    NotJson(#[source] serde_json::Error),
    /// Without `schema_version`, so that nothing can be said about the rest.
    #[error("the document has no `schema_version`, a whole number from 1")]
    NoSchemaVersion,
    /// Of a format that is too old or too new.
    #[error(
        "the document has schema version {found}, but this program reads {oldest} to {newest}; use a release of the router and the provider that are at most one format apart"
    )]
    SchemaVersion {
        /// Version of the document.
        found: u64,
        /// Oldest that is read.
        oldest: u32,
        /// Newest that is read.
        newest: u32,
    },
    /// JSON of a right version, but not a service: a field is missing or of a wrong type.
    #[error("the document is not a service: {0}")]
    Invalid(#[source] serde_json::Error),
}

/// The oldest format that this program reads.
pub const OLDEST_SCHEMA_VERSION: u32 = if SCHEMA_VERSION > 1 { SCHEMA_VERSION - 1 } else { 1 };
/// The newest format that this program reads.
pub const NEWEST_SCHEMA_VERSION: u32 = SCHEMA_VERSION + 1;

impl Service {
    /// Reads a document of format N-1 to N+1. Fields that a newer program added are kept and written again.
    ///
    /// This checks the form only; the rules are [`crate::validate::service`]'s.
    pub fn read(bytes: &[u8]) -> Result<Self, ReadError> {
        #[derive(Deserialize)]
        struct Head {
            schema_version: Option<Value>,
        }
        if bytes.len() > MAX_DOCUMENT_BYTES {
            return Err(ReadError::TooLarge(bytes.len()));
        }
        let head: Head = serde_json::from_slice(bytes).map_err(ReadError::NotJson)?;
        let found = head.schema_version.as_ref().and_then(Value::as_u64).ok_or(ReadError::NoSchemaVersion)?;
        if !(u64::from(OLDEST_SCHEMA_VERSION)..=u64::from(NEWEST_SCHEMA_VERSION)).contains(&found) {
            return Err(ReadError::SchemaVersion {
                found,
                oldest: OLDEST_SCHEMA_VERSION,
                newest: NEWEST_SCHEMA_VERSION,
            });
        }
        serde_json::from_slice(bytes).map_err(ReadError::Invalid)
    }

    /// The document as indented JSON with a final line break. Equal services give equal bytes: keys are in a fixed order.
    /// `schema_version` is written as it is, so a newer document stays one.
    ///
    /// # Panics
    /// Never: a service has only string keys and serialises.
    #[must_use]
    pub fn write(&self) -> Vec<u8> {
        let mut ordered = self.clone();
        ordered.unknown.values_mut().for_each(Value::sort_all_objects);
        ordered.configured.sort_all_objects();
        for version in ordered.versions.values_mut() {
            version.configured.sort_all_objects();
            version.unknown.values_mut().for_each(Value::sort_all_objects);
            version.template.unknown.values_mut().for_each(Value::sort_all_objects);
        }
        let mut bytes = serde_json::to_vec_pretty(&ordered).expect("a service serialises");
        bytes.push(b'\n');
        bytes
    }
}

/// Places in the document that are reserved for later behaviour. Today they are kept as they are and mean nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reserved {
    /// Copies of requests to a version whose answers are thrown away.
    Mirror,
    /// Steps by which a rollout moves traffic.
    RolloutSteps,
    /// Limits of rate and concurrency by caller.
    CallerLimits,
    /// Former versions of this document.
    Revisions,
}

/// What is in a [`Reserved`] place: always an object that states its own version, so that each can change by itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Extension {
    /// Format of the extension, from 1.
    #[schemars(range(min = 1))]
    pub version: u32,
    /// The rest, in whatever form that version has.
    #[serde(flatten)]
    pub content: BTreeMap<String, Value>,
}

impl Reserved {
    /// All places.
    pub const ALL: [Self; 4] = [Self::Mirror, Self::RolloutSteps, Self::CallerLimits, Self::Revisions];

    /// Name of the field in the document.
    #[must_use]
    pub const fn field(self) -> &'static str {
        match self {
            Self::Mirror => "mirror",
            Self::RolloutSteps => "rollout_steps",
            Self::CallerLimits => "caller_limits",
            Self::Revisions => "revisions",
        }
    }
}

impl Service {
    /// What the document holds in a reserved place. An error if it is not an object with a `version`.
    pub fn extension(&self, place: Reserved) -> Result<Option<Extension>, serde_json::Error> {
        self.unknown.get(place.field()).map(Extension::deserialize).transpose()
    }
}

/// The JSON Schema of [`Service`].
#[must_use]
pub fn schema() -> schemars::Schema {
    let mut generator = schemars::SchemaGenerator::default();
    let extension = generator.subschema_for::<Extension>();
    let mut schema = generator.into_root_schema_for::<Service>();
    if let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) {
        for place in Reserved::ALL {
            properties.insert(place.field().to_owned(), extension.clone().to_value());
        }
    }
    schema.insert("$id".to_owned(), "https://openazureml.github.io/schemas/service.schema.json".into());
    schema.insert("title".to_owned(), "Service document".into());
    schema
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const CURRENT: &[u8] = include_bytes!("../tests/documents/service-1.json");
    const NEXT: &[u8] = include_bytes!("../tests/documents/service-2.json");

    #[test]
    fn a_recorded_document_of_this_format_is_read_and_written_byte_by_byte() {
        let service = Service::read(CURRENT).expect("a document of this format");
        assert_eq!(service.versions["diabetes"].scoring_timeout_ms, 60_000);
        assert_eq!(String::from_utf8(service.write()).expect("text"), String::from_utf8_lossy(CURRENT));
    }

    #[test]
    fn what_a_newer_program_added_survives_reading_and_writing() {
        let service = Service::read(NEXT).expect("a document of the next format");
        assert_eq!(service.schema_version, NEWEST_SCHEMA_VERSION);
        let (before, after): (Value, Value) =
            (serde_json::from_slice(NEXT).expect("JSON"), serde_json::from_slice(&service.write()).expect("JSON"));
        assert_eq!(before, after);
        assert_eq!(service.unknown["owner_team"], json!("ml"));
        assert_eq!(service.versions["ridge"].unknown["priority"], json!({ "class": "high" }));
    }

    #[test]
    fn a_field_that_is_new_in_the_template_is_part_of_its_revision() {
        let service = Service::read(NEXT).expect("a document of the next format");
        let mut template = service.versions["ridge"].template.clone();
        let revision = template.revision();
        assert!(template.unknown.remove("gpu").is_some());
        assert_ne!(template.revision(), revision);
    }

    #[test]
    fn reserved_places_are_read_with_their_version_and_content() {
        let service = Service::read(NEXT).expect("a document of the next format");
        let mirror = service.extension(Reserved::Mirror).expect("well-formed").expect("present");
        assert_eq!((mirror.version, &mirror.content["to"]), (1, &json!("forest")));
        assert_eq!(service.extension(Reserved::Revisions).expect("well-formed"), None);
    }

    #[test]
    fn documents_of_other_formats_are_refused_by_their_number() {
        let with = |version: Value| {
            let mut document: Value = serde_json::from_slice(CURRENT).expect("JSON");
            document["schema_version"] = version;
            Service::read(document.to_string().as_bytes())
        };
        for foreign in [0, 3, 99] {
            assert!(matches!(with(foreign.into()), Err(ReadError::SchemaVersion { found, .. }) if found == foreign));
        }
        assert!(matches!(with(Value::Null), Err(ReadError::NoSchemaVersion)));
        assert!(matches!(with("1".into()), Err(ReadError::NoSchemaVersion)));
    }

    #[test]
    fn damaged_documents_are_refused_with_the_place() {
        assert!(matches!(Service::read(&CURRENT[..CURRENT.len() / 2]), Err(ReadError::NotJson(_))));
        assert!(matches!(Service::read(b""), Err(ReadError::NotJson(_))));
        let error = Service::read(b"{\"schema_version\": 1}").expect_err("refused");
        assert!(error.to_string().contains("missing field"), "{error}");
        assert!(matches!(Service::read(&vec![b' '; MAX_DOCUMENT_BYTES + 1]), Err(ReadError::TooLarge(_))));
    }

    #[test]
    fn equal_services_are_written_as_equal_bytes_whatever_the_order_of_their_opaque_parts() {
        let mut one = Service::read(CURRENT).expect("a document");
        let mut two = one.clone();
        for (service, text) in [(&mut one, r#"{"a":1,"b":{"d":1,"c":2}}"#), (&mut two, r#"{"b":{"c":2,"d":1},"a":1}"#)]
        {
            service
                .versions
                .values_mut()
                .for_each(|version| version.configured = serde_json::from_str(text).expect("JSON"));
        }
        assert_eq!(one.write(), two.write());
    }

    #[test]
    fn the_schema_describes_every_field_and_the_reserved_places() {
        let schema = schema().to_value();
        for field in ["generation", "versions", "served", "mirror", "revisions"] {
            assert!(schema["properties"][field].is_object(), "{field}");
        }
        assert!(schema["$defs"]["Extension"]["properties"]["version"].is_object());
    }
}
