//! What comes to the proxy but is meant for somebody else: `CONNECT host:port` and `GET http://host/…`.
//!
//! Under `run` every proxy variable of the child points here, so these requests are the ways around the
//! signed snapshot: an extra index, a direct URL, a git remote. They are refused and listed. A host named
//! with `--allow-direct` is let through, unverified; that is what the option says.

use std::net::IpAddr;
use std::sync::Arc;

use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::header::{CONNECTION, HOST, HeaderName, HeaderValue, TE, TRAILER, TRANSFER_ENCODING, UPGRADE};
use hyper::http::uri::{Authority, PathAndQuery, Scheme};
use hyper::{Method, Request, Response, StatusCode, Uri, Version};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::body::{Body, BoxError, full};
use super::refusal::{self, Failure, Kind};
use super::server::State;

/// A host that may be reached without verification, from `--allow-direct HOST[:PORT]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirectHost {
    host: String,
    port: Option<u16>,
}

/// Text that is not `HOST` or `HOST:PORT`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a host or host:port")]
pub struct NotAHost(String);

impl std::str::FromStr for DirectHost {
    type Err = NotAHost;

    fn from_str(text: &str) -> Result<Self, NotAHost> {
        let bare_v6 = text.parse::<IpAddr>().is_ok_and(|address| address.is_ipv6());
        let bracketed = if bare_v6 { format!("[{text}]") } else { text.to_owned() };
        let authority: Authority = bracketed.parse().map_err(|_| NotAHost(text.to_owned()))?;
        let plain = !authority.as_str().contains('@') && !authority.host().is_empty();
        // `host:` and `host:99999` parse as an authority without a port.
        let port_read = authority.port_u16().is_some() || authority.as_str() == authority.host();
        if plain && port_read {
            Ok(Self { host: authority.host().to_ascii_lowercase(), port: authority.port_u16() })
        } else {
            Err(NotAHost(text.to_owned()))
        }
    }
}

impl DirectHost {
    fn allows(&self, host: &str, port: u16) -> bool {
        self.host.eq_ignore_ascii_case(host) && self.port.is_none_or(|only| only == port)
    }
}

/// Answers a request for another host.
pub(super) async fn answer(
    state: &Arc<State>,
    request: Request<Incoming>,
    authority: &Authority,
) -> Response<Body> {
    let connect = request.method() == Method::CONNECT;
    let port = authority.port_u16().unwrap_or(if connect { 443 } else { 80 });
    let host = authority.host();
    if !state.direct.iter().any(|direct| direct.allows(host, port)) {
        let what = format!("{host}:{port}");
        let why = format!(
            "{} to {what}: only the signed snapshot may be used (--allow-direct {host} opens this host)",
            request.method()
        );
        let failure = Failure::new(Kind::Bypass, None, why);
        state.refusals.record(&what, &failure);
        return refusal::problem(StatusCode::FORBIDDEN, "not through this proxy", &failure.why);
    }
    let address = format!("{host}:{port}");
    let done = match TcpStream::connect(&address).await {
        Ok(remote) if connect => Ok(tunnel(request, remote)),
        Ok(remote) => pass_on(request, remote, authority).await,
        Err(error) => Err(error.into()),
    };
    done.unwrap_or_else(|error| {
        refusal::problem(StatusCode::BAD_GATEWAY, "direct host not reached", &format!("{address}: {error}"))
    })
}

/// Answers 200 and then copies bytes both ways until one end closes.
fn tunnel(request: Request<Incoming>, mut remote: TcpStream) -> Response<Body> {
    tokio::spawn(async move {
        let Ok(upgraded) = hyper::upgrade::on(request).await else {
            return;
        };
        // An end that breaks off is that connection's business alone.
        drop(tokio::io::copy_bidirectional(&mut TokioIo::new(upgraded), &mut remote).await);
    });
    Response::new(full(""))
}

/// Sends an absolute-form request on in origin form, and its answer back.
async fn pass_on(
    mut request: Request<Incoming>,
    remote: TcpStream,
    authority: &Authority,
) -> Result<Response<Body>, BoxError> {
    let path = request.uri().path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
    *request.uri_mut() = Uri::from(path);
    *request.version_mut() = Version::HTTP_11;
    strip_hop_by_hop(request.headers_mut());
    request.headers_mut().insert(HOST, HeaderValue::from_str(authority.as_str())?);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(remote)).await?;
    tokio::spawn(connection);
    let mut answer = sender.send_request(request).await?;
    strip_hop_by_hop(answer.headers_mut());
    Ok(answer.map(|body| body.map_err(BoxError::from).boxed_unsync()))
}

fn strip_hop_by_hop(headers: &mut hyper::HeaderMap) {
    const PROXY: [&str; 4] = ["keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection"];
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named
        .into_iter()
        .chain([CONNECTION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE])
        .chain(PROXY.map(HeaderName::from_static))
    {
        headers.remove(name);
    }
}

/// The authority of a request that is for a proxy: a `CONNECT`, or an absolute-form target.
pub(super) fn authority(request: &Request<Incoming>) -> Option<Authority> {
    request.uri().authority().cloned()
}

/// Whether an absolute-form request can be passed on at all.
pub(super) fn is_http(request: &Request<Incoming>) -> bool {
    request.method() == Method::CONNECT || request.uri().scheme() == Some(&Scheme::HTTP)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_direct_host_is_a_name_or_an_address_with_or_without_a_port() {
        let rows = [
            ("git.example", "git.example", 443, true),
            ("GIT.example", "git.EXAMPLE", 80, true),
            ("git.example:8443", "git.example", 8443, true),
            ("git.example:8443", "git.example", 443, false),
            ("example", "git.example", 443, false),
            ("[::1]:80", "[::1]", 80, true),
            ("::1", "[::1]", 80, true),
        ];
        for (text, host, port, allowed) in rows {
            assert_eq!(
                text.parse::<DirectHost>().unwrap().allows(host, port),
                allowed,
                "{text} {host}:{port}"
            );
        }
        for wrong in
            ["", "http://git.example/", "user@git.example", "git.example:", "git.example:99999", "a b", "a/b"]
        {
            assert!(wrong.parse::<DirectHost>().is_err(), "{wrong}");
        }
    }
}
