use tfplugin::{Attr, Model as _};

use super::model::{AksAttachment, RouterBlock, TolerationBlock};
use super::settings;
use crate::cluster::kubernetes::attachment::Attachment;

#[test]
fn the_schema_and_the_model_agree() {
    assert_eq!(super::schema::schema().problems(AksAttachment::FIELDS), Vec::<String>::new());
}

#[test]
fn what_was_configured_comes_back_as_it_was_written() {
    let router = RouterBlock {
        replicas: 2.into(),
        cpu_cores: 0.25.into(),
        service_type: "NodePort".into(),
        node_port: 30_080.into(),
        annotations: Attr::Known([("a".to_owned(), "b".into())].into()),
        node_selector: Attr::Known([].into()),
        tolerations: Attr::Known(vec![TolerationBlock { operator: "Exists".into(), ..TolerationBlock::default() }]),
        ..RouterBlock::default()
    };
    let config = AksAttachment { router: Attr::Known(router.clone()), ..AksAttachment::default() };
    let planned = AksAttachment { router_version: "1.2.3".into(), namespace: "azureml-ws".into(), ..config.clone() };
    let attachment = settings::of(&planned, &config, None);
    assert_eq!(attachment.image, Attachment::image_of("1.2.3"));
    assert_eq!((&attachment.namespace, &attachment.router_version), (&None, &None), "only computed");
    let read = Attachment::read(&attachment.write());
    assert_eq!(settings::block(&read.router()), router);
}

#[test]
fn rules_between_attributes_are_checked_as_far_as_they_are_known() {
    let internal = AksAttachment { load_balancer_type: "InternalLoadBalancer".into(), ..AksAttachment::default() };
    let of = |router: RouterBlock| AksAttachment { router: Attr::Known(router), ..AksAttachment::default() };
    let port = RouterBlock { service_type: "ClusterIP".into(), node_port: 30_080.into(), ..RouterBlock::default() };
    let inside = RouterBlock { service_type: "ClusterIP".into(), ..RouterBlock::default() };
    for (config, path) in [
        (AksAttachment { load_balancer_subnet: "a".into(), ..AksAttachment::default() }, "load_balancer_subnet"),
        (AksAttachment { router: Attr::Known(inside), ..internal.clone() }, "load_balancer_type"),
        (of(port), "router.node_port"),
        (of(RouterBlock { cpu_cores: 4.0.into(), ..RouterBlock::default() }), "router.cpu_cores_limit"),
    ] {
        let found = settings::check(&config);
        let paths: Vec<_> = found.iter().filter_map(|problem| Some(problem.path.as_ref()?.to_string())).collect();
        assert_eq!(paths, [path]);
    }
    let subnet = AksAttachment { load_balancer_subnet: "a".into(), ..internal };
    let open = AksAttachment { load_balancer_type: Attr::Unknown, ..subnet.clone() };
    let unknown = of(RouterBlock { cpu_cores: Attr::Unknown, ..RouterBlock::default() });
    for config in [subnet, open, unknown] {
        assert!(settings::check(&config).is_empty());
    }
}

#[cfg(unix)]
mod lifecycle {
    use serde_json::json;

    use crate::testing::{World, complaint};

    #[tokio::test]
    async fn a_workspace_on_this_machine_is_refused_at_plan_with_the_way_out() {
        let world = World::new().await;
        let config = json!({ "name": "prod", "workspace_id": world.workspace, "connection": "prod" });
        let error = world.core.plan("azureml_aks_attachment", None, config).await.expect_err("refused");
        let (path, text) = complaint(&error);
        assert!(
            path == "workspace_id" && text.contains("az://") && text.contains("azureml_local_compute"),
            "{path}: {text}"
        );
    }

    #[tokio::test]
    async fn service_accounts_are_checked_by_the_rules_of_the_router() {
        let world = World::new().await;
        let config = |subject: &str| {
            json!({
                "name": "prod",
                "workspace_id": "az://container/ws",
                "connection": "prod",
                "token_service_accounts": { "subjects": [subject] },
            })
        };
        let ours = config("system:serviceaccount:shop:web");
        world.core.validate("azureml_aks_attachment", ours).await.expect("valid");
        let error = world.core.validate("azureml_aks_attachment", config("web")).await.expect_err("refused");
        let (path, text) = complaint(&error);
        assert_eq!(path, "token_service_accounts.subjects");
        assert!(text.contains("system:serviceaccount:"), "{text}");
    }

    #[tokio::test]
    async fn a_plan_needs_no_cluster_and_shows_what_is_known() {
        let world = World::new().await;
        let config = json!({
            "name": "prod",
            "workspace_id": "az://container/ws",
            "connection": "prod",
            "namespace": "ml",
            "external_url": "https://ml.example.com/",
        });
        let planned = world.core.plan("azureml_aks_attachment", None, config).await.expect("planned");
        let text = |name: &str| planned.value.attribute(name).as_str().map(str::to_owned);
        assert_eq!(text("id").as_deref(), Some("az://container/ws/computes/prod"));
        assert_eq!(text("router_version").as_deref(), Some(env!("CARGO_PKG_VERSION")));
        assert_eq!(text("base_url").as_deref(), Some("https://ml.example.com"));
        assert_eq!(text("cluster_purpose").as_deref(), Some("FastProd"));
    }
}
