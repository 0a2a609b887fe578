//! What an installer gets of a page.

use super::*;

#[tokio::test]
async fn a_page_is_json_or_html_by_accept_with_links_to_this_proxy_and_an_etag() {
    let wheel = data(1000, 0);
    let (proxy, _) = start(Fake::new(1, &wheel, b"Name: demo-a", Behaviour::Good)).await;
    let page = ask(&proxy, "GET", "/simple/demo-a/", PIP).await;
    assert_eq!(
        (page.status, page.header("content-type")),
        (200, Some("application/vnd.pypi.simple.v1+json"))
    );
    assert_eq!(
        (page.header("cache-control"), page.header("vary"), page.header("accept-ranges")),
        (Some("no-cache"), Some("Accept"), None)
    );
    assert_eq!(page.json()["files"][0]["url"], format!("../..{}", url_of(&wheel)));
    assert_eq!(page.json()["files"][0]["core-metadata"]["sha256"], hash(b"Name: demo-a"));
    let etag = page.header("etag").unwrap();
    assert_eq!(etag, format!("\"{}\"", hash(&page.body)));

    let same =
        ask(&proxy, "GET", "/simple/demo-a/", &format!("{PIP}If-None-Match: \"other\", {etag}\r\n")).await;
    assert_eq!((same.status, same.body.len(), same.header("etag")), (304, 0, Some(etag)));
    let html = ask(&proxy, "GET", "/simple/demo-a/", "Accept: text/html\r\n").await;
    assert_eq!((html.status, html.header("content-type")), (200, Some("text/html; charset=utf-8")));
    assert!(String::from_utf8(html.body).unwrap().contains(&format!(
        "../..{}#sha256={}",
        url_of(&wheel),
        hash(&wheel)
    )));
    let head = ask(&proxy, "HEAD", "/simple/demo-a/", PIP).await;
    assert_eq!((head.status, head.body.len(), head.length()), (200, 0, page.body.len()));
    assert_eq!(ask(&proxy, "GET", "/simple/demo-a/", "Accept: image/png\r\n").await.status, 406);
    assert!(proxy.refusals().list().is_empty());
}

#[tokio::test]
async fn what_is_not_there_is_an_honest_404_and_other_spellings_are_redirected() {
    let (proxy, _) = start(Fake::new(1, &data(10, 0), b"", Behaviour::Good)).await;
    for path in [
        "/simple/unknown/",
        "/simple/",
        "/",
        "/simple/a%2Fb/",
        "/simple/..%2f/",
        "/files/demo-a/00/packages/x",
        "/files/demo-a",
        "/simple/%zz/",
    ] {
        let answer = ask(&proxy, "GET", path, UV).await;
        assert_eq!((answer.status, answer.header("cache-control")), (404, Some("no-store")), "{path}");
    }
    for path in ["/simple/Demo_A/", "/simple/demo-a", "/simple/demo.a"] {
        let answer = ask(&proxy, "GET", path, PIP).await;
        assert_eq!((answer.status, answer.header("location")), (301, Some("/simple/demo-a/")), "{path}");
    }
    assert_eq!(ask(&proxy, "POST", "/simple/demo-a/", "Content-Length: 0\r\n").await.status, 405);
    assert!(proxy.refusals().list().is_empty());
}

#[tokio::test]
async fn a_refused_page_has_the_form_each_installer_shows() {
    for (failure, title, media) in [
        (
            Failure::new(Kind::Verification, Some("rollback"), "snapshot \"7\"\nis older\u{e9}"),
            "TUF verification failed",
            "application/x-tuf-verification-failed",
        ),
        (
            Failure::new(Kind::Unavailable, None, "rollback: snapshot \"7\"\nis older\u{e9}"),
            "mirror unavailable",
            "application/x-tuf-mirror-unavailable",
        ),
    ] {
        let mut fake = Fake::new(1, &data(10, 0), b"", Behaviour::Good);
        fake.pages.insert("simple/demo-a/index.json".to_owned(), Err(failure.clone()));
        let (proxy, _) = start(fake).await;
        let pip = ask(&proxy, "GET", "/simple/demo-a/", PIP).await;
        assert_eq!(
            (pip.status, pip.header("content-type")),
            (200, Some(format!("{media}; reason=\"rollback: snapshot '7' is older?\"").as_str()))
        );
        assert_eq!(pip.header("cache-control"), Some("no-store"));
        for agent in [UV, "", "User-Agent: curl/8\r\n"] {
            let other = ask(&proxy, "GET", "/simple/demo-a/", agent).await;
            assert_eq!((other.status, other.header("content-type")), (409, Some("application/problem+json")));
            assert_eq!(
                other.json(),
                json!({"title": title, "detail": "rollback: snapshot \"7\" is older\u{e9}", "status": 409})
            );
            assert_eq!(other.phrase, format!("{title}: rollback: snapshot \"7\" is older?"));
        }
        let list = proxy.refusals().list();
        assert_eq!(
            (list.len(), list[0].times, list[0].kind, list[0].attack),
            (1, 4, failure.kind, failure.attack)
        );
        let status = ask(&proxy, "GET", "/-/status", "").await.json();
        assert_eq!(status["refusals"][0]["what"], "/simple/demo-a/");
        assert_eq!((&status["view"]["mode"], &status["view"]["snapshot"]), (&json!("pinned"), &json!(1)));
    }
}
