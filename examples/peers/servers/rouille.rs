//! On rouille, a framework of threads: tiny_http below, a pool of threads above.

use rouille::Response;
use shared::Pairs;
use shared::task::{self, Answer};

fn main() {
    let pairs = Pairs::default();
    rouille::start_server(("127.0.0.1", shared::port()), move |request| {
        // Split by hand: `request.url()` is decoded, and `/g%65t` is not a path of ours.
        let path = request.raw_url().split('?').next().unwrap_or_default();
        match task::answer(&pairs, request.method(), path, request.raw_query_string()) {
            Answer::Stored => Response::text(""),
            Answer::Found(value) => Response::text(value),
            Answer::Missing => Response::text("").with_status_code(404),
            Answer::Refused => Response::text("").with_status_code(500),
        }
    });
}
