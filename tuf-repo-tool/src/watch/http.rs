//! `/healthz` and `/metrics`.

use std::io;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;

use super::{SharedReport, metrics};

/// Answers monitors.
///
/// # Errors
/// The listener failed.
pub async fn serve(report: SharedReport, listener: TcpListener) -> io::Result<()> {
    let app =
        Router::new().route("/healthz", get(health)).route("/metrics", get(exposition)).with_state(report);
    axum::serve(listener, app).await
}

async fn health(State(report): State<SharedReport>) -> Response {
    let health = report.get().health();
    let status = if health.healthy { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let headers = [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")];
    (status, headers, serde_json::to_vec_pretty(&health).unwrap_or_default()).into_response()
}

async fn exposition(State(report): State<SharedReport>) -> Response {
    let headers = [(header::CONTENT_TYPE, metrics::CONTENT_TYPE), (header::CACHE_CONTROL, "no-store")];
    (headers, metrics::text(&report.get())).into_response()
}
