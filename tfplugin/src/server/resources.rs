//! The life of a resource.

use serde_json::Value as Json;

use super::outcome::{decode, encode, forget_write_only, guard, guard_blocking, settle, settle_partial};
use super::{Inner, Kind, find, plan, validate};
use crate::codec::from_json;
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::path::AttributePath;
use crate::proto;
use crate::provider::{AnyResource, Context, PlanValues, Provider, ValidateContext};
use crate::value::Value;

/// The private key that tells the read after an import from any other.
const IMPORTING: &str = ".import_before_read";

type Resource<P> = Kind<dyn AnyResource<<P as Provider>::Data>>;

impl<P: Provider> Inner<P> {
    fn resource(&self, name: &str) -> Result<&Resource<P>, Diagnostics> {
        find(&self.resources, "resource type", name)
    }

    pub(super) fn validate_resource(
        &self,
        request: &proto::validate_resource_config::Request,
    ) -> Result<Diagnostics, Diagnostics> {
        let kind = self.resource(&request.type_name)?;
        let config = decode(request.config.as_ref(), &kind.ty)?;
        let write_only = request.client_capabilities.is_some_and(|client| client.write_only_attributes_allowed);
        let mut diagnostics = Diagnostics::new();
        guard_blocking(|| {
            validate::check(&kind.schema, &config, write_only, &mut diagnostics);
            Ok(())
        })?;
        if !diagnostics.has_errors() {
            let mut context = ValidateContext::new(config.clone());
            let result = guard_blocking(|| kind.object.validate(&mut context, config));
            diagnostics.append(context.into_diagnostics());
            diagnostics.append(result.err().unwrap_or_default());
        }
        Ok(diagnostics)
    }

    pub(super) fn upgrade_state(
        &self,
        request: &proto::upgrade_resource_state::Request,
    ) -> Result<proto::DynamicValue, Diagnostics> {
        let kind = self.resource(&request.type_name)?;
        let unreadable = |why: String| {
            Diagnostics::error(
                format!("Cannot read the state of {}", request.type_name),
                format!("The state has version {} of this resource's schema, {why}", request.version),
            )
        };
        let state = request.raw_state.as_ref().map(|state| &state.json[..]).unwrap_or_default();
        if state.is_empty() {
            return Err(unreadable("in a format that Terraform wrote before 0.12 only.".into()));
        }
        let current = kind.schema.version;
        if request.version > current {
            return Err(unreadable(format!(
                "but this release of the provider knows versions up to {current}. Use the newer release that wrote it."
            )));
        }
        let value = if request.version == current {
            from_json(state, &kind.ty, true)?
        } else {
            let upgraders = guard_blocking(|| Ok(kind.object.upgraders()))?;
            let mut json: Json = serde_json::from_slice(state).map_err(|error| unreadable(format!("and: {error}.")))?;
            for version in request.version..current {
                let Some(upgrader) = upgraders.iter().find(|upgrader| upgrader.from == version) else {
                    return Err(unreadable(format!("and there is no way from version {version} on.")));
                };
                json =
                    guard_blocking(|| (upgrader.upgrade)(json).map_err(|error| unreadable(format!("and: {error}"))))?;
            }
            from_json(json.to_string().as_bytes(), &kind.ty, true)?
        };
        let mut diagnostics = Diagnostics::new();
        encode(value, &kind.ty, &mut diagnostics).ok_or(diagnostics)
    }

    pub(super) async fn read_resource(
        &self,
        request: proto::read_resource::Request,
    ) -> Result<proto::read_resource::Response, Diagnostics> {
        let kind = self.resource(&request.type_name)?;
        let state = decode(request.current_state.as_ref(), &kind.ty)?;
        let mut context = self.context("read", &kind.schema, &[&state], Value::Null, &request.private)?;
        if context.private.get::<bool>(IMPORTING).unwrap_or_default() {
            context.private.remove(IMPORTING);
            context.set_importing();
        }
        let result = guard(kind.object.read(&mut context, state)).await;
        let mut diagnostics = context.take_warnings();
        let new_state = match result {
            Ok(value) => {
                let value = settle(value, &kind.schema, &kind.ty, &mut diagnostics);
                encode(value, &kind.ty, &mut diagnostics)
            }
            Err(errors) => {
                diagnostics.append(errors);
                request.current_state
            }
        };
        Ok(proto::read_resource::Response {
            new_state,
            diagnostics: diagnostics.to_proto(),
            private: context.private.to_wire(),
            ..Default::default()
        })
    }

    pub(super) async fn plan_resource(
        &self,
        request: proto::plan_resource_change::Request,
    ) -> Result<proto::plan_resource_change::Response, Diagnostics> {
        let kind = self.resource(&request.type_name)?;
        let prior = decode(request.prior_state.as_ref(), &kind.ty)?;
        let proposed = decode(request.proposed_new_state.as_ref(), &kind.ty)?;
        let config = decode(request.config.as_ref(), &kind.ty)?;
        let destroys = proposed.is_null();
        let (planned, requires_replace) = guard_blocking(|| Ok(plan::plan(&kind.schema, &config, &prior, proposed)))?;
        let limits = [&config, &prior];
        let mut context = self.context("plan", &kind.schema, &limits, config.clone(), &request.prior_private)?;
        let mut values = PlanValues { config, prior, planned, requires_replace };
        let result = guard(kind.object.plan(&mut context, &mut values)).await;
        let mut diagnostics = context.take_warnings();
        diagnostics.append(result.err().unwrap_or_default());
        let PlanValues { mut planned, mut requires_replace, .. } = values;
        if destroys {
            planned = Value::Null;
            requires_replace.clear();
        }
        forget_write_only(&kind.schema, &mut planned);
        requires_replace.sort();
        requires_replace.dedup();
        Ok(proto::plan_resource_change::Response {
            planned_state: encode(planned, &kind.ty, &mut diagnostics),
            requires_replace: requires_replace.iter().filter_map(AttributePath::to_proto).collect(),
            planned_private: context.private.to_wire(),
            diagnostics: diagnostics.to_proto(),
            ..Default::default()
        })
    }

    pub(super) async fn apply_resource(
        &self,
        request: proto::apply_resource_change::Request,
    ) -> Result<proto::apply_resource_change::Response, Diagnostics> {
        let kind = self.resource(&request.type_name)?;
        let prior = decode(request.prior_state.as_ref(), &kind.ty)?;
        let planned = decode(request.planned_state.as_ref(), &kind.ty)?;
        let config = decode(request.config.as_ref(), &kind.ty)?;
        let operation = match (prior.is_null(), planned.is_null()) {
            (_, true) => "delete",
            (true, false) => "create",
            (false, false) => "update",
        };
        let limits = [&planned, &prior];
        let mut context = self.context(operation, &kind.schema, &limits, config, &request.planned_private)?;
        let (state, diagnostics) = apply(kind, &mut context, operation, prior, planned).await;
        let mut diagnostics = diagnostics;
        let private = if state.is_null() { bytes::Bytes::new() } else { context.private.to_wire() };
        Ok(proto::apply_resource_change::Response {
            new_state: encode(state, &kind.ty, &mut diagnostics),
            private,
            diagnostics: diagnostics.to_proto(),
            ..Default::default()
        })
    }

    pub(super) async fn import_resource(
        &self,
        request: proto::import_resource_state::Request,
    ) -> Result<proto::import_resource_state::Response, Diagnostics> {
        let kind = self.resource(&request.type_name)?;
        let mut context = self.context("import", &kind.schema, &[], Value::Null, &[])?;
        let result = guard(kind.object.import(&mut context, &request.id)).await;
        let mut diagnostics = context.take_warnings();
        let mut imported_resources = Vec::new();
        match result {
            Ok(value) => {
                let value = settle(value, &kind.schema, &kind.ty, &mut diagnostics);
                let state = encode(value, &kind.ty, &mut diagnostics);
                // Only of JSON's own kinds, so it cannot fail.
                let _ = context.private.set(IMPORTING, true);
                if !diagnostics.has_errors() {
                    imported_resources.push(proto::import_resource_state::ImportedResource {
                        type_name: request.type_name,
                        state,
                        private: context.private.to_wire(),
                    });
                }
            }
            Err(errors) => diagnostics.append(errors),
        }
        Ok(proto::import_resource_state::Response {
            imported_resources,
            diagnostics: diagnostics.to_proto(),
            ..Default::default()
        })
    }
}

/// Makes, changes or destroys an object. The state that is returned is what exists afterwards, also after an error.
async fn apply<D: Send + Sync>(
    kind: &Kind<dyn AnyResource<D>>,
    context: &mut Context<D>,
    operation: &str,
    prior: Value,
    planned: Value,
) -> (Value, Diagnostics) {
    let object = &kind.object;
    let result = match operation {
        "delete" => guard(object.delete(context, prior.clone())).await.map(|()| Value::Null),
        "create" => guard(object.create(context, planned)).await,
        _ => guard(object.update(context, prior.clone(), planned)).await,
    };
    let mut diagnostics = context.take_warnings();
    let saved = context.take_saved();
    let state = match result {
        Ok(Value::Null) if operation != "delete" => {
            diagnostics.push(Diagnostic::bug(format!("The {operation} returned no state.")));
            prior
        }
        Ok(value) => {
            let settled = settle(value, &kind.schema, &kind.ty, &mut diagnostics);
            // A result of another shape is no state; what was saved, or what was before, is the best that is left.
            let lost = settled.is_null() && operation != "delete";
            if lost { fall_back(kind, saved, prior, &mut diagnostics) } else { settled }
        }
        Err(errors) => {
            diagnostics.append(errors);
            if !diagnostics.has_errors() {
                diagnostics.push(Diagnostic::bug(format!("The {operation} failed without a reason.")));
            }
            fall_back(kind, saved, prior, &mut diagnostics)
        }
    };
    (state, diagnostics)
}

fn fall_back<D>(
    kind: &Kind<dyn AnyResource<D>>,
    saved: Option<Value>,
    prior: Value,
    diagnostics: &mut Diagnostics,
) -> Value {
    saved.and_then(|saved| settle_partial(saved, &kind.schema, &kind.ty, diagnostics)).unwrap_or(prior)
}
