use std::net::IpAddr;

use tfplugin::{Attr, Model as _};

use super::model::LocalCompute;
use super::settings::{Settings, default_directory};

#[test]
fn the_schema_and_the_model_agree() {
    assert_eq!(super::schema::schema().problems(LocalCompute::FIELDS), Vec::<String>::new());
}

#[test]
fn settings_hold_what_was_configured_and_not_what_was_computed() {
    let config = LocalCompute { directory: "./here".into(), ..LocalCompute::default() };
    let planned = LocalCompute {
        address: "127.0.0.2".into(),
        port: Attr::Unknown,
        router_version: "1.0.0".into(),
        ..config.clone()
    };
    let settings = Settings::of(&planned, &config);
    assert_eq!(settings.address, "127.0.0.2".parse::<IpAddr>().expect("an address"));
    assert_eq!((settings.port, settings.directory.as_deref(), &settings.router_version), (0, Some("./here"), &None));
    assert_eq!(Settings::read(&settings.write()), settings);
}

#[test]
fn a_document_without_settings_reads_as_the_defaults() {
    assert_eq!(Settings::read(&serde_json::Value::Null), Settings::default());
}

#[test]
fn the_default_directory_is_below_the_workspace() {
    let workspace = "file:///data/my%20ws".parse().expect("a URL");
    let directory = default_directory(&workspace, "local").expect("a folder");
    assert_eq!(directory.to_str(), Some("/data/my ws/local/local"));
}
