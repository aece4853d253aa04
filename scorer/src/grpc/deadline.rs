//! The end of a call's time, in gRPC's own code for it.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Request, Response};
use tonic::Status;
use tonic::body::Body;
use tower::Service;

use super::pipe::timeout;

/// How much earlier than the server's own timer, which would say `CANCELLED`. It asks what is inside of it first, so that
/// this is enough however late both are asked.
const LEAD: Duration = Duration::from_millis(2);

/// Ends calls whose `grpc-timeout` is over with `DEADLINE_EXCEEDED`.
#[derive(Clone, Debug)]
pub(super) struct Deadline<S>(pub(super) S);

impl<S, B> Service<Request<B>> for Deadline<S>
where
    S: Service<Request<B>, Response = Response<Body>>,
    S::Future: Send + 'static,
    S::Error: 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let time = request.headers().get("grpc-timeout").and_then(|value| timeout(value.to_str().ok()?));
        let answer = self.0.call(request);
        Box::pin(async move {
            let Some(time) = time else { return answer.await };
            let over = |_| {
                let text = format!("the call's deadline of {} ms is over", time.as_millis());
                Ok(Status::deadline_exceeded(text).into_http())
            };
            tokio::time::timeout(time.saturating_sub(LEAD), answer).await.unwrap_or_else(over)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    #[tokio::test]
    async fn a_call_that_is_over_its_deadline_says_so_in_the_code_that_clients_know() {
        let never = |_: Request<()>| std::future::pending::<Result<Response<Body>, Infallible>>();
        let request = Request::builder().header("grpc-timeout", "3m").body(()).expect("a request");
        let Ok(answer) = Deadline(tower::service_fn(never)).call(request).await;
        assert_eq!(answer.headers()["grpc-status"], "4");
    }
}
