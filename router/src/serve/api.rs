//! The way to the API server.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

use http::Request;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use tokio::runtime::Handle;

use crate::route::ApiServer;

const CONNECT: Duration = Duration::from_secs(5);
/// Longest silence on a connection. A watch is taken up anew before that.
const SILENCE: Duration = Duration::from_secs(75);
/// Longest wait for the keys of ServiceAccount tokens.
const ANSWER: Duration = Duration::from_secs(10);

/// How the cluster is reached: by this file, else by `KUBECONFIG`, else as the pod's ServiceAccount.
pub(super) async fn config(kubeconfig: Option<PathBuf>) -> Result<Config, String> {
    let named = kubeconfig.is_some() || std::env::var_os("KUBECONFIG").is_some_and(|value| !value.is_empty());
    let mut config = if named {
        of_kubeconfig(kubeconfig, None).await?
    } else {
        Config::incluster().map_err(|error| {
            let why = super::chain(&error);
            format!("this is no pod with a ServiceAccount token ({why}); name a cluster by --kubeconfig or KUBECONFIG")
        })?
    };
    config.connect_timeout = Some(CONNECT);
    config.read_timeout = Some(SILENCE);
    config.reset_reader_on_write = true;
    // The watches have pauses of their own, and a failure that is waited out in silence would not be seen.
    config.default_retry = false;
    Ok(config)
}

/// By this file, else as kubectl finds its own, in this context or the current one.
pub(crate) async fn of_kubeconfig(path: Option<PathBuf>, context: Option<String>) -> Result<Config, String> {
    let what = path.as_ref().map_or("of KUBECONFIG or ~/.kube/config".to_owned(), |path| path.display().to_string());
    let unusable = |error| format!("the kubeconfig {what} cannot be used: {}", super::chain(&error));
    let options = KubeConfigOptions { context, ..KubeConfigOptions::default() };
    match path {
        Some(path) => {
            let found = Kubeconfig::read_from(path).map_err(unusable)?;
            Config::from_custom_kubeconfig(found, &options).await.map_err(unusable)
        }
        None => Config::from_kubeconfig(&options).await.map_err(unusable),
    }
}

/// Gets a path from the API server, for threads that may wait.
pub(super) fn server(client: Client) -> ApiServer {
    let runtime = Handle::current();
    Arc::new(move |path: &str| {
        let request = Request::get(path).body(Vec::new()).map_err(|error| error.to_string())?;
        let (told, answer) = mpsc::sync_channel(1);
        let client = client.clone();
        runtime.spawn(async move {
            let text = tokio::time::timeout(ANSWER, client.request_text(request)).await;
            // Who has asked may have gone.
            let _ = told.send(match text {
                Ok(Ok(text)) => Ok(text.into_bytes()),
                Ok(Err(error)) => Err(super::chain(&error)),
                Err(_) => Err(format!("no answer within {} s", ANSWER.as_secs())),
            });
        });
        let answer = answer.recv_timeout(2 * ANSWER).unwrap_or_else(|_| Err("the router is ending".to_owned()));
        answer.map_err(|reason| format!("{path} cannot be fetched from the API server: {reason}"))
    })
}
