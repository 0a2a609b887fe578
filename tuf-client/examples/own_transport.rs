//! A transport, a store and a clock of one's own, with `default-features = false`: no HTTP client is built at all.
//!
//! ```text
//! own_transport root.json http://host:port/ TARGET
//! ```
//!
//! The transport here speaks just enough HTTP/1.0 to be run against any server. Yours may be a radio, a message bus or the
//! HTTP client that your program has anyway. Nothing it does can make the client accept a wrong byte.

#![expect(clippy::print_stdout, reason = "a program says what it did")]

use std::error::Error;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream;
use tuf_client::store::MemoryStore;
use tuf_client::transport::{Body, Retry, Transport, TransportError, TransportErrorKind};
use tuf_client::{Client, TargetPath, Url, chain, clock};

/// The largest file that this program reads into memory.
const MAX: u64 = 16 << 20;

#[derive(Clone, Copy, Debug)]
struct Plain;

impl Transport for Plain {
    fn fetch<'a>(&'a self, url: &'a Url) -> BoxFuture<'a, Result<Body, TransportError>> {
        Box::pin(async move {
            let asked = url.clone();
            // Whatever waits must not wait on the runtime's thread.
            let answer = tokio::task::spawn_blocking(move || get(&asked)).await;
            let (status, length, body) = answer
                .map_err(std::io::Error::other)
                .and_then(|answer| answer)
                .map_err(|error| TransportError::new(url, TransportErrorKind::Connect).with_source(error))?;
            // "Not there" is told apart from other faults: it is how the client knows that there is no newer root.
            let kind = match status {
                200 => return Ok(Body::from_stream(url, length, pieces(url.clone(), body))),
                403 | 404 => TransportErrorKind::NotFound { status: Some(status) },
                status => TransportErrorKind::Status(status),
            };
            Err(TransportError::new(url, kind))
        })
    }
}

type Answer = (u16, Option<u64>, BufReader<TcpStream>);

fn get(url: &Url) -> std::io::Result<Answer> {
    let stream = TcpStream::connect((url.host(), url.port().unwrap_or(80)))?;
    write!(&stream, "GET {} HTTP/1.0\r\nHost: {}\r\n\r\n", url.path(), url.host())?;
    let mut reader = BufReader::new(stream);
    // Bounded, as everything that comes from outside.
    let mut head = (&mut reader).take(64 << 10);
    let mut line = String::new();
    head.read_line(&mut line)?;
    let status = line.split(' ').nth(1).and_then(|status| status.parse().ok());
    let status = status.ok_or_else(|| std::io::Error::other("this is no HTTP"))?;
    let mut length = None;
    loop {
        line.clear();
        if head.read_line(&mut line)? == 0 || line.trim().is_empty() {
            return Ok((status, length, reader));
        }
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().ok();
        }
    }
}

/// The body as it comes. How long it may take and how long it may be is not decided here.
fn pieces(
    url: Url,
    reader: BufReader<TcpStream>,
) -> impl stream::Stream<Item = Result<Bytes, TransportError>> + Send {
    stream::try_unfold((url, reader), async |(url, mut reader)| {
        let read = tokio::task::spawn_blocking(move || {
            let mut piece = vec![0; 64 << 10];
            let length = reader.read(&mut piece)?;
            piece.truncate(length);
            Ok::<_, std::io::Error>((piece, reader))
        });
        match read.await.map_err(std::io::Error::other).and_then(|read| read) {
            Ok((piece, _)) if piece.is_empty() => Ok(None),
            Ok((piece, reader)) => Ok(Some((Bytes::from(piece), (url, reader)))),
            Err(error) => Err(TransportError::new(&url, TransportErrorKind::Io).with_source(error)),
        }
    })
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [root, url, target] = &arguments[..] else {
        return Err("give a root, a URL and a target".into());
    };
    let client = Client::builder(std::fs::read(root)?, url.parse()?)
        // Tries again what fails by accident; the limits on time and bytes are the client's own, around any transport.
        .transport(Retry::new(Plain))
        // Forgets when the program ends, and with it what a rollback is. `tuf_client::store::testing` tests yours.
        .store(MemoryStore::new())
        // A device without a battery may ask the network's time, or take its firmware's date as the earliest.
        .clock(clock::now)
        .build()?;
    let read = async {
        let view = client.refresh().await?;
        let target = view.require(&TargetPath::new(target)?).await?;
        view.read(&view.wanted(&target), MAX).await
    };
    let bytes = read.await.map_err(|error: tuf_client::Error| chain(&error))?;
    println!("verified: {} bytes of {target}", bytes.len());
    Ok(())
}
