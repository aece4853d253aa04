//! Messages of the gRPC form as requests and answers of the REST form with binary tensors, and back.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tonic::Status;

use super::proto::infer_parameter::ParameterChoice;
use super::proto::model_infer_request::InferInputTensor;
use super::proto::model_infer_response::InferOutputTensor;
use super::proto::model_metadata_response::TensorMetadata;
use super::proto::{
    InferParameter, ModelInferRequest, ModelInferResponse, ModelMetadataResponse, ServerMetadataResponse,
};
use super::tensors;

/// Name of the parameter that says how many bytes of a tensor follow the JSON.
const SIZE: &str = "binary_data_size";

#[derive(Serialize)]
struct Question<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    id: &'a str,
    parameters: Map<String, Value>,
    inputs: Vec<Input<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    outputs: Vec<Wanted<'a>>,
}

#[derive(Serialize)]
struct Input<'a> {
    name: &'a str,
    datatype: &'a str,
    shape: &'a [i64],
    parameters: Map<String, Value>,
}

#[derive(Serialize)]
struct Wanted<'a> {
    name: &'a str,
    parameters: Map<String, Value>,
}

/// A request's body.
pub(super) struct Body {
    /// Length of its JSON, which the tensors follow.
    pub(super) header: usize,
    pub(super) bytes: Vec<u8>,
    /// The caller speaks in typed elements, not in raw bytes.
    pub(super) typed: bool,
}

/// The body of an inference.
pub(super) fn body(request: &ModelInferRequest) -> Result<Body, Status> {
    let raw = &request.raw_input_contents;
    let typed = raw.is_empty();
    if !typed && raw.len() != request.inputs.len() {
        return Err(Status::invalid_argument(format!(
            "raw_input_contents has {} tensors, inputs has {}",
            raw.len(),
            request.inputs.len()
        )));
    }
    let contents = request.inputs.iter().enumerate().map(|(at, input)| match raw.get(at) {
        Some(raw) if input.contents.as_ref().is_some_and(tensors::is_typed) => Err(Status::invalid_argument(format!(
            "the input {} has contents beside {} raw bytes; only one of both is allowed",
            input.name,
            raw.len()
        ))),
        Some(raw) => Ok(raw.clone()),
        None => typed_contents(input),
    });
    let contents = contents.collect::<Result<Vec<Bytes>, Status>>()?;
    let mut parameters = values(&request.parameters);
    parameters.insert("binary_data_output".into(), true.into());
    let question = Question {
        id: &request.id,
        parameters,
        inputs: request.inputs.iter().zip(&contents).map(|(input, raw)| question(input, raw.len())).collect(),
        outputs: request
            .outputs
            .iter()
            .map(|output| Wanted { name: &output.name, parameters: values(&output.parameters) })
            .collect(),
    };
    let mut bytes = serde_json::to_vec(&question).map_err(|error| Status::internal(error.to_string()))?;
    let header = bytes.len();
    bytes.reserve_exact(contents.iter().map(Bytes::len).sum());
    for raw in &contents {
        bytes.extend_from_slice(raw);
    }
    Ok(Body { header, bytes, typed })
}

fn question(input: &InferInputTensor, size: usize) -> Input<'_> {
    let mut parameters = values(&input.parameters);
    parameters.insert(SIZE.into(), size.into());
    Input { name: &input.name, datatype: &input.datatype, shape: &input.shape, parameters }
}

fn typed_contents(input: &InferInputTensor) -> Result<Bytes, Status> {
    let contents = input.contents.clone().unwrap_or_default();
    tensors::raw(&input.datatype, &contents).map(Bytes::from).ok_or_else(|| {
        Status::invalid_argument(format!(
            "the contents of the input {} are not of the datatype {}; types of 16 bits go into raw_input_contents",
            input.name, input.datatype
        ))
    })
}

fn values(parameters: &BTreeMap<String, InferParameter>) -> Map<String, Value> {
    let value = |parameter: &InferParameter| match &parameter.parameter_choice {
        Some(ParameterChoice::BoolParam(value)) => (*value).into(),
        Some(ParameterChoice::Int64Param(value)) => (*value).into(),
        Some(ParameterChoice::Uint64Param(value)) => (*value).into(),
        Some(ParameterChoice::DoubleParam(value)) => (*value).into(),
        Some(ParameterChoice::StringParam(value)) => value.as_str().into(),
        None => Value::Null,
    };
    parameters.iter().map(|(name, parameter)| (name.clone(), value(parameter))).collect()
}

fn parameters(values: Map<String, Value>) -> BTreeMap<String, InferParameter> {
    let parameter = |value| {
        Some(match value {
            Value::Bool(value) => ParameterChoice::BoolParam(value),
            Value::Number(value) => match (value.as_i64(), value.as_u64(), value.as_f64()) {
                (Some(value), _, _) => ParameterChoice::Int64Param(value),
                (None, Some(value), _) => ParameterChoice::Uint64Param(value),
                (None, None, value) => ParameterChoice::DoubleParam(value?),
            },
            Value::String(value) => ParameterChoice::StringParam(value),
            Value::Null => return None,
            other => ParameterChoice::StringParam(other.to_string()),
        })
    };
    let named = |(name, value)| Some((name, InferParameter { parameter_choice: Some(parameter(value)?) }));
    values.into_iter().filter_map(named).collect()
}

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    model_name: String,
    #[serde(default)]
    model_version: String,
    #[serde(default)]
    id: String,
    #[serde(default)]
    parameters: Map<String, Value>,
    #[serde(default)]
    outputs: Vec<Output>,
}

#[derive(Deserialize)]
struct Output {
    name: String,
    datatype: String,
    shape: Vec<i64>,
    #[serde(default)]
    parameters: Map<String, Value>,
}

/// The message of an answer whose first `header` bytes are JSON; `typed` as the request was.
pub(super) fn response(header: usize, mut body: Bytes, typed: bool) -> Result<ModelInferResponse, Status> {
    let malformed = |what: &str| Status::internal(format!("the answer of the score script is malformed: {what}"));
    if header > body.len() {
        return Err(malformed("it is shorter than its header"));
    }
    let json = body.split_to(header);
    let answer: Answer = serde_json::from_slice(&json).map_err(|error| malformed(&error.to_string()))?;
    let mut outputs = Vec::with_capacity(answer.outputs.len());
    let mut raw_output_contents = Vec::new();
    for Output { name, datatype, shape, parameters: mut given } in answer.outputs {
        let size = given.remove(SIZE).and_then(|size| size.as_u64()).and_then(|size| usize::try_from(size).ok());
        let size = size.filter(|size| *size <= body.len()).ok_or_else(|| malformed("an output has no bytes"))?;
        let raw = body.split_to(size);
        let contents = if typed { tensors::typed(&datatype, &raw) } else { None };
        if typed && contents.is_none() {
            return Err(Status::internal(format!(
                "the output {name} of datatype {datatype} has only a raw form; send raw_input_contents to get it"
            )));
        }
        if contents.is_none() {
            raw_output_contents.push(raw);
        }
        outputs.push(InferOutputTensor { name, datatype, shape, parameters: parameters(given), contents });
    }
    Ok(ModelInferResponse {
        model_name: answer.model_name,
        model_version: answer.model_version,
        id: answer.id,
        parameters: parameters(answer.parameters),
        outputs,
        raw_output_contents,
    })
}

#[derive(Deserialize)]
struct Server {
    #[serde(default)]
    name: String,
    #[serde(default)]
    version: String,
    #[serde(default)]
    extensions: Vec<String>,
}

/// The message of a server's metadata document.
pub(super) fn server(json: &[u8]) -> Result<ServerMetadataResponse, Status> {
    let Server { name, version, extensions } = document(json)?;
    Ok(ServerMetadataResponse { name, version, extensions })
}

#[derive(Deserialize)]
struct Model {
    #[serde(default)]
    name: String,
    #[serde(default)]
    versions: Vec<String>,
    #[serde(default)]
    platform: String,
    #[serde(default)]
    inputs: Vec<Output>,
    #[serde(default)]
    outputs: Vec<Output>,
}

/// The message of a model's metadata document.
pub(super) fn model(json: &[u8]) -> Result<ModelMetadataResponse, Status> {
    let Model { name, versions, platform, inputs, outputs } = document(json)?;
    let tensors = |tensors: Vec<Output>| {
        let tensor = |Output { name, datatype, shape, .. }| TensorMetadata { name, datatype, shape };
        tensors.into_iter().map(tensor).collect()
    };
    Ok(ModelMetadataResponse { name, versions, platform, inputs: tensors(inputs), outputs: tensors(outputs) })
}

fn document<T: for<'de> Deserialize<'de>>(json: &[u8]) -> Result<T, Status> {
    serde_json::from_slice(json).map_err(|error| Status::internal(format!("the metadata is malformed: {error}")))
}
