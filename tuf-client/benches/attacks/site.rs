//! A server that treats some of its files in its own way.

use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::sleep;

use crate::common::Files;
use crate::web::{head, listen, path, respond, respond_file};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trick {
    None,
    BitFlip,
    Bomb,
    DripBody,
    DripHead,
    Endless,
    Garbage,
    Interim,
    Missing,
    Redirects,
    Stall,
    /// Zeros, as many as this.
    Zeros(u64),
}

static BLOCK: [u8; 64 * 1024] = [0; 64 * 1024];

/// The address of a server of these files that plays `trick` on those whose path contains `part`.
pub(crate) async fn serve(files: Arc<Files>, part: &'static str, trick: Trick) -> String {
    let address = listen(move |mut stream| {
        let files = Arc::clone(&files);
        async move {
            let head = head(&mut stream).await?;
            match path(&head) {
                path if trick != Trick::None && path.contains(part) => {
                    play(trick, stream, &files, path).await
                }
                _ => respond_file(&mut stream, &files, &head).await,
            }
        }
    })
    .await;
    format!("http://{address}/")
}

/// A server that takes a connection and drips the beginning of a TLS record.
pub(crate) async fn slow_tls() -> String {
    let address = listen(|mut stream| async move { drip(&mut stream, &[0x16, 3, 3, 0x40, 0]).await }).await;
    format!("https://{address}/")
}

async fn play(trick: Trick, mut stream: TcpStream, files: &Files, path: &str) -> io::Result<()> {
    let found = b"HTTP/1.1 200 X\r\n\r\n";
    let bytes = files.get(path).cloned().unwrap_or_default();
    match trick {
        Trick::None => Ok(()),
        Trick::Missing => respond(&mut stream, 404, "", b"").await,
        Trick::Garbage => respond(&mut stream, 200, "", &vec![b'x'; bytes.len().max(1)]).await,
        Trick::BitFlip => {
            let (status, middle, mut bytes) =
                (if bytes.is_empty() { 404 } else { 200 }, bytes.len() / 2, bytes);
            if let Some(byte) = bytes.get_mut(middle) {
                *byte ^= 1;
            }
            respond(&mut stream, status, "", &bytes).await
        }
        Trick::Redirects => respond(&mut stream, 302, &format!("Location: /{path}\r\n"), b"").await,
        Trick::Stall => {
            stream.write_all(found).await?;
            stream.write_all(b"{").await?;
            stream.read_u8().await.map(drop)
        }
        Trick::DripBody => drip(&mut stream, found).await,
        Trick::DripHead => drip(&mut stream, b"HTTP/1.1 200 X\r\nX-Filler: ").await,
        Trick::Interim => loop {
            stream.write_all(b"HTTP/1.1 103 X\r\n\r\n").await?;
            sleep(Duration::from_millis(100)).await;
        },
        Trick::Endless => {
            stream.write_all(found).await?;
            loop {
                stream.write_all(&BLOCK).await?;
            }
        }
        Trick::Zeros(length) => {
            stream
                .write_all(format!("HTTP/1.1 200 X\r\nContent-Length: {length}\r\n\r\n").as_bytes())
                .await?;
            let mut left = length;
            while left > 0 {
                let size = usize::try_from(left).unwrap_or(usize::MAX).min(BLOCK.len());
                stream.write_all(&BLOCK[..size]).await?;
                left -= u64::try_from(size).unwrap();
            }
            stream.shutdown().await
        }
        Trick::Bomb => {
            stream.write_all(b"HTTP/1.1 200 X\r\nContent-Encoding: gzip\r\n\r\n").await?;
            let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
            loop {
                encoder.write_all(&BLOCK)?;
                stream.write_all(&std::mem::take(encoder.get_mut())).await?;
            }
        }
    }
}

async fn drip(stream: &mut TcpStream, head: &[u8]) -> io::Result<()> {
    stream.write_all(head).await?;
    loop {
        stream.write_all(b"x").await?;
        sleep(Duration::from_secs(1)).await;
    }
}
