use std::collections::BTreeMap;
use std::fs;

use serving::service::{AuthMode, CodeRef, EnvironmentRef, KeySlot, Keys, ModelRef, Scale, Service, Template};
use tfplugin::{Attr, AttributePath, Diagnostics, Model as _};

use super::model::Webservice;
use super::{document, plan};
use crate::access::Access;
use crate::cluster::ServiceId;
use crate::deployment::model::{InferenceConfig, RolloutConfig};
use crate::deployment::{Deployment, Labels, checks, service};

const COMPUTE: &str = "file:///ws/computes/local";

fn known() -> Webservice {
    Webservice {
        id: format!("{COMPUTE}/services/double").into(),
        name: "double".into(),
        compute_id: COMPUTE.into(),
        deployment: deployment(),
        access: Access::shown(AuthMode::Key, Some(&keys()), 0),
        ..Webservice::default()
    }
}

fn deployment() -> Deployment {
    Deployment {
        model_ids: vec!["file:///ws/models/one/1".to_owned()].into(),
        inference_config: InferenceConfig {
            source_directory: "./src".into(),
            entry_script: "score.py".into(),
            environment_id: "file:///ws/environments/plain".into(),
        }
        .into(),
        num_replicas: 2.into(),
        replica_max_concurrent_requests: 1.into(),
        max_request_wait_time: 500.into(),
        scoring_timeout_ms: 60_000.into(),
        ..Deployment::default()
    }
}

fn keys() -> Keys {
    let slot = |key: &str| KeySlot { key: key.to_owned(), version: 1 };
    Keys { primary: slot("primary"), secondary: slot("secondary"), replaced: Vec::new() }
}

fn template() -> Template {
    Template {
        models: vec![ModelRef {
            id: "file:///ws/models/one/1".into(),
            name: "one".into(),
            version: 1,
            digest: format!("sha256:{}", "0".repeat(64)),
        }],
        code: CodeRef {
            digest: format!("sha256:{}", "1".repeat(64)),
            directory: "src".into(),
            entry_script: "score.py".into(),
        },
        environment: EnvironmentRef {
            id: "file:///ws/environments/plain".into(),
            version: 3,
            hash: "h".into(),
            build_key: "b".into(),
            prefix: Some("/ws/venvs/b".into()),
            image: None,
        },
        environment_variables: BTreeMap::new(),
        pod: None,
        unknown: BTreeMap::new(),
    }
}

fn id() -> ServiceId {
    format!("{COMPUTE}/services/double").parse().expect("an id")
}

fn planned_service(planned: &Webservice) -> Service {
    document::service(&id(), "me", planned, template())
}

fn paths(found: &Diagnostics) -> Vec<String> {
    found.iter().map(|one| one.path.as_ref().expect("a path").to_string()).collect()
}

#[test]
fn the_schema_and_the_model_agree() {
    assert_eq!(super::schema::schema().problems(Webservice::FIELDS), Vec::<String>::new());
}

#[test]
fn every_violation_is_one_error_on_its_attribute() {
    let bad = Deployment {
        num_replicas: 0.into(),
        replica_max_concurrent_requests: 0.into(),
        max_request_wait_time: 0.into(),
        scoring_timeout_ms: 300_001.into(),
        rollout: RolloutConfig { max_surge: 0.into(), max_unavailable: 0.into(), ..RolloutConfig::default() }.into(),
        model_ids: vec![
            "file:///ws/models/one/1".to_owned(),
            "one".to_owned(),
            "file:///ws/models/one/1".to_owned(),
            "file:///other/models/one/1".to_owned(),
        ]
        .into(),
        inference_config: InferenceConfig {
            source_directory: "./src".into(),
            entry_script: "../score.py".into(),
            environment_id: "plain".into(),
        }
        .into(),
        ..deployment()
    };
    let access = Access {
        primary_key_wo: "short".into(),
        secondary_key_version: 0.into(),
        key_overlap: (-1).into(),
        ..Access::default()
    };
    let found = plan::check(&Webservice { deployment: bad, access, ..known() });
    let mut paths = paths(&found);
    paths.sort_unstable();
    assert_eq!(
        paths,
        [
            "inference_config.entry_script",
            "inference_config.environment_id",
            "key_overlap",
            "max_request_wait_time",
            "model_ids[1]",
            "model_ids[2]",
            "model_ids[3]",
            "num_replicas",
            "primary_key_wo",
            "replica_max_concurrent_requests",
            "rollout.max_surge",
            "scoring_timeout_ms",
            "secondary_key_version",
        ]
    );
    let text = found.to_string();
    assert!(text.contains("300000") && text.contains("already model_ids[0]") && !text.contains("short"), "{text}");
}

#[test]
fn what_is_unknown_is_taken_for_right() {
    let unknown = Webservice {
        name: Attr::Unknown,
        compute_id: Attr::Unknown,
        deployment: Deployment {
            model_ids: Attr::Unknown,
            inference_config: InferenceConfig {
                source_directory: Attr::Unknown,
                entry_script: Attr::Unknown,
                environment_id: Attr::Unknown,
            }
            .into(),
            num_replicas: Attr::Unknown,
            rollout: RolloutConfig {
                max_surge: 0.into(),
                max_unavailable: Attr::Unknown,
                recreate: Attr::Unknown,
                ..RolloutConfig::default()
            }
            .into(),
            ..deployment()
        },
        access: Access { auth_enabled: Attr::Unknown, primary_key_wo: Attr::Unknown, ..Access::default() },
        ..known()
    };
    assert_eq!(plan::check(&unknown), Diagnostics::new());
    assert_eq!(plan::check(&known()), Diagnostics::new());
}

#[test]
fn paths_of_rules_are_paths_of_attributes() {
    assert_eq!(checks::path("model_ids[2]"), AttributePath::attribute("model_ids").index(2));
    assert_eq!(checks::path("rollout.max_surge"), AttributePath::attribute("rollout").child("max_surge"));
}

#[test]
fn a_document_keeps_every_rule_and_reads_back_as_what_was_planned() {
    let planned = Webservice {
        labels: Labels {
            description: "d".into(),
            tags: BTreeMap::from([("a".to_owned(), "b".to_owned())]).into(),
            properties: BTreeMap::new().into(),
        },
        deployment: Deployment {
            rollout: RolloutConfig { max_surge: 2.into(), ..RolloutConfig::default() }.into(),
            ..deployment()
        },
        ..known()
    };
    let document = planned_service(&planned);
    assert_eq!(serving::validate::service(&document), []);
    assert_eq!(document.served.as_ref().map(|table| table.default.as_str()), Some("double"));
    let read = document::webservice(&id(), &document, Some(&keys()), &known());
    let expected = Webservice {
        deployment: Deployment {
            code_digest: template().code.digest.into(),
            environment_version: 3.into(),
            ..planned.deployment
        },
        created_time: document.created_time.into(),
        updated_time: document.updated_time.into(),
        ..planned
    };
    assert_eq!(read, expected);
}

#[test]
fn an_edited_document_shows_its_own_values() {
    let mut document = planned_service(&known());
    document.tags.insert("a".into(), "b".into());
    document.auth.mode = AuthMode::None;
    let version = document.versions.get_mut("double").expect("a version");
    version.scale = Scale::Fixed(5);
    version.rollout.max_surge = 7;
    version.template.models.clear();
    let read = document::webservice(&id(), &document, Some(&keys()), &known());
    assert_eq!(read.deployment.num_replicas, 5.into());
    assert_eq!(read.access.auth_enabled, false.into());
    assert_eq!(read.deployment.model_ids, Vec::new().into());
    assert_eq!(read.labels.tags.get().map(BTreeMap::len), Some(1));
    assert_eq!(read.deployment.rollout.get().map(|rollout| rollout.max_surge), Some(7.into()));
}

#[test]
fn equal_specifications_have_equal_digests_whenever_they_were_made() {
    let spec = |mut service: Service| {
        service::set_spec(&mut service);
        service::configured(&service).spec
    };
    let mut other = planned_service(&known());
    other.created_time = "2020-01-01T00:00:00Z".into();
    assert_eq!(spec(planned_service(&known())), spec(other));
    let changed = Webservice { deployment: Deployment { num_replicas: 3.into(), ..deployment() }, ..known() };
    assert_ne!(spec(planned_service(&known())), spec(planned_service(&changed)));
}

#[test]
fn properties_may_be_added_but_not_changed() {
    let with = |pairs: &[(&str, &str)]| Labels {
        properties: pairs
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect::<BTreeMap<_, _>>()
            .into(),
        ..Labels::default()
    };
    let prior = with(&[("a", "1")]);
    assert!(prior.check_properties(&with(&[("a", "1"), ("b", "2")])).is_ok());
    for lost in [with(&[("a", "2")]), with(&[]), Labels::default()] {
        let error = prior.check_properties(&lost).expect_err("refused");
        assert_eq!(paths(&error), ["properties"]);
    }
}

#[test]
fn a_changed_file_changes_the_digest_and_missing_ones_are_errors_on_their_attribute() {
    let folder = tempfile::tempdir().expect("a directory");
    let source = folder.path().join("src");
    let path = source.to_str().expect("text");
    let missing = checks::source(path, Some("score.py")).expect_err("missing");
    assert_eq!(paths(&missing), ["inference_config.source_directory"]);
    fs::create_dir(&source).expect("made");
    let missing = checks::source(path, Some("score.py")).expect_err("missing");
    assert_eq!(paths(&missing), ["inference_config.entry_script"]);
    fs::write(source.join("score.py"), "one").expect("written");
    let one = checks::source(path, Some("score.py")).expect("usable");
    assert_eq!(one.directory, "src");
    fs::write(source.join("score.py"), "two").expect("written");
    assert_ne!(checks::source(path, Some("score.py")).expect("usable").digest, one.digest);
}

#[test]
fn a_source_directory_must_not_be_called_like_the_models_folder() {
    let folder = tempfile::tempdir().expect("a directory");
    let source = folder.path().join("azureml-models");
    fs::create_dir(&source).expect("made");
    let error = checks::source(source.to_str().expect("text"), None).expect_err("refused");
    assert_eq!(paths(&error), ["inference_config.source_directory"]);
}

#[cfg(unix)]
#[path = "lifecycle_tests.rs"]
mod lifecycle;
