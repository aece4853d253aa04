//! The service called as Terraform calls it, with a small provider of queues that live in memory.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use async_trait::async_trait;
use tonic::Request;

use super::ProviderServer;
use crate::codec;
use crate::process::panic::{Unguarded, install};
use crate::proto::provider_server::Provider as _;
use crate::proto::{self, DynamicValue};
use crate::schema::length_between;
use crate::*;

/// The queues that exist: their sizes by name.
#[derive(Default)]
struct Store(Mutex<BTreeMap<String, u32>>);

impl Store {
    fn queues(&self) -> MutexGuard<'_, BTreeMap<String, u32>> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

struct Queues(Arc<Store>);

#[derive(Clone, Debug, Default, PartialEq, Model)]
struct Settings {
    region: Attr<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Model)]
struct Queue {
    id: Attr<String>,
    name: Attr<String>,
    size: Attr<u32>,
    labels: Attr<Vec<String>>,
    #[model(name = "key_wo")]
    key: Attr<String>,
    timeouts: Timeouts,
}

struct QueueResource;

#[async_trait]
impl Provider for Queues {
    type Data = Arc<Store>;
    type Config = Settings;
    const NAME: &'static str = "test";
    const ADDRESS: &'static str = "registry.terraform.io/test/test";

    fn schema(&self) -> Schema {
        Schema::new("d").attribute("region", Attribute::string("d").optional())
    }

    async fn configure(&self, _: Settings, _: &str) -> Result<Arc<Store>, Diagnostics> {
        Ok(Arc::clone(&self.0))
    }

    fn resources(&self) -> Vec<Box<dyn AnyResource<Arc<Store>>>> {
        vec![Box::new(QueueResource)]
    }

    fn ephemeral_resources(&self) -> Vec<Box<dyn AnyEphemeralResource<Arc<Store>>>> {
        vec![Box::new(Lease)]
    }

    fn functions(&self) -> Vec<Box<dyn AnyFunction>> {
        vec![Box::new(Double)]
    }
}

#[async_trait]
impl Resource for QueueResource {
    type Data = Arc<Store>;
    type Model = Queue;
    const NAME: &'static str = "test_queue";

    fn schema(&self) -> Schema {
        Schema::new("d")
            .version(2)
            .attribute("id", Attribute::string("d").computed().use_state_for_unknown())
            .attribute("name", Attribute::string("d").required().requires_replace().validate(length_between(1..=20)))
            .attribute("size", Attribute::number("d").default(10))
            .attribute("labels", Attribute::list(Type::String, "d").optional())
            .attribute("key_wo", Attribute::string("d").optional().write_only())
            .timeouts(&[("create", "30m")])
    }

    fn validate(&self, _: &mut ValidateContext, config: &Queue) -> Result<(), Diagnostics> {
        match config.name.as_deref() {
            Some("forbidden") => Err(Diagnostic::error("Bad name", "Take another.").at_attribute("name").into()),
            _ => Ok(()),
        }
    }

    async fn plan(&self, context: &mut Context<Arc<Store>>, plan: &mut Plan<Queue>) -> Result<(), Diagnostics> {
        if plan.kind() == PlanKind::Destroy {
            context.warn(Diagnostic::warning("Messages are lost", "They cannot be had back."));
        }
        if let Some(planned) = &mut plan.planned
            && let Some(name) = planned.name.get()
        {
            planned.id = format!("queue/{name}").into();
        }
        Ok(())
    }

    async fn create(&self, context: &mut Context<Arc<Store>>, mut planned: Queue) -> Result<Queue, Diagnostics> {
        let name = planned.name.require("name")?.clone();
        context.data().queues().insert(name.clone(), planned.size.unwrap_or(0));
        context.private.set("made", true).or_diagnostic("Cannot store")?;
        match name.as_str() {
            "early-panic" => panic!("nothing made"),
            "key" => assert_eq!(context.config_model::<Queue>()?.key, "secret".into()),
            "unknown" => planned.id = Attr::Unknown,
            _ => {}
        }
        if !planned.id.is_unknown() {
            planned.id = format!("queue/{name}").into();
        }
        match name.as_str() {
            "fails" | "late-panic" | "waits" => context.save(&planned),
            _ => {}
        }
        match name.as_str() {
            "fails" => Err(Diagnostics::error("It broke", "Half-way.")),
            "late-panic" => panic!("half made"),
            "waits" => {
                context.bounded("waiting for the queue", std::future::pending::<()>()).await?;
                Ok(planned)
            }
            _ => Ok(planned),
        }
    }

    async fn read(&self, context: &mut Context<Arc<Store>>, state: Queue) -> Result<Option<Queue>, Diagnostics> {
        let id = state.id.require("id")?;
        let name = id.trim_start_matches("queue/").to_owned();
        let size = context.data().queues().get(&name).copied();
        if context.is_importing() && size.is_none() {
            return Err(Diagnostics::error("No such queue", "Check the id."));
        }
        Ok(size.map(|size| Queue { name: name.into(), size: size.into(), ..state }))
    }

    async fn update(&self, _: &mut Context<Arc<Store>>, _: Queue, planned: Queue) -> Result<Queue, Diagnostics> {
        if planned.size == Attr::Known(13) { Err(Diagnostics::error("Unlucky", "Not 13.")) } else { Ok(planned) }
    }

    async fn delete(&self, context: &mut Context<Arc<Store>>, state: Queue) -> Result<(), Diagnostics> {
        let name = state.name.require("name")?;
        if name == "held" {
            return Err(Diagnostics::error("Held", "Release it first."));
        }
        context.data().queues().remove(name);
        Ok(())
    }

    async fn import(&self, _: &mut Context<Arc<Store>>, id: &str) -> Result<Queue, Diagnostics> {
        Ok(Queue { id: id.into(), ..Queue::default() })
    }

    fn upgraders(&self) -> Vec<Upgrader> {
        let rename = |from: &'static str, to: &'static str| {
            move |mut state: serde_json::Value| {
                let fields = state.as_object_mut().ok_or("it is no object")?;
                let value = fields.remove(from).ok_or(format!("`{from}` is missing"))?;
                fields.insert(to.into(), value);
                Ok(state)
            }
        };
        vec![Upgrader::new(0, rename("label", "title")), Upgrader::new(1, rename("title", "name"))]
    }
}

struct Lease;

#[async_trait]
impl EphemeralResource for Lease {
    type Data = Arc<Store>;
    type Model = Settings;
    const NAME: &'static str = "test_lease";

    fn schema(&self) -> Schema {
        Schema::new("d").attribute("region", Attribute::string("d").computed().sensitive())
    }

    async fn open(&self, context: &mut Context<Arc<Store>>, _: Settings) -> Result<Opened<Settings>, Diagnostics> {
        context.private.set("lease", 7).or_diagnostic("Cannot store")?;
        Ok(Settings { region: "r".into() }.into())
    }

    async fn close(&self, context: &mut Context<Arc<Store>>) -> Result<(), Diagnostics> {
        match context.private.get::<u8>("lease") {
            Some(7) => Ok(()),
            other => Err(Diagnostics::error("Lost the lease", format!("{other:?}"))),
        }
    }
}

struct Double;

impl Function for Double {
    const NAME: &'static str = "double";

    fn signature(&self) -> Signature {
        Signature::new("s", "d", Type::Number).parameter(Parameter::new("n", Type::Number, "d"))
    }

    fn call(&self, arguments: &Arguments) -> Result<Value, FunctionError> {
        let number: u8 = arguments.get(0)?;
        Ok((u32::from(number) * 2).into())
    }
}

const QUEUE: &str = "test_queue";

async fn server() -> (ProviderServer<Queues>, Arc<Store>) {
    install(Unguarded::Delegate);
    let store = Arc::new(Store::default());
    let server = ProviderServer::new(Queues(Arc::clone(&store)));
    let config = wire(&Settings::default().to_value(), &Queues(Arc::clone(&store)).schema());
    let request = proto::configure_provider::Request { config: Some(config), ..Default::default() };
    let response = server.configure_provider(Request::new(request)).await.unwrap().into_inner();
    assert_eq!(response.diagnostics, []);
    (server, store)
}

fn wire(value: &Value, schema: &Schema) -> DynamicValue {
    codec::encode(value.clone(), &schema.ty()).unwrap()
}

fn queue(name: &str) -> Queue {
    Queue { name: name.into(), size: 10.into(), ..Queue::default() }
}

#[expect(clippy::unnecessary_wraps, reason = "every message has its values as options")]
fn sent(value: &Value) -> Option<DynamicValue> {
    Some(wire(value, &Resource::schema(&QueueResource)))
}

fn got(value: Option<&DynamicValue>) -> Option<Queue> {
    let value = codec::decode(value, &Resource::schema(&QueueResource).ty()).unwrap();
    (!value.is_null()).then(|| Queue::from_value(value, &AttributePath::root()).unwrap())
}

fn texts(diagnostics: &[proto::Diagnostic]) -> Vec<String> {
    diagnostics.iter().map(|diagnostic| format!("{}: {}", diagnostic.summary, diagnostic.detail)).collect()
}

async fn apply(
    server: &ProviderServer<Queues>,
    prior: Option<&Queue>,
    planned: Option<&Queue>,
    config: Option<&Queue>,
) -> (Option<Queue>, Vec<String>, bytes::Bytes) {
    let value = |queue: Option<&Queue>| sent(&queue.map_or(Value::Null, Field::to_value));
    let request = proto::apply_resource_change::Request {
        type_name: QUEUE.into(),
        prior_state: value(prior),
        planned_state: value(planned),
        config: value(config.or(planned)),
        ..Default::default()
    };
    let response = server.apply_resource_change(Request::new(request)).await.unwrap().into_inner();
    (got(response.new_state.as_ref()), texts(&response.diagnostics), response.private)
}

#[tokio::test]
async fn a_queue_is_planned_created_read_and_destroyed() {
    let (server, store) = server().await;
    let config = Queue { key: "secret".into(), ..queue("key") };
    let request = proto::plan_resource_change::Request {
        type_name: QUEUE.into(),
        prior_state: sent(&Value::Null),
        proposed_new_state: sent(&config.to_value()),
        config: sent(&config.to_value()),
        ..Default::default()
    };
    let response = server.plan_resource_change(Request::new(request)).await.unwrap().into_inner();
    assert_eq!(response.diagnostics, []);
    let planned = got(response.planned_state.as_ref()).unwrap();
    assert_eq!(planned, Queue { id: "queue/key".into(), ..queue("key") });

    let (made, errors, private) = apply(&server, None, Some(&planned), Some(&config)).await;
    assert_eq!((made.as_ref(), errors), (Some(&planned), vec![]));
    assert_eq!(private, r#"{"made":true}"#);

    store.queues().insert("key".into(), 99);
    let request = proto::read_resource::Request {
        type_name: QUEUE.into(),
        current_state: sent(&planned.to_value()),
        private,
        ..Default::default()
    };
    let response = server.read_resource(Request::new(request.clone())).await.unwrap().into_inner();
    assert_eq!(got(response.new_state.as_ref()).unwrap().size, 99.into());
    assert_eq!(response.private, r#"{"made":true}"#);

    let (gone, errors, private) = apply(&server, made.as_ref(), None, None).await;
    assert_eq!((gone, errors, private.len()), (None, vec![], 0));
    let response = server.read_resource(Request::new(request)).await.unwrap().into_inner();
    assert_eq!(got(response.new_state.as_ref()), None);
}

#[tokio::test]
async fn a_failed_create_keeps_what_was_saved_and_forgets_what_was_not() {
    let (server, _) = server().await;
    let (state, errors, private) = apply(&server, None, Some(&queue("fails")), None).await;
    assert_eq!(state.unwrap().id, "queue/fails".into());
    assert_eq!(errors, ["It broke: Half-way."]);
    assert_eq!(private, r#"{"made":true}"#);
}

#[tokio::test]
async fn a_panic_is_reported_with_its_place_and_keeps_what_was_saved() {
    let (server, _) = server().await;
    let (state, errors, _) = apply(&server, None, Some(&queue("late-panic")), None).await;
    assert_eq!(state.unwrap().id, "queue/late-panic".into());
    assert!(errors[0].starts_with("Bug in the provider: The provider panicked at "), "{errors:?}");
    assert!(errors[0].contains("server/tests.rs:") && errors[0].contains("half made"), "{errors:?}");
    let (state, errors, _) = apply(&server, None, Some(&queue("early-panic")), None).await;
    assert_eq!((state, errors.len()), (None, 1));
}

#[tokio::test]
async fn a_failed_update_or_delete_leaves_the_state_as_it_was() {
    let (server, _) = server().await;
    let prior = Queue { id: "queue/held".into(), ..queue("held") };
    let planned = Queue { size: 13.into(), ..prior.clone() };
    let (state, errors, _) = apply(&server, Some(&prior), Some(&planned), None).await;
    assert_eq!((state.as_ref(), errors.len()), (Some(&prior), 1));
    let (state, errors, _) = apply(&server, Some(&prior), None, None).await;
    assert_eq!((state.as_ref(), errors), (Some(&prior), vec!["Held: Release it first.".into()]));
}

#[tokio::test]
async fn a_result_that_is_still_unknown_is_a_bug_and_becomes_null() {
    let (server, _) = server().await;
    let planned = Queue { id: Attr::Unknown, ..queue("unknown") };
    let (state, errors, _) = apply(&server, None, Some(&planned), None).await;
    assert_eq!(state.unwrap().id, Attr::Null);
    assert!(errors[0].contains("`id` is still unknown after the operation"), "{errors:?}");
}

#[tokio::test]
async fn stopping_the_provider_interrupts_what_runs_with_its_state_saved() {
    let (server, store) = server().await;
    let running = tokio::spawn({
        let server = server.clone();
        async move { apply(&server, None, Some(&queue("waits")), None).await }
    });
    while !store.queues().contains_key("waits") {
        tokio::task::yield_now().await;
    }
    server.stop_provider(Request::new(proto::stop_provider::Request {})).await.unwrap();
    let (state, errors, _) = running.await.unwrap();
    assert_eq!(state.unwrap().id, "queue/waits".into());
    assert!(errors[0].starts_with("Interrupted while waiting for the queue"), "{errors:?}");
    // The next operation is not stopped.
    assert_eq!(apply(&server, None, Some(&queue("b")), None).await.1, Vec::<String>::new());
}

#[tokio::test]
async fn the_users_time_limit_ends_an_operation_and_the_message_names_it() {
    let (server, _) = server().await;
    let mut planned = queue("waits").to_value();
    if let Value::Object(values) = &mut planned {
        values.insert("timeouts".into(), Value::object([("create", "1s".into())]));
    }
    let planned = Queue::from_value(planned, &AttributePath::root()).unwrap();
    let (state, errors, _) = apply(&server, None, Some(&planned), None).await;
    assert_eq!(state.unwrap().timeouts, planned.timeouts);
    assert!(errors[0].starts_with("Time limit of create reached while waiting for the queue"), "{errors:?}");
    assert!(errors[0].contains("1 second"), "{errors:?}");
}

#[tokio::test]
async fn a_partly_unknown_list_goes_through_a_plan_unchanged() {
    let (server, _) = server().await;
    let labels = Value::List(vec!["a".into(), Value::unknown()]);
    let mut config = queue("a").to_value();
    if let Value::Object(values) = &mut config {
        values.insert("labels".into(), labels.clone());
    }
    let request = proto::plan_resource_change::Request {
        type_name: QUEUE.into(),
        prior_state: sent(&Value::Null),
        proposed_new_state: sent(&config),
        config: sent(&config),
        ..Default::default()
    };
    let response = server.plan_resource_change(Request::new(request)).await.unwrap().into_inner();
    let planned = codec::decode(response.planned_state.as_ref(), &Resource::schema(&QueueResource).ty()).unwrap();
    assert_eq!(planned.attribute("labels"), &labels);
    assert_eq!(planned.attribute("id"), &Value::from("queue/a"));
}

#[tokio::test]
async fn a_destroy_is_planned_with_its_warning() {
    let (server, _) = server().await;
    let request = proto::plan_resource_change::Request {
        type_name: QUEUE.into(),
        prior_state: sent(&queue("a").to_value()),
        proposed_new_state: sent(&Value::Null),
        config: sent(&Value::Null),
        ..Default::default()
    };
    let response = server.plan_resource_change(Request::new(request)).await.unwrap().into_inner();
    assert_eq!(got(response.planned_state.as_ref()), None);
    assert_eq!(texts(&response.diagnostics), ["Messages are lost: They cannot be had back."]);
}

async fn validate(config: &Queue, write_only: bool) -> Vec<String> {
    let server = ProviderServer::new(Queues(Arc::default()));
    let request = proto::validate_resource_config::Request {
        type_name: QUEUE.into(),
        config: sent(&config.to_value()),
        client_capabilities: Some(proto::ClientCapabilities {
            write_only_attributes_allowed: write_only,
            ..Default::default()
        }),
    };
    let response = server.validate_resource_config(Request::new(request)).await.unwrap().into_inner();
    response.diagnostics.iter().map(|diagnostic| diagnostic.summary.clone()).collect()
}

#[tokio::test]
async fn a_configuration_is_checked_without_a_configured_provider() {
    assert_eq!(validate(&queue("a"), true).await, Vec::<String>::new());
    assert_eq!(validate(&Queue { name: Attr::Unknown, ..queue("a") }, true).await, Vec::<String>::new());
    assert_eq!(validate(&queue("forbidden"), true).await, ["Bad name"]);
    assert_eq!(validate(&queue(&"x".repeat(21)), true).await, ["Invalid value for name"]);
    assert_eq!(validate(&Queue { name: Attr::Null, ..queue("a") }, true).await, ["Missing required argument"]);
    assert_eq!(validate(&Queue { id: "x".into(), ..queue("a") }, true).await, ["Read-only attribute"]);
    let secret = Queue { key: "k".into(), ..queue("a") };
    assert_eq!(validate(&secret, true).await, Vec::<String>::new());
    assert_eq!(validate(&secret, false).await, ["Write-only attribute not supported"]);
}

async fn upgrade(version: i64, state: &'static str) -> Result<Queue, String> {
    let server = ProviderServer::new(Queues(Arc::default()));
    let request = proto::upgrade_resource_state::Request {
        type_name: QUEUE.into(),
        version,
        raw_state: Some(proto::RawState { json: state.into(), ..Default::default() }),
    };
    let response = server.upgrade_resource_state(Request::new(request)).await.unwrap().into_inner();
    match response.upgraded_state {
        Some(state) => Ok(got(Some(&state)).unwrap()),
        None => Err(texts(&response.diagnostics).join("; ")),
    }
}

#[tokio::test]
async fn old_states_are_upgraded_step_by_step() {
    assert_eq!(upgrade(0, r#"{"label":"a","size":10}"#).await, Ok(queue("a")));
    assert_eq!(upgrade(1, r#"{"title":"a","size":10}"#).await, Ok(queue("a")));
    assert_eq!(upgrade(2, r#"{"name":"a","size":10,"dropped":true}"#).await, Ok(queue("a")));
    assert!(upgrade(0, r#"{"name":"a"}"#).await.unwrap_err().contains("`label` is missing"));
    assert!(upgrade(3, "{}").await.unwrap_err().contains("knows versions up to 2"));
}

#[tokio::test]
async fn the_read_after_an_import_knows_that_it_is_one() {
    let (server, store) = server().await;
    store.queues().insert("a".into(), 4);
    for (id, found) in [("queue/a", true), ("queue/b", false)] {
        let request =
            proto::import_resource_state::Request { type_name: QUEUE.into(), id: id.into(), ..Default::default() };
        let response = server.import_resource_state(Request::new(request)).await.unwrap().into_inner();
        let imported = response.imported_resources.into_iter().next().unwrap();
        let request = proto::read_resource::Request {
            type_name: QUEUE.into(),
            current_state: imported.state,
            private: imported.private,
            ..Default::default()
        };
        let response = server.read_resource(Request::new(request)).await.unwrap().into_inner();
        if found {
            let expected = Queue { id: "queue/a".into(), size: 4.into(), ..queue("a") };
            assert_eq!(got(response.new_state.as_ref()), Some(expected));
            assert_eq!(response.private, "");
        } else {
            assert_eq!(texts(&response.diagnostics), ["No such queue: Check the id."]);
        }
    }
}

#[tokio::test]
async fn what_an_ephemeral_resource_keeps_comes_back_when_it_is_closed() {
    let (server, _) = server().await;
    let config = wire(&Settings::default().to_value(), &EphemeralResource::schema(&Lease));
    let request = proto::open_ephemeral_resource::Request {
        type_name: "test_lease".into(),
        config: Some(config),
        ..Default::default()
    };
    let response = server.open_ephemeral_resource(Request::new(request)).await.unwrap().into_inner();
    let result = codec::decode(response.result.as_ref(), &EphemeralResource::schema(&Lease).ty()).unwrap();
    assert_eq!(result.attribute("region"), &Value::from("r"));
    for (private, errors) in [(response.private, 0), (None, 1)] {
        let request = proto::close_ephemeral_resource::Request { type_name: "test_lease".into(), private };
        let response = server.close_ephemeral_resource(Request::new(request)).await.unwrap().into_inner();
        assert_eq!(response.diagnostics.len(), errors);
    }
}

#[tokio::test]
async fn a_function_answers_or_names_the_argument_that_is_wrong() {
    let server = ProviderServer::new(Queues(Arc::default()));
    let call = |number: i64| {
        let argument = codec::encode(number.into(), &Type::Number).unwrap();
        let request = proto::call_function::Request { name: "double".into(), arguments: vec![argument] };
        server.call_function(Request::new(request))
    };
    let response = call(21).await.unwrap().into_inner();
    assert_eq!(codec::decode(response.result.as_ref(), &Type::Number).unwrap(), Value::from(42));
    let error = call(256).await.unwrap().into_inner().error.unwrap();
    assert_eq!(error.function_argument, Some(0));
    assert_eq!(error.text, "The argument is 256, but must be a whole number from 0 to 255.");
}

#[tokio::test]
async fn schemas_fit_their_models_and_nested_types_are_never_sent_twice() {
    let (server, _) = server().await;
    assert_eq!(server.problems(), Vec::<String>::new());
    let request = Request::new(proto::get_provider_schema::Request {});
    let response = server.get_provider_schema(request).await.unwrap().into_inner();
    assert!(response.server_capabilities.unwrap().plan_destroy);
    let block = response.resource_schemas[QUEUE].block.as_ref().unwrap();
    assert_eq!(block.version, 2);
    assert!(block.attributes.iter().all(|attribute| attribute.r#type.is_empty() == attribute.nested_type.is_some()));
    assert_eq!(block.block_types[0].type_name, "timeouts");
    let problems = Resource::schema(&QueueResource).problems(Settings::FIELDS);
    assert!(problems.contains(&"the model has no field for `name`".to_owned()), "{problems:?}");
    assert!(problems.contains(&"the schema has no attribute for the model's field `region`".to_owned()));
}
