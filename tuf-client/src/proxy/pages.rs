//! `/simple/<project>/`: a verified signed page, rendered for the installer, with every link to this proxy.

use std::fmt::Write as _;

use data_encoding::HEXLOWER;
use hyper::header::{
    ACCEPT, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, ETAG, HeaderMap, HeaderValue, IF_NONE_MATCH,
    LOCATION, VARY,
};
use hyper::{Response, StatusCode};
use ring::digest::{SHA256, digest};

use super::accept::{self, Form};
use super::body::{Body, full};
use super::refusal::{self, Failure};
use super::server::State;
use crate::simple::{ProjectName, SignedFile, SignedPage};

/// Answers `/simple/<raw>/`; `slash` says whether the final slash was there.
pub(super) async fn answer(state: &State, raw: &str, slash: bool, headers: &HeaderMap) -> Response<Body> {
    // What is no project name is no project: an honest 404.
    let Ok(project) = ProjectName::new(raw) else {
        return refusal::not_found("no project can have this name");
    };
    if raw != project.as_str() || !slash {
        return moved(&format!("/simple/{project}/"));
    }
    let accepted: Vec<&str> =
        headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok()).collect();
    let accepted = accepted.join(",");
    let Some(form) = accept::choose(Some(&accepted)) else {
        return refusal::problem(
            StatusCode::NOT_ACCEPTABLE,
            "not acceptable",
            "index pages are served as JSON (PEP 691) or HTML (PEP 503)",
        );
    };
    match load(state, &project).await {
        Ok(Some(page)) => rendered(&project, &page, form, headers),
        Ok(None) => refusal::not_found(&format!("the signed snapshot has no project {project}")),
        Err(failure) => {
            state.refusals.record(&format!("/simple/{project}/"), &failure);
            refusal::page_answer(&failure, headers)
        }
    }
}

/// Pages come from the current view only: one resolve, one state.
async fn load(state: &State, project: &ProjectName) -> Result<Option<std::sync::Arc<SignedPage>>, Failure> {
    state.views.current().await?.page(project).await
}

fn rendered(project: &ProjectName, page: &SignedPage, form: Form, headers: &HeaderMap) -> Response<Body> {
    let link = |file: &SignedFile| file_link(project, file);
    let bytes = match form {
        Form::Json => page.render_json(link),
        Form::Html | Form::PlainHtml => page.render_html(link),
    };
    // Over the bytes sent, so that another version of this program never revalidates what it would render otherwise.
    let etag = format!("\"{}\"", HEXLOWER.encode(digest(&SHA256, &bytes).as_ref()));
    let mut answer = if matches(headers, &etag) {
        not_modified()
    } else {
        let length = HeaderValue::from(bytes.len());
        let mut answer = Response::new(full(bytes));
        answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(form.content_type()));
        answer.headers_mut().insert(CONTENT_LENGTH, length);
        answer
    };
    // Installers may keep the page, but must ask each time: a removed file must not live on in their caches.
    answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    answer.headers_mut().insert(VARY, HeaderValue::from_static("Accept"));
    set_etag(&mut answer, &etag);
    answer
}

/// Relative to the page, with the hash in the path: one URL, one content.
fn file_link(project: &ProjectName, file: &SignedFile) -> String {
    let mut link = format!("../../files/{project}/{}/", HEXLOWER.encode(&file.sha256));
    for byte in file.path.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'+' | b'!' | b'/' => {
                link.push(char::from(byte))
            }
            _ => drop(write!(link, "%{byte:02X}")),
        }
    }
    link
}

/// Whether `If-None-Match` names this ETag (RFC 9110 section 13.1.2: weak comparison).
pub(super) fn matches(headers: &HeaderMap, etag: &str) -> bool {
    let named = |value: &str| {
        value.split(',').map(str::trim).any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == etag)
    };
    headers.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok()).any(named)
}

pub(super) fn not_modified() -> Response<Body> {
    let mut answer = Response::new(full(""));
    *answer.status_mut() = StatusCode::NOT_MODIFIED;
    answer
}

pub(super) fn set_etag(answer: &mut Response<Body>, etag: &str) {
    if let Ok(value) = HeaderValue::try_from(etag) {
        answer.headers_mut().insert(ETAG, value);
    }
}

fn moved(to: &str) -> Response<Body> {
    let mut answer = Response::new(full(""));
    *answer.status_mut() = StatusCode::MOVED_PERMANENTLY;
    if let Ok(value) = HeaderValue::try_from(to) {
        answer.headers_mut().insert(LOCATION, value);
    }
    answer
}
