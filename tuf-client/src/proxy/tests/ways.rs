//! Who may ask, and for which host.

use super::*;

#[tokio::test]
async fn foreign_host_headers_are_refused() {
    let (proxy, _) = start(Fake::new(1, &data(10, 0), b"", Behaviour::Good)).await;
    let (address, port) = (proxy.address(), proxy.address().port());
    let get = |host: &str| raw(address, format!("GET /-/status HTTP/1.1\r\n{host}Connection: close\r\n\r\n"));
    for own in [format!("127.0.0.1:{port}"), format!("LOCALHOST:{port}"), format!("[::1]:{port}")] {
        assert_eq!(get(&format!("Host: {own}\r\n")).await.status, 200, "{own}");
    }
    for foreign in [
        "Host: rebound.example\r\n".to_owned(),
        format!("Host: rebound.example:{port}\r\n"),
        "Host: 127.0.0.1\r\n".to_owned(),
        String::new(),
        format!("Host: localhost:{port}\r\nHost: x\r\n"),
    ] {
        assert_eq!(get(&foreign).await.status, 421, "{foreign}");
    }
    assert!(proxy.refusals().list().iter().all(|refusal| !refusal.kind.is_unsafe()));
}

#[tokio::test]
async fn ways_around_are_refused_and_listed() {
    let (proxy, _) = start(Fake::new(1, &data(10, 0), b"", Behaviour::Good)).await;
    let address = proxy.address();
    let connect = raw(
        address,
        "CONNECT index.example:443 HTTP/1.1\r\nHost: index.example:443\r\nConnection: close\r\n\r\n"
            .to_owned(),
    )
    .await;
    assert_eq!(
        (connect.status, connect.phrase.starts_with("not through this proxy: CONNECT to index.example:443")),
        (403, true)
    );
    let absolute = raw(address, "GET http://index.example/simple/demo-a/ HTTP/1.1\r\nHost: index.example\r\nConnection: close\r\n\r\n".to_owned()).await;
    assert_eq!(absolute.status, 403);
    let lying = raw(
        address,
        format!(
            "GET http://index.example/simple/demo-a/ HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
        ),
    )
    .await;
    assert_eq!(lying.status, 403);
    let own = raw(
        address,
        format!(
            "GET http://{address}/simple/demo-a/ HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
        ),
    )
    .await;
    assert_eq!(own.status, 200);
    let list: Vec<_> = proxy
        .refusals()
        .list()
        .into_iter()
        .map(|refusal| (refusal.what, refusal.kind, refusal.times))
        .collect();
    assert_eq!(
        list,
        [("index.example:443".to_owned(), Kind::Bypass, 1), ("index.example:80".to_owned(), Kind::Bypass, 2)]
    );
}

#[tokio::test]
async fn an_allowed_host_is_tunnelled_and_forwarded() {
    let remote = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let there = remote.local_addr().unwrap();
    let serving = tokio::spawn(async move {
        let mut heads = Vec::new();
        for _ in 0..2 {
            let (mut stream, _) = remote.accept().await.unwrap();
            let mut buffer = vec![0; 4096];
            let length = stream.read(&mut buffer).await.unwrap();
            heads.push(String::from_utf8(buffer[..length].to_vec()).unwrap());
            stream
                .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello")
                .await
                .unwrap();
        }
        heads
    });
    let options = ProxyOptions::default().with_allow_direct(vec![there.to_string().parse().unwrap()]);
    let (proxy, _) = start_with(Fake::new(1, &data(10, 0), b"", Behaviour::Good), options).await;

    let mut tunnel = TcpStream::connect(proxy.address()).await.unwrap();
    tunnel.write_all(format!("CONNECT {there} HTTP/1.1\r\nHost: {there}\r\n\r\n").as_bytes()).await.unwrap();
    let mut head = [0; 12];
    tunnel.read_exact(&mut head).await.unwrap();
    assert_eq!(&head, b"HTTP/1.1 200");
    tunnel.write_all(b"through the tunnel").await.unwrap();
    let mut rest = String::new();
    tunnel.read_to_string(&mut rest).await.unwrap();
    assert!(rest.ends_with("\r\n\r\nhello"), "{rest}");

    let request = format!(
        "GET http://{there}/a?b HTTP/1.1\r\nHost: lie.example\r\nProxy-Authorization: secret\r\nConnection: close, x-hop\r\nX-Hop: 1\r\nX-Stays: 1\r\n\r\n"
    );
    let answer = raw(proxy.address(), request).await;
    assert_eq!((answer.status, answer.body.as_slice()), (200, b"hello".as_slice()));
    let heads = serving.await.unwrap();
    assert_eq!(heads[0], "through the tunnel");
    let head = heads[1].to_ascii_lowercase();
    assert!(
        head.starts_with("get /a?b http/1.1\r\n")
            && head.contains(&format!("host: {there}\r\n"))
            && head.contains("x-stays"),
        "{head}"
    );
    assert!(!head.contains("secret") && !head.contains("x-hop") && !head.contains("lie.example"), "{head}");
    assert!(proxy.refusals().list().is_empty());
}

#[tokio::test]
async fn a_stopped_proxy_answers_nobody() {
    let (proxy, _) = start(Fake::new(1, &data(10, 0), b"", Behaviour::Good)).await;
    let address = proxy.address();
    proxy.shutdown().await;
    assert!(TcpStream::connect(address).await.is_err());
}
