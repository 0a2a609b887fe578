//! `proxy`: serves until it is ended.

use std::net::SocketAddr;
use std::process::ExitCode;

use serde_json::json;
use tokio::net::TcpListener;
use tuf_client::proxy::{Proxy, ProxyError, ProxyOptions};

use super::Global;
use super::error::{Failure, REFUSED};
use super::open;
use super::output::Output;

pub(crate) async fn proxy(global: &Global, listen: SocketAddr, out: &Output) -> Result<ExitCode, Failure> {
    let listener = TcpListener::bind(listen)
        .await
        .map_err(|error| Failure::new(format!("cannot listen on {listen}: {error}")))?;
    let proxy = Proxy::following(open::client(global)?, ProxyOptions::default()).await.map_err(failure)?;
    let mut running = proxy.start(listener).map_err(failure)?;
    let index = format!("http://{}/simple/", running.address());
    out.result(|| format!("{index}\n"), || json!({ "index": index }))?;
    out.say("serving; point pip or uv there with --index-url, end with Ctrl-C");
    let error = running.died().await;
    Err(Failure::new(format!("the proxy's listener died: {error}")))
}

/// A proxy that did not start.
pub(crate) fn failure(error: ProxyError) -> Failure {
    let unsafe_start = matches!(error, ProxyError::Refresh { is_refusal: true, .. });
    let failure = Failure::new(tuf_client::chain(&error));
    if unsafe_start { failure.code(REFUSED) } else { failure }
}
