//! `PROGRAM BASE_URL ROOT STORE OUTPUT TARGET...`: one refresh by sigstore-tuf, then these targets.

use std::path::Path;

use sigstore_tuf::Result;
use sigstore_tuf::cache::{FileStore, MetadataStore};
use sigstore_tuf::client::{HttpRepository, Updater};

/// Its own store, without the second copy of each target that it would keep there.
struct Metadata(FileStore);

impl MetadataStore for Metadata {
    fn load(&self, name: &str) -> Option<Vec<u8>> {
        self.0.load(name)
    }

    fn store(&self, name: &str, bytes: &[u8]) -> Result<()> {
        if name.starts_with("targets/") { Ok(()) } else { self.0.store(name, bytes) }
    }
}

async fn download(arguments: &[String]) {
    let [base, root, store, output, targets @ ..] = arguments else {
        panic!("usage: BASE_URL ROOT STORE OUTPUT TARGET...")
    };
    let repository = HttpRepository::new(&format!("{base}/metadata")).unwrap();
    let repository = repository.with_targets_base(&format!("{base}/targets")).unwrap();
    let root = std::fs::read(root).unwrap();
    let mut updater = Updater::new(repository, &root).unwrap().with_store(Metadata(FileStore::new(store)));
    let now = jiff::Timestamp::now();
    updater.refresh(now).await.unwrap();
    for path in targets {
        let info = updater.get_targetinfo(path, now).await.unwrap().expect("no such target");
        let bytes = updater.download_target(&info, path).await.unwrap();
        let file = Path::new(output).join(path);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, bytes).unwrap();
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(download(&arguments));
}
