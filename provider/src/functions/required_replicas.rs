//! `required_replicas`: how many replicas a load needs.

use tfplugin::{Arguments, Function, FunctionError, Parameter, Signature, Type, Value};

/// `provider::azureml::required_replicas`.
#[derive(Clone, Copy, Debug, Default)]
pub struct RequiredReplicas;

impl Function for RequiredReplicas {
    const NAME: &'static str = "required_replicas";

    fn signature(&self) -> Signature {
        Signature::new(
            "Number of replicas that a load needs",
            "Sizes a webservice: `ceil(target_rps * request_seconds / (target_utilization / 100) / max_concurrent_requests)`, \
             at least 1. For example, 20 requests per second that take 10 seconds each, one at a time, at 70 % utilization need \
             286 replicas.",
            Type::Number,
        )
        .parameter(Parameter::new("target_rps", Type::Number, "Requests per second, at least 0."))
        .parameter(Parameter::new("request_seconds", Type::Number, "Mean time that a request takes, in seconds, at least 0."))
        .parameter(Parameter::new(
            "max_concurrent_requests",
            Type::Number,
            "Requests that one replica runs at once (`replica_max_concurrent_requests`), a whole number of at least 1.",
        ))
        .parameter(Parameter::new(
            "target_utilization",
            Type::Number,
            "Percentage of busy replicas to aim at, greater than 0 and at most 100. The original's default is 70.",
        ))
    }

    fn call(&self, arguments: &Arguments) -> Result<Value, FunctionError> {
        let target_rps: f64 = arguments.get(0)?;
        let request_seconds: f64 = arguments.get(1)?;
        let max_concurrent_requests: u32 = arguments.get(2)?;
        let target_utilization: f64 = arguments.get(3)?;
        if !(target_utilization > 0.0 && target_utilization <= 100.0) {
            let message = format!(
                "target_utilization is {target_utilization}, but must be a percentage greater than 0 and at most 100."
            );
            return Err(FunctionError::argument(3, message));
        }
        let replicas = serving::autoscale::required_replicas(
            target_rps,
            request_seconds,
            target_utilization / 100.0,
            max_concurrent_requests,
        );
        replicas.map(Value::from).map_err(|error| {
            use serving::autoscale::SizingError;
            let message = format!("{error}.");
            match error {
                SizingError::Negative("target_rps", _) => FunctionError::argument(0, message),
                SizingError::Negative(..) => FunctionError::argument(1, message),
                SizingError::Limit => FunctionError::argument(2, message),
                SizingError::Target(_) => FunctionError::argument(3, message),
                SizingError::TooMany => FunctionError::new(message),
            }
        })
    }
}
