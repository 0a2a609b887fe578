//! A gzip-encoded response, decoded piece by piece: a bomb ends at the reader's limit, not in memory.

use std::io::Write;

use bytes::{Buf, Bytes};
use flate2::write::GzDecoder;
use futures_util::stream;

use super::{Body, TransportError, TransportErrorKind};
use crate::url::Url;

/// Encoded bytes that may come beyond the decoded ones: gzip adds a few dozen.
const MAX_OVERHEAD: u64 = 64 * 1024;

/// The file that `encoded` is the gzip of. Its length is not known before its end.
pub(super) fn decoded(url: &Url, encoded: Body) -> Body {
    let decoder = GzDecoder::new(Vec::new());
    let state =
        Decoding { url: url.clone(), encoded, decoder, input: Bytes::new(), read: 0, given: 0, ended: false };
    let chunks =
        stream::try_unfold(state, async |mut state| Ok(state.next().await?.map(|chunk| (chunk, state))));
    Body::from_stream(url, None, chunks)
}

struct Decoding {
    url: Url,
    encoded: Body,
    decoder: GzDecoder<Vec<u8>>,
    /// What came and is not decoded yet.
    input: Bytes,
    read: u64,
    given: u64,
    ended: bool,
}

impl Decoding {
    async fn next(&mut self) -> Result<Option<Bytes>, TransportError> {
        while !self.ended {
            if self.input.is_empty() {
                match self.encoded.next().await? {
                    Some(chunk) => {
                        self.read = self.read.saturating_add(length(&chunk));
                        self.input = chunk;
                    }
                    None => {
                        self.ended = true;
                        self.decoder.try_finish().map_err(|error| self.broken(error))?;
                    }
                }
            } else {
                // One step of the decoder: at most 32 KiB come out.
                match self.decoder.write(&self.input) {
                    Ok(0) => return Err(self.broken("more follows its end")),
                    Ok(taken) => self.input.advance(taken),
                    Err(error) => return Err(self.broken(error)),
                }
            }
            let chunk = Bytes::from(std::mem::take(self.decoder.get_mut()));
            self.given = self.given.saturating_add(length(&chunk));
            if self.read.saturating_sub(length(&self.input)) > self.given.saturating_add(MAX_OVERHEAD) {
                return Err(self.broken("it holds next to nothing"));
            }
            if !chunk.is_empty() {
                return Ok(Some(chunk));
            }
        }
        Ok(None)
    }

    fn broken(&self, reason: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> TransportError {
        TransportError::new(&self.url, TransportErrorKind::Gzip).with_source(reason)
    }
}

fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use flate2::{Compression, write::GzEncoder};

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    async fn decode(encoded: &[u8], piece: usize, max: u64) -> Result<Vec<u8>, TransportErrorKind> {
        let url = Url::parse("https://index.example/metadata/1.snapshot.json").unwrap();
        let pieces: Vec<_> = encoded.chunks(piece).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
        let body = Body::from_stream(&url, None, stream::iter(pieces));
        decoded(&url, body).collect(max).await.map_err(|error| error.kind().clone())
    }

    #[tokio::test]
    async fn what_was_encoded_comes_out_however_it_is_cut() {
        let file: Vec<u8> = (0..200_000_u32).flat_map(|n| n.wrapping_mul(n).to_le_bytes()).collect();
        for bytes in [&b""[..], b"{}", &file] {
            let encoded = gzip(bytes);
            for piece in [1, 7, 4096, usize::MAX] {
                assert_eq!(decode(&encoded, piece, length(bytes)).await.unwrap(), bytes, "{piece}");
            }
        }
    }

    #[tokio::test]
    async fn a_bomb_ends_at_the_limit() {
        let bomb = gzip(&vec![0; 64 << 20]);
        assert!(bomb.len() < 100_000);
        let limit = 16 * 1024;
        let error = decode(&bomb, usize::MAX, limit).await.unwrap_err();
        assert_eq!(error, TransportErrorKind::TooLarge { limit, declared: None });
    }

    #[tokio::test]
    async fn what_is_no_whole_gzip_file_is_refused() {
        let good = gzip(b"metadata");
        let mut crc = good.clone();
        let at = crc.len() - 8;
        crc[at] ^= 1;
        let empty_blocks: Vec<u8> = [&good[..10], &[0, 0, 0, 0xff, 0xff].repeat(100_000)].concat();
        let rows: [(&str, Vec<u8>); 6] = [
            ("plain text", b"{\"signed\":{}}".to_vec()),
            ("cut off", good[..good.len() - 9].to_vec()),
            ("without its end", good[..good.len() - 1].to_vec()),
            ("more behind it", [&good[..], b"x"].concat()),
            ("another sum", crc),
            ("endless empty blocks", empty_blocks),
        ];
        for (name, bytes) in rows {
            for piece in [1, usize::MAX] {
                let result = decode(&bytes, piece, 1 << 20).await;
                assert_eq!(result.unwrap_err(), TransportErrorKind::Gzip, "{name}");
            }
        }
    }
}
