//! What an event is called, and the check phrase: what signers read to each other so that all of them sign the same bytes.

use data_encoding::HEXLOWER;
use ring::digest::{Context, SHA256};

use super::document::Recovery;
use super::proposal::Proposal;

/// Sixteen consonants, four bits each.
const CONSONANTS: [char; 16] =
    ['b', 'd', 'f', 'g', 'h', 'j', 'k', 'l', 'm', 'n', 'p', 'r', 's', 't', 'v', 'z'];

/// Four vowels, two bits each.
const VOWELS: [char; 4] = ['a', 'e', 'i', 'o'];

/// 112 bits: somebody who wants a second text with the same phrase tries 2^112 of them.
const WORDS: usize = 7;

/// The first 112 bits of a digest as seven words: consonant, vowel, consonant, vowel, consonant stand for 16 bits each,
/// most significant first.
pub(super) fn phrase(digest: &[u8; 32]) -> String {
    let (pairs, _) = digest.as_chunks::<2>();
    let words: Vec<String> = pairs.iter().take(WORDS).map(|pair| word(u16::from_be_bytes(*pair))).collect();
    words.join(" ")
}

fn word(bits: u16) -> String {
    let consonant = |shift: u16| CONSONANTS.get(usize::from(bits >> shift & 15));
    let vowel = |shift: u16| VOWELS.get(usize::from(bits >> shift & 3));
    [consonant(12), vowel(10), consonant(6), vowel(4), consonant(0)].into_iter().flatten().collect()
}

/// What a person typed or was told, without what does not matter: case, and what stands between the words.
pub(super) fn normalised(text: &str) -> String {
    let lower = text.to_lowercase();
    let words = lower.split(|c: char| !c.is_ascii_alphabetic()).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join(" ")
}

/// A digest of all payloads, each with its role, and of what a recovery goes back to.
pub(super) fn digest(proposals: &[Proposal], recovery: Option<&Recovery>) -> [u8; 32] {
    let mut context = Context::new(&SHA256);
    context.update(b"tufsign 1\n");
    if let Some(Recovery { known_good, compromised }) = recovery {
        context.update(format!("recovery {known_good} {}\n", compromised.join(",")).as_bytes());
    }
    for proposal in proposals {
        let payload = HEXLOWER.encode(ring::digest::digest(&SHA256, proposal.payload().as_bytes()).as_ref());
        let role = proposal.role().as_str();
        context.update(format!("{} {role} {payload}\n", role.len()).as_bytes());
    }
    let mut digest = [0; 32];
    digest.copy_from_slice(context.finish().as_ref());
    digest
}

/// What an event with these drafts is called: its first role and version, and the start of its digest.
pub(super) fn proper_id(proposals: &[Proposal], recovery: Option<&Recovery>) -> String {
    let Some(first) = proposals.first() else { return String::new() };
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' };
    let role: String = first.role().as_str().chars().take(40).map(plain).collect();
    let digest = HEXLOWER.encode(&digest(proposals, recovery));
    format!("{role}-{}-{}", first.header().version, digest.get(..8).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_sixteen_bits_have_a_word_of_their_own() {
        let words: BTreeSet<String> = (0..=u16::MAX).map(word).collect();
        assert_eq!(words.len(), 65_536);
        assert!(words.iter().all(|word| word.len() == 5));
        assert_eq!((word(0), word(0xffff), word(0x1234)), ("babab".into(), "zozoz".into(), "damoh".into()));
    }

    #[test]
    fn a_phrase_is_the_same_whatever_stands_between_its_words() {
        let spoken = phrase(&[0x5a; 32]);
        assert_eq!(spoken.split(' ').count(), 7);
        assert_eq!(normalised(&format!("  {}. ", spoken.to_uppercase().replace(' ', "-"))), spoken);
    }
}
