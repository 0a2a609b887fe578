//! The promises of stores and transports, checked with the suites that others run on theirs.

use std::collections::BTreeMap;
use std::sync::Arc;

use tuf_client::Url;
use tuf_client::durable::write_atomic;
use tuf_client::store::testing::{FaultStore, reopen_suite, store_suite};
use tuf_client::store::{FsStore, MemoryStore, StoreErrorKind};
use tuf_client::transport::testing::transport_suite;
use tuf_client::transport::{FileTransport, Retry, SchemeTransport, Transport};
use tuf_client::{Client, ErrorKind};

use crate::common::{Files, MapTransport, Repo, now};

#[test]
fn our_stores_keep_their_promises_also_after_a_restart_and_wrapped() {
    let directory = tempfile::tempdir().unwrap();
    let url: Url = "https://index.example/".parse().unwrap();
    reopen_suite(|| Box::new(FsStore::init(directory.path(), b"{}", &url).unwrap()));
    let memory = MemoryStore::new();
    reopen_suite(|| Box::new(memory.clone()));
    store_suite(|| Box::new(FaultStore::new(MemoryStore::new(), usize::MAX, StoreErrorKind::Io)));
}

/// An error, never a success with a floor that was not saved; and the next refresh goes on.
#[tokio::test]
async fn a_store_that_fails_at_any_operation_fails_the_refresh() {
    let mut repo = Repo::new();
    let old = repo.build();
    let root = old["metadata/1.root.json"].clone();
    let client = |files: &Files| {
        let builder = Client::builder(root.clone(), "https://index.example/".parse().unwrap()).clock(now);
        builder.transport(MapTransport(Arc::new(files.clone())))
    };
    repo.version = 2;
    repo.root.header.version = 2;
    let mut new = old.clone();
    new.extend(repo.build());
    let mut failures = 0;
    for kind in
        [StoreErrorKind::Full, StoreErrorKind::Io, StoreErrorKind::ReadOnly, StoreErrorKind::Permission]
    {
        for after in 0.. {
            let store = MemoryStore::new();
            client(&old).store(store.clone()).build().unwrap().refresh().await.unwrap();
            let fault = FaultStore::new(store.clone(), after, kind.clone());
            let result = client(&new).store(fault.clone()).build().unwrap().refresh().await;
            let stale = client(&old).store(store.clone()).build().unwrap().refresh().await;
            match result {
                Err(error) => {
                    assert!(fault.has_failed(), "{error}");
                    assert!(
                        matches!(error.kind(), ErrorKind::Store(error) if *error.kind() == kind),
                        "{error}"
                    );
                    // Old or new: what was refused before is refused still.
                    assert!(
                        stale.map_or_else(|error| error.attack() == Some("rollback"), |_| true),
                        "{after}"
                    );
                    failures += 1;
                }
                Ok(_) => {
                    assert!(!fault.has_failed());
                    assert_eq!(stale.unwrap_err().attack(), Some("rollback"));
                    break;
                }
            }
            let view = client(&new).store(store).build().unwrap().refresh().await.unwrap();
            assert_eq!(view.trusted().timestamp().header.version, 2);
        }
    }
    assert!(failures > 40, "{failures}");
}

#[tokio::test]
async fn our_transports_keep_their_promises() {
    let directory = tempfile::tempdir().unwrap();
    let write = async |files: &BTreeMap<String, Vec<u8>>| {
        for (name, bytes) in files {
            write_atomic(&directory.path().join(name), bytes).unwrap();
        }
        Url::from_directory_path(directory.path()).unwrap()
    };
    let file: Arc<dyn Transport> = Arc::new(FileTransport::new());
    transport_suite(async |files| (Arc::clone(&file), write(files).await)).await;
    let retry: Arc<dyn Transport> = Arc::new(Retry::new(SchemeTransport::new().unwrap()));
    transport_suite(async |files| (Arc::clone(&retry), write(files).await)).await;
}

#[cfg(feature = "http")]
mod http {
    use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
    use tokio::net::{TcpListener, TcpStream};
    use tuf_client::transport::testing::{
        gives_up_an_endless_body, gives_up_circular_redirects, refuses_a_body_that_ends_early,
    };
    use tuf_client::transport::{HttpOptions, HttpTransport};

    use super::*;

    async fn answer(mut stream: TcpStream, files: BTreeMap<String, Vec<u8>>) -> std::io::Result<()> {
        let (read, mut write) = stream.split();
        let mut lines = BufReader::new(read).lines();
        let request = lines.next_line().await?.unwrap_or_default();
        while lines.next_line().await?.is_some_and(|line| !line.is_empty()) {}
        let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
        let mut head =
            async |text: &str| write.write_all(format!("HTTP/1.1 {text}\r\n\r\n").as_bytes()).await;
        match path.as_str() {
            "/short" => {
                head("200 OK\r\nContent-Length: 100").await?;
                write.write_all(b"only this").await
            }
            "/endless" => {
                head("200 OK\r\nConnection: close").await?;
                loop {
                    write.write_all(&[b'x'; 4096]).await?;
                }
            }
            "/circle" => head("302 Found\r\nLocation: /circle\r\nContent-Length: 0").await,
            _ => match files.iter().find(|(name, _)| format!("/{}", tuf_core::url_path(name)) == path) {
                None => head("404 Not Found\r\nContent-Length: 0").await,
                Some((_, bytes)) => {
                    head(&format!("200 OK\r\nConnection: close\r\nContent-Length: {}", bytes.len())).await?;
                    write.write_all(bytes).await
                }
            },
        }
    }

    async fn serve(files: &BTreeMap<String, Vec<u8>>) -> Url {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap()).parse().unwrap();
        let files = files.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(answer(stream, files.clone()));
            }
        });
        url
    }

    #[tokio::test]
    async fn so_does_the_one_for_http() {
        let transport: Arc<dyn Transport> = Arc::new(HttpTransport::new(HttpOptions::default()).unwrap());
        transport_suite(async |files| (Arc::clone(&transport), serve(files).await)).await;
        let base = serve(&BTreeMap::new()).await;
        refuses_a_body_that_ends_early(&*transport, &base.join("short").unwrap()).await;
        gives_up_an_endless_body(&*transport, &base.join("endless").unwrap()).await;
        gives_up_circular_redirects(&*transport, &base.join("circle").unwrap()).await;
    }
}
