//! What Terraform gets back from the service where a value needs particular care.

use async_trait::async_trait;
use tfplugin::codec::{from_msgpack, to_msgpack};
use tfplugin::proto::provider_server::Provider as _;
use tfplugin::proto::{self, DynamicValue};
use tfplugin::schema::{check_string, each, one_of};
use tfplugin::server::ProviderServer;
use tfplugin::{
    AnyResource, Attr, Attribute, Context, Diagnostics, Empty, Model, Nesting, Object, Provider, Resource, Schema,
    Type, Value,
};
use tonic::Request;

#[derive(Clone, Debug, Model)]
struct Pool {
    key: Attr<String>,
    pins: Attr<Vec<String>>,
    members: Attr<Vec<Member>>,
}

#[derive(Clone, Debug, Model)]
struct Member {
    zone: Attr<String>,
    weight: Attr<u32>,
}

fn schema() -> Schema {
    let member = Object::new()
        .attribute("zone", Attribute::string("Where it is.").required())
        .attribute("weight", Attribute::number("Its share.").default(1));
    let echo = check_string("short", |text| Err(format!("`{text}` is too long.")));
    Schema::new("A pool.")
        .attribute("key", Attribute::string("A secret.").optional().sensitive().validate(one_of(&["a", "b"])))
        .attribute("pins", Attribute::list(Type::String, "Secrets.").optional().sensitive().validate(each(echo)))
        .attribute("members", Attribute::nested(Nesting::Set, member, "Its members.").optional())
}

struct PoolResource;

#[async_trait]
impl Resource for PoolResource {
    type Data = ();
    type Model = Pool;
    const NAME: &'static str = "example_pool";

    fn schema(&self) -> Schema {
        schema()
    }

    async fn create(&self, _: &mut Context<()>, planned: Pool) -> Result<Pool, Diagnostics> {
        Ok(planned)
    }

    async fn read(&self, _: &mut Context<()>, state: Pool) -> Result<Option<Pool>, Diagnostics> {
        Ok(Some(state))
    }

    async fn update(&self, _: &mut Context<()>, _: Pool, planned: Pool) -> Result<Pool, Diagnostics> {
        Ok(planned)
    }

    async fn delete(&self, _: &mut Context<()>, _: Pool) -> Result<(), Diagnostics> {
        Ok(())
    }
}

struct Example;

#[async_trait]
impl Provider for Example {
    type Data = ();
    type Config = Empty;
    const NAME: &'static str = "example";
    const ADDRESS: &'static str = "registry.terraform.io/example/example";

    fn schema(&self) -> Schema {
        Schema::new("An example.")
    }

    async fn configure(&self, _: Empty, _: &str) -> Result<(), Diagnostics> {
        Ok(())
    }

    fn resources(&self) -> Vec<Box<dyn AnyResource<()>>> {
        vec![Box::new(PoolResource)]
    }
}

#[allow(clippy::unnecessary_wraps, reason = "requests carry values as optional messages")]
fn wire(value: &Value) -> Option<DynamicValue> {
    Some(DynamicValue { msgpack: to_msgpack(value, &schema().ty()).into(), ..DynamicValue::default() })
}

fn pool(key: impl Into<Value>, pins: impl Into<Value>, members: Value) -> Value {
    Value::object([("key", key.into()), ("pins", pins.into()), ("members", members)])
}

fn member(zone: &str, weight: impl Into<Value>) -> Value {
    Value::object([("zone", Value::from(zone)), ("weight", weight.into())])
}

#[tokio::test]
async fn a_message_about_a_sensitive_value_does_not_quote_it() {
    let config = pool("hunter2", vec!["4711", "0815"], Value::Null);
    let request = proto::validate_resource_config::Request {
        type_name: PoolResource::NAME.into(),
        config: wire(&config),
        ..Default::default()
    };
    let response =
        ProviderServer::new(Example).validate_resource_config(Request::new(request)).await.expect("an answer");
    let details: Vec<_> = response.into_inner().diagnostics.into_iter().map(|diagnostic| diagnostic.detail).collect();
    assert_eq!(
        details,
        [
            "`(sensitive value)` is not one of `a`, `b`.",
            "`(sensitive value)` is too long.",
            "`(sensitive value)` is too long.",
        ]
    );
}

#[tokio::test]
async fn an_element_of_a_set_keeps_what_is_written_in_it_beside_one_that_leaves_it_out() {
    let server = ProviderServer::new(Example);
    server.configure_provider(Request::new(proto::configure_provider::Request::default())).await.expect("an answer");
    let written = [member("x", Value::Null), member("x", 2)];
    let config = pool(Value::Null, Value::Null, Value::Set(written.to_vec()));
    // Terraform's order of a set is not the order in which it was written.
    for order in [[0, 1], [1, 0]] {
        let proposed = Value::Set(order.iter().map(|index| written[*index].clone()).collect());
        let request = proto::plan_resource_change::Request {
            type_name: PoolResource::NAME.into(),
            prior_state: wire(&Value::Null),
            proposed_new_state: wire(&pool(Value::Null, Value::Null, proposed)),
            config: wire(&config),
            ..Default::default()
        };
        let response = server.plan_resource_change(Request::new(request)).await.expect("an answer").into_inner();
        assert_eq!(response.diagnostics, []);
        let planned = response.planned_state.expect("a plan").msgpack;
        let planned = from_msgpack(&planned, &schema().ty()).expect("a plan");
        assert_eq!(planned.attribute("members"), &Value::Set(vec![member("x", 1), member("x", 2)]), "{order:?}");
    }
}
