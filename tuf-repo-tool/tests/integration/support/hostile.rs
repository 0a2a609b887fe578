//! A web server that misbehaves as it is told. Threads, blocking sockets, one request per connection: what is
//! tested is on the other side.

use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// What is done to the answer for a path.
#[derive(Clone, Debug)]
pub(crate) enum Tamper {
    /// One bit of the byte at this permille of the length is another.
    Flip(usize),
    /// The last byte is missing, and so says the Content-Length.
    Truncate,
    /// The last byte is missing, and the Content-Length says otherwise.
    Cut,
    /// There is one byte more.
    Longer,
    /// It goes on with zeros as long as somebody listens.
    Endless,
    /// Another file of the same kind.
    Replace(Vec<u8>),
    /// There is none.
    Missing,
    /// An empty answer with this status.
    Status(u16),
    /// A redirect.
    Redirect(String),
    /// The head comes, then nothing.
    Stall,
    /// One byte per second.
    Drip,
}

/// A server of the files below a directory. It ends with the process.
#[derive(Debug)]
pub(crate) struct Server {
    address: SocketAddr,
    state: Arc<State>,
}

#[derive(Debug)]
struct State {
    files: PathBuf,
    rules: Mutex<Vec<(String, Tamper)>>,
    asked: Mutex<Vec<String>>,
}

impl Server {
    /// Serves this directory on 127.0.0.1.
    pub(crate) fn new(files: &Path) -> Self {
        Self::on(Ipv4Addr::LOCALHOST, files)
    }

    /// Serves this directory on an address of this machine.
    pub(crate) fn on(address: Ipv4Addr, files: &Path) -> Self {
        let listener = TcpListener::bind((IpAddr::V4(address), 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State { files: files.into(), rules: Mutex::default(), asked: Mutex::default() });
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let state = Arc::clone(&shared);
                // A client that goes away is what most of these tests want.
                thread::spawn(move || drop(state.answer(&stream)));
            }
        });
        Self { address, state }
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its base URL, without a slash at the end.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// From now on, answers for paths that contain `part` (or end with it, if it ends with `$`) are tampered with
    /// so. The first rule counts.
    pub(crate) fn tamper(&self, part: &str, tamper: Tamper) {
        self.state.rules.lock().unwrap().push((part.to_owned(), tamper));
    }

    /// From now on it is honest.
    pub(crate) fn honest(&self) {
        self.state.rules.lock().unwrap().clear();
    }

    /// The request lines since the last time.
    pub(crate) fn asked(&self) -> Vec<String> {
        std::mem::take(&mut *self.state.asked.lock().unwrap())
    }
}

impl State {
    fn answer(&self, stream: &TcpStream) -> io::Result<()> {
        let mut reader = BufReader::new(stream);
        let mut request = String::new();
        reader.read_line(&mut request)?;
        let mut header = String::new();
        while reader.read_line(&mut header)? > 2 {
            header.clear();
        }
        self.asked.lock().unwrap().push(request.trim_end().to_owned());
        let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
        let rules = self.rules.lock().unwrap();
        let applies = |part: &str| {
            part.strip_suffix('$').map_or_else(|| path.contains(part), |end| path.ends_with(end))
        };
        let rule = rules.iter().find(|(part, _)| applies(part)).map(|(_, rule)| rule.clone());
        drop(rules);
        self.send(stream, &path, rule)?;
        stream.shutdown(Shutdown::Write)
    }

    fn send(&self, mut stream: &TcpStream, path: &str, rule: Option<Tamper>) -> io::Result<()> {
        let mut file = self.files.join(path.trim_start_matches('/'));
        if path.ends_with('/') {
            file.push("index.html");
        }
        // As web servers do, but for directories whose publisher reckoned with one that does not.
        let plain = percent_encoding::percent_decode_str(path.trim_start_matches('/')).decode_utf8_lossy();
        let Ok(mut body) = fs::read(&file).or_else(|_| fs::read(self.files.join(&*plain))) else {
            return head(stream, 404, "content-length: 0");
        };
        let last = body.len() - 1;
        let mut length = None;
        match &rule {
            None | Some(Tamper::Endless | Tamper::Stall | Tamper::Drip) => {}
            Some(Tamper::Flip(permille)) => body[last * permille / 1000] ^= 1,
            Some(Tamper::Truncate) => body.truncate(last),
            Some(Tamper::Cut) => {
                length = Some(body.len());
                body.truncate(last);
            }
            Some(Tamper::Longer) => body.push(b'x'),
            Some(Tamper::Replace(other)) => body.clone_from(other),
            Some(Tamper::Missing) => return head(stream, 404, "content-length: 0"),
            Some(Tamper::Status(status)) => return head(stream, *status, "content-length: 0"),
            Some(Tamper::Redirect(to)) => {
                return head(stream, 302, &format!("content-length: 0\r\nlocation: {to}{path}"));
            }
        }
        if matches!(rule, Some(Tamper::Endless)) {
            head(stream, 200, "x-length: none")?;
            stream.write_all(&body)?;
            loop {
                stream.write_all(&[0; 65536])?;
            }
        }
        let html = if file.extension().is_some_and(|kind| kind == "html") { "text/html" } else { "x/y" };
        let length = length.unwrap_or(body.len());
        head(stream, 200, &format!("content-length: {length}\r\ncontent-type: {html}"))?;
        match rule {
            Some(Tamper::Stall) => thread::sleep(Duration::from_secs(600)),
            Some(Tamper::Drip) => {
                for byte in body {
                    stream.write_all(&[byte])?;
                    thread::sleep(Duration::from_secs(1));
                }
            }
            _ => stream.write_all(&body)?,
        }
        Ok(())
    }
}

fn head(mut stream: &TcpStream, status: u16, headers: &str) -> io::Result<()> {
    write!(stream, "HTTP/1.1 {status} -\r\n{headers}\r\nconnection: close\r\n\r\n")
}
