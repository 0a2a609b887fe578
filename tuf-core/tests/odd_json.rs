//! Text that is not JSON, or that no two parsers read alike: what is wrong is named, wherever it stands.

use std::fmt::Write as _;
use std::sync::Arc;

use serde_json::json;
use tuf_core::canonical::JsonProblem;
use tuf_core::trust::RootChain;
use tuf_core::{Error, ErrorKind, Limits};

use crate::support::{Repo, canonical, kind_name, sign};

/// In one word.
fn problem(error: &Error) -> String {
    match error.kind() {
        ErrorKind::Json(error) => match error.problem() {
            JsonProblem::Depth(_) => "depth".into(),
            JsonProblem::DuplicateKey(_) => "duplicate".into(),
            JsonProblem::Float => "float".into(),
            JsonProblem::Surrogate => "surrogate".into(),
            JsonProblem::Syntax(_) => "syntax".into(),
            JsonProblem::Utf8 => "utf-8".into(),
            other => panic!("a problem that the tests do not know: {other:?}"),
        },
        kind => kind_name(kind),
    }
}

fn judge(bytes: impl Into<Arc<[u8]>>) -> Result<RootChain, Error> {
    RootChain::pinned(&bytes.into(), Arc::new(Limits::default()))
}

/// A value, and what is wrong with it.
const VALUES: &[(&str, &[u8], &str)] = &[
    ("nothing", b"", "syntax"),
    ("white space", b" \t\r\n", "syntax"),
    ("a byte order mark", b"\xef\xbb\xbf0", "syntax"),
    ("NUL", b"\0", "syntax"),
    ("a form feed as white space", b"\x0c0", "syntax"),
    ("a no-break space as white space", b"\xc2\xa00", "syntax"),
    ("bytes that are no UTF-8", b"\"\xff\"", "utf-8"),
    ("overlong UTF-8", b"\"\xc0\x80\"", "utf-8"),
    ("a surrogate in UTF-8", b"\"\xed\xa0\x80\"", "utf-8"),
    ("beyond Unicode", b"\"\xf4\x90\x80\x80\"", "utf-8"),
    ("UTF-16", b"\xff\xfe0\0", "utf-8"),
    ("half a pair, the first", b"\"\\ud800\"", "surrogate"),
    ("half a pair, the second", b"\"\\udc00\"", "surrogate"),
    ("a pair turned round", b"\"\\udc00\\ud800\"", "surrogate"),
    ("half a pair and a letter", b"\"\\ud800a\"", "surrogate"),
    ("half a pair and another escape", b"\"\\ud800\\n\"", "surrogate"),
    ("half a pair as a key", b"{\"\\ud800\":0}", "surrogate"),
    ("a key twice", b"{\"a\":0,\"a\":0}", "duplicate"),
    ("a key twice, once escaped", b"{\"a\":0,\"\\u0061\":1}", "duplicate"),
    ("an empty key twice", b"{\"\":0,\"\":0}", "duplicate"),
    ("a key twice, far below", b"[[{\"b\":{\"a\":0,\"c\":0,\"a\":0}}]]", "duplicate"),
    ("a fraction", b"1.0", "float"),
    ("an exponent", b"1e2", "float"),
    ("a large exponent", b"1E+2", "float"),
    ("1e400", b"1e400", "float"),
    ("-0.0", b"-0.0", "float"),
    ("NaN", b"NaN", "syntax"),
    ("Infinity", b"Infinity", "syntax"),
    ("-Infinity", b"-Infinity", "syntax"),
    ("a plus", b"+1", "syntax"),
    ("a leading zero", b"01", "syntax"),
    ("a minus alone", b"-", "syntax"),
    ("no digit before the point", b".5", "syntax"),
    ("hexadecimal", b"0x10", "syntax"),
    ("digits of another script", "\u{661}".as_bytes(), "syntax"),
    ("underscores", b"1_000", "syntax"),
    ("single quotes", b"'a'", "syntax"),
    ("no quotes", b"{a:0}", "syntax"),
    ("a comma at the end of an array", b"[0,]", "syntax"),
    ("a comma at the end of an object", b"{\"a\":0,}", "syntax"),
    ("a comma alone", b"[,]", "syntax"),
    ("no comma", b"[0 0]", "syntax"),
    ("no colon", b"{\"a\" 0}", "syntax"),
    ("a number as a key", b"{0:0}", "syntax"),
    ("a comment", b"/**/0", "syntax"),
    ("a line comment", b"0//", "syntax"),
    ("the wrong bracket", b"[0}", "syntax"),
    ("a string without end", b"\"a", "syntax"),
    ("a backslash at the end", b"\"a\\", "syntax"),
    ("an unknown escape", b"\"\\x41\"", "syntax"),
    ("an escape that is too short", b"\"\\u12\"", "syntax"),
    ("an escape with braces", b"\"\\u{41}\"", "syntax"),
    ("an escape with a sign", b"\"\\u+041\"", "syntax"),
    ("true in capitals", b"True", "syntax"),
    ("half a word", b"nul", "syntax"),
    ("a word too long", b"nulls", "syntax"),
    ("undefined", b"undefined", "syntax"),
];

/// The same value in three places: alone, within what is signed, and beside it.
#[test]
fn what_is_no_json_is_named_wherever_it_stands() {
    let repo = Repo::new();
    let file = sign(&repo.signed["root"], &repo.signers["root"]).to_string();
    let signed = canonical(&repo.signed["root"]);
    assert!(file.contains(&signed) && judge(file.clone().into_bytes()).is_ok());
    for (name, value, expected) in VALUES {
        let member = [b"{\"!\":", *value, b","].concat();
        let inside =
            [signed.as_bytes()[..0].to_vec(), member.clone(), signed.as_bytes()[1..].to_vec()].concat();
        let at = file.find(&signed).unwrap();
        let inside = [&file.as_bytes()[..at], &inside, &file.as_bytes()[at + signed.len()..]].concat();
        let beside = [&member[..], &file.as_bytes()[1..]].concat();
        for (place, text) in [("alone", value.to_vec()), ("inside", inside), ("beside", beside)] {
            let error = judge(text).expect_err(name);
            // A file must be an object: anything else is a fault of syntax at its first byte.
            let expected = if place == "alone" && *expected != "utf-8" && !value.starts_with(b"{") {
                "syntax"
            } else {
                expected
            };
            assert_eq!(problem(&error), *expected, "{name}, {place}: {error}");
            assert_eq!(error.role().unwrap().as_str(), "root", "{name}, {place}");
        }
    }
}

#[test]
fn what_follows_the_file_is_refused() {
    let file = String::from_utf8(Repo::new().files["1.root.json"].to_vec()).unwrap();
    for tail in ["x", "{}", ",", "\0", "\u{feff}", &file] {
        assert_eq!(problem(&judge(format!("{file}{tail}").into_bytes()).unwrap_err()), "syntax", "{tail:?}");
    }
    judge(format!(" \r\n\t{file} \r\n\t").into_bytes()).expect("white space is harmless");
}

#[test]
fn nesting_is_counted_not_recursed_into() {
    let depth = usize::try_from(Limits::default().json_depth).unwrap();
    // `signed` and its file are two levels.
    for (levels, expected) in [(depth - 2, None), (depth - 1, Some("depth")), (100_000, Some("depth"))] {
        for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
            let nested = format!("{}0{}", open.repeat(levels), close.repeat(levels));
            let mut repo = Repo::new();
            let plain = canonical(&repo.signed["root"]);
            let signed = plain.replacen('{', &format!("{{\"!\":{nested},"), 1);
            let signatures: Vec<_> = repo.signers["root"]
                .iter()
                .map(|(id, pair)| json!({"keyid": id, "sig": pair.sign_hex(signed.as_bytes())}))
                .collect();
            let file = format!("{{\"signatures\":{},\"signed\":{signed}}}", json!(signatures));
            let result = judge(file.into_bytes());
            assert_eq!(result.err().map(|error| problem(&error)).as_deref(), expected, "{levels} of {open}");
            // Never closed at all.
            repo.publish();
            let open = open.repeat(levels);
            let error = judge(format!("{{\"signed\":{open}").into_bytes()).unwrap_err();
            assert_eq!(problem(&error), if levels >= depth { "depth" } else { "syntax" }, "{levels}");
        }
    }
}

/// Numbers too large for any machine and other things, where a number means something.
#[test]
fn numbers_that_do_not_fit_are_refused_by_field() {
    let plain = canonical(&Repo::new().signed["root"]);
    assert_eq!(plain.matches("\"version\":1").count(), 1);
    let huge = "9".repeat(400);
    for number in
        ["18446744073709551616", "-1", "-9223372036854775809", &huge, "0", "\"1\"", "null", "[1]", "true"]
    {
        let text = plain.replace("\"version\":1", &format!("\"version\":{number}"));
        let result = judge(format!("{{\"signatures\":[],\"signed\":{text}}}").into_bytes());
        assert_eq!(problem(&result.unwrap_err()), "Field", "{number}");
    }
}

/// 10^6 members, and as many of the rest as takes a test no longer.
#[test]
fn a_million_members_are_refused_by_name() {
    let many = |count: usize, entry: &dyn Fn(usize) -> String| -> String {
        let mut text = String::new();
        for number in 0..count {
            write!(text, "{},", entry(number)).unwrap();
        }
        text.pop();
        text
    };
    let members = many(1_000_000, &|n| format!("\"{n}\":0"));
    let rows = [
        ("members of signed", format!("{{\"signatures\":[],\"signed\":{{{members}}}}}"), "Field"),
        (
            "the same member",
            format!("{{\"signed\":{{{}}}}}", many(100_000, &|_| "\"a\":0".into())),
            "duplicate",
        ),
        (
            "signatures",
            format!(
                "{{\"signatures\":[{}],\"signed\":{{}}}}",
                many(100_000, &|n| format!("{{\"keyid\":\"{n}\",\"sig\":\"\"}}"))
            ),
            "Limit",
        ),
    ];
    for (name, text, expected) in rows {
        let error = judge(text.into_bytes()).expect_err(name);
        assert_eq!(problem(&error), expected, "{name}: {error}");
        assert!(error.to_string().len() < 500, "{name}");
    }
}
