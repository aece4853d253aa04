//! The generated service, call by call.

use tonic::{Request, Response, Status};
use tracing::Instrument as _;

use super::{Kind, ProviderServer, functions};
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::proto::provider_server::Provider as Service;
use crate::proto::{self, ServerCapabilities};
use crate::provider::Provider;

type Answer<T> = Result<Response<T>, Status>;

const fn capabilities() -> ServerCapabilities {
    ServerCapabilities { plan_destroy: true, get_provider_schema_optional: true, move_resource_state: false }
}

fn schemas<T: ?Sized>(
    kinds: &std::collections::BTreeMap<&'static str, Kind<T>>,
) -> std::collections::BTreeMap<String, proto::Schema> {
    kinds.iter().map(|(name, kind)| ((*name).into(), kind.schema.to_proto())).collect()
}

/// All messages of a check, whether it could be done or not.
fn told(result: Result<Diagnostics, Diagnostics>) -> Vec<proto::Diagnostic> {
    result.unwrap_or_else(|errors| errors).to_proto()
}

/// Runs a call in a span that names it, and turns a failure into a response that says only why.
macro_rules! answer {
    ($call:literal, $name:expr, $work:expr, |$errors:ident| $failed:expr) => {{
        let span = tracing::info_span!("rpc", tf_rpc = $call, tf_resource_type = $name);
        let response = $work.instrument(span).await.unwrap_or_else(|$errors| $failed);
        Ok(Response::new(response))
    }};
}

#[tonic::async_trait]
impl<P: Provider> Service for ProviderServer<P> {
    async fn get_metadata(&self, _: Request<proto::get_metadata::Request>) -> Answer<proto::get_metadata::Response> {
        use proto::get_metadata as metadata;
        let inner = &self.inner;
        let name = |name: &&'static str| String::from(*name);
        Ok(Response::new(metadata::Response {
            server_capabilities: Some(capabilities()),
            resources: inner.resources.keys().map(|key| metadata::ResourceMetadata { type_name: name(key) }).collect(),
            data_sources: inner
                .data_sources
                .keys()
                .map(|key| metadata::DataSourceMetadata { type_name: name(key) })
                .collect(),
            ephemeral_resources: inner
                .ephemeral_resources
                .keys()
                .map(|key| metadata::EphemeralMetadata { type_name: name(key) })
                .collect(),
            functions: inner.functions.keys().map(|key| metadata::FunctionMetadata { name: name(key) }).collect(),
            ..Default::default()
        }))
    }

    async fn get_provider_schema(
        &self,
        _: Request<proto::get_provider_schema::Request>,
    ) -> Answer<proto::get_provider_schema::Response> {
        let inner = &self.inner;
        let diagnostics: Diagnostics =
            inner.problems.iter().map(|problem| Diagnostic::bug(format!("{problem}."))).collect();
        Ok(Response::new(proto::get_provider_schema::Response {
            provider: Some(inner.schema.to_proto()),
            resource_schemas: schemas(&inner.resources),
            data_source_schemas: schemas(&inner.data_sources),
            ephemeral_resource_schemas: schemas(&inner.ephemeral_resources),
            functions: self.function_signatures(),
            diagnostics: diagnostics.to_proto(),
            server_capabilities: Some(capabilities()),
            ..Default::default()
        }))
    }

    async fn validate_provider_config(
        &self,
        request: Request<proto::validate_provider_config::Request>,
    ) -> Answer<proto::validate_provider_config::Response> {
        let diagnostics = told(self.inner.validate_provider(request.get_ref()));
        Ok(Response::new(proto::validate_provider_config::Response { diagnostics }))
    }

    async fn configure_provider(
        &self,
        request: Request<proto::configure_provider::Request>,
    ) -> Answer<proto::configure_provider::Response> {
        let result = self.inner.configure(request.into_inner()).await;
        let diagnostics = told(result.map(|()| Diagnostics::new()));
        Ok(Response::new(proto::configure_provider::Response { diagnostics }))
    }

    async fn stop_provider(&self, _: Request<proto::stop_provider::Request>) -> Answer<proto::stop_provider::Response> {
        tracing::info!("Terraform asks running operations to end.");
        self.inner.stop.stop();
        Ok(Response::new(proto::stop_provider::Response::default()))
    }

    async fn validate_resource_config(
        &self,
        request: Request<proto::validate_resource_config::Request>,
    ) -> Answer<proto::validate_resource_config::Response> {
        let diagnostics = told(self.inner.validate_resource(request.get_ref()));
        Ok(Response::new(proto::validate_resource_config::Response { diagnostics }))
    }

    async fn upgrade_resource_state(
        &self,
        request: Request<proto::upgrade_resource_state::Request>,
    ) -> Answer<proto::upgrade_resource_state::Response> {
        Ok(Response::new(match self.inner.upgrade_state(request.get_ref()) {
            Ok(state) => proto::upgrade_resource_state::Response { upgraded_state: Some(state), ..Default::default() },
            Err(errors) => {
                proto::upgrade_resource_state::Response { diagnostics: errors.to_proto(), ..Default::default() }
            }
        }))
    }

    async fn read_resource(
        &self,
        request: Request<proto::read_resource::Request>,
    ) -> Answer<proto::read_resource::Response> {
        let request = request.into_inner();
        let (name, state, private) =
            (request.type_name.clone(), request.current_state.clone(), request.private.clone());
        answer!("ReadResource", name, self.inner.read_resource(request), |errors| {
            proto::read_resource::Response {
                new_state: state,
                private,
                diagnostics: errors.to_proto(),
                ..Default::default()
            }
        })
    }

    async fn plan_resource_change(
        &self,
        request: Request<proto::plan_resource_change::Request>,
    ) -> Answer<proto::plan_resource_change::Response> {
        let request = request.into_inner();
        let (name, state, private) =
            (request.type_name.clone(), request.prior_state.clone(), request.prior_private.clone());
        answer!("PlanResourceChange", name, self.inner.plan_resource(request), |errors| {
            proto::plan_resource_change::Response {
                planned_state: state,
                planned_private: private,
                diagnostics: errors.to_proto(),
                ..Default::default()
            }
        })
    }

    async fn apply_resource_change(
        &self,
        request: Request<proto::apply_resource_change::Request>,
    ) -> Answer<proto::apply_resource_change::Response> {
        let request = request.into_inner();
        let (name, state, private) =
            (request.type_name.clone(), request.prior_state.clone(), request.planned_private.clone());
        answer!("ApplyResourceChange", name, self.inner.apply_resource(request), |errors| {
            proto::apply_resource_change::Response {
                new_state: state,
                private,
                diagnostics: errors.to_proto(),
                ..Default::default()
            }
        })
    }

    async fn import_resource_state(
        &self,
        request: Request<proto::import_resource_state::Request>,
    ) -> Answer<proto::import_resource_state::Response> {
        let request = request.into_inner();
        let name = request.type_name.clone();
        answer!("ImportResourceState", name, self.inner.import_resource(request), |errors| {
            proto::import_resource_state::Response { diagnostics: errors.to_proto(), ..Default::default() }
        })
    }

    async fn move_resource_state(
        &self,
        request: Request<proto::move_resource_state::Request>,
    ) -> Answer<proto::move_resource_state::Response> {
        let request = request.into_inner();
        let errors = Diagnostics::error(
            format!("Cannot move {} to {}", request.source_type_name, request.target_type_name),
            "The provider cannot make a state of this resource from that of another. Remove the `moved` block, and \
             import the object instead.",
        );
        Ok(Response::new(proto::move_resource_state::Response { diagnostics: errors.to_proto(), ..Default::default() }))
    }

    async fn validate_data_resource_config(
        &self,
        request: Request<proto::validate_data_resource_config::Request>,
    ) -> Answer<proto::validate_data_resource_config::Response> {
        let diagnostics = told(self.inner.validate_data(request.get_ref()));
        Ok(Response::new(proto::validate_data_resource_config::Response { diagnostics }))
    }

    async fn read_data_source(
        &self,
        request: Request<proto::read_data_source::Request>,
    ) -> Answer<proto::read_data_source::Response> {
        let request = request.into_inner();
        let name = request.type_name.clone();
        answer!("ReadDataSource", name, self.inner.read_data(request), |errors| {
            proto::read_data_source::Response { diagnostics: errors.to_proto(), ..Default::default() }
        })
    }

    async fn validate_ephemeral_resource_config(
        &self,
        request: Request<proto::validate_ephemeral_resource_config::Request>,
    ) -> Answer<proto::validate_ephemeral_resource_config::Response> {
        let diagnostics = told(self.inner.validate_ephemeral(request.get_ref()));
        Ok(Response::new(proto::validate_ephemeral_resource_config::Response { diagnostics }))
    }

    async fn open_ephemeral_resource(
        &self,
        request: Request<proto::open_ephemeral_resource::Request>,
    ) -> Answer<proto::open_ephemeral_resource::Response> {
        let request = request.into_inner();
        let name = request.type_name.clone();
        answer!("OpenEphemeralResource", name, self.inner.open_ephemeral(request), |errors| {
            proto::open_ephemeral_resource::Response { diagnostics: errors.to_proto(), ..Default::default() }
        })
    }

    async fn renew_ephemeral_resource(
        &self,
        request: Request<proto::renew_ephemeral_resource::Request>,
    ) -> Answer<proto::renew_ephemeral_resource::Response> {
        let request = request.into_inner();
        let (name, private) = (request.type_name.clone(), request.private.clone());
        answer!("RenewEphemeralResource", name, self.inner.renew_ephemeral(request), |errors| {
            proto::renew_ephemeral_resource::Response { diagnostics: errors.to_proto(), private, ..Default::default() }
        })
    }

    async fn close_ephemeral_resource(
        &self,
        request: Request<proto::close_ephemeral_resource::Request>,
    ) -> Answer<proto::close_ephemeral_resource::Response> {
        let request = request.into_inner();
        let name = request.type_name.clone();
        let span = tracing::info_span!("rpc", tf_rpc = "CloseEphemeralResource", tf_resource_type = name);
        let diagnostics = told(self.inner.close_ephemeral(request).instrument(span).await);
        Ok(Response::new(proto::close_ephemeral_resource::Response { diagnostics }))
    }

    async fn get_functions(&self, _: Request<proto::get_functions::Request>) -> Answer<proto::get_functions::Response> {
        Ok(Response::new(proto::get_functions::Response {
            functions: self.function_signatures(),
            ..Default::default()
        }))
    }

    async fn call_function(
        &self,
        request: Request<proto::call_function::Request>,
    ) -> Answer<proto::call_function::Response> {
        Ok(Response::new(match self.inner.call_function(request.get_ref()) {
            Ok(result) => proto::call_function::Response { result: Some(result), error: None },
            Err(error) => proto::call_function::Response {
                result: None,
                error: Some(proto::FunctionError {
                    text: error.message,
                    function_argument: error.argument.and_then(|argument| i64::try_from(argument).ok()),
                }),
            },
        }))
    }
}

impl<P: Provider> ProviderServer<P> {
    fn function_signatures(&self) -> std::collections::BTreeMap<String, proto::Function> {
        let functions = self.inner.functions.iter();
        functions.map(|(name, function)| ((*name).into(), functions::signature(&function.signature()))).collect()
    }
}
