//! Who signed a file, by the signatures in it.

use serde::Deserialize;

#[derive(Deserialize)]
struct Signature {
    keyid: String,
}

#[derive(Deserialize)]
struct Signatures {
    signatures: Vec<Signature>,
}

/// The key IDs whose signatures a file has, sorted. What this program writes begins with them: the rest is not read.
pub(crate) fn signers(file: &[u8]) -> Vec<String> {
    let first = file.strip_prefix(br#"{"signatures":"#).and_then(|rest| {
        let mut values = serde_json::Deserializer::from_slice(rest).into_iter::<Vec<Signature>>();
        values.next()?.ok()
    });
    let signatures = first.or_else(|| Some(serde_json::from_slice::<Signatures>(file).ok()?.signatures));
    let mut keyids: Vec<String> = signatures.into_iter().flatten().map(|signature| signature.keyid).collect();
    keyids.sort_unstable();
    keyids.dedup();
    keyids
}
