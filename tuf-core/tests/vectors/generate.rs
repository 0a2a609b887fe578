//! Writes the cases. What is expected is said here by hand, never asked of the code under test.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use data_encoding::HEXLOWER;
use serde_json::{Value, json};
use tuf_core::{Envelope, Limits};

use super::{read, scripts, signatures, workflow};
use crate::support::{Pair, canonical, sha256};

/// Every file of `test-vectors/`, by its name.
pub(super) fn all() -> BTreeMap<String, Value> {
    let mut files: BTreeMap<String, Value> = [
        ("canonical-json.json", canonical_json()),
        ("hash-bins.json", hash_bins()),
        ("keys.json", keys()),
        ("patterns.json", patterns()),
    ]
    .map(|(name, cases)| (name.to_owned(), json!({ "cases": cases })))
    .into();
    for (directory, cases) in [("workflow", workflow::cases()), ("scripts", scripts::cases())] {
        for (name, case) in cases {
            assert!(files.insert(format!("{directory}/{name}.json"), case).is_none(), "{name} twice");
        }
    }
    let signed: BTreeMap<String, String> = metadata_of(&files)
        .into_iter()
        // What is refused as it is read is a case of another kind.
        .filter(|file| Envelope::parse(Arc::clone(file), &Limits::default()).is_ok())
        .filter_map(|file| {
            let value: Value = serde_json::from_slice(&file).ok()?;
            Some((sha256(&file), sha256(canonical(value.get("signed")?).as_bytes())))
        })
        .collect();
    files.insert("canonical-metadata.json".to_owned(), json!({ "signed": signed }));
    files
}

/// Every metadata file of the cases, once.
pub(super) fn metadata_of(files: &BTreeMap<String, Value>) -> BTreeSet<Arc<[u8]>> {
    let cases = files.iter().filter(|(name, _)| name.contains('/')).map(|(_, case)| case);
    let maps = cases.flat_map(|case| {
        let steps = case["steps"].as_array().into_iter().flatten().map(|step| &step["files"]);
        [&case["files"], &case["stored"]].into_iter().chain(steps)
    });
    let contents = maps.filter_map(Value::as_object).flat_map(|map| map.values()).filter_map(Value::as_str);
    contents.map(|content| content.as_bytes().into()).collect()
}

fn canonical_json() -> Vec<Value> {
    let accepted = [
        ("empty object", "{}", "{}"),
        ("white space goes", " { \"a\" : [ 1 ,\t2 ]\r\n} ", "{\"a\":[1,2]}"),
        ("keys are sorted", r#"{"b":1,"a":{"d":[],"c":null}}"#, r#"{"a":{"c":null,"d":[]},"b":1}"#),
        (
            "by code point: U+FFFF comes before U+1F600, which UTF-16 has the other way round",
            "{\"\u{1f600}\":1,\"\u{ffff}\":2}",
            "{\"\u{ffff}\":2,\"\u{1f600}\":1}",
        ),
        ("upper case before lower case", r#"{"a":1,"B":2,"_":3}"#, r#"{"B":2,"_":3,"a":1}"#),
        ("only quote and backslash are escaped", r#""\"\\\/""#, r#""\"\\/""#),
        ("control characters stand raw", r#""\n\t\b\u0000\u001f""#, "\"\n\t\u{8}\u{0}\u{1f}\""),
        ("U+007F too", r#""\u007f""#, "\"\u{7f}\""),
        ("escapes of printable characters go", r#""\u0041\u00e9""#, "\"A\u{e9}\""),
        ("a surrogate pair is one character", r#""\ud83d\ude00""#, "\"\u{1f600}\""),
        (
            "no Unicode normalisation: two keys",
            "{\"e\u{301}\":1,\"\u{e9}\":2}",
            "{\"e\u{301}\":1,\"\u{e9}\":2}",
        ),
        ("minus zero is zero", "[-0,0,-1]", "[0,0,-1]"),
        (
            "integers of any length keep their digits",
            "123456789012345678901234567890",
            "123456789012345678901234567890",
        ),
        ("2^53 + 1 is not rounded", "9007199254740993", "9007199254740993"),
        ("true, false, null", "[true,false,null]", "[true,false,null]"),
        ("an empty key comes first", r#"{"a":1,"":2}"#, r#"{"":2,"a":1}"#),
        ("a key sorts before its own continuation", r#"{"ab":1,"a":2}"#, r#"{"a":2,"ab":1}"#),
        ("numeric keys are strings: 10 comes before 9", r#"{"9":1,"10":2}"#, r#"{"10":2,"9":1}"#),
        (
            "keys with control characters come before the space",
            r#"{" ":1,"\n":2,"\u0000":3}"#,
            "{\"\u{0}\":3,\"\n\":2,\" \":1}",
        ),
        ("a key that needs escapes", r#"{"\"\\":1}"#, r#"{"\"\\":1}"#),
        ("a slash is not escaped", r#""a\/b""#, r#""a/b""#),
        ("U+2028 stands as it is", r#""\u2028""#, "\"\u{2028}\""),
        ("a byte order mark inside a string stays", r#""\ufeff""#, "\"\u{feff}\""),
        ("2^64", "18446744073709551616", "18446744073709551616"),
        ("-2^63 - 1", "-9223372036854775809", "-9223372036854775809"),
        ("a string at the top", r#" "a" "#, r#""a""#),
        (
            "nested objects are sorted too",
            r#"[{"b":[{"d":1,"c":2}],"a":0}]"#,
            r#"[{"a":0,"b":[{"c":2,"d":1}]}]"#,
        ),
        ("an escaped key is sorted by what it means", r#"{"\u0062":1,"a":2}"#, r#"{"a":2,"b":1}"#),
    ];
    let refused = [
        ("a fraction", "1.0", "float"),
        ("an exponent", "1e3", "float"),
        ("a key twice", r#"{"a":1,"a":1}"#, "duplicate-key"),
        ("a key twice, once escaped", r#"{"a":1,"\u0061":2}"#, "duplicate-key"),
        ("a key twice further down", r#"[{"b":{"a":1,"a":2}}]"#, "duplicate-key"),
        ("half a surrogate pair", r#""\ud800""#, "surrogate"),
        ("the second half alone", r#""\udc00""#, "surrogate"),
        ("two first halves", r#""\ud800\ud800""#, "surrogate"),
        ("a raw control character in a string", "\"\n\"", "syntax"),
        ("leading zero", "01", "syntax"),
        ("plus sign", "+1", "syntax"),
        ("comma at the end", "[1,]", "syntax"),
        ("single quotes", "{'a':1}", "syntax"),
        ("a comment", "{}//", "syntax"),
        ("byte order mark", "\u{feff}{}", "syntax"),
        ("two values", "{}{}", "syntax"),
        ("NaN", "NaN", "syntax"),
        ("an unknown escape", r#""\x41""#, "syntax"),
        ("nothing", "", "syntax"),
        ("a number too large for a float, with exponent", "1e400", "float"),
        ("minus alone", "-", "syntax"),
        ("minus and leading zero", "-01", "syntax"),
        ("an exponent of zero", "1E0", "float"),
        ("Infinity", "Infinity", "syntax"),
        ("an object that is not closed", r#"{"a":1"#, "syntax"),
        ("a string that is not closed", r#""a"#, "syntax"),
        ("a key that is no string", "{1:2}", "syntax"),
        ("a word cut short", "tru", "syntax"),
        ("an escape of three digits", r#""\u00e""#, "syntax"),
        ("a vertical tab between values", "[1,\u{b}2]", "syntax"),
        ("a no-break space between values", "[1,\u{a0}2]", "syntax"),
        ("a raw tab in a key", "{\"\t\":1}", "syntax"),
        ("a surrogate in a key", r#"{"\udfff":1}"#, "surrogate"),
    ];
    let mut cases: Vec<Value> = accepted
        .iter()
        .map(|(name, input, canonical)| {
            json!({"name": name, "input": input, "canonical_hex": HEXLOWER.encode(canonical.as_bytes())})
        })
        .collect();
    cases.extend(
        refused.iter().map(|(name, input, why)| json!({"name": name, "input": input, "refused": why})),
    );
    cases.push(json!({"name": "not UTF-8", "input_hex": "22ff22", "refused": "utf8"}));
    cases.push(json!({"name": "an overlong encoding", "input_hex": "22c0af22", "refused": "utf8"}));
    cases.push(
        json!({"name": "64 deep", "input": deep(64), "canonical_hex": HEXLOWER.encode(deep(64).as_bytes())}),
    );
    cases.push(json!({"name": "65 deep", "input": deep(65), "refused": "depth"}));
    cases
}

fn deep(levels: usize) -> String {
    "[".repeat(levels) + &"]".repeat(levels)
}

/// ECDSA and RSA-PSS sign at random, and one of the keys is too short for our tools: those cases are kept
/// as they were recorded. The ed25519 ones follow from their seed.
fn keys() -> Vec<Value> {
    let pair = Pair::ed(7);
    let (message, good) = ("a message", pair.sign_hex(b"a message"));
    let case = |name: &str, key: Value, signature: &str, usable: bool, valid: bool| {
        let keyid = sha256(canonical(&key).as_bytes());
        json!({"name": name, "key": key, "keyid": keyid, "message": message, "signature": signature,
            "usable": usable, "valid": valid})
    };
    let with = |pointer: &str, value: Value| {
        let mut key = pair.json();
        *key.pointer_mut(pointer).unwrap() = value;
        key
    };
    let public = pair.json()["keyval"]["public"].as_str().unwrap().to_owned();
    let mut unknown_field = pair.json();
    unknown_field["x-owner"] = json!("@someone");
    let mut cases = vec![
        case("ed25519", pair.json(), &good, true, true),
        case(
            "ed25519, another key's signature",
            pair.json(),
            &Pair::ed(8).sign_hex(b"a message"),
            true,
            false,
        ),
        case("ed25519, signature of another message", pair.json(), &pair.sign_hex(b"another"), true, false),
        case("ed25519, signature cut", pair.json(), &good[..126], true, false),
        case("ed25519, no signature", pair.json(), "", true, false),
        case(
            "ed25519, upper-case hex",
            with("/keyval/public", json!(public.to_uppercase())),
            &good,
            true,
            true,
        ),
        case("ed25519, key cut", with("/keyval/public", json!(public[..62])), &good, false, false),
        case("ed25519, key in base64", with("/keyval/public", json!("q6urq6urq6s=")), &good, false, false),
        case("ed25519 with an unknown field: it is part of the key ID", unknown_field, &good, true, true),
        case("unknown scheme of a known type", with("/scheme", json!("ed25519ph")), &good, false, false),
        case("scheme of another type", with("/scheme", json!("rsassa-pss-sha256")), &good, false, false),
        case(
            "unknown type",
            json!({"keytype": "x-future", "scheme": "x-future-1", "keyval": {"public": "00"}}),
            &good,
            false,
            false,
        ),
        case(
            "unknown type, material elsewhere",
            json!({"keytype": "sigstore-oidc", "scheme": "Fulcio", "keyval": {"identity": "a@example.org"}}),
            &good,
            false,
            false,
        ),
    ];
    let mut recorded = read("keys.json")["cases"].take();
    let recorded = recorded.as_array_mut().map(std::mem::take).unwrap_or_default();
    let recorded: Vec<Value> = recorded.into_iter().filter(|case| case["recorded"] == true).collect();
    cases.extend(signatures::cases(&recorded));
    cases.extend(recorded);
    cases
}

fn patterns() -> Vec<Value> {
    let cases = [
        ("*", "a", true),
        ("*", "a/b", false),
        ("*", ".hidden", true),
        ("**", "a/b", false),
        ("**", "ab", true),
        ("*/*", "a/b", true),
        ("*/*", "a/b/c", false),
        ("a/*", "a/", true),
        ("a/*", "a", false),
        ("*.tgz", "foo.tgz", true),
        ("*.tgz", "foo.txt", false),
        ("*.tgz", "targets/foo.tgz", false),
        ("targets/*.tgz", "targets/foo.tgz", true),
        ("foo-?.tgz", "foo-2.tgz", true),
        ("foo-?.tgz", "foo-22.tgz", false),
        ("?", "", false),
        ("?", "/", false),
        ("a?b", "a/b", false),
        ("?", "\u{e9}", true),
        ("?", "\u{1f600}", true),
        ("Foo/*", "foo/a", false),
        ("[abc]", "b", true),
        ("[abc]", "d", false),
        ("[a-c]x", "bx", true),
        ("[a-c]x", "dx", false),
        ("[!a]", "b", true),
        ("[!a]", "a", false),
        ("[^a]", "b", false),
        ("[^a]", "^", true),
        ("[]]", "]", true),
        ("[!]]", "]", false),
        ("[a-]", "-", true),
        ("[c-a]", "b", false),
        ("[a", "[a", true),
        ("[a", "a", false),
        ("a[/]b", "a/b", false),
        ("{a,b}", "a", false),
        ("!a", "b", false),
        ("a\\*", "a*", false),
        ("a\\*", "a\\b", true),
        ("", "", true),
        ("", "a", false),
        ("a*b*c", "axxbyyc", true),
        ("a*b*c", "axxbyy", false),
        ("*a", "aaaa", true),
        ("/a", "a", false),
        ("a/", "a", false),
        // Where globset, minimatch, fnmatch and filepath.Match part.
        ("a/**", "a/b/c", false),
        ("**/c", "a/b/c", false),
        ("a/**/c", "a/c", false),
        ("a/**/c", "a/b/c", true),
        (".*", ".hidden", true),
        ("#a", "#a", true),
        ("@(a|b)", "a", false),
        ("+(a)", "aa", false),
        ("{1..3}", "2", false),
        ("A", "a", false),
        ("[A-Z]", "a", false),
        ("a%2Fb", "a/b", false),
        ("a\\?", "a\\b", true),
        ("[\\]]", "\\]", true),
        ("[a-c-e]", "-", true),
        ("[a-c-e]", "d", false),
        ("[--0]", ".", true),
        ("[]-a]", "^", true),
        ("[!a-c]x", "dx", true),
        ("[!]", "!", false),
        ("[!]", "[!]", true),
        ("[]", "[]", true),
        ("[[]", "[", true),
        ("[*]", "*", true),
        ("[*]", "a", false),
        ("[?]", "a", false),
        ("x[", "x[", true),
        ("]", "]", true),
        ("*.[ch]", "main.c", true),
        ("[\u{e0}-\u{ff}]", "\u{e9}", true),
        ("e\u{301}", "\u{e9}", false),
        ("a\nb", "a\nb", true),
        ("*", "a\nb", true),
        ("??", "\u{1f600}", false),
        ("a b", "a b", true),
        ("*/*/*", "a//b", true),
        ("a//b", "a/b", false),
        ("***", "abc", true),
        ("*a*a*a*", "aa", false),
        ("d/*", "D/x", false),
    ];
    let case = |(pattern, path, matches): &(&str, &str, bool)| json!({"pattern": pattern, "path": path, "matches": matches});
    cases.iter().map(case).collect()
}

fn hash_bins() -> Vec<Value> {
    let paths =
        ["simple/six/index.json", "packages/a", "\u{e9}/\u{fc}", "a b", "simple/zope-interface/index.json"];
    let mut cases = Vec::new();
    for path in paths {
        let sum = sha256(path.as_bytes());
        for bits in [0_u32, 1, 4, 5, 8, 14, 16] {
            // As PEP 458 has it: prefixes of equal length, neighbours together.
            let width = usize::try_from(bits.div_ceil(4).max(1)).unwrap();
            let prefix = u32::from_str_radix(&sum[..width], 16).unwrap();
            let per_bin = 1_u32 << (4 * u32::try_from(width).unwrap() - bits);
            let first = prefix / per_bin * per_bin;
            let prefixes: Vec<String> =
                (first..first + per_bin).map(|prefix| format!("{prefix:0width$x}")).collect();
            cases.push(json!({"path": path, "sha256": sum, "count": 1_u32 << bits,
                "role": format!("bin-{}-{first:0width$x}", 1_u32 << bits), "prefixes": prefixes}));
            if bits > 0 {
                // TAP 15: the first bits of the digest, in as many hex digits as the last bin needs.
                let number = u32::from_str_radix(&sum[..8], 16).unwrap() >> (32 - bits);
                cases.push(json!({"path": path, "sha256": sum, "bit_length": bits, "name_prefix": "b",
                    "role": format!("b-{number:0width$x}")}));
            }
        }
    }
    cases
}
