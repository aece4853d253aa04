use super::*;

fn compute() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    for name in [layout::SERVICES, layout::ACCEPTED, "keys/diabetes"] {
        std::fs::create_dir_all(folder.path().join(name)).expect("created");
    }
    folder
}

fn document(generation: u64, mode: &str) -> serde_json::Value {
    serde_json::json!({
        "schema_version": 1, "generation": generation, "name": "diabetes", "kind": "webservice",
        "workspace": "file:///w", "owner": "me", "committed": true,
        "created_time": "2026-01-02T03:04:05Z", "updated_time": "2026-01-02T03:04:05Z",
        "auth": { "mode": mode, "keys": if mode == "key" { Some(3) } else { None } },
        "versions": { "diabetes": {
            "sequence": 1,
            "declared": { "traffic": 10_000 },
            "scale": { "fixed": 1 },
            "replica_max_concurrent_requests": 1, "max_request_wait_time": 500, "scoring_timeout_ms": 60_000,
            "template": {
                "models": [],
                "code": { "digest": format!("sha256:{}", "0".repeat(64)), "directory": "src", "entry_script": "score.py" },
                "environment": { "id": "e", "version": 1, "hash": "h", "build_key": "b", "prefix": "/venv" },
            },
        } },
        "served": { "default": "diabetes", "shares": { "diabetes": 10_000 } },
    })
}

fn write(folder: &tempfile::TempDir, path: &str, content: &str) {
    let path = folder.path().join(path);
    let temporary = path.with_extension("new");
    std::fs::write(&temporary, content).expect("written");
    std::fs::rename(temporary, path).expect("renamed");
}

fn generation(documents: &Documents) -> Option<u64> {
    Some(documents.services.get("diabetes")?.good.as_ref()?.service.generation)
}

#[test]
fn a_bad_document_is_refused_with_its_reason_and_the_last_good_one_stays_even_over_a_restart() {
    let folder = compute();
    let mut documents = Documents::new(folder.path());
    assert!(!documents.scan(false).expect("scanned"));
    write(&folder, "services/diabetes.json", &document(1, "none").to_string());
    assert!(documents.scan(false).expect("scanned"));
    assert_eq!(documents.services["diabetes"].refused, None);
    assert_eq!(generation(&documents), Some(1));
    assert!(!documents.scan(true).expect("scanned"), "nothing has changed");

    write(&folder, "services/diabetes.json", "{ \"schema_version\": 1");
    assert!(documents.scan(false).expect("scanned"));
    for documents in [&mut documents, &mut Documents::new(folder.path())] {
        documents.scan(false).expect("scanned");
        assert_eq!(generation(documents), Some(1));
        let reason = documents.services["diabetes"].refused.clone().expect("refused");
        assert!(reason.starts_with("services/diabetes.json: the document is not JSON"), "{reason}");
    }
    write(&folder, "services/diabetes.json", &document(2, "none").to_string());
    assert!(documents.scan(false).expect("scanned"));
    assert_eq!(generation(&documents), Some(2));
    assert_eq!(documents.services["diabetes"].refused, None);
}

#[test]
fn a_document_whose_keys_are_missing_is_refused_until_they_are_there() {
    let folder = compute();
    let mut documents = Documents::new(folder.path());
    write(&folder, "services/diabetes.json", &document(1, "key").to_string());
    documents.scan(false).expect("scanned");
    assert_eq!(generation(&documents), None);
    let reason = documents.services["diabetes"].refused.clone().expect("refused");
    assert!(reason.contains("keys/diabetes/3.digests.json"), "{reason}");
    write(&folder, "keys/diabetes/3.digests.json", &format!(r#"{{"accepted":["{}"]}}"#, "a".repeat(64)));
    assert!(documents.scan(false).expect("scanned"));
    assert_eq!(generation(&documents), Some(1));
}

#[test]
fn a_removed_document_is_gone_and_does_not_come_back() {
    let folder = compute();
    let mut documents = Documents::new(folder.path());
    write(&folder, "services/diabetes.json", &document(1, "none").to_string());
    documents.scan(false).expect("scanned");
    std::fs::remove_file(folder.path().join("services/diabetes.json")).expect("removed");
    assert!(documents.scan(false).expect("scanned"));
    assert!(documents.services.is_empty());
    write(&folder, "services/diabetes.json", "{}");
    documents.scan(false).expect("scanned");
    assert_eq!(generation(&documents), None);
}

#[test]
fn temporary_and_foreign_files_are_not_documents() {
    let folder = compute();
    let mut documents = Documents::new(folder.path());
    write(&folder, "services/.lock", "");
    write(&folder, "services/.diabetes.json", "{}");
    write(&folder, "services/readme.txt", "{}");
    documents.scan(false).expect("scanned");
    assert!(documents.services.is_empty());
    write(&folder, "services/other.json", &document(1, "none").to_string());
    documents.scan(false).expect("scanned");
    let reason = documents.services["other"].refused.clone().expect("refused");
    assert!(reason.contains("holds the service `diabetes`"), "{reason}");
}

#[test]
fn a_document_that_was_removed_while_nobody_looked_does_not_come_back() {
    let folder = compute();
    write(&folder, "services/diabetes.json", &document(1, "none").to_string());
    Documents::new(folder.path()).scan(false).expect("scanned");
    std::fs::remove_file(folder.path().join("services/diabetes.json")).expect("removed");
    let mut later = Documents::new(folder.path());
    later.scan(false).expect("scanned");
    write(&folder, "services/diabetes.json", "{}");
    later.scan(false).expect("scanned");
    assert_eq!(generation(&later), None);
}
