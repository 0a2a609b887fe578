//! Whole pages: as indexes send them, as the mirror signs them, and as nobody should send them.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

const JSON: &str = "application/vnd.pypi.simple.v1+json";
const A: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
const B: &str = "BBbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

fn project(name: &str) -> ProjectName {
    ProjectName::new(name).unwrap()
}

fn parse_json(page: &Value) -> Result<Page, PageError> {
    Page::parse(JSON, page.to_string().as_bytes(), &project("demo-pkg"))
}

fn parse_html(page: &str) -> Result<Page, PageError> {
    Page::parse("text/html; charset=utf-8", page.as_bytes(), &project("demo-pkg"))
}

#[test]
fn a_json_page_of_an_index_is_read_whole() {
    let page = parse_json(&json!({
        "meta": {"_last-serial": 42, "api-version": "1.4"},
        "name": "Demo.Pkg",
        "project-status": {"status": "archived", "reason": "moved"},
        "alternate-locations": [{}],
        "versions": ["1.0", "2.0"],
        "files": [
            {"filename": "demo_pkg-1.0.tar.gz", "url": "https://files.example/a/demo_pkg-1.0.tar.gz",
             "hashes": {"md5": "x", "sha256": A}, "requires-python": ">=3.8,<4", "size": 7, "provenance": null,
             "upload-time": "2026-01-02T03:04:05.678Z", "yanked": "broken",
             "core-metadata": false, "data-dist-info-metadata": true},
            {"filename": "demo_pkg-2.0-py3-none-any.whl", "url": "../../x", "hashes": {}, "requires-python": null,
             "size": null, "yanked": true, "core-metadata": {"sha256": B}},
            {"filename": "c", "url": "c", "yanked": "", "dist-info-metadata": {"sha512": "x"}},
            {"filename": "d", "url": "d", "hashes": {}, "data-dist-info-metadata": {"sha256": A}, "core-metadata": null},
        ],
    }))
    .unwrap();
    assert_eq!(page.name.as_str(), "demo-pkg");
    assert_eq!((page.status.as_deref(), page.status_reason.as_deref()), (Some("archived"), Some("moved")));
    assert_eq!((page.last_serial, page.versions.len()), (Some(42), 2));
    let [first, second, third, fourth] = page.files.as_slice() else { panic!("four files") };
    assert_eq!((first.sha256, first.size), (Some([0xaa; 32]), Some(7)));
    assert_eq!(first.requires_python.as_deref(), Some(">=3.8,<4"));
    assert_eq!(first.upload_time.as_deref(), Some("2026-01-02T03:04:05.678Z"));
    assert_eq!((&first.yanked, first.core_metadata), (&Yanked::yes("broken"), CoreMetadata::Absent));
    assert_eq!((second.sha256, second.size, second.requires_python.as_ref()), (None, None, None));
    assert_eq!((&second.yanked, second.core_metadata), (&Yanked::yes(""), CoreMetadata::Sha256([0xbb; 32])));
    assert_eq!((&third.yanked, third.core_metadata), (&Yanked::No, CoreMetadata::Unhashed));
    assert_eq!(fourth.core_metadata, CoreMetadata::Sha256([0xaa; 32]));
}

#[test]
fn an_html_page_of_an_index_is_read_whole() {
    let page = parse_html(&format!(
        r##"<!DOCTYPE html>
<html><head><meta name="pypi:repository-version" content="1.3">
<META NAME="pypi:project-status" CONTENT="deprecated"><meta name="pypi:project-status-reason" content="a &amp; b">
<base href="https://index.example/simple/demo-pkg/"><title>Links for <a href="no.zip"></title></head>
<body><h1>Links for demo-pkg</h1><script>"<a href='no.zip'>"</script><!-- <a href="no.zip"> -->
<a href="../">up</a><a name="x">no address</a><a href="">empty</a>
<a href="https://files.example/p/demo_pkg-1.0.tar.gz?a=1&amp;b=2#sha256={A}" data-requires-python="&gt;=3.8, &#60;4"
   data-yanked="&quot;bad&quot;" data-gpg-sig="false">demo_pkg-1.0.tar.gz</a><br/>
<A HREF='../../packages/demo_pkg-1.0%2Blocal-py3-none-any.whl#egg=x&amp;sha256={B}' data-dist-info-metadata="true"
   data-core-metadata='sha256={A}' data-upload-time=2026-01-01T00:00:00Z data-yanked>
  text
</A>
<a href=" demo_pkg-2.0.zip#md5=00 " data-dist-info-metadata=true data-requires-python="">other text</a>
</body></html><!--SERIAL 7-->"##
    ))
    .unwrap();
    assert_eq!(page.base.as_deref(), Some("https://index.example/simple/demo-pkg/"));
    assert_eq!((page.status.as_deref(), page.status_reason.as_deref()), (Some("deprecated"), Some("a & b")));
    assert_eq!(page.last_serial, Some(7));
    let [first, second, third] = page.files.as_slice() else { panic!("three files: {:?}", page.files) };
    assert_eq!(first.filename, "demo_pkg-1.0.tar.gz");
    assert_eq!(first.url, "https://files.example/p/demo_pkg-1.0.tar.gz?a=1&b=2");
    assert_eq!((first.sha256, first.requires_python.as_deref()), (Some([0xaa; 32]), Some(">=3.8, <4")));
    assert_eq!((&first.yanked, first.core_metadata), (&Yanked::yes("\"bad\""), CoreMetadata::Absent));
    assert_eq!(second.filename, "demo_pkg-1.0+local-py3-none-any.whl");
    assert_eq!(second.url, "../../packages/demo_pkg-1.0%2Blocal-py3-none-any.whl");
    assert_eq!((second.sha256, second.core_metadata), (Some([0xbb; 32]), CoreMetadata::Sha256([0xaa; 32])));
    assert_eq!(
        (&second.yanked, second.upload_time.as_deref()),
        (&Yanked::yes(""), Some("2026-01-01T00:00:00Z"))
    );
    assert_eq!((third.filename.as_str(), third.url.as_str()), ("demo_pkg-2.0.zip", "demo_pkg-2.0.zip"));
    assert_eq!((third.sha256, third.core_metadata), (None, CoreMetadata::Unhashed));
    assert_eq!((&third.yanked, third.requires_python.as_ref()), (&Yanked::No, None));
}

#[test]
fn the_content_type_decides_how_a_page_is_read() {
    let name = project("demo");
    for content_type in ["text/html", "Text/HTML;charset=x", "application/vnd.pypi.simple.v1+html"] {
        assert!(Page::parse(content_type, b"", &name).is_ok(), "{content_type}");
    }
    for content_type in
        ["application/vnd.pypi.simple.v2+json", "text/plain", "", "application/x-tuf-verification-failed"]
    {
        let error = Page::parse(content_type, b"", &name).unwrap_err();
        assert!(matches!(error, PageError::ContentType { .. }), "{content_type}");
    }
}

#[test]
fn odd_json_is_refused_with_the_name_of_the_field() {
    let meta = r#""meta":{"api-version":"1.0"},"name":"demo-pkg""#;
    let file = r#""filename":"f","url":"u""#;
    for (body, expected) in [
        ("", "expected a page in JSON: EOF"),
        ("[]", "invalid type: sequence, expected an object"),
        ("{} x", "trailing characters"),
        ("{}", "meta: expected a value, found none"),
        (r#"{"meta":3}"#, "meta: invalid type: integer `3`, expected an object"),
        (r#"{"meta":{}}"#, "meta.api-version: expected a value"),
        (r#"{"meta":{"api-version":1.0}}"#, "meta.api-version: invalid type: floating point"),
        (r#"{"meta":{"api-version":"2.0"},"name":"demo-pkg"}"#, "version 1.x, found version \"2.0\""),
        (r#"{"meta":{"api-version":"1"},"name":"demo-pkg"}"#, "found version \"1\""),
        (
            r#"{"meta":{"api-version":"1.0"},"name":"other"}"#,
            "expected the page of demo-pkg, found that of \"other\"",
        ),
        (&format!("{{{meta}}}"), "files: expected a value, found none"),
        (&format!("{{{meta},\"files\":{{}}}}"), "files: invalid type: map, expected a list"),
        (&format!("{{{meta},\"files\":[1]}}"), "files[0]: invalid type: integer `1`"),
        (&format!("{{{meta},\"files\":[],\"files\":[]}}"), "once in the page, found \"files\" twice"),
        (&format!("{{{meta},\"files\":[],\"x\":1,\"\\u0078\":1}}"), "found \"x\" twice"),
        (&format!("{{{meta},\"files\":[],\"versions\":[1]}}"), "versions: invalid type"),
        (&format!("{{{meta},\"files\":[],\"project-status\":\"x\"}}"), "project-status: invalid type"),
        (
            &format!("{{{meta},\"files\":[{{{file}}},{{\"url\":\"u\"}}]}}"),
            "files[1].filename: expected a value",
        ),
        (
            &format!("{{{meta},\"files\":[{{{file},\"url\":\"v\"}}]}}"),
            "once in files[0], found \"url\" twice",
        ),
        (
            &format!("{{{meta},\"files\":[{{{file},\"size\":\"9\"}}]}}"),
            "files[0].size: invalid type: string \"9\"",
        ),
        (&format!("{{{meta},\"files\":[{{{file},\"size\":-1}}]}}"), "files[0].size: invalid value"),
        (&format!("{{{meta},\"files\":[{{{file},\"size\":1.5}}]}}"), "files[0].size: invalid type"),
        (&format!("{{{meta},\"files\":[{{{file},\"yanked\":1}}]}}"), "files[0].yanked: invalid type"),
        (
            &format!("{{{meta},\"files\":[{{{file},\"core-metadata\":\"x\"}}]}}"),
            "files[0].core-metadata: invalid type",
        ),
        (
            &format!("{{{meta},\"files\":[{{{file},\"hashes\":{{\"sha256\":\"x\"}}}}]}}"),
            "files[0].hashes.sha256: expected a SHA-256",
        ),
        (
            &format!(
                "{{{meta},\"files\":[{{{file},\"hashes\":{{\"sha256\":\"{A}\",\"sha256\":\"{B}\"}}}}]}}"
            ),
            "once in files[0].hashes, found \"sha256\" twice",
        ),
    ] {
        let error = Page::parse(JSON, body.as_bytes(), &project("demo-pkg")).unwrap_err().to_string();
        assert!(error.contains(expected), "{body}\n  gave: {error}\n  expected: {expected}");
    }
}

#[test]
fn odd_html_is_refused() {
    for (body, expected) in [
        ("<meta name=pypi:repository-version content=2.0>".to_owned(), "found version \"2.0\""),
        ("<a href='demo.zip#sha256=zz'>".to_owned(), "anchor 1, href: expected a SHA-256 digest"),
        (
            "<a href='demo.zip' data-core-metadata='sha256='>".to_owned(),
            "data-core-metadata: expected a SHA-256",
        ),
        (
            format!("<a href='{}'>", "x".repeat(MAX_TEXT_BYTES + 1)),
            "bytes of an attribute href: expected at most",
        ),
        ("<a href=f.zip>".repeat(MAX_FILES + 1), "files: expected at most 100000, found 100001"),
    ] {
        let error = parse_html(&body).unwrap_err().to_string();
        assert!(error.contains(expected), "gave: {error}\n  expected: {expected}");
    }
}

#[test]
fn too_much_of_anything_is_refused() {
    let page = |versions: Value, extra: Value| json!({"meta": {"api-version": "1.1"}, "name": "demo-pkg", "versions": versions, "files": [], "extra": extra});
    let long = "x".repeat(MAX_TEXT_BYTES + 1);
    let error = parse_json(&page(json!([long]), Value::Null)).unwrap_err().to_string();
    assert_eq!(error, "bytes of versions: expected at most 16384, found 16385");
    let error = parse_json(&page(json!(vec!["1"; MAX_FILES + 2]), Value::Null)).unwrap_err().to_string();
    assert_eq!(error, "versions: expected at most 100000, found 100002");
    let many: serde_json::Map<String, Value> = (0..300).map(|key| (key.to_string(), json!(1))).collect();
    assert!(parse_json(&page(json!([]), json!(many))).is_ok(), "nobody reads that object");
    let mut wide = page(json!([]), Value::Null);
    wide.as_object_mut().unwrap().extend(many);
    assert!(parse_json(&wide).unwrap_err().to_string().contains("at most 256 keys"));
    let deep = format!("{{\"x\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(Page::parse(JSON, deep.as_bytes(), &project("demo-pkg")).is_err());
}

fn signed_page() -> SignedPage {
    let mut wheel = SignedFile::new("packages/aa/bb/cc/demo_pkg-1.0-py3-none-any.whl", [0xaa; 32], 5);
    wheel.metadata_sha256 = Some([0xbb; 32]);
    wheel.requires_python = Some(">=3.8,<\"4\" & 'x'".to_owned());
    wheel.upload_time = Some("2026-01-02T03:04:05Z".to_owned());
    wheel.yanked = Yanked::yes("</a><script>");
    let sdist = SignedFile::new("packages/aa/bb/cc/demo-pkg-0.9.tar.gz", [0xcc; 32], 6);
    let status = Some("archived".to_owned());
    SignedPage::new(project("demo-pkg"), Layout::Pep458, status, Some("a<b".to_owned()), vec![wheel, sdist])
        .unwrap()
}

#[test]
fn a_signed_page_is_compact_sorted_json_in_the_shape_of_pep_691() {
    let (a, b, c) = ("a".repeat(64), "b".repeat(64), "c".repeat(64));
    let expected = format!(
        concat!(
            r#"{{"files":[{{"core-metadata":false,"filename":"demo-pkg-0.9.tar.gz","hashes":{{"sha256":"{c}"}},"size":6,"#,
            r#""url":"../../packages/aa/bb/cc/demo-pkg-0.9.tar.gz","yanked":false}},"#,
            r#"{{"core-metadata":{{"sha256":"{b}"}},"filename":"demo_pkg-1.0-py3-none-any.whl","hashes":{{"sha256":"{a}"}},"#,
            r#""requires-python":">=3.8,<\"4\" & 'x'","size":5,"upload-time":"2026-01-02T03:04:05Z","#,
            r#""url":"../../packages/aa/bb/cc/demo_pkg-1.0-py3-none-any.whl","yanked":"</a><script>"}}],"#,
            r#""meta":{{"_layout":"pep458","api-version":"1.4"}},"name":"demo-pkg","#,
            r#""project-status":{{"reason":"a<b","status":"archived"}},"versions":["0.9","1.0"]}}"#,
        ),
        a = a,
        b = b,
        c = c,
    );
    let page = signed_page();
    assert_eq!(String::from_utf8(page.to_bytes()).unwrap(), expected);
    assert_eq!(SignedPage::parse(expected.as_bytes(), &project("demo-pkg")).unwrap(), page);
}

#[test]
fn the_layout_decides_what_to_ask_the_mirror_for() {
    let page = signed_page();
    let wheel = page.file("demo_pkg-1.0-py3-none-any.whl").unwrap();
    let (a, b) = ("a".repeat(64), "b".repeat(64));
    assert_eq!(page.remote_path(wheel), format!("packages/aa/bb/cc/{a}.demo_pkg-1.0-py3-none-any.whl"));
    let metadata = format!("packages/aa/bb/cc/{b}.demo_pkg-1.0-py3-none-any.whl.metadata");
    assert_eq!(page.remote_metadata_path(wheel), Some(metadata));
    let plain =
        SignedPage::new(project("demo-pkg"), Layout::Index, None, None, page.files().to_vec()).unwrap();
    assert_eq!(plain.remote_path(wheel), wheel.path);
    assert_eq!(plain.remote_metadata_path(plain.file("demo-pkg-0.9.tar.gz").unwrap()), None);
    assert_eq!(plain.file("other"), None);
    assert_eq!(SignedPage::target_path(&project("Demo_Pkg")), "simple/demo-pkg/index.json");
}

#[test]
fn rendered_pages_say_the_same_in_json_and_html() {
    let page = signed_page();
    let url = |file: &SignedFile| format!("http://127.0.0.1:1/files/{}?a=1&b=\"2\"", file.filename);
    let json = page.render_json(url);
    let document: Value = serde_json::from_slice(&json).unwrap();
    assert_eq!(document["meta"], json!({"api-version": "1.4"}));
    for file in document["files"].as_array().unwrap() {
        assert_eq!(file["core-metadata"], file["data-dist-info-metadata"]);
        assert_ne!(file["core-metadata"], true);
    }
    let html = String::from_utf8(page.render_html(url)).unwrap();
    assert!(!html.contains("<script>") && html.contains("&lt;/a&gt;&lt;script&gt;"), "{html}");

    let mut from_json = Page::parse(JSON, &json, &project("demo-pkg")).unwrap();
    let from_html = Page::parse("text/html", html.as_bytes(), &project("demo-pkg")).unwrap();
    assert_eq!(from_json.files[1].core_metadata, CoreMetadata::Sha256([0xbb; 32]));
    // What HTML cannot say.
    from_json.versions.clear();
    for file in &mut from_json.files {
        file.size = None;
        file.upload_time = None;
    }
    assert_eq!(from_json, from_html);
}

#[test]
fn a_signed_page_that_is_not_strict_is_refused() {
    type Edit = fn(&mut Value);
    let cases: [(&str, Edit); 25] = [
        ("meta._layout: expected a value", |page| {
            drop(page["meta"].as_object_mut().unwrap().remove("_layout"))
        }),
        ("found \"flat\"", |page| page["meta"]["_layout"] = json!("flat")),
        ("found version \"2.0\"", |page| page["meta"]["api-version"] = json!("2.0")),
        ("expected the page of demo-pkg", |page| page["name"] = json!("demo")),
        ("hashes.sha256: expected a value", |page| page["files"][0]["hashes"] = json!({"md5": "x"})),
        ("hashes.sha256: expected a SHA-256", |page| page["files"][0]["hashes"]["sha256"] = json!("abc")),
        ("size: expected a value", |page| page["files"][0]["size"] = Value::Null),
        ("size: invalid type", |page| page["files"][0]["size"] = json!("6")),
        ("core-metadata to be false or to have a sha256", |page| {
            page["files"][0]["core-metadata"] = json!(true)
        }),
        ("core-metadata to be false or to have a sha256", |page| {
            page["files"][0]["core-metadata"] = json!({})
        }),
        ("does not belong to the project", |page| page["files"][0]["filename"] = json!("other-1.0.tar.gz")),
        ("known older kind of file", |page| page["files"][0]["filename"] = json!("demo-pkg-1.0.txt")),
        ("found it twice", |page| page["files"][0] = page["files"][1].clone()),
        ("plain path below", |page| {
            page["files"][0]["url"] = json!("https://evil.example/packages/demo-pkg-0.9.tar.gz")
        }),
        ("plain path below", |page| {
            page["files"][0]["url"] = json!("//evil.example/packages/demo-pkg-0.9.tar.gz")
        }),
        ("plain path below", |page| page["files"][0]["url"] = json!("/packages/demo-pkg-0.9.tar.gz")),
        ("plain path below", |page| page["files"][0]["url"] = json!("packages/demo-pkg-0.9.tar.gz")),
        ("plain path below", |page| page["files"][0]["url"] = json!("../packages/demo-pkg-0.9.tar.gz")),
        ("plain path below", |page| page["files"][0]["url"] = json!("../../../packages/demo-pkg-0.9.tar.gz")),
        ("plain path below", |page| page["files"][0]["url"] = json!("../../metadata/demo-pkg-0.9.tar.gz")),
        ("plain path below", |page| page["files"][0]["url"] = json!("../../packages/../demo-pkg-0.9.tar.gz")),
        ("plain path below", |page| page["files"][0]["url"] = json!("../../packages/a//demo-pkg-0.9.tar.gz")),
        ("plain path below", |page| {
            page["files"][0]["url"] = json!("../../packages/%2e%2e/demo-pkg-0.9.tar.gz")
        }),
        ("plain path below", |page| page["files"][0]["url"] = json!("../../packages/a/demo-pkg-0.8.tar.gz")),
        ("no files of a quarantined project, found 2", |page| {
            page["project-status"]["status"] = json!(QUARANTINED)
        }),
    ];
    let bytes = signed_page().to_bytes();
    for (expected, edit) in cases {
        let mut page: Value = serde_json::from_slice(&bytes).unwrap();
        edit(&mut page);
        let error =
            SignedPage::parse(page.to_string().as_bytes(), &project("demo-pkg")).unwrap_err().to_string();
        assert!(error.contains(expected), "gave: {error}\n  expected: {expected}");
    }
    for segment in [".", "a\\b", "a\0b", "a b", "a?b", "a#b", "é", "a:b"] {
        let mut page: Value = serde_json::from_slice(&bytes).unwrap();
        page["files"][0]["url"] = json!(format!("../../packages/{segment}/demo-pkg-0.9.tar.gz"));
        let error = SignedPage::parse(page.to_string().as_bytes(), &project("demo-pkg")).unwrap_err();
        assert!(matches!(error, PageError::FilePath { .. }), "{segment:?}: {error}");
    }
}

#[test]
fn unknown_fields_and_a_quarantined_project_without_files_are_taken() {
    let mut page: Value = serde_json::from_slice(&signed_page().to_bytes()).unwrap();
    page["new"] = json!({"a": [1.5, null]});
    page["files"][0]["new"] = json!("x");
    assert_eq!(SignedPage::parse(page.to_string().as_bytes(), &project("demo-pkg")).unwrap(), signed_page());

    let status = Some(QUARANTINED.to_owned());
    let empty = SignedPage::new(project("demo-pkg"), Layout::Index, status, None, Vec::new()).unwrap();
    assert_eq!(SignedPage::parse(&empty.to_bytes(), &project("demo-pkg")).unwrap(), empty);
}

prop_compose! {
    fn any_file()(
        version in "[0-9]{1,3}(\\.[0-9]{1,4}){0,3}((a|rc|\\.post|\\.dev)[0-9]{1,2})?",
        wheel in any::<bool>(),
        folder in "packages/([0-9a-f]{2}/){2}[0-9a-f]{60}",
        sha256 in any::<[u8; 32]>(),
        size in any::<u64>(),
        metadata_sha256 in any::<Option<[u8; 32]>>(),
        texts in any::<(Option<String>, Option<String>, Option<String>)>(),
    ) -> SignedFile {
        let name = if wheel { format!("Demo_pkg-{version}-py3-none-any.whl") } else { format!("demo.pkg-{version}.tar.gz") };
        let mut file = SignedFile::new(format!("{folder}/{name}"), sha256, size);
        file.metadata_sha256 = metadata_sha256;
        (file.upload_time, file.requires_python, file.yanked) =
            (texts.0, texts.1, texts.2.map_or(Yanked::No, Yanked::yes));
        file
    }
}

proptest! {
    #[test]
    fn no_bytes_panic(body in prop::collection::vec(any::<u8>(), 0..512)) {
        let name = project("demo-pkg");
        for content_type in [JSON, "text/html"] {
            let _ = Page::parse(content_type, &body, &name);
        }
        let _ = SignedPage::parse(&body, &name);
    }

    #[test]
    fn no_near_page_panics(at in any::<prop::sample::Index>(), junk in prop::collection::vec(any::<u8>(), 0..4), cut in 0..4_usize) {
        let page = signed_page();
        let name = project("demo-pkg");
        for body in [page.to_bytes(), page.render_html(|file| file.path.clone())] {
            let start = at.index(body.len());
            let end = (start + cut).min(body.len());
            let mut changed = body;
            changed.splice(start..end, junk.iter().copied());
            let _ = Page::parse("text/html", &changed, &name);
            let _ = Page::parse(JSON, &changed, &name);
            let _ = SignedPage::parse(&changed, &name);
        }
    }

    #[test]
    fn no_tags_panic(body in "(<a|<meta|<base| href=| data-yanked| data-core-metadata=|\"|'|>|</|#|sha256=|%|[ -~]|\\PC){0,60}") {
        let _ = parse_html(&body);
    }

    #[test]
    fn no_file_name_panics(file_name in "(demo[-_.]pkg|-|[0-9]|\\.|!|\\+|[ -~]|\\PC){0,24}(\\.whl|\\.tar\\.gz|\\.exe)?") {
        let _ = DistFile::parse(&file_name, &project("demo-pkg"));
    }

    #[test]
    fn signed_pages_round_trip(
        files in prop::collection::vec(any_file(), 0..8),
        pep458 in any::<bool>(),
        status in prop::option::of("[a-pr-z]{0,9}"),
        reason in any::<Option<String>>(),
    ) {
        let layout = if pep458 { Layout::Pep458 } else { Layout::Index };
        if let Ok(page) = SignedPage::new(project("demo-pkg"), layout, status, reason, files) {
            let bytes = page.to_bytes();
            let again = SignedPage::parse(&bytes, page.name()).unwrap();
            prop_assert_eq!(&again, &page);
            prop_assert_eq!(again.to_bytes(), bytes);
        }
    }
}
