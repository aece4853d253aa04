use std::collections::{BTreeMap, BTreeSet};

use super::{Findings, Violation, range};
use crate::autoscale::Policy;
use crate::document::Reserved;
use crate::name::{self, Noun};
use crate::service::{AuthMode, Kind, Scale, Service, Sticky, Template, Version};
use crate::traffic::{MAX_VERSIONS, Table, WHOLE};

/// Every rule that a document breaks. An empty list means that it can be served.
///
/// Declared shares that are in conflict with each other break no rule: what is served is the table, see
/// [`crate::traffic::settle`].
#[must_use]
pub fn service(service: &Service) -> Vec<Violation> {
    let mut findings = Findings::default();
    let noun = match service.kind {
        Kind::Webservice => Noun::Webservice,
        Kind::Endpoint => Noun::Endpoint,
    };
    if let Err(violation) = noun.check(&service.name) {
        findings.add("name", format!("is not valid: {violation}"));
    }
    if service.generation == 0 {
        findings.add("generation", "is 0, but counts from 1");
    }
    for (field, value) in [("workspace", &service.workspace), ("owner", &service.owner)] {
        if value.is_empty() {
            findings.add(field, "is empty");
        }
    }
    for (field, time) in [("created_time", &service.created_time), ("updated_time", &service.updated_time)] {
        if time.parse::<jiff::Timestamp>().is_err() {
            findings.add(field, format!("is {time:?}, but must be an RFC 3339 time"));
        }
    }
    if service.auth.mode == AuthMode::Key && service.auth.keys.is_none() {
        findings.add("auth.keys", "is not given, but is required by the mode `key`");
    }
    for place in Reserved::ALL {
        match service.extension(place) {
            Ok(extension) if extension.as_ref().is_some_and(|extension| extension.version == 0) => {
                findings.add(format!("{}.version", place.field()), "is 0, but counts from 1");
            }
            Ok(_) => {}
            Err(_) => findings.add(place.field(), "must be an object with a whole number `version`"),
        }
    }
    if let Some(sticky) = &service.sticky {
        sticky_key(&mut findings, sticky);
    }
    versions(&mut findings, service);
    if let Some(assignment) = &service.assignment {
        for (name, share) in assignment.shares.iter().filter(|(_, share)| share.0 > WHOLE) {
            findings.add(format!("assignment.shares.{name}"), format!("is {share}, but must be from 0 to 100"));
        }
    }
    if let Some(table) = &service.served {
        served(&mut findings, table, &service.versions);
    }
    findings.0
}

fn versions(findings: &mut Findings, service: &Service) {
    if service.kind == Kind::Webservice
        && (service.versions.len() != 1 || !service.versions.contains_key(&service.name))
    {
        findings.add("versions", "of a webservice must be exactly one, with the name of the service");
    }
    if service.versions.len() > MAX_VERSIONS {
        findings.add("versions", format!("are {}, but at most {MAX_VERSIONS} are allowed", service.versions.len()));
    }
    let mut sequences = BTreeSet::new();
    for (name, one) in &service.versions {
        // The user of a webservice does not know that it has a version.
        let path = match service.kind {
            Kind::Webservice => String::new(),
            Kind::Endpoint => format!("versions.{name}."),
        };
        if let Err(violation) = name::endpoint_version(name) {
            findings.add(format!("versions.{name}"), format!("is not valid: {violation}"));
        }
        if !sequences.insert(one.sequence) {
            findings.add(format!("{path}sequence"), format!("is {}, which another version has, too", one.sequence));
        }
        version(findings, &path, one);
    }
}

/// Names of headers and cookies are tokens of RFC 9110; that of a query parameter is compared after decoding.
fn sticky_key(findings: &mut Findings, sticky: &Sticky) {
    let (field, name) = match sticky {
        Sticky::Header(name) => ("sticky.header", name),
        Sticky::Cookie(name) => ("sticky.cookie", name),
        Sticky::Query(name) => ("sticky.query", name),
    };
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    let limit = 1..=100;
    if !limit.contains(&name.len()) || (!matches!(sticky, Sticky::Query(_)) && !name.bytes().all(token)) {
        findings.add(field, format!("is {name:?}, but must be 1 to 100 letters, digits and `!#$%&'*+-.^_`|~`"));
    }
    let reserved = ["authorization", "cookie", "host", "content-length", "connection", "transfer-encoding"];
    if matches!(sticky, Sticky::Header(_)) && reserved.iter().any(|reserved| name.eq_ignore_ascii_case(reserved)) {
        findings
            .add(field, format!("is {name}, which has a meaning of its own; name a header that identifies a caller"));
    }
}

fn version(findings: &mut Findings, path: &str, version: &Version) {
    let signed = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
    if let Some(time) = version.retiring_until.as_ref().filter(|time| time.parse::<jiff::Timestamp>().is_err()) {
        findings.add(format!("{path}retiring_until"), format!("is {time:?}, but must be an RFC 3339 time"));
    }
    if version.declared.traffic.0 > WHOLE {
        findings.add(
            format!("{path}traffic_percentile"),
            format!("is {}, but must be from 0 to 100", version.declared.traffic),
        );
    }
    match &version.scale {
        Scale::Fixed(replicas) => {
            findings.whole(format!("{path}num_replicas"), i64::from(*replicas), &range::REPLICAS);
        }
        Scale::Auto(policy) => autoscale(findings, path, policy),
    }
    for (field, value, allowed) in [
        (
            "replica_max_concurrent_requests",
            i64::from(version.replica_max_concurrent_requests),
            range::CONCURRENT_REQUESTS,
        ),
        ("max_request_wait_time", signed(version.max_request_wait_time), range::REQUEST_WAIT_MS),
        ("scoring_timeout_ms", signed(version.scoring_timeout_ms), range::SCORING_TIMEOUT_MS),
        (
            "rollout.progress_deadline_seconds",
            signed(version.rollout.progress_deadline_seconds),
            range::PROGRESS_DEADLINE_SECONDS,
        ),
        ("rollout.max_surge", i64::from(version.rollout.max_surge), range::ROLLOUT_REPLICAS),
        ("rollout.max_unavailable", i64::from(version.rollout.max_unavailable), range::ROLLOUT_REPLICAS),
    ] {
        findings.whole(format!("{path}{field}"), value, &allowed);
    }
    if !version.rollout.recreate && version.rollout.max_surge == 0 && version.rollout.max_unavailable == 0 {
        findings.add(
            format!("{path}rollout"),
            "allows neither a surge nor a missing replica, so that none could be replaced",
        );
    }
    template(findings, path, &version.template);
}

fn autoscale(findings: &mut Findings, path: &str, policy: &Policy) {
    for (field, value, allowed) in [
        ("autoscale_min_replicas", policy.min_replicas, range::REPLICAS),
        ("autoscale_max_replicas", policy.max_replicas, range::REPLICAS),
        ("autoscale_refresh_seconds", policy.refresh_seconds, range::REFRESH_SECONDS),
        ("autoscale_target_utilization", policy.target_utilization, range::TARGET_UTILIZATION),
    ] {
        findings.whole(format!("{path}{field}"), i64::from(value), &allowed);
    }
    if policy.min_replicas > policy.max_replicas {
        findings.add(
            format!("{path}autoscale_max_replicas"),
            format!(
                "is {}, but must not be less than autoscale_min_replicas, which is {}",
                policy.max_replicas, policy.min_replicas
            ),
        );
    }
}

fn template(findings: &mut Findings, path: &str, template: &Template) {
    if i64::try_from(template.models.len()).is_ok_and(|count| !range::MODELS.contains(&count)) {
        findings.add(
            format!("{path}model_ids"),
            format!("has {} entries, but at most 1000 are allowed", template.models.len()),
        );
    }
    let mut folders = BTreeSet::new();
    for (index, model) in template.models.iter().enumerate() {
        let field = format!("{path}model_ids[{index}]");
        if let Err(violation) = name::model(&model.name) {
            findings.add(&field, format!("is not valid: {violation}"));
        }
        if !folders.insert((&model.name, model.version)) {
            findings.add(&field, format!("names version {} of the model {} a second time", model.version, model.name));
        }
        if !is_digest(&model.digest) {
            findings.add(&field, "has a digest that is not `sha256:` and 64 lower-case hex digits");
        }
    }
    let code = &template.code;
    if !is_digest(&code.digest) {
        findings.add(format!("{path}template.code.digest"), "is not `sha256:` and 64 lower-case hex digits");
    }
    // The directory becomes a folder of the app root, beside the models.
    let plain = !code.directory.is_empty()
        && !matches!(code.directory.as_str(), "." | "..")
        && !code.directory.contains(['/', '\\', '\0'])
        && code.directory != crate::wire::MODELS_DIRECTORY;
    if !plain {
        findings.add(
            format!("{path}inference_config.source_directory"),
            format!(
                "has the base name {:?}, but must be a plain folder name other than {}",
                code.directory,
                crate::wire::MODELS_DIRECTORY
            ),
        );
    }
    if let Err(violation) = name::entry_script(&code.entry_script) {
        findings.add(format!("{path}inference_config.entry_script"), format!("is not valid: {violation}"));
    }
    if let Some(prefix) = template.environment.prefix.as_ref().filter(|prefix| !prefix.starts_with('/')) {
        findings
            .add(format!("{path}template.environment.prefix"), format!("is {prefix:?}, but must be an absolute path"));
    }
    for (name, value) in &template.environment_variables {
        if name.is_empty() || name.contains(['=', '\0']) || value.contains('\0') {
            findings.add(
                format!("{path}environment_variables"),
                format!("has the name {name:?}; a name must not be empty nor contain `=`, and nothing may contain NUL"),
            );
        }
    }
}

fn served(findings: &mut Findings, table: &Table, versions: &BTreeMap<String, Version>) {
    if !table.shares.contains_key(&table.default) {
        findings.add("served.default", format!("is {:?}, which has no share", table.default));
    }
    for name in table.shares.keys().filter(|name| !versions.contains_key(*name)) {
        findings.add(format!("served.shares.{name}"), "names a version that does not exist");
    }
    let sum: u64 = table.shares.values().map(|share| u64::from(share.0)).sum();
    if sum != u64::from(WHOLE) {
        findings.add("served.shares", format!("add up to {sum}, but must add up to {WHOLE}"));
    }
    let counts = table.slots.counts();
    let agrees = table.shares.iter().all(|(name, share)| counts.get(name.as_str()).copied().unwrap_or(0) == share.0);
    if !table.slots.is_empty() && (!agrees || counts.keys().any(|name| !table.shares.contains_key(*name))) {
        findings.add("served.slots", "does not give each version as many slots as its share has");
    }
}

/// `sha256:` and 64 lower-case hex digits.
fn is_digest(text: &str) -> bool {
    text.strip_prefix("sha256:")
        .is_some_and(|hex| hex.len() == 64 && hex.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::traffic::BasisPoints;

    fn webservice() -> Service {
        Service::read(include_bytes!("../../tests/documents/service-1.json")).expect("a document")
    }

    fn endpoint() -> Service {
        Service::read(include_bytes!("../../tests/documents/service-2.json")).expect("a document")
    }

    fn broken(document: &Service) -> Vec<String> {
        service(document).iter().map(|violation| violation.field.clone()).collect()
    }

    #[test]
    fn the_recorded_documents_break_no_rule() {
        assert_eq!(service(&webservice()), []);
        assert_eq!(service(&endpoint()), []);
    }

    #[test]
    fn the_fields_of_a_webservice_have_the_paths_that_its_user_knows() {
        let mut document = webservice();
        let version = document.versions.get_mut("diabetes").expect("its version");
        version.scale = Scale::Fixed(0);
        version.scoring_timeout_ms = u64::MAX;
        version.template.code.entry_script = "../score.py".into();
        assert_eq!(broken(&document), ["num_replicas", "scoring_timeout_ms", "inference_config.entry_script"]);
    }

    #[test]
    fn the_fields_of_an_endpoints_version_say_which_version() {
        let mut document = endpoint();
        let version = document.versions.get_mut("forest").expect("its version");
        version.scale =
            Scale::Auto(Policy { min_replicas: 3, max_replicas: 2, refresh_seconds: 0, target_utilization: 101 });
        assert_eq!(
            broken(&document),
            [
                "versions.forest.autoscale_refresh_seconds",
                "versions.forest.autoscale_target_utilization",
                "versions.forest.autoscale_max_replicas"
            ]
        );
    }

    #[test]
    fn a_webservice_has_exactly_the_version_of_its_name() {
        let mut document = webservice();
        let version = document.versions.remove("diabetes").expect("its version");
        document.versions.insert("other".into(), version);
        document.served = None;
        assert_eq!(broken(&document), ["versions"]);
    }

    #[test]
    fn a_seventh_version_is_refused() {
        let mut document = endpoint();
        for sequence in 3..=7 {
            let mut version = document.versions["ridge"].clone();
            version.sequence = sequence;
            document.versions.insert(format!("extra{sequence}"), version);
        }
        assert_eq!(broken(&document), ["versions"]);
    }

    #[test]
    fn a_table_that_does_not_add_up_or_names_strangers_is_refused() {
        let mut document = endpoint();
        let table = document.served.as_mut().expect("a table");
        table.default = "stranger".into();
        table.shares.insert("ghost".into(), BasisPoints(1));
        assert_eq!(broken(&document), ["served.default", "served.shares.ghost", "served.shares", "served.slots"]);
    }

    #[test]
    fn folders_of_the_app_root_cannot_collide_or_lead_out_of_it() {
        for directory in ["..", "a/b", "", "azureml-models"] {
            let mut document = webservice();
            document.versions.get_mut("diabetes").expect("its version").template.code.directory = directory.into();
            assert_eq!(broken(&document), ["inference_config.source_directory"], "{directory}");
        }
        let mut document = webservice();
        let models = &mut document.versions.get_mut("diabetes").expect("its version").template.models;
        models.push(models[0].clone());
        assert_eq!(broken(&document), ["model_ids[1]"]);
    }

    #[test]
    fn key_authentication_needs_keys_and_reserved_places_their_form() {
        let mut document = webservice();
        document.auth.keys = None;
        document.unknown.insert("mirror".into(), json!([]));
        document.unknown.insert("revisions".into(), json!({ "version": 0 }));
        assert_eq!(broken(&document), ["auth.keys", "mirror", "revisions.version"]);
    }

    #[test]
    fn keys_are_long_and_fit_into_a_header() {
        assert!(super::super::key("primary_key_wo", "0123456789abcdef0123456789ABCDEF").is_ok());
        for bad in [
            "short",
            "0123456789 abcdef0123456789ABCDEF",
            "0123456789abcdef0123456789ABCDE\n",
            "ключключключключключключключключ",
        ] {
            let violation = super::super::key("primary_key_wo", bad).expect_err("refused");
            assert!(!violation.to_string().contains(bad), "{violation}");
        }
    }
}
