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

mod lifecycle {
    use serde_json::{Value, json};
    use tfplugin::testing::Action;

    use crate::testing::{World, complaint, left, router};

    #[tokio::test]
    async fn a_compute_is_created_with_a_free_port_and_imported_without_a_change() {
        let world = World::new().await;
        let compute = world.compute().await;
        assert_eq!((compute.text("status"), compute.text("router_version")), ("Running".into(), "1.0.0".into()));
        assert_eq!(compute.text("directory"), world.path("ws/local/local").to_str().expect("text"));
        world.core.assert_settled(&compute, world.compute_config(&Value::Null)).await.expect("settled");
        let imported = world.core.import("azureml_local_compute", &compute.text("id")).await.expect("imported");
        assert_eq!(imported.to_json(), compute.to_json());
        world.core.destroy(compute).await.expect("destroyed");
        assert!(!world.path("ws/local").exists());
    }

    #[tokio::test]
    async fn a_dead_router_shows_as_an_update_of_the_status_and_comes_back() {
        let world = World::new().await;
        let compute = world.compute().await;
        world.kill_router().await;
        let found = world.core.refresh(&compute).await.expect("read").expect("there");
        assert_eq!((found.text("status"), found.get("port")), ("Stopped".into(), compute.get("port")));
        let config = world.compute_config(&Value::Null);
        let planned = world.core.plan("azureml_local_compute", Some(&found), config.clone()).await.expect("planned");
        assert_eq!(planned.action, Action::Update);
        let back = world.core.apply(planned).await.expect("applied").expect("there");
        assert_eq!(back.to_json(), compute.to_json());
        world.core.assert_settled(&back, config).await.expect("settled");
    }

    #[tokio::test]
    async fn a_port_in_use_is_an_error_on_the_port_and_the_next_apply_finishes() {
        let world = World::new().await;
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let config = world.compute_config(&json!({ "port": port }));
        let error = world.core.create("azureml_local_compute", config.clone()).await.expect_err("refused");
        let (path, text) = complaint(&error);
        assert!(path == "port" && text.contains(&port.to_string()), "{path}: {text}");
        // It is in the state, so that it can be destroyed.
        world.core.destroy(left(&error).expect("a tainted state").clone()).await.expect("destroyed");
        drop(listener);
        let compute = world.core.create("azureml_local_compute", config).await.expect("created");
        assert_eq!(compute.get("port"), json!(port));
    }

    #[tokio::test]
    async fn another_address_or_port_restarts_the_router_there() {
        let world = World::new().await;
        let compute = world.compute().await;
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        drop(listener);
        let config = world.compute_config(&json!({ "port": port }));
        let moved = world.core.update(&compute, config.clone()).await.expect("updated");
        assert_eq!(moved.get("port"), json!(port));
        assert_eq!(world.cluster().status().await.expect("it runs").address, format!("127.0.0.1:{port}"));
        world.core.assert_settled(&moved, config).await.expect("settled");
    }

    #[tokio::test]
    async fn a_new_release_changes_nothing_until_its_version_is_asked_for() {
        let world = World::new().await;
        let compute = world.compute().await;
        router(world.folder.path(), "router", "2.0.0");
        world.core.assert_settled(&compute, world.compute_config(&Value::Null)).await.expect("settled");
        let wrong = world.compute_config(&json!({ "router_version": "3.0.0" }));
        let (path, text) = complaint(&world.core.update(&compute, wrong).await.expect_err("refused"));
        assert!(path == "router_version" && text.contains("2.0.0") && text.contains("3.0.0"), "{path}: {text}");
    }

    #[tokio::test]
    async fn a_missing_program_or_a_foreign_directory_is_an_error_on_its_attribute() {
        let world = World::new().await;
        let elsewhere = world.path("thesis");
        std::fs::create_dir(&elsewhere).expect("made");
        std::fs::write(elsewhere.join("thesis.tex"), "x").expect("written");
        for (attribute, value) in [("router_path", world.path("nothing")), ("directory", elsewhere.clone())] {
            let config = world.compute_config(&json!({ attribute: value }));
            let error = world.core.create("azureml_local_compute", config).await.expect_err("refused");
            assert_eq!(complaint(&error).0, attribute);
            if attribute == "directory" {
                assert!(left(&error).is_none(), "nothing was made");
            } else {
                world.core.destroy(left(&error).expect("a tainted state").clone()).await.expect("destroyed");
            }
        }
        assert!(elsewhere.join("thesis.tex").exists());
    }

    #[tokio::test]
    async fn another_directory_is_a_replacement_whose_id_is_told_after_it_so_that_services_move() {
        let world = World::new().await;
        let compute = world.compute().await;
        let config = world.compute_config(&json!({ "directory": world.path("elsewhere") }));
        let planned = world.core.plan("azureml_local_compute", Some(&compute), config.clone()).await.expect("planned");
        assert_eq!(planned.action, Action::Replace);
        let create = world.core.plan("azureml_local_compute", None, config).await.expect("planned");
        assert!(create.value.attribute("id").is_unknown());
        // Where it is already, it would be adopted.
        let same =
            world.core.plan("azureml_local_compute", None, world.compute_config(&Value::Null)).await.expect("planned");
        assert_eq!(same.value.attribute("id").as_str(), Some(compute.text("id").as_str()));
    }

    fn trusting(issuers: &Value) -> Value {
        json!({ "token_issuers": issuers })
    }

    #[tokio::test]
    async fn issuers_are_taken_over_by_the_running_router_imported_and_shown_when_they_drift() {
        let world = World::new().await;
        let compute = world.compute().await;
        let before = world.cluster().status().await.expect("it runs");
        let issuers = trusting(&json!([
            { "issuer": "https://login.example/v2.0", "audiences": ["api"], "roles": ["score"], "groups": [] },
            { "issuer": "http://localhost:9", "audiences": ["a", "b"], "jwks_uri": "http://localhost:9/keys" },
        ]));
        let config = world.compute_config(&issuers);
        let updated = world.core.update(&compute, config.clone()).await.expect("updated");
        world.core.assert_settled(&updated, config.clone()).await.expect("settled");
        let after = world.cluster().status().await.expect("it runs");
        assert_eq!(after.pid, before.pid, "it was not restarted");
        assert_ne!(after.worker_pid, before.worker_pid, "its worker was replaced");
        let trusted = world.cluster().token_issuers().await.expect("read");
        assert_eq!((trusted.len(), trusted[0].roles.as_slice()), (2, &["score".to_owned()][..]));

        let imported = world.core.import("azureml_local_compute", &compute.text("id")).await.expect("imported");
        let planned = world.core.plan("azureml_local_compute", Some(&imported), config.clone()).await.expect("planned");
        assert_eq!(imported.get("token_issuers")[1], updated.get("token_issuers")[1]);
        // Only the spelling of nothing differs: `[]` and nothing at all.
        assert!(matches!(planned.action, Action::Update | Action::NoOp));

        world.cluster().trust(trusted[..1].to_vec()).await.expect("written");
        let found = world.core.refresh(&updated).await.expect("read").expect("there");
        let planned = world.core.plan("azureml_local_compute", Some(&found), config.clone()).await.expect("planned");
        assert_eq!(planned.action, Action::Update);
        let back = world.core.apply(planned).await.expect("applied").expect("there");
        assert_eq!(world.cluster().token_issuers().await.expect("read"), trusted);

        let none = world.compute_config(&Value::Null);
        let without = world.core.update(&back, none.clone()).await.expect("updated");
        world.core.assert_settled(&without, none).await.expect("settled");
        assert_eq!(world.cluster().token_issuers().await.expect("read"), []);
    }

    #[tokio::test]
    async fn a_compute_is_created_with_its_issuers() {
        let world = World::new().await;
        let issuers = trusting(&json!([{ "issuer": "https://login.example", "audiences": ["api"] }]));
        let config = world.compute_config(&issuers);
        let compute = world.core.create("azureml_local_compute", config.clone()).await.expect("created");
        world.core.assert_settled(&compute, config).await.expect("settled");
        assert_eq!(world.cluster().token_issuers().await.expect("read").len(), 1);
    }

    #[tokio::test]
    async fn issuers_that_no_router_would_take_are_refused_by_the_plan() {
        let world = World::new().await;
        for (issuers, place, reason) in [
            (json!([{ "issuer": "http://login.example", "audiences": ["a"] }]), "token_issuers[0].issuer", "https"),
            (json!([{ "issuer": "https://a", "audiences": [] }]), "token_issuers[0].audiences", "1"),
            (json!([{ "issuer": "https://a", "audiences": [""] }]), "token_issuers[0].audiences[0]", "empty"),
            (
                json!([{ "issuer": "https://a", "audiences": ["a"] },
                    { "issuer": "https://a", "audiences": ["b"], "jwks_uri": "https://a/keys" }]),
                "token_issuers[1].jwks_uri",
                "another entry",
            ),
        ] {
            let config = world.compute_config(&trusting(&issuers));
            let error = world.core.validate("azureml_local_compute", config).await.expect_err("refused");
            let (path, text) = complaint(&error);
            assert!(path == place && text.contains(reason), "{path}: {text}");
        }
    }

    #[tokio::test]
    async fn a_compute_of_another_machine_is_an_error_that_names_it() {
        let world = World::new().await;
        let compute = world.compute().await;
        let document = world.path("ws/computes/local");
        for entry in std::fs::read_dir(&document).expect("a folder").flatten() {
            let text = std::fs::read_to_string(entry.path()).expect("read");
            let mut json: Value = serde_json::from_str(&text).expect("JSON");
            json["body"]["location"]["local"]["machine"] = json!("another");
            json["body"]["location"]["local"]["host"] = json!("far-away");
            std::fs::write(entry.path(), json.to_string()).expect("written");
        }
        let (_, text) = complaint(&world.core.refresh(&compute).await.expect_err("refused"));
        assert!(text.contains("far-away"), "{text}");
    }

    #[tokio::test]
    async fn an_existing_compute_is_adopted_by_its_owner_and_refused_to_others() {
        let world = World::new().await;
        let compute = world.compute().await;
        let again = world.compute().await;
        assert_eq!(again.to_json(), compute.to_json());
        let other = world.other_run("somebody-else").await;
        let error = other.create("azureml_local_compute", world.compute_config(&Value::Null)).await;
        let (path, text) = complaint(&error.expect_err("refused"));
        assert!(path == "name" && text.contains("terraform import") && text.contains("me"), "{path}: {text}");
    }

    #[tokio::test]
    async fn a_compute_whose_document_is_gone_is_planned_anew() {
        let world = World::new().await;
        let compute = world.compute().await;
        std::fs::remove_dir_all(world.path("ws/computes")).expect("removed");
        assert_eq!(world.core.refresh(&compute).await.expect("read"), None);
    }
}
