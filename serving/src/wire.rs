//! Names on the wire between router and scorer, and between supervisor and scorer.

/// Scoring route of a scorer.
pub const SCORE_PATH: &str = "/score";
/// Swagger route of a scorer.
pub const SWAGGER_PATH: &str = "/swagger.json";
/// Health route: 200 `Healthy` once `init()` has returned. Never waits for a running score.
pub const HEALTH_PATH: &str = "/";
/// Slot route, a long poll. The answer (200, empty body, [`GRANT`]) comes when a slot is free and reserved for the asker,
/// oldest asker first. [`LIMIT`] and [`DEADLINE`] apply; closing the connection withdraws the question. A grant that is not
/// used within 100 ms lapses.
///
/// Otherwise the answer is a 503 with [`REFUSED`]: `busy` when no slot became free before the deadline, or at once when
/// too many ask; the replica is well, and the asker may ask again after a moment. `draining` when the replica is about to
/// exit: it will never grant a slot again.
pub const SLOT_PATH: &str = "/.azureml/slot";

/// How the names of all headers begin that are for router and scorer only. The router passes none of them on, in either
/// direction, whether it knows them or not.
pub const INTERNAL: &str = "x-azureml-";
/// Request header: how many requests the replica may run at once (decimal).
pub const LIMIT: &str = "x-azureml-limit";
/// Request header: milliseconds that are left of the caller's scoring time-out (decimal).
pub const DEADLINE: &str = "x-azureml-deadline-ms";
/// Request header: the reservation to use, from an answer of [`SLOT_PATH`].
pub const GRANT: &str = "x-azureml-grant";
/// Response header of a retryable refusal (status 503), which the scorer decides on the head, before the body:
/// `busy` or `draining`. The request was not run.
pub const REFUSED: &str = "x-azureml-refused";
/// Response header: microseconds of slot time that the replica has been busy since its start (decimal).
pub const BUSY: &str = "x-azureml-busy-us";

/// Request header: the hop secret of the service. In a cluster a scorer answers everything but its health route, on any
/// port, only to who presents it.
pub const HOP: &str = "x-azureml-hop";

/// Request header, both sides: pins the version; works at 0 %.
pub const PIN: &str = "azureml-model-deployment";
/// Response header: the version that answered. Same name as [`PIN`].
pub const DEPLOYMENT: &str = "azureml-model-deployment";

/// Environment variable of a scorer: number of the inherited, already listening socket.
pub const LISTEN_FD: &str = "AZUREML_LISTEN_FD";
/// Environment variable of a scorer: number of the inherited control socket. The scorer writes
/// [`crate::admin::ScorerEvent`] lines to it and exits when its other end closes.
pub const CONTROL_FD: &str = "AZUREML_CONTROL_FD";
/// Environment variable of a scorer: seconds that `init()` may take.
pub const INIT_TIMEOUT: &str = "AZUREML_INIT_TIMEOUT_SECONDS";
/// Environment variable of a scorer: file with the hop secret, without which it serves everybody who reaches it.
pub const HOP_SECRET_FILE: &str = "AZUREML_HOP_SECRET_FILE";
/// Environment variable of a scorer: file that a failure to start is written to, as a [`crate::admin::ScorerEvent`].
pub const TERMINATION_LOG: &str = "AZUREML_TERMINATION_LOG";
/// Environment variable of `python -m azureml_scorer fetch`: what it is to fetch, a [`crate::pod::Fetch`] as JSON.
pub const FETCH: &str = "AZUREML_FETCH";

/// Folder of the models below the app root.
pub const MODELS_DIRECTORY: &str = "azureml-models";
/// Port of the scorer when it is not given a socket.
pub const SCORER_PORT: u16 = 5001;
