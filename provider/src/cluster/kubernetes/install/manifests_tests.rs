#![expect(
    clippy::redundant_closure_for_method_calls,
    reason = "the path of the method is of one lifetime, and the closure of any"
)]

use super::*;
use crate::cluster::kubernetes::attachment::{Purpose, Router};

const WORKSPACE: &str = "az://account/container/ws";

fn with<T>(attachment: &Attachment, take: impl FnOnce(&Manifests<'_>) -> T) -> T {
    let storage = BTreeMap::from([("AZURE_STORAGE_SAS_TOKEN".to_owned(), "sig".to_owned())]);
    take(&Manifests { attachment, workspace: WORKSPACE, storage: &storage })
}

fn attachment(router: Router) -> Attachment {
    Attachment { router: Some(router), image: "registry.example/azureml-fe:1".into(), ..Attachment::default() }
}

#[test]
fn the_router_runs_as_the_restricted_level_of_pod_security_wants_it() {
    let deployment = with(&attachment(Router::default()), |all| all.deployment());
    let pod = &deployment["spec"]["template"]["spec"];
    assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
    assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault");
    let container = &pod["containers"][0]["securityContext"];
    assert_eq!(container["allowPrivilegeEscalation"], false);
    assert_eq!(container["readOnlyRootFilesystem"], true);
    assert_eq!(container["capabilities"]["drop"][0], "ALL");
    let made = namespace("ml", WORKSPACE, "id");
    assert_eq!(made["metadata"]["labels"]["pod-security.kubernetes.io/enforce"], "restricted");
}

#[test]
fn a_rolling_update_takes_no_router_away_before_another_is_ready() {
    let deployment = with(&attachment(Router::default()), |all| all.deployment());
    let update = &deployment["spec"]["strategy"]["rollingUpdate"];
    assert_eq!((&update["maxUnavailable"], &update["maxSurge"]), (&json!(0), &json!(1)));
    assert_eq!(deployment["spec"]["replicas"], 3);
    let small = Attachment { cluster_purpose: Purpose::DevTest, ..attachment(Router::default()) };
    assert_eq!(with(&small, |all| all.deployment())["spec"]["replicas"], 1);
    let budget = with(&small, |all| all.disruption_budget());
    assert_eq!(budget["spec"]["selector"]["matchLabels"], deployment["spec"]["selector"]["matchLabels"]);
}

#[test]
fn a_change_of_the_configuration_makes_new_pods_and_nothing_else_does() {
    let issuer =
        serving::token::Issuer { issuer: "https://a".into(), audiences: vec!["api".into()], ..Default::default() };
    let accounts = serving::token::ServiceAccounts {
        subjects: vec!["system:serviceaccount:shop:web".into()],
        ..Default::default()
    };
    let trusting = Attachment {
        token_issuers: vec![issuer.clone()],
        token_service_accounts: Some(accounts.clone()),
        ..attachment(Router::default())
    };
    let template = |attachment: &Attachment| with(attachment, |all| all.deployment())["spec"]["template"].clone();
    assert_ne!(template(&trusting), template(&attachment(Router::default())));
    let more = attachment(Router { replicas: Some(5), ..Router::default() });
    assert_eq!(template(&more), template(&attachment(Router::default())));
    let text = with(&trusting, |all| all.configuration());
    let table: toml::Table = text.parse().expect("TOML");
    let tokens: serving::token::Settings = table["tokens"].clone().try_into().expect("settings");
    assert_eq!((table["port"].as_integer(), tokens.issuers), (Some(8080), vec![issuer]));
    assert_eq!(tokens.service_accounts, Some(accounts));
}

#[test]
fn an_internal_load_balancer_is_asked_for_as_aks_wants_it() {
    let annotations = Some([("a".to_owned(), "b".to_owned())].into());
    let internal = Attachment {
        load_balancer_type: LoadBalancer::InternalLoadBalancer,
        load_balancer_subnet: Some("apps".into()),
        ..attachment(Router { annotations, ..Router::default() })
    };
    let service = with(&internal, |all| all.service());
    assert_eq!(
        service["metadata"]["annotations"],
        json!({
            "a": "b",
            "service.beta.kubernetes.io/azure-load-balancer-internal": "true",
            "service.beta.kubernetes.io/azure-load-balancer-internal-subnet": "apps",
        })
    );
    assert_eq!((&service["spec"]["type"], &service["spec"]["ports"][0]["port"]), (&json!("LoadBalancer"), &json!(80)));
    let port = Router { service_type: Some(ServiceType::NodePort), node_port: Some(30_080), ..Router::default() };
    let service = with(&attachment(port), |all| all.service());
    assert_eq!(
        (&service["spec"]["type"], &service["spec"]["ports"][0]["nodePort"]),
        (&json!("NodePort"), &json!(30_080))
    );
}

#[test]
fn the_secret_of_the_services_is_applied_without_taking_their_entries_away() {
    let secret = with(&attachment(Router::default()), |all| all.access());
    assert!(secret.get("data").is_none() && secret.get("stringData").is_none(), "{secret}");
    let storage = with(&attachment(Router::default()), |all| all.storage());
    assert_eq!(storage["data"]["AZURE_STORAGE_SAS_TOKEN"], STANDARD.encode("sig"));
}

#[test]
fn scorers_are_reached_by_routers_alone() {
    let [router, scorer] = with(&attachment(Router::default()), |all| all.network_policies());
    assert!(router["spec"]["ingress"][0].get("from").is_none());
    let from = &scorer["spec"]["ingress"][0]["from"][0]["podSelector"]["matchLabels"];
    assert_eq!(from, &router["spec"]["podSelector"]["matchLabels"]);
    assert_eq!(scorer["spec"]["ingress"][0]["ports"][0]["port"], 5001);
}

#[test]
fn every_manifest_is_an_object_that_kubernetes_knows() {
    use k8s_openapi::api::{
        apps::v1::Deployment, core::v1, networking::v1::NetworkPolicy, policy::v1::PodDisruptionBudget,
        rbac::v1 as rbac,
    };
    fn reads<T: serde::de::DeserializeOwned + serde::Serialize>(manifest: &Value) {
        let object: T = serde_json::from_value(manifest.clone()).unwrap_or_else(|error| panic!("{error}: {manifest}"));
        let mut again = serde_json::to_value(object).expect("JSON");
        again.as_object_mut().expect("an object").retain(|name, _| manifest.get(name).is_some());
        assert_eq!(&again, manifest, "fields that Kubernetes does not know");
    }
    let tolerations = vec![serving::pod::Toleration { operator: Some("Exists".into()), ..Default::default() }];
    let full = Attachment {
        image_pull_secret: Some("pull".into()),
        ..attachment(Router {
            node_selector: Some([("a".to_owned(), "b".to_owned())].into()),
            tolerations: Some(tolerations),
            ..Router::default()
        })
    };
    with(&full, |all| {
        reads::<v1::ServiceAccount>(&all.service_account());
        reads::<rbac::Role>(&all.role());
        reads::<rbac::RoleBinding>(&all.role_binding());
        reads::<v1::ConfigMap>(&all.config_map());
        reads::<v1::Secret>(&all.access());
        reads::<v1::Secret>(&all.storage());
        reads::<v1::Service>(&all.service());
        reads::<Deployment>(&all.deployment());
        reads::<PodDisruptionBudget>(&all.disruption_budget());
        for policy in all.network_policies() {
            reads::<NetworkPolicy>(&policy);
        }
    });
    reads::<v1::Namespace>(&namespace("ml", WORKSPACE, "id"));
}
