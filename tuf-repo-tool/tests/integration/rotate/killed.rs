//! `tuf-repo rotate`, killed or told that the disk is full at every system call that changes a file.

use super::{private_keys, publish_one_more, uris};
use crate::publish_crash::sweep_and;
use crate::support::Sandbox;

#[test]
fn a_rotation_that_is_hit_at_any_system_call_goes_on_with_the_same_new_keys() {
    let sandbox = Sandbox::new();
    sandbox.init(&["--bins", "2"]).ok();
    publish_one_more(&sandbox, "first.txt");
    let arguments = ["rotate", "timestamp", "snapshot", "bin-n"];
    let files = ["2.root.json", "2.bins.json", "2.snapshot.json", "2.bin-2-0.json"];
    let (points, hits) = sweep_and(&sandbox, &arguments, &files, |sandbox| {
        let keys = private_keys(sandbox);
        let new: Vec<&String> =
            keys.iter().filter(|name| name.ends_with(|c: char| c.is_ascii_digit())).collect();
        assert_eq!(new, ["bin-n-2", "snapshot-2", "timestamp-2"]);
        assert_eq!(uris(sandbox, "bin-n"), ["file:keys/bin-n-2.pem"]);
        assert_eq!(uris(sandbox, "timestamp"), ["file:keys/timestamp.pem", "file:keys/timestamp-2.pem"]);
        sandbox.tuf_repo(&["event", "list"]).ok().says("no event is pending");
        // The next point makes other keys: to the client of this one, those are of somebody else.
        let forget = || std::fs::remove_dir_all(sandbox.path("store")).ok();
        forget();
        sandbox.verify();
        forget();
    });
    println!("rotate: {points} points; hit at {hits}");
}
