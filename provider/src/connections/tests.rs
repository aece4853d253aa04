use std::fs;

use super::*;

fn block(
    connections: impl IntoIterator<Item = (&'static str, ConnectionBlock)>,
) -> Attr<BTreeMap<String, Attr<ConnectionBlock>>> {
    Attr::Known(connections.into_iter().map(|(name, block)| (name.to_owned(), Attr::Known(block))).collect())
}

fn connections(connection: ConnectionBlock) -> Connections {
    Connections::new(block([("prod", connection)]), |_| None)
}

async fn refused(connections: &Connections, name: &str) -> String {
    connections.client(name).await.map(|_| ()).expect_err("refused").to_string()
}

const KUBECONFIG_TEXT: &str = "
apiVersion: v1
kind: Config
clusters: [{ name: here, cluster: { server: 'https://127.0.0.1:1' } }]
users: [{ name: me, user: { token: SECRET } }]
contexts: [{ name: blue, context: { cluster: here, user: me } }, { name: green, context: { cluster: gone, user: me } }]
current-context: blue
";

fn kubeconfig(folder: &Path, text: &str) -> Attr<String> {
    let path = folder.join("config");
    fs::write(&path, text).expect("written");
    path.to_str().expect("text").into()
}

#[tokio::test]
async fn a_connection_that_does_not_exist_is_an_error_that_names_those_that_do() {
    let none = Connections::new(Attr::Null, |_| Some("/somewhere".to_owned()));
    let error = refused(&none, "prod").await;
    assert!(error.contains("no `kubernetes`") && error.contains("never used unasked"), "{error}");
    let others =
        Connections::new(block([("test", ConnectionBlock::default()), ("dev", ConnectionBlock::default())]), |_| None);
    let error = refused(&others, "prod").await;
    assert!(error.contains("\"prod\"") && error.contains("dev, test"), "{error}");
}

#[tokio::test]
async fn what_is_known_only_after_apply_is_not_taken_for_missing() {
    for connections in [
        Connections::new(Attr::Unknown, |_| None),
        Connections::new(Attr::Known([("prod".to_owned(), Attr::Unknown)].into()), |_| None),
        connections(ConnectionBlock { host: Attr::Unknown, ..ConnectionBlock::default() }),
        connections(ConnectionBlock {
            host: "https://a".into(),
            exec: Attr::Known(ExecBlock {
                command: "a".into(),
                args: Attr::Known(vec![Attr::Unknown]),
                ..ExecBlock::default()
            }),
            ..ConnectionBlock::default()
        }),
    ] {
        assert!(connections.is_unknown("prod"));
        let error = refused(&connections, "prod").await;
        assert!(error.contains("only after apply"), "{error}");
    }
}

#[tokio::test]
async fn a_kubeconfig_that_cannot_be_used_is_an_error_on_its_attribute() {
    let folder = tempfile::tempdir().expect("a folder");
    let missing = folder.path().join("missing").to_str().expect("text").to_owned();
    let of = |path: Attr<String>| connections(ConnectionBlock { kubeconfig_path: path, ..ConnectionBlock::default() });
    let error = refused(&of(missing.into()), "prod").await;
    assert!(error.contains("`kubernetes.prod.kubeconfig_path`") && error.contains("does not exist"), "{error}");
    let error = refused(&of(folder.path().to_str().expect("text").into()), "prod").await;
    assert!(error.contains("cannot be read"), "{error}");
    let error = refused(&of(kubeconfig(folder.path(), "clusters: [\ntoken: SECRET")), "prod").await;
    assert!(error.contains("not a kubeconfig in YAML (line") && !error.contains("SECRET"), "{error}");
    let error = refused(&of(kubeconfig(folder.path(), "kind: Config\n")), "prod").await;
    assert!(error.contains("no current-context"), "{error}");
}

#[tokio::test]
async fn a_context_that_is_not_in_the_kubeconfig_is_an_error_that_lists_those_that_are() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = kubeconfig(folder.path(), KUBECONFIG_TEXT);
    let of = |context: &str| {
        connections(ConnectionBlock {
            kubeconfig_path: path.clone(),
            context: context.into(),
            ..ConnectionBlock::default()
        })
    };
    let error = refused(&of("red"), "prod").await;
    assert!(error.contains("`kubernetes.prod.context`") && error.contains("blue, green"), "{error}");
    let error = refused(&of("green"), "prod").await;
    assert!(error.contains("\"gone\" is not in it"), "{error}");
    of("blue").client("prod").await.expect("a client");
}

#[tokio::test]
async fn a_kubeconfig_is_read_anew_each_time() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = kubeconfig(folder.path(), KUBECONFIG_TEXT);
    let connections = connections(ConnectionBlock { kubeconfig_path: path, ..ConnectionBlock::default() });
    connections.client("prod").await.expect("a client");
    kubeconfig(folder.path(), &KUBECONFIG_TEXT.replace("current-context: blue", "current-context: gone"));
    let error = refused(&connections, "prod").await;
    assert!(error.contains("current-context is \"gone\""), "{error}");
}

#[tokio::test]
async fn the_environment_counts_only_where_the_connection_names_no_cluster() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = kubeconfig(folder.path(), KUBECONFIG_TEXT);
    let path = path.as_deref().expect("a path").to_owned();
    let environment = |variables: &'static [&'static str], path: String| {
        move |name: &str| match name {
            _ if !variables.contains(&name) => None,
            "KUBE_CTX" => Some("red".to_owned()),
            "KUBE_HOST" => Some("https://127.0.0.1:1".to_owned()),
            "KUBE_CLUSTER_CA_CERT_DATA" => Some("no PEM".to_owned()),
            _ => Some(path.clone()),
        }
    };
    let empty = || block([("prod", ConnectionBlock::default())]);
    let error = refused(&Connections::new(empty(), |_| None), "prod").await;
    assert!(error.contains("does not say which cluster"), "{error}");
    for name in [&["KUBECONFIG"], &["KUBE_CONFIG_PATH"]] {
        Connections::new(empty(), environment(name, path.clone())).client("prod").await.expect("a client");
    }
    let merged = format!("/nothing/here:{path}");
    Connections::new(empty(), environment(&["KUBECONFIG"], merged)).client("prod").await.expect("a client");
    let error =
        refused(&Connections::new(empty(), environment(&["KUBECONFIG", "KUBE_CTX"], path.clone())), "prod").await;
    assert!(error.contains("environment variable KUBE_CTX is \"red\""), "{error}");
    Connections::new(empty(), environment(&["KUBE_HOST"], path.clone())).client("prod").await.expect("a client");
    let bad = environment(&["KUBE_HOST", "KUBE_CLUSTER_CA_CERT_DATA"], path.clone());
    let error = refused(&Connections::new(empty(), bad), "prod").await;
    assert!(error.contains("environment variable KUBE_CLUSTER_CA_CERT_DATA"), "{error}");
    // The connection's own word counts alone, without the variables' context or credentials.
    let own =
        block([("prod", ConnectionBlock { kubeconfig_path: path.as_str().into(), ..ConnectionBlock::default() })]);
    Connections::new(own, environment(&["KUBE_CTX", "KUBE_HOST"], path)).client("prod").await.expect("a client");
}

#[tokio::test]
async fn certificates_and_keys_that_are_not_pem_are_an_error_without_the_key() {
    let inline = ConnectionBlock { host: "https://127.0.0.1:1".into(), ..ConnectionBlock::default() };
    let ca = "-----BEGIN CERTIFICATE-----\n!!!\n-----END CERTIFICATE-----\n";
    let error =
        refused(&connections(ConnectionBlock { cluster_ca_certificate: ca.into(), ..inline.clone() }), "prod").await;
    assert!(error.contains("`kubernetes.prod.cluster_ca_certificate`"), "{error}");
    let key = "-----BEGIN PRIVATE KEY-----\nU0VDUkVU\n-----END PRIVATE KEY-----\n";
    let certificate = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let both = ConnectionBlock { client_certificate: certificate.into(), client_key: key.into(), ..inline };
    let error = refused(&connections(both), "prod").await;
    assert!(error.contains("client_key") && !error.contains("U0VDUkVU"), "{error}");
}

fn plugin(folder: &Path, script: &str) -> Connections {
    use std::os::unix::fs::PermissionsExt as _;
    let path = folder.join("plugin");
    fs::write(&path, format!("#!/bin/sh\n{script}\n")).expect("written");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("made executable");
    let exec = ExecBlock { command: path.to_str().expect("text").into(), ..ExecBlock::default() };
    connections(ConnectionBlock {
        host: "https://127.0.0.1:1".into(),
        exec: Attr::Known(exec),
        ..ConnectionBlock::default()
    })
}

#[tokio::test]
async fn an_exec_plugin_gives_the_credential_or_its_last_words_without_what_it_printed_for_us() {
    let folder = tempfile::tempdir().expect("a folder");
    let good =
        r#"echo '{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":{"token":"t"}}'"#;
    plugin(folder.path(), good).client("prod").await.expect("a client");
    let error = refused(&plugin(folder.path(), "echo SECRET; echo please log in >&2; exit 3"), "prod").await;
    assert!(error.contains("please log in") && error.contains('3') && !error.contains("SECRET"), "{error}");
    let error = refused(&plugin(folder.path(), "echo SECRET: ["), "prod").await;
    assert!(error.contains("ExecCredential") && !error.contains("SECRET"), "{error}");
    fs::remove_file(folder.path().join("plugin")).expect("removed");
    let exec = ExecBlock { command: "no-such-plugin-anywhere".into(), ..ExecBlock::default() };
    let missing =
        ConnectionBlock { host: "https://127.0.0.1:1".into(), exec: Attr::Known(exec), ..ConnectionBlock::default() };
    let error = refused(&connections(missing), "prod").await;
    assert!(error.contains("no-such-plugin-anywhere") && error.contains("not on PATH"), "{error}");
}

#[test]
fn contradictions_are_found_on_the_attribute_that_is_too_much() {
    let full = ConnectionBlock { host: "https://a".into(), token: "t".into(), ..ConnectionBlock::default() };
    let with = |change: fn(&mut ConnectionBlock)| {
        let mut changed = full.clone();
        change(&mut changed);
        changed
    };
    for (connection, attribute) in [
        (with(|block| block.kubeconfig_path = "a".into()), "kubeconfig_path"),
        (with(|block| block.in_cluster = true.into()), "host"),
        (with(|block| block.host = Attr::Null), "token"),
        (with(|block| block.client_certificate = "a".into()), "client_certificate"),
        (with(|block| (block.token, block.client_key) = (Attr::Null, "a".into())), "client_key"),
    ] {
        let found = check(&block([("prod", connection)]));
        let paths: Vec<_> = found.iter().filter_map(|problem| problem.path.clone()).collect();
        assert_eq!(paths, [tfplugin::AttributePath::attribute(NAME).key("prod").child(attribute)]);
    }
    assert!(check(&block([("prod", full)])).is_empty());
    assert!(check(&Attr::Unknown).is_empty());
}

#[test]
fn a_server_is_named_by_https_or_on_this_machine() {
    for good in
        ["https://10.0.0.1:6443", "https://api.example/k8s/clusters/c-1", "http://127.0.0.1:8001", "http://[::1]:1"]
    {
        inline::host(good).expect(good);
    }
    for bad in ["10.0.0.1:6443", "http://10.0.0.1", "https://u:p@a", "ftp://a", "https://a?b"] {
        inline::host(bad).expect_err(bad);
    }
}

#[test]
fn debug_output_shows_no_secret() {
    let secret = ConnectionBlock { host: "https://a".into(), token: "SECRET".into(), ..ConnectionBlock::default() };
    let shown = format!("{secret:?} {:?}", connections(secret.clone()));
    assert!(shown.contains("token") && shown.contains("prod") && !shown.contains("SECRET"), "{shown}");
}
