//! On hyper, the HTTP library below axum and many others: the accept loop and the dispatch are ours.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use shared::Pairs;
use shared::task::{self, Answer};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> io::Result<()> {
    let pairs = Arc::new(Pairs::default());
    let listener = TcpListener::bind(("127.0.0.1", shared::port())).await?;
    loop {
        // A client that left before it was accepted is no reason to stop.
        let Ok((stream, _)) = listener.accept().await else { continue };
        let _ = stream.set_nodelay(true);
        let pairs = Arc::clone(&pairs);
        tokio::spawn(async move {
            let service = service_fn(|request| {
                let response = respond(&pairs, &request);
                async move { Ok::<_, Infallible>(response) }
            });
            // Answers that are ready together go out together: off by default, and what makes
            // pipelining fast.
            let mut builder = http1::Builder::new();
            let connection = builder.pipeline_flush(true);
            let _ = connection.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

fn respond(pairs: &Pairs, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    let (uri, method) = (request.uri(), request.method().as_str());
    let (status, body) =
        match task::answer(pairs, method, uri.path(), uri.query().unwrap_or_default()) {
            Answer::Stored => (StatusCode::OK, Bytes::new()),
            Answer::Found(value) => (StatusCode::OK, Bytes::from(value)),
            Answer::Missing => (StatusCode::NOT_FOUND, Bytes::new()),
            Answer::Refused => (StatusCode::INTERNAL_SERVER_ERROR, Bytes::new()),
        };
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    response
}
