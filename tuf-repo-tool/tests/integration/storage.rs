//! Published files in buckets of real S3 servers. Both servers keep what storage promises; what they do not promise is found
//! out, not believed.

use std::cell::Cell;
use std::sync::Arc;

use tuf_client::transport::{HttpOptions, HttpTransport};
use tuf_repo_tool::storage::{NewFile, Storage, StorageError, Swap, storage_suite};

use crate::support::s3::{S3, free_port, open};
use crate::support::s3_front::{Front, Spoilt};

/// Runs the suite below a new prefix for each of its parts.
fn run_suite(server: &S3, endpoint: &str) {
    let run = Cell::new(0);
    storage_suite(|| {
        run.set(run.get() + 1);
        open(&format!("suite {}/ü+%41", run.get()), server.variables_at(endpoint))
    });
}

#[test]
fn moto_keeps_what_storage_promises() {
    let server = S3::moto();
    keeps_conditions(&server, "AsGiven");
    run_suite(&server, &server.endpoint);
    headers_are_for_caches(&server);
    a_bucket_that_is_not_there(&server);
    nothing_is_left_of_the_probe(&server);
}

#[test]
fn ceph_keeps_what_storage_promises() {
    let server = S3::ceph();
    keeps_conditions(&server, "Unquoted");
    run_suite(&server, &server.endpoint);
    headers_are_for_caches(&server);
    a_bucket_that_is_not_there(&server);
    wrong_credentials(&server);
    nothing_is_left_of_the_probe(&server);
}

/// Two servers as they are found in the wild: one ignores the conditions of a put, one looks before it writes. Neither is trusted to swap,
/// and all else works.
#[test]
fn a_server_that_does_not_keep_conditions_is_found_out() {
    let server = S3::moto();
    for spoilt in [Spoilt::Ignores, Spoilt::LooksFirst] {
        let front = Front::start(&server.endpoint, spoilt);
        let storage = open("probe", server.variables_at(&front.endpoint));
        assert_eq!(storage.swaps().unwrap(), Swap::Unguarded, "{spoilt:?}");
    }
    let front = Front::start(&server.endpoint, Spoilt::Ignores);
    run_suite(&server, &front.endpoint);
    nothing_is_left_of_the_probe(&server);
}

#[test]
fn a_file_that_ends_too_early_is_not_read() {
    let server = S3::moto();
    let storage = server.storage("a");
    storage.create(&[file("metadata/1.root.json", &[b'x'; 4000])]).unwrap();
    let front = Front::start(&server.endpoint, Spoilt::Truncates);
    let storage = open("a", server.variables_at(&front.endpoint));
    let error = storage.read("metadata/1.root.json", 5000).unwrap_err();
    assert!(
        matches!(&error, StorageError::Server { path, .. } if path == "metadata/1.root.json"),
        "{error:?}"
    );
    assert!(matches!(storage.read("metadata/1.root.json", 3999), Err(StorageError::TooLong { .. })));
}

#[test]
fn a_server_that_is_not_there_is_named() {
    let variables = [
        ("AWS_ENDPOINT_URL", format!("http://127.0.0.1:{}", free_port())),
        ("AWS_ACCESS_KEY_ID", "key".to_owned()),
        ("AWS_SECRET_ACCESS_KEY", "secret".to_owned()),
    ];
    let storage = open("a", variables.map(|(name, value)| (name.to_owned(), value)).to_vec());
    let errors = [
        storage.read("a", 10).unwrap_err(),
        storage.swap("a", None, b"x").unwrap_err(),
        storage.list("").unwrap_err(),
    ];
    for error in errors {
        assert!(error.to_string().contains("s3://bucket1/a"), "{error}");
        assert!(
            error.hint().is_some_and(|hint| hint.contains("AWS_ENDPOINT_URL")),
            "{error}: {:?}",
            error.hint()
        );
        assert!(!format!("{error:?}").contains("secret"), "{error:?}");
    }
}

/// It is called in programs that have a runtime and in those that have none.
#[test]
fn it_works_within_a_runtime_of_the_caller() {
    let server = S3::moto();
    let write = |storage: Arc<dyn Storage>, n: u8| {
        storage.swap(&format!("{n}"), None, &[n]).unwrap();
        assert_eq!(storage.read(&format!("{n}"), 1).unwrap(), Some(vec![n]));
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
    runtime.block_on(async { tokio::task::block_in_place(|| write(server.storage("a"), 1)) });
    runtime.block_on(async { write(server.storage("a"), 2) });
    let current = tokio::runtime::Builder::new_current_thread().build().unwrap();
    current.block_on(async { write(server.storage("a"), 3) });
    write(server.storage("a"), 4);
}

/// It is found to be atomic, with the ETag in this form.
fn keeps_conditions(server: &S3, form: &str) {
    let storage = server.storage("probe");
    assert_eq!(storage.swaps().unwrap(), Swap::Atomic, "{}", server.name);
    assert!(format!("{storage:?}").contains(form), "{}: {storage:?}", server.name);
}

fn file(path: &str, bytes: &[u8]) -> NewFile {
    NewFile { path: path.to_owned(), bytes: bytes.to_owned() }
}

/// What anybody gets who reads the bucket over HTTP.
fn headers_are_for_caches(server: &S3) {
    const IMMUTABLE: &str = "public, max-age=31536000, immutable";
    let hash = "ab".repeat(32);
    let page = format!("targets/simple/six/{hash}.index.json");
    let wheel = format!("targets/packages/aa/bb/cc/{hash}.six-1.0-py3-none-any.whl");
    let storage = server.storage("served");
    storage
        .create(&[file("metadata/1.root.json", b"{}"), file(&page, b"{}"), file(&wheel, b"wheel")])
        .unwrap();
    storage.swap("metadata/timestamp.json", None, b"1").unwrap();
    storage.swap("metadata/timestamp.json", Some(b"1"), b"2").unwrap();
    storage.swap("metadata/root.json", None, b"{}").unwrap();
    let large = tempfile::NamedTempFile::new().unwrap();
    large.as_file().set_len(9 << 20).unwrap();
    let sdist = format!("targets/packages/aa/bb/cc/{hash}.six-1.0.tar.gz");
    storage.place(&sdist, large.path()).unwrap();
    let expected = [
        ("metadata/timestamp.json", "no-store", "application/json"),
        ("metadata/root.json", "no-cache", "application/json"),
        ("metadata/1.root.json", IMMUTABLE, "application/json"),
        (&page, IMMUTABLE, "application/json"),
        (&wheel, IMMUTABLE, "application/octet-stream"),
        (&sdist, IMMUTABLE, "application/gzip"),
    ];
    let http = HttpTransport::new(HttpOptions::default()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for (path, cache_control, content_type) in expected {
        let url = server.public(&format!("served/{path}"));
        let response = runtime.block_on(http.client().get(&url).send()).unwrap();
        assert_eq!(response.status(), 200, "{url}");
        let header = |name: &str| response.headers()[name].to_str().unwrap().to_owned();
        assert_eq!(header("cache-control"), cache_control, "{path}");
        assert_eq!(header("content-type"), content_type, "{path}");
    }
}

fn a_bucket_that_is_not_there(server: &S3) {
    let url = Some("s3://no-such-bucket/a");
    let unused = std::path::Path::new("unused");
    let storage = tuf_repo_tool::storage::open_with(url, unused, server.variables()).unwrap();
    for error in [storage.read("a", 10).unwrap_err(), storage.swap("a", None, b"x").unwrap_err()] {
        assert!(error.to_string().contains("NoSuchBucket"), "{error}");
        assert!(error.hint().is_some_and(|hint| hint.contains("make the bucket")), "{:?}", error.hint());
    }
}

fn wrong_credentials(server: &S3) {
    for (name, value) in [("AWS_ACCESS_KEY_ID", "nobody"), ("AWS_SECRET_ACCESS_KEY", "not-the-secret")] {
        let mut variables = server.variables();
        variables.iter_mut().find(|(known, _)| known == name).unwrap().1 = value.to_owned();
        let storage = open("a", variables);
        for error in [storage.list("").unwrap_err(), storage.create(&[file("a", b"x")]).unwrap_err()] {
            assert!(error.hint().is_some_and(|hint| hint.contains("AWS_SECRET_ACCESS_KEY")), "{error}");
            assert!(!error.to_string().contains("not-the-secret"), "{error}");
        }
    }
}

fn nothing_is_left_of_the_probe(server: &S3) {
    // Listed by another program: our own never lists such names.
    let listed = server.keys();
    assert!(!listed.is_empty());
    let left: Vec<_> = listed.iter().filter(|key| key.contains(".probe-")).collect();
    assert!(left.is_empty(), "{left:?}");
}
