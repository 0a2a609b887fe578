//! `PROGRAM BASE_URL ROOT STORE OUTPUT TARGET...`: one load by tough, then these targets.

use std::time::Duration;

use tough::http::HttpTransportBuilder;
use tough::{DefaultTransport, Prefix, RepositoryLoader, TargetName};
use url::Url;

async fn download(arguments: &[String]) {
    let [base, root, store, output, targets @ ..] = arguments else {
        panic!("usage: BASE_URL ROOT STORE OUTPUT TARGET...")
    };
    let url = |part: &str| Url::parse(&format!("{base}/{part}/")).unwrap();
    let root = std::fs::read(root).unwrap();
    for directory in [store, output] {
        std::fs::create_dir_all(directory).unwrap();
    }
    // It waits the initial back-off before every request, the first try included.
    let http = HttpTransportBuilder::new().initial_backoff(Duration::ZERO);
    let repository = RepositoryLoader::new(&root, url("metadata"), url("targets"))
        .transport(DefaultTransport::new_with_http_settings(http))
        .datastore(store)
        .load()
        .await
        .unwrap();
    for path in targets {
        let name = TargetName::new(path).unwrap();
        repository.save_target(&name, output, Prefix::None).await.unwrap();
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(download(&arguments));
}
