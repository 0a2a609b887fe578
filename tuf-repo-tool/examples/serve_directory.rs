//! `serve_directory DIRECTORY ADDRESS`: the server of `tuf-repo serve` for any directory of plain files, until it is ended.
//! `cargo xtask bench client` measures against it where there is no nginx.

use std::error::Error;
use std::path::Path;

use tokio::net::TcpListener;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [directory, address] = arguments.as_slice() else { return Err("usage: DIRECTORY ADDRESS".into()) };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().worker_threads(2).build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind(address).await?;
        Ok(tuf_repo_tool::serve(Path::new(directory), listener, std::future::pending()).await?)
    })
}
