//! Where collected rows go and how: read from the environment when the first collector asks.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use url::Url;

use super::queue::Limits;

/// The original's container.
const CONTAINER: &str = "modeldata";
const MIB: usize = 1024 * 1024;

/// Settings of data collection.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) target: Target,
    /// How long rows gather before they are written.
    pub(crate) interval: Duration,
    pub(crate) limits: Limits,
    /// How long a write that fails is repeated before its rows are given up.
    pub(crate) retry: Duration,
    /// How long the end of the process waits for the last rows.
    pub(crate) patience: Duration,
}

/// Where rows go.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// Files that grow.
    Folder(PathBuf),
    /// Blobs of an Azure storage container.
    Azure(Azure),
    /// Objects of an S3 bucket.
    S3 { bucket: String, prefix: String },
}

impl fmt::Display for Target {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(path) => write!(formatter, "{}", path.display()),
            Self::Azure(azure) => {
                let account = azure.account.as_deref().or(azure.endpoint.as_deref()).unwrap_or_default();
                write!(formatter, "az://{account}/{}/{}", azure.container, azure.prefix)
            }
            Self::S3 { bucket, prefix } => write!(formatter, "s3://{bucket}/{prefix}"),
        }
    }
}

/// A container of Azure Blob Storage and how it is reached; what is missing comes from `object_store`'s own variables
/// (`AZURE_STORAGE_ACCOUNT_KEY`, workload identity, ...).
#[derive(Default, PartialEq, Eq)]
pub(crate) struct Azure {
    pub(crate) account: Option<String>,
    pub(crate) container: String,
    pub(crate) prefix: String,
    pub(crate) endpoint: Option<String>,
    pub(crate) key: Option<String>,
    pub(crate) sas: Option<String>,
    pub(crate) emulator: bool,
}

impl fmt::Debug for Azure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Never the key or the signature.
        formatter
            .debug_struct("Azure")
            .field("account", &self.account)
            .field("container", &self.container)
            .field("prefix", &self.prefix)
            .field("endpoint", &self.endpoint)
            .finish_non_exhaustive()
    }
}

impl Settings {
    /// The settings that `get` gives by name; `None` when nothing is to be collected.
    pub(crate) fn read(get: impl Fn(&str) -> Option<String>) -> Result<Option<Self>, String> {
        let get = |name: &str| get(name).filter(|value| !value.trim().is_empty());
        let uri = get("AZUREML_COLLECT_URI");
        let on = match get("AML_MODEL_DC_STORAGE_ENABLED") {
            Some(switch) => switch.trim().eq_ignore_ascii_case("true"),
            None => uri.is_some(),
        };
        if !on {
            return Ok(None);
        }
        let connection = get("AML_MODEL_DC_STORAGE");
        let target = match (&uri, &connection) {
            (Some(uri), connection) => target(uri, connection.as_deref())?,
            (None, Some(connection)) => Target::Azure(connection_string(connection)?),
            (None, None) => {
                return Err("data collection is enabled but has no target: set AZUREML_COLLECT_URI to a folder or a \
                            storage URL, or AML_MODEL_DC_STORAGE to an Azure storage connection string"
                    .into());
            }
        };
        let folder = matches!(target, Target::Folder(_));
        let number = |name: &'static str, default: u64| number(name, get(name), default);
        let bytes = usize::try_from(number("AZUREML_COLLECT_QUEUE_BYTES", 32 * 1024 * 1024)?).unwrap_or(usize::MAX);
        let events = number("AML_MODEL_DC_EVENT_MAX_QUEUE_SIZE", 0)?;
        Ok(Some(Self {
            target,
            // An object per interval: fewer and larger ones are cheaper to read.
            interval: Duration::from_secs(number("AML_MODEL_DC_FLUSH_INTERVAL_SECONDS", if folder { 5 } else { 60 })?),
            limits: Limits {
                bytes,
                events: usize::try_from(events).ok().filter(|events| *events > 0),
                enough: (bytes / 4).min(8 * MIB),
            },
            retry: Duration::from_secs(number("AML_MODEL_DC_EVENT_RETRY_TIME", 300)?),
            patience: Duration::from_secs(number("AZUREML_COLLECT_CLOSE_SECONDS", 10)?),
        }))
    }
}

/// Longest time or largest size that a setting may state, so that no clock overflows.
const MOST: u64 = 1 << 40;

fn number(name: &str, text: Option<String>, default: u64) -> Result<u64, String> {
    let Some(text) = text else { return Ok(default) };
    text.trim()
        .parse()
        .ok()
        .filter(|number| *number <= MOST)
        .ok_or_else(|| format!("{name} is {text:?}, which is not a whole number from 0 to {MOST}"))
}

/// What a URL or a path means.
fn target(uri: &str, connection: Option<&str>) -> Result<Target, String> {
    let uri = uri.trim();
    // The text of a URL may hold a signature, so no message repeats it.
    let wrong = |why: &str| {
        format!(
            "AZUREML_COLLECT_URI {why}; it must be a folder, file:///folder, az://account/container/prefix, \
             https://account.blob.core.windows.net/container/prefix or s3://bucket/prefix"
        )
    };
    if !uri.contains("://") {
        return Ok(Target::Folder(PathBuf::from(uri)));
    }
    let url = Url::parse(uri).map_err(|error| wrong(&format!("is not a URL ({error})")))?;
    if url.scheme() == "file" {
        return url.to_file_path().map(Target::Folder).map_err(|()| wrong("names no local folder"));
    }
    let host = url.host_str().filter(|host| !host.is_empty()).ok_or_else(|| wrong("has no host"))?.to_owned();
    let path = url.path().trim_matches('/');
    match url.scheme() {
        "az" | "azure" | "abfss" => {
            let (container, prefix) = path.split_once('/').unwrap_or((path, ""));
            if container.is_empty() {
                return Err(wrong("has no container"));
            }
            let mut azure = connection.map(connection_string).transpose()?.unwrap_or_default();
            azure.account.get_or_insert_with(|| host.clone());
            if azure.account.as_deref() != Some(&host) {
                return Err(wrong("and AML_MODEL_DC_STORAGE name different accounts"));
            }
            Ok(Target::Azure(Azure { container: container.into(), prefix: prefix.into(), ..azure }))
        }
        "https" | "http" => {
            let (container, prefix) = path.split_once('/').unwrap_or((path, ""));
            if container.is_empty() {
                return Err(wrong("has no container"));
            }
            let account = host.split('.').next().unwrap_or_default().to_owned();
            Ok(Target::Azure(Azure {
                account: Some(account),
                container: container.into(),
                prefix: prefix.into(),
                endpoint: Some(url.origin().ascii_serialization()),
                sas: url.query().map(str::to_owned),
                ..Azure::default()
            }))
        }
        "s3" => Ok(Target::S3 { bucket: host, prefix: path.into() }),
        scheme => Err(wrong(&format!("has the scheme {scheme}"))),
    }
}

/// An Azure storage connection string: `Name=value;Name=value`.
fn connection_string(text: &str) -> Result<Azure, String> {
    let wrong = |why: &str| format!("AML_MODEL_DC_STORAGE is not an Azure storage connection string: {why}");
    let mut azure = Azure { container: CONTAINER.into(), ..Azure::default() };
    let (mut protocol, mut suffix) = ("https".to_owned(), "core.windows.net".to_owned());
    for part in text.split(';').map(str::trim).filter(|part| !part.is_empty()) {
        // A part may be a key: no message repeats it.
        let (name, value) = part.split_once('=').ok_or_else(|| wrong("a part of it has no '='"))?;
        let value = value.to_owned();
        match name.to_ascii_lowercase().as_str() {
            "accountname" => azure.account = Some(value),
            "accountkey" => azure.key = Some(value),
            "sharedaccesssignature" => azure.sas = Some(value.trim_start_matches('?').to_owned()),
            "blobendpoint" => azure.endpoint = Some(value.trim_end_matches('/').to_owned()),
            "defaultendpointsprotocol" => protocol = value,
            "endpointsuffix" => suffix = value,
            "usedevelopmentstorage" => azure.emulator = value.eq_ignore_ascii_case("true"),
            _ => {}
        }
    }
    if azure.emulator {
        return Ok(azure);
    }
    if azure.endpoint.is_none() {
        let account = azure.account.as_deref().ok_or_else(|| wrong("it has neither AccountName nor BlobEndpoint"))?;
        azure.endpoint = Some(format!("{protocol}://{account}.blob.{suffix}"));
    }
    if azure.account.is_none() {
        let url = azure.endpoint.as_deref().and_then(|endpoint| Url::parse(endpoint).ok());
        let host = url.as_ref().and_then(Url::host_str).ok_or_else(|| wrong("its BlobEndpoint is not a URL"))?;
        azure.account = host.split('.').next().map(str::to_owned);
    }
    if azure.key.is_none() && azure.sas.is_none() {
        return Err(wrong("it has neither AccountKey nor SharedAccessSignature"));
    }
    Ok(azure)
}
