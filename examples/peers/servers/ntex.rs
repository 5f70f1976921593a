//! On ntex: a framework with an HTTP of its own, by the one who began actix, here on tokio.

use std::io;
use std::sync::Arc;

use ntex::web::error::QueryPayloadError;
use ntex::web::types::{Query, State};
use ntex::web::{self, App, HttpResponse, HttpServer};
use serde::Deserialize;
use shared::{Pairs, only_pair};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Lookup {
    key: String,
}

#[ntex::main]
async fn main() -> io::Result<()> {
    let pairs = Arc::new(Pairs::default());
    HttpServer::new(move || {
        let pairs = Arc::clone(&pairs);
        async move {
            App::new()
                .state(pairs)
                .route("/set", web::get().to(set_pair))
                .route("/get", web::get().to(get_value))
                .default_service(web::to(refuse))
        }
    })
    .bind(("127.0.0.1", shared::port()))?
    .run()
    .await
}

async fn set_pair(
    pairs: State<Arc<Pairs>>,
    query: Result<Query<Vec<(String, String)>>, QueryPayloadError>,
) -> HttpResponse {
    let list = query.map(Query::into_inner).unwrap_or_default();
    let Some((key, value)) = only_pair(list) else { return refuse().await };
    pairs.set(key, value);
    HttpResponse::Ok().content_type("text/plain").finish()
}

async fn get_value(
    pairs: State<Arc<Pairs>>,
    lookup: Result<Query<Lookup>, QueryPayloadError>,
) -> HttpResponse {
    let Ok(lookup) = lookup else { return refuse().await };
    match pairs.get(&lookup.key) {
        Some(value) => HttpResponse::Ok().content_type("text/plain").body(value),
        None => HttpResponse::NotFound().content_type("text/plain").finish(),
    }
}

async fn refuse() -> HttpResponse {
    HttpResponse::InternalServerError().content_type("text/plain").finish()
}
