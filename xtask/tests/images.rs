//! Images for real: built from nothing by `cargo xtask images`, pushed to a real registry, and environments on top of them
//! by the provider. Needs `make build` before, root for debootstrap, a builder, and a registry's program.

mod support;

use serde_json::{Value, json};
use support::{World, complaint};

#[tokio::test]
async fn an_environment_is_built_once_and_found_again_by_whoever_has_the_same_definition() {
    let Some(world) = World::start() else { return };
    let core = world.core(json!({ "base_image": world.images().scorer })).await;
    let workspace = world.workspace(&core, "one", json!({})).await;
    let config = World::environment(&workspace, &json!({}));
    let first = core.create("azureml_environment", config.clone()).await.expect("built");
    let image = first.text("image");
    let repository = format!("{}/azureml-environment@sha256:", world.registry());
    assert!(image.starts_with(&repository), "{image}");
    core.assert_settled(&first, config).await.expect("settled");
    let imported = core.import("azureml_environment", &first.text("id")).await.expect("imported");
    assert_eq!(imported.to_json(), first.to_json());
    // It runs as nobody in particular, with the packages and the scorer.
    let script = "import os, idna, azureml_scorer; print(os.getuid(), idna.__version__)";
    assert_eq!(World::run_in(&image, &["python", "-c", script]), "10001 3.10");

    // Without a builder, so it was found.
    let core = world.core(json!({ "base_image": world.images().scorer, "tool": World::broken_tool() })).await;
    let workspace = world.workspace(&core, "two", json!({})).await;
    let second = core.create("azureml_environment", World::environment(&workspace, &json!({}))).await.expect("found");
    assert_eq!(second.text("image"), image);
}

#[tokio::test]
async fn an_image_of_the_global_registry_is_copied_and_not_built() {
    let Some(world) = World::start() else { return };
    let core = world.core(json!({ "base_image": world.images().scorer })).await;
    let global = format!("{}/global", world.registry());
    let workspace = world.workspace(&core, "global", json!({ "registry": global })).await;
    let built = core.create("azureml_environment", World::environment(&workspace, &json!({}))).await.expect("built");
    let core = world.core(json!({ "base_image": world.images().scorer, "tool": World::broken_tool() })).await;
    let registries = json!({ "registry": format!("{}/copies", world.registry()), "global_registry": global });
    let workspace = world.workspace(&core, "copies", registries).await;
    let copied = core.create("azureml_environment", World::environment(&workspace, &json!({}))).await.expect("copied");
    let digest = |text: &str| text.rsplit('@').next().unwrap_or_default().to_owned();
    assert_eq!(digest(&copied.text("image")), digest(&built.text("image")));
    assert!(copied.text("image").contains("/copies/"), "{}", copied.text("image"));
}

#[tokio::test]
async fn two_applies_at_once_end_with_one_image() {
    let Some(world) = World::start() else { return };
    let core = world.core(json!({ "base_image": world.images().scorer })).await;
    let registry = json!({ "registry": format!("{}/race", world.registry()) });
    let one = world.workspace(&core, "racer-1", registry.clone()).await;
    let two = world.workspace(&core, "racer-2", registry).await;
    let (one, two) = tokio::join!(
        core.create("azureml_environment", World::environment(&one, &json!({}))),
        core.create("azureml_environment", World::environment(&two, &json!({}))),
    );
    assert_eq!(one.expect("built").text("image"), two.expect("built").text("image"));
}

#[tokio::test]
async fn another_registry_of_the_workspace_is_where_the_next_apply_places_the_image() {
    let Some(world) = World::start() else { return };
    let core = world.core(json!({ "base_image": world.images().scorer })).await;
    let without = json!({ "registry": Value::Null });
    let workspace = world.workspace(&core, "moves", without).await;
    let config = World::environment(&workspace, &json!({ "pip_requirements": "# nothing\n" }));
    let environment = core.create("azureml_environment", config.clone()).await.expect("created");
    assert_eq!(environment.get("image"), Value::Null);
    let mut registry = world.workspace_config("moves");
    registry["registry"] = format!("{}/moved", world.registry()).into();
    core.update(&workspace, registry).await.expect("changed");
    let environment = core.refresh(&environment).await.expect("read").expect("there");
    let environment = core.update(&environment, config.clone()).await.expect("placed");
    assert!(environment.text("image").contains("/moved/azureml-environment@"), "{}", environment.text("image"));
    core.assert_settled(&environment, config).await.expect("settled");
}

#[tokio::test]
async fn every_failure_names_its_object_and_cause_on_the_attribute_that_is_to_be_changed() {
    let Some(world) = World::start() else { return };
    let core = world.core(json!({ "base_image": world.images().scorer })).await;
    let workspace = world.workspace(&core, "failing", json!({})).await;
    let create = async |changes: Value| {
        let failed = core.create("azureml_environment", World::environment(&workspace, &changes)).await;
        complaint(&failed.expect_err("refused"))
    };
    let absent = format!("{}/there-is-no-such:1", world.registry());
    let (path, text) = create(json!({ "docker": { "base_image": absent } })).await;
    assert!(path.contains("docker") && text.contains(&absent) && text.contains("there is no image"), "{path} {text}");

    let (path, text) =
        create(json!({ "docker": { "extra_docker_file_steps": ["RUN echo no such library; exit 3"] } })).await;
    assert!(path.contains("docker"), "{path}");
    assert!(text.contains("cannot build on the base image") && text.contains("no such library"), "{text}");

    let core = world.core(json!({ "base_image": world.images().scorer, "tool": World::broken_tool() })).await;
    let own = json!({ "registry": format!("{}/nobody", world.registry()) });
    let workspace = world.workspace(&core, "unbuilt", own).await;
    let failed = core.create("azureml_environment", World::environment(&workspace, &json!({}))).await;
    let (_, text) = complaint(&failed.expect_err("refused"));
    assert!(text.contains("no program to build an image with") && text.contains("install buildah"), "{text}");

    let unreachable = world.workspace(&core, "unreachable", json!({ "registry": "127.0.0.1:1" })).await;
    let failed = core.create("azureml_environment", World::environment(&unreachable, &json!({}))).await;
    let (_, text) = complaint(&failed.expect_err("refused"));
    assert!(text.contains("127.0.0.1:1 cannot be reached"), "{text}");

    let closed = World::closed_registry();
    let plain_http = json!([world.registry(), closed.address]);
    let core = world.core(json!({ "base_image": world.images().scorer, "plain_http": plain_http })).await;
    let workspace = world.workspace(&core, "closed", json!({ "registry": closed.address })).await;
    let failed = core.create("azureml_environment", World::environment(&workspace, &json!({}))).await;
    let (_, text) = complaint(&failed.expect_err("refused"));
    assert!(text.contains("does not allow to") && text.contains("docker login"), "{text}");
}

#[test]
fn equal_inputs_give_equal_digests_and_bills_of_materials_are_beside_them() {
    let Some(world) = World::start() else { return };
    let first = world.images();
    assert_eq!(*first, world.make_images());
    for (name, part) in [("azureml-fe", "pkg:cargo/rustls@"), ("azureml-scorer", "pkg:pypi/azureml-scorer@")] {
        let text = std::fs::read_to_string(world.by_products().join(format!("{name}.spdx.json"))).expect("read");
        let document: Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(document["spdxVersion"], "SPDX-2.3");
        assert!(text.contains(part), "no {part} in {name}");
    }
    assert!(World::run_in(&first.router, &["/usr/local/bin/azureml-fe", "--version"]).starts_with("azureml-fe "));
}
