//! An index to mirror from, on a free port of 127.0.0.1, in threads of the test.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

use data_encoding::HEXLOWER;
use ring::digest::{SHA256, digest};
use serde_json::{Map, Value, json};

use super::Dist;

/// What pages look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// HTML (PEP 503) for everybody.
    Html,
    /// JSON (PEP 691) for everybody who accepts it.
    Json,
}

/// What kind of index it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Options {
    pub(crate) format: Format,
    /// Whether pages have an `ETag`, and answer 304 to who has it.
    pub(crate) etag: bool,
    /// Whether pages have the files' digests.
    pub(crate) hashes: bool,
    /// Whether core metadata is offered (PEP 658).
    pub(crate) metadata: bool,
    /// Absolute addresses of files, or relative ones.
    pub(crate) absolute: bool,
    /// Files at `packages/aa/bb/<60 digits>/`, as PyPI has them, or elsewhere.
    pub(crate) pypi_paths: bool,
}

impl Default for Options {
    /// As PyPI.
    fn default() -> Self {
        Self {
            format: Format::Json,
            etag: true,
            hashes: true,
            metadata: true,
            absolute: true,
            pypi_paths: true,
        }
    }
}

/// How a path misbehaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Behaviour {
    /// Closes the connection without an answer.
    Close,
    /// Sends half of the body, and no length that would tell.
    Cut,
    /// Sends half of the body, and the rest when told to behave.
    Hold,
    /// Answers with this status.
    Status(u16),
    /// Sends half of the body.
    Truncate,
}

/// One project.
#[derive(Clone, Debug, Default)]
pub(crate) struct Project {
    pub(crate) files: Vec<Dist>,
    /// PEP 792.
    pub(crate) status: Option<String>,
}

/// A running index. It ends with the test.
#[derive(Debug)]
pub(crate) struct Upstream {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    options: Options,
    address: SocketAddr,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    projects: BTreeMap<String, Project>,
    behaviours: Vec<(String, Behaviour)>,
    requests: Vec<String>,
    stopped: bool,
}

impl Upstream {
    /// Starts an index without projects.
    pub(crate) fn start(options: Options) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared =
            Arc::new(Shared { options, address, state: Mutex::default(), changed: Condvar::default() });
        let server = Arc::clone(&shared);
        std::thread::spawn(move || {
            for connection in listener.incoming() {
                if server.lock().stopped {
                    return;
                }
                let server = Arc::clone(&server);
                // A client that goes away in the middle is part of many tests.
                std::thread::spawn(move || connection.and_then(|connection| server.answer(connection)));
            }
        });
        Self { shared }
    }

    /// The address of its list of projects.
    pub(crate) fn simple(&self) -> String {
        format!("http://{}/simple/", self.shared.address)
    }

    /// Adds a file to a project, in place of one of the same name.
    pub(crate) fn publish(&self, project: &str, dist: Dist) {
        self.edit(project, |project| {
            project.files.retain(|file| file.filename != dist.filename);
            project.files.push(dist);
        });
    }

    /// Changes a project, which is made if it is not there.
    pub(crate) fn edit(&self, project: &str, change: impl FnOnce(&mut Project)) {
        change(self.shared.lock().projects.entry(project.to_owned()).or_default());
    }

    /// Every path that contains `part` misbehaves from now on; `None`: behaves.
    pub(crate) fn behave(&self, part: &str, behaviour: Option<Behaviour>) {
        let mut state = self.shared.lock();
        state.behaviours.retain(|(known, _)| known != part);
        state.behaviours.extend(behaviour.map(|behaviour| (part.to_owned(), behaviour)));
        self.shared.changed.notify_all();
    }

    /// The paths asked for since the last call, in order; the status follows, as `/simple/demo/ 304`.
    pub(crate) fn take_requests(&self) -> Vec<String> {
        std::mem::take(&mut self.shared.lock().requests)
    }

    /// How often a path that contains `part` was asked for since [`Upstream::take_requests`].
    pub(crate) fn count(&self, part: &str) -> usize {
        self.shared.lock().requests.iter().filter(|request| request.contains(part)).count()
    }

    /// No one is answered any more.
    pub(crate) fn stop(&self) {
        self.shared.lock().stopped = true;
        self.shared.changed.notify_all();
        // Wakes the listener, which then closes.
        drop(TcpStream::connect(self.shared.address));
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.stop();
    }
}

#[derive(Debug)]
struct Answer {
    status: u16,
    content_type: &'static str,
    etag: Option<String>,
    body: Vec<u8>,
}

impl Answer {
    fn status(status: u16) -> Self {
        Self { status, content_type: "text/plain", etag: None, body: Vec::new() }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn answer(&self, mut connection: TcpStream) -> std::io::Result<()> {
        let mut lines = BufReader::new(connection.try_clone()?).lines();
        let first = lines.next().transpose()?.unwrap_or_default();
        let path = first.split(' ').nth(1).unwrap_or_default().to_owned();
        let mut headers = BTreeMap::new();
        while let Some(line) = lines.next().transpose()?.filter(|line| !line.is_empty()) {
            let (name, value) = line.split_once(':').unwrap_or((&line, ""));
            headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
        }
        let (answer, behaviour) = {
            let mut state = self.lock();
            let behaviour = state.behaviours.iter().find(|(part, _)| path.contains(part.as_str()));
            let behaviour = behaviour.map(|(_, behaviour)| *behaviour);
            let answer = match behaviour {
                Some(Behaviour::Status(status)) => Answer::status(status),
                _ => self.find(&state, &path, &headers),
            };
            state.requests.push(format!("{path} {}", answer.status));
            (answer, behaviour)
        };
        if behaviour == Some(Behaviour::Close) {
            return Ok(());
        }
        let Answer { status, content_type, etag, body } = answer;
        let mut head =
            format!("HTTP/1.1 {status} X\r\ncontent-type: {content_type}\r\nconnection: close\r\n");
        if status != 304 && behaviour != Some(Behaviour::Cut) {
            write!(head, "content-length: {}\r\n", body.len()).unwrap();
        }
        if let Some(etag) = etag {
            write!(head, "etag: {etag}\r\n").unwrap();
        }
        let (half, rest) = body.split_at(body.len() / 2);
        connection.write_all(format!("{head}\r\n").as_bytes())?;
        connection.write_all(half)?;
        match behaviour {
            Some(Behaviour::Cut | Behaviour::Truncate) => return Ok(()),
            Some(Behaviour::Hold) => {
                let holds = |state: &mut State| {
                    !state.stopped && state.behaviours.iter().any(|(part, _)| path.contains(part.as_str()))
                };
                drop(self.changed.wait_while(self.lock(), holds).unwrap());
            }
            _ => {}
        }
        connection.write_all(rest)
    }

    fn find(&self, state: &State, path: &str, headers: &BTreeMap<String, String>) -> Answer {
        let header = |name: &str| headers.get(name).map(String::as_str).unwrap_or_default();
        if let Some(name) = path.strip_prefix("/simple/").and_then(|path| path.strip_suffix('/')) {
            let Some(project) = state.projects.get(name) else { return Answer::status(404) };
            let as_json = self.options.format == Format::Json && header("accept").contains("v1+json");
            let (content_type, body) = match as_json {
                true => ("application/vnd.pypi.simple.v1+json", self.json(name, project)),
                false => ("text/html", self.html(name, project)),
            };
            let etag = self.options.etag.then(|| format!("\"{}\"", sha256(body.as_bytes())));
            if etag.as_deref() == Some(header("if-none-match")) {
                return Answer { etag, ..Answer::status(304) };
            }
            return Answer { status: 200, content_type, etag, body: body.into_bytes() };
        }
        for (name, project) in &state.projects {
            for file in &project.files {
                let own = self.path(name, file);
                let metadata = file.metadata.as_ref().filter(|_| path == format!("{own}.metadata"));
                if let Some(body) = metadata.or_else(|| (path == own).then_some(&file.bytes)) {
                    let content_type = "application/octet-stream";
                    return Answer { status: 200, content_type, etag: None, body: body.clone() };
                }
            }
        }
        Answer::status(404)
    }

    fn path(&self, project: &str, file: &Dist) -> String {
        if !self.options.pypi_paths {
            return format!("/files/{project}/{}", file.filename);
        }
        // Not the file's SHA-256, as PyPI's are not.
        let sum = sha256(&[file.bytes.as_slice(), b"path"].concat());
        format!("/packages/{}/{}/{}/{}", &sum[..2], &sum[2..4], &sum[4..], file.filename)
    }

    fn url(&self, project: &str, file: &Dist) -> String {
        if let Some(url) = &file.url {
            return url.clone();
        }
        let path = self.path(project, file);
        if self.options.absolute { format!("http://{}{path}", self.address) } else { format!("../..{path}") }
    }

    fn json(&self, name: &str, project: &Project) -> String {
        let files: Vec<Value> = project
            .files
            .iter()
            .map(|file| {
                let mut hashes = Map::new();
                if self.options.hashes {
                    hashes.insert("sha256".to_owned(), digest_of(&file.sha256, &file.bytes).into());
                }
                let metadata = file.metadata.as_ref().filter(|_| self.options.metadata);
                json!({
                    "filename": file.filename,
                    "url": self.url(name, file),
                    "hashes": hashes,
                    "size": file.bytes.len(),
                    "upload-time": "2026-01-02T03:04:05.678901Z",
                    "requires-python": file.requires_python,
                    "yanked": file.yanked.as_ref().map_or(Value::Bool(false), |reason| reason.as_str().into()),
                    "core-metadata": metadata.map_or(Value::Bool(false), |metadata| {
                        json!({"sha256": digest_of(&file.metadata_sha256, metadata)})
                    }),
                })
            })
            .collect();
        let mut page = json!({
            "meta": {"api-version": "1.4", "_last-serial": 1},
            "name": name,
            "files": files,
        });
        if let Some(status) = &project.status {
            page["project-status"] = json!({"status": status, "reason": "a fixture"});
        }
        page.to_string()
    }

    fn html(&self, name: &str, project: &Project) -> String {
        let mut page = "<!DOCTYPE html>\n<html><head>\n".to_owned();
        if let Some(status) = &project.status {
            writeln!(page, "<meta name=\"pypi:project-status\" content=\"{status}\">").unwrap();
        }
        writeln!(page, "<title>{name}</title></head><body>").unwrap();
        for file in &project.files {
            let mut anchor = format!("<a href=\"{}", self.url(name, file));
            if self.options.hashes {
                write!(anchor, "#sha256={}", digest_of(&file.sha256, &file.bytes)).unwrap();
            }
            anchor.push('"');
            if let Some(specifier) = &file.requires_python {
                write!(anchor, " data-requires-python=\"{}\"", specifier.replace('>', "&gt;")).unwrap();
            }
            if let Some(reason) = &file.yanked {
                write!(anchor, " data-yanked=\"{reason}\"").unwrap();
            }
            if let Some(metadata) = file.metadata.as_ref().filter(|_| self.options.metadata) {
                let sum = digest_of(&file.metadata_sha256, metadata);
                write!(anchor, " data-core-metadata=\"sha256={sum}\"").unwrap();
            }
            writeln!(page, "{anchor}>{}</a><br>", file.filename).unwrap();
        }
        page.push_str("</body></html>\n");
        page
    }
}

fn digest_of(instead: &Option<String>, bytes: &[u8]) -> String {
    instead.clone().unwrap_or_else(|| sha256(bytes))
}

fn sha256(bytes: &[u8]) -> String {
    HEXLOWER.encode(digest(&SHA256, bytes).as_ref())
}
