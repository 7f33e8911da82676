//! Bodies that are read to their end, even those that nobody wanted.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::header;
use axum::middleware::Next;
use axum::response::Response;
use hyper::body::{Body as HttpBody, Frame, SizeHint};

/// How long an unwanted body is read.
const PATIENCE: Duration = Duration::from_secs(2);

/// Lets a client that is still sending read why it was refused.
///
/// A connection that is closed with unread bytes is reset, and the client loses the answer over it. So the rest of a refused body
/// is read and thrown away, for a short while.
pub(crate) async fn read_out(request: Request, next: Next) -> Response {
    // A client that waits to be told to go on will not send at all.
    let waits = request.headers().contains_key(header::EXPECT);
    let request = request.map(|body| if waits { body } else { Body::new(ReadOut(body)) });
    next.run(request).await
}

/// A body whose rest is read when it is dropped.
struct ReadOut(Body);

impl HttpBody for ReadOut {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.0).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}

impl Drop for ReadOut {
    fn drop(&mut self) {
        if self.0.is_end_stream() {
            return;
        }
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let mut rest = std::mem::take(&mut self.0);
        runtime.spawn(tokio::time::timeout(PATIENCE, async move {
            while let Some(Ok(_)) = std::future::poll_fn(|context| Pin::new(&mut rest).poll_frame(context)).await {}
        }));
    }
}
