//! `azureml-fe serve` against an API server that does what a test says.

mod api_server;
mod changes;
mod fe;
mod life;
mod outages;
mod replica;
mod tokens;
