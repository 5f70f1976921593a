//! On actix-web: a framework with an HTTP of its own, one event loop for each processor.

use std::io;

use actix_web::{App, HttpResponse, HttpServer, web};
use serde::Deserialize;
use shared::{Pairs, only_pair};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Lookup {
    key: String,
}

#[actix_web::main]
async fn main() -> io::Result<()> {
    let pairs = web::Data::new(Pairs::default());
    HttpServer::new(move || {
        App::new()
            .app_data(pairs.clone())
            .route("/set", web::get().to(set_pair))
            .route("/get", web::get().to(get_value))
            .default_service(web::to(refuse))
    })
    .bind(("127.0.0.1", shared::port()))?
    .run()
    .await
}

async fn set_pair(
    pairs: web::Data<Pairs>,
    query: Result<web::Query<Vec<(String, String)>>, actix_web::Error>,
) -> HttpResponse {
    let list = query.map(web::Query::into_inner).unwrap_or_default();
    let Some((key, value)) = only_pair(list) else { return refuse().await };
    pairs.set(key, value);
    HttpResponse::Ok().content_type("text/plain").finish()
}

async fn get_value(
    pairs: web::Data<Pairs>,
    lookup: Result<web::Query<Lookup>, actix_web::Error>,
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
