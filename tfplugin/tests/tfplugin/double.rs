//! The connection's rules, and Core's rules, each broken by a provider that is wrong in one way.

use async_trait::async_trait;
use serde_json::json;
use tfplugin::process::{Address, Environment, Network};
use tfplugin::proto::health::HealthCheckRequest;
use tfplugin::proto::health::health_check_response::ServingStatus;
use tfplugin::proto::health::health_client::HealthClient;
use tfplugin::proto::plugin::grpc_stdio_client::GrpcStdioClient;
use tfplugin::server::ProviderServer;
use tfplugin::testing::{Action, Core, CoreError, Host, Rule, Served, UNKNOWN};
use tfplugin::{AnyResource, Attr, Attribute, Context, Diagnostics, Empty, Model, Plan, Provider, Resource, Schema};

/// How the provider is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    PlansOther,
    PlansDifferently,
    AppliesOther,
    LeavesUnknown,
    ReadsOther,
    Panics,
    LosesObject,
}

#[derive(Clone, Copy)]
struct Thing(Fault);

#[derive(Clone, Debug, Default, Model)]
struct Item {
    id: Attr<String>,
    name: Attr<String>,
    text: Attr<String>,
    secret_wo: Attr<String>,
    size: Attr<u64>,
}

#[async_trait]
impl Provider for Thing {
    type Data = ();
    type Config = Empty;
    const NAME: &'static str = "thing";
    const ADDRESS: &'static str = "registry.terraform.io/example/thing";

    fn schema(&self) -> Schema {
        Schema::new("Things.")
    }

    async fn configure(&self, _: Empty, _: &str) -> Result<(), Diagnostics> {
        Ok(())
    }

    fn resources(&self) -> Vec<Box<dyn AnyResource<()>>> {
        vec![Box::new(*self)]
    }
}

#[async_trait]
impl Resource for Thing {
    type Data = ();
    type Model = Item;
    const NAME: &'static str = "thing_item";

    fn schema(&self) -> Schema {
        Schema::new("An item.")
            .attribute("id", Attribute::string("The id.").computed().use_state_for_unknown())
            .attribute("name", Attribute::string("The name.").required().requires_replace())
            .attribute("text", Attribute::string("The text.").optional())
            .attribute("secret_wo", Attribute::string("A secret.").optional().write_only())
            .attribute("size", Attribute::number("The size.").computed())
    }

    async fn plan(&self, _: &mut Context<()>, plan: &mut Plan<Item>) -> Result<(), Diagnostics> {
        if let Some(planned) = &mut plan.planned {
            match self.0 {
                Fault::PlansOther => planned.text = "planned".to_owned().into(),
                Fault::PlansDifferently => {
                    static CALLS: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
                    planned.size = Attr::Known(CALLS.fetch_add(1, std::sync::atomic::Ordering::Relaxed));
                }
                Fault::AppliesOther if !planned.size.is_known() => planned.size = Attr::Known(1),
                _ => {}
            }
        }
        Ok(())
    }

    async fn create(&self, _: &mut Context<()>, mut planned: Item) -> Result<Item, Diagnostics> {
        assert!(self.0 != Fault::Panics, "a bug");
        planned.id = "item".to_owned().into();
        if self.0 == Fault::LeavesUnknown {
            return Ok(planned);
        }
        let length = planned.text.get().map_or(0, |text| text.len() as u64);
        planned.size = Attr::Known(if self.0 == Fault::AppliesOther { 2 } else { length });
        Ok(planned)
    }

    async fn read(&self, _: &mut Context<()>, mut state: Item) -> Result<Option<Item>, Diagnostics> {
        match self.0 {
            Fault::LosesObject => return Ok(None),
            Fault::ReadsOther => state.text = "read".to_owned().into(),
            _ => {}
        }
        Ok(Some(state))
    }

    async fn update(&self, context: &mut Context<()>, _: Item, planned: Item) -> Result<Item, Diagnostics> {
        Resource::create(self, context, planned).await
    }

    async fn delete(&self, _: &mut Context<()>, _: Item) -> Result<(), Diagnostics> {
        Ok(())
    }

    async fn import(&self, _: &mut Context<()>, id: &str) -> Result<Item, Diagnostics> {
        Ok(Item { id: id.to_owned().into(), name: "a".to_owned().into(), ..Item::default() })
    }
}

async fn core(fault: Fault) -> Core {
    Core::start(Thing(fault)).await.unwrap()
}

async fn broken(fault: Fault) -> (Rule, String) {
    let config = json!({ "name": "a", "text": "b" });
    let core = core(fault).await;
    let result = async {
        let state = core.create("thing_item", config.clone()).await?;
        core.assert_settled(&state, config).await
    };
    let error = result.await.expect_err("the fault was not noticed");
    let violation = error.violation().unwrap_or_else(|| panic!("{error}")).clone();
    (violation.rule, violation.path.to_string())
}

#[tokio::test]
async fn a_consistent_provider_goes_through_a_whole_life() {
    let core = core(Fault::None).await;
    let config = json!({ "name": "a", "text": "four", "secret_wo": "hidden" });
    let state = core.create("thing_item", &config).await.unwrap();
    assert_eq!(state.get("size"), 4);
    assert_eq!(state.get("secret_wo"), json!(null));
    core.assert_settled(&state, &config).await.unwrap();

    let changed = json!({ "name": "a", "text": "seventh" });
    assert_eq!(core.plan("thing_item", Some(&state), &changed).await.unwrap().action, Action::Update);
    let state = core.update(&state, &changed).await.unwrap();
    assert_eq!(state.get("size"), 7);

    let renamed = json!({ "name": "b", "text": "seventh" });
    let planned = core.plan("thing_item", Some(&state), &renamed).await.unwrap();
    assert_eq!(planned.action, Action::Replace);
    let state = core.apply(planned).await.unwrap().unwrap();
    assert_eq!(state.text("name"), "b");
    core.destroy(state).await.unwrap();
    assert_eq!(core.import("thing_item", "item").await.unwrap().text("id"), "item");
}

#[tokio::test]
async fn what_is_unknown_in_the_plan_may_become_anything() {
    let core = core(Fault::None).await;
    let planned = core.plan("thing_item", None, json!({ "name": "a", "text": UNKNOWN })).await.unwrap();
    let state = core.apply_with(planned, json!({ "name": "a", "text": "late" })).await.unwrap().unwrap();
    assert_eq!(state.text("text"), "late");
}

#[tokio::test]
async fn a_configuration_that_changes_between_plan_and_apply_is_noticed() {
    let core = core(Fault::None).await;
    let planned = core.plan("thing_item", None, json!({ "name": "a", "text": "early" })).await.unwrap();
    let error = core.apply_with(planned, json!({ "name": "a", "text": "late" })).await.unwrap_err();
    assert_eq!(error.violation().map(|violation| violation.rule), Some(Rule::FinalPlan), "{error}");
}

#[tokio::test]
async fn a_plan_that_is_not_the_configuration_is_noticed() {
    assert_eq!(broken(Fault::PlansOther).await, (Rule::PlannedValue, "text".into()));
}

#[tokio::test]
async fn a_plan_that_is_different_the_second_time_is_noticed() {
    assert_eq!(broken(Fault::PlansDifferently).await, (Rule::PlanTwice, "size".into()));
}

#[tokio::test]
async fn a_read_that_differs_from_apply_is_noticed() {
    assert_eq!(broken(Fault::ReadsOther).await, (Rule::ReadAfterApply, "text".into()));
}

#[tokio::test]
async fn an_object_that_is_lost_is_noticed() {
    assert_eq!(broken(Fault::LosesObject).await.0, Rule::ReadAfterApply);
}

/// The framework itself notices these before Core would; either way the provider's author is told, with the attribute.
#[tokio::test]
async fn an_apply_that_breaks_its_plan_is_noticed() {
    for fault in [Fault::AppliesOther, Fault::LeavesUnknown] {
        let core = core(fault).await;
        let error = core.create("thing_item", json!({ "name": "a" })).await.unwrap_err();
        let path = error.violation().map(|violation| &violation.path);
        let path = path.or(error.messages().iter().find(|message| message.is_error).map(|message| &message.path));
        assert_eq!(path.map(ToString::to_string).as_deref(), Some("size"), "{fault:?}: {error}");
    }
}

#[tokio::test]
async fn a_panic_is_a_message_with_its_place_and_the_provider_lives_on() {
    let core = core(Fault::Panics).await;
    let error = core.create("thing_item", json!({ "name": "a" })).await.unwrap_err();
    let text = error.to_string();
    assert!(text.contains("a bug") && text.contains("double.rs:"), "{text}");
    core.validate("thing_item", json!({ "name": "a" })).await.unwrap();
}

#[tokio::test]
async fn values_of_six_mebibytes_pass() {
    let core = core(Fault::None).await;
    let text = "x".repeat(6 << 20);
    let state = core.create("thing_item", json!({ "name": "a", "text": text })).await.unwrap();
    assert_eq!(state.get("size"), 6 << 20);
}

#[tokio::test]
async fn a_configuration_that_does_not_fit_the_schema_is_named() {
    let core = core(Fault::None).await;
    let error = core.create("thing_item", json!({ "nam": "a" })).await.unwrap_err();
    assert!(error.to_string().contains("`nam`"), "{error}");
}

fn serve(host: &Host, network: Network) -> Served {
    let environment = Environment::from_iter(host.environment());
    Served::start(ProviderServer::new(Thing(Fault::None)), &environment, network).unwrap()
}

#[tokio::test]
async fn a_client_without_a_certificate_is_refused() {
    let host = Host::new().unwrap();
    let served = serve(&host, Network::Platform);
    let refused = match host.connect_anonymously(&served.handshake).await {
        Ok(channel) => Core::attach(channel).await.map(drop),
        Err(error) => Err(error),
    };
    assert!(matches!(refused, Err(CoreError::Connect(_) | CoreError::Call(_))), "{refused:?}");
    // The refusal is about the client, not the server.
    Core::attach(host.connect(&served.handshake).await.unwrap()).await.unwrap();
}

#[tokio::test]
async fn a_client_with_another_certificate_is_refused() {
    let served = serve(&Host::new().unwrap(), Network::Platform);
    let refused = match Host::new().unwrap().connect(&served.handshake).await {
        Ok(channel) => Core::attach(channel).await.map(drop),
        Err(error) => Err(error),
    };
    assert!(matches!(refused, Err(CoreError::Connect(_) | CoreError::Call(_))), "{refused:?}");
}

#[tokio::test]
async fn over_tcp_it_is_the_same() {
    let host = Host::new().unwrap();
    let served = serve(&host, Network::Tcp);
    assert!(matches!(served.handshake.address, Address::Tcp(address) if address.ip().is_loopback()));
    Core::attach(host.connect(&served.handshake).await.unwrap()).await.unwrap();
}

#[tokio::test]
async fn the_plugin_is_healthy_and_other_names_are_not_known() {
    let host = Host::new().unwrap();
    let served = serve(&host, Network::Platform);
    let mut health = HealthClient::new(host.connect(&served.handshake).await.unwrap());
    let of = |service: &str| HealthCheckRequest { service: service.into() };
    assert_eq!(health.check(of("plugin")).await.unwrap().into_inner().status(), ServingStatus::Serving);
    assert_eq!(health.check(of("else")).await.unwrap_err().code(), tonic::Code::NotFound);
}

#[tokio::test]
async fn the_output_stream_stays_open_until_the_provider_ends() {
    let host = Host::new().unwrap();
    let served = serve(&host, Network::Platform);
    let mut stdio = GrpcStdioClient::new(host.connect(&served.handshake).await.unwrap());
    let mut stream = stdio.stream_stdio(()).await.unwrap().into_inner();
    let next = stream.message();
    tokio::pin!(next);
    assert!(futures_util::poll!(&mut next).is_pending());
    drop(served);
    assert!(matches!(next.await, Ok(None) | Err(_)));
}
