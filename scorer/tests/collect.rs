//! The queue and the settings of data collection, without the library that only Python can load.

#![allow(missing_docs, unreachable_pub, dead_code, reason = "a test crate that includes modules of the library")]

#[path = "../src/collect/queue.rs"]
mod queue;
#[path = "../src/collect/settings.rs"]
mod settings;

use std::path::PathBuf;
use std::time::Duration;

use queue::{Limits, Pushed, Queue};
use settings::{Azure, Settings, Target};

const LONG: Duration = Duration::from_hours(1);

fn queue(bytes: usize, enough: usize) -> Queue {
    Queue::new(Limits { bytes, events: None, enough })
}

#[test]
fn rows_of_one_file_gather_in_one_batch_and_others_do_not() {
    let queue = queue(1 << 20, 10);
    for row in ["1\n", "2\n"] {
        assert_eq!(queue.push("a", "h\n", row.as_bytes(), 1), Pushed::Waits);
    }
    queue.push("a", "other\n", b"3\n", 1);
    queue.push("b", "h\n", b"4\n5\n", 2);
    let mut taken = queue.take(LONG).unwrap();
    taken.sort_by(|a, b| a.rows.cmp(&b.rows));
    let seen: Vec<_> = taken.iter().map(|b| (b.path.as_str(), b.header.as_str(), b.rows.as_slice(), b.count)).collect();
    let expected: [(&str, &str, &[u8], u64); 3] =
        [("a", "h\n", b"1\n2\n", 2), ("a", "other\n", b"3\n", 1), ("b", "h\n", b"4\n5\n", 2)];
    assert_eq!(seen, expected);
}

#[test]
fn what_is_being_written_counts_until_it_is_settled() {
    let queue = queue(2000, 1);
    queue.push("a", "", &[b'\n'; 1000], 1);
    let taken = queue.take(LONG).unwrap();
    assert_eq!(queue.push("a", "", &[b'\n'; 1000], 1), Pushed::Dropped { first: true });
    assert_eq!(queue.push("a", "", &[b'\n'; 1000], 7), Pushed::Dropped { first: false });
    queue.settle(taken[0].count);
    assert_eq!(queue.settled(), 8);
    assert_eq!(queue.push("a", "", &[b'\n'; 1000], 1), Pushed::Waits);
}

#[test]
fn many_paths_cannot_fill_the_memory_with_names() {
    let queue = queue(100_000, usize::MAX);
    let kept = (0..10_000).filter(|n| queue.push(&format!("path {n}"), "", b"", 0) == Pushed::Waits).count();
    assert!(kept < 400, "{kept}");
}

#[test]
fn closing_hands_out_what_waits_and_then_nothing() {
    let queue = queue(1 << 20, 1 << 20);
    queue.push("a", "", b"1\n", 1);
    std::thread::scope(|scope| {
        let closing = scope.spawn(|| queue.close(Duration::from_mins(1)));
        let taken = queue.take(LONG).unwrap();
        queue.settle(taken[0].count);
        queue.settled();
        assert!(queue.take(LONG).is_none());
        queue.end();
        assert_eq!(closing.join().unwrap(), 0);
    });
    assert_eq!(queue.push("a", "", b"2\n", 1), Pushed::Dropped { first: true });
}

#[test]
fn closing_gives_up_and_says_how_many_rows_are_left() {
    let queue = queue(1 << 20, 1 << 20);
    queue.push("a", "", b"1\n2\n", 2);
    assert_eq!(queue.close(Duration::ZERO), 2);
}

fn read(environment: &[(&str, &str)]) -> Result<Option<Settings>, String> {
    Settings::read(|name| environment.iter().find(|(found, _)| *found == name).map(|(_, value)| (*value).to_owned()))
}

fn target(environment: &[(&str, &str)]) -> Target {
    read(environment).unwrap().unwrap().target
}

#[test]
fn collection_is_on_where_the_switch_or_a_target_says_so() {
    assert!(read(&[]).unwrap().is_none());
    assert!(read(&[("AML_MODEL_DC_STORAGE_ENABLED", "false"), ("AZUREML_COLLECT_URI", "/x")]).unwrap().is_none());
    assert!(read(&[("AML_MODEL_DC_STORAGE_ENABLED", "True"), ("AZUREML_COLLECT_URI", "/x")]).unwrap().is_some());
    assert!(read(&[("AML_MODEL_DC_STORAGE_ENABLED", "true")]).unwrap_err().contains("AZUREML_COLLECT_URI"));
    assert_eq!(target(&[("AZUREML_COLLECT_URI", "/x")]), Target::Folder(PathBuf::from("/x")));
}

#[test]
fn every_form_of_a_target_is_understood() {
    let uri = |uri| target(&[("AZUREML_COLLECT_URI", uri)]);
    assert_eq!(uri("file:///a%20b"), Target::Folder(PathBuf::from("/a b")));
    assert_eq!(uri("s3://bucket/a/b/"), Target::S3 { bucket: "bucket".into(), prefix: "a/b".into() });
    let azure =
        Azure { account: Some("acc".into()), container: "box".into(), prefix: "a/b".into(), ..Azure::default() };
    assert_eq!(uri("az://acc/box/a/b"), Target::Azure(azure));
    let signed = Azure {
        account: Some("acc".into()),
        container: "box".into(),
        endpoint: Some("https://acc.blob.core.windows.net".into()),
        sas: Some("sv=1&sig=2".into()),
        ..Azure::default()
    };
    assert_eq!(uri("https://acc.blob.core.windows.net/box?sv=1&sig=2"), Target::Azure(signed));
    for wrong in ["az://acc", "https://host/", "gs://bucket", "s3:///x", "ftp://host/x", "file://host/x"] {
        assert!(read(&[("AZUREML_COLLECT_URI", wrong)]).is_err(), "{wrong}");
    }
}

#[test]
fn a_connection_string_gives_the_container_of_the_original() {
    let string = "DefaultEndpointsProtocol=https;AccountName=acc;AccountKey=a2V5==;EndpointSuffix=core.windows.net";
    let on = ("AML_MODEL_DC_STORAGE_ENABLED", "true");
    let expected = Azure {
        account: Some("acc".into()),
        container: "modeldata".into(),
        endpoint: Some("https://acc.blob.core.windows.net".into()),
        key: Some("a2V5==".into()),
        ..Azure::default()
    };
    assert_eq!(target(&[on, ("AML_MODEL_DC_STORAGE", string)]), Target::Azure(expected));
    // Beside a URL it is only the credential.
    let both = target(&[("AZUREML_COLLECT_URI", "az://acc/box/x"), ("AML_MODEL_DC_STORAGE", string)]);
    assert!(matches!(both, Target::Azure(Azure { container, key: Some(_), .. }) if container == "box"));
    assert!(read(&[("AZUREML_COLLECT_URI", "az://other/box"), ("AML_MODEL_DC_STORAGE", string)]).is_err());
}

#[test]
fn neither_errors_nor_debug_output_hold_a_secret() {
    let on = ("AML_MODEL_DC_STORAGE_ENABLED", "true");
    for string in
        ["AccountName=a;AccountKeySECRET", "SECRET", "AccountKey=SECRET", "BlobEndpoint=SECRET;AccountKey=SECRET"]
    {
        assert!(!read(&[on, ("AML_MODEL_DC_STORAGE", string)]).unwrap_err().contains("SECRET"), "{string}");
    }
    let settings = read(&[on, ("AML_MODEL_DC_STORAGE", "AccountName=a;AccountKey=SECRET")]).unwrap().unwrap();
    assert!(!format!("{settings:?} {}", settings.target).contains("SECRET"));
    let settings = read(&[("AZUREML_COLLECT_URI", "https://a.b/c?sig=SECRET")]).unwrap().unwrap();
    assert!(!format!("{settings:?} {}", settings.target).contains("SECRET"));
}
