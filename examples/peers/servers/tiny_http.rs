//! On tiny_http: it reads the requests, and threads of ours take them from its queue.

use std::error::Error;
use std::sync::Arc;
use std::thread;

use shared::Pairs;
use shared::task::{self, Answer};
use tiny_http::{Request, Response, Server};

fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let pairs = Pairs::default();
    let server = Arc::new(Server::http(("127.0.0.1", shared::port()))?);
    // Two for each processor: a thread that writes an answer is not there for the next request.
    let threads = 2 * thread::available_parallelism()?.get();
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| server.incoming_requests().for_each(|request| handle(&pairs, request)));
        }
    });
    Ok(())
}

fn handle(pairs: &Pairs, request: Request) {
    let (path, query) = request.url().split_once('?').unwrap_or((request.url(), ""));
    let (status, body) = match task::answer(pairs, request.method().as_str(), path, query) {
        Answer::Stored => (200, String::new()),
        Answer::Found(value) => (200, value),
        Answer::Missing => (404, String::new()),
        Answer::Refused => (500, String::new()),
    };
    // The response brings its Content-Type, text/plain. Where the client has left, there is nobody
    // to tell about the error.
    let _ = request.respond(Response::from_string(body).with_status_code(status));
}
