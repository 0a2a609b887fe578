//! Every kind of file, changed in every way: each is refused by name and class, nothing is installed, and the
//! store still works when the mirror is honest again.

use crate::support::demo::{Demo, Installer};
use crate::support::hostile::Tamper;

const FLIPPED: [Tamper; 3] = [Tamper::Flip(0), Tamper::Flip(500), Tamper::Flip(1000)];

/// The classes of attack that one changed bit, one byte less, one byte more, and bytes without end would be.
type Classes = [&'static str; 4];

/// What has a signed length and hash in the metadata that names it.
const HASHED: Classes = ["mix-and-match", "mix-and-match", "endless-data", "endless-data"];
/// What is known by its signature only.
const SIGNED: Classes = ["arbitrary-software", "arbitrary-software", "arbitrary-software", "endless-data"];
/// A target, which is read no further than its signed length.
const TARGET: Classes = ["wrong-software"; 4];

/// The client trusts the first state, and the mirror serves the second with something changed.
fn each_change_is_refused(demo: &Demo, part: &str, named: &str, package: &str, classes: Classes) {
    let [flipped, truncated, longer, endless] = classes;
    let others = [(Tamper::Truncate, truncated), (Tamper::Longer, longer), (Tamper::Endless, endless)];
    for (tamper, class) in FLIPPED.map(|flip| (flip, flipped)).into_iter().chain(others) {
        demo.restore_store();
        let before = demo.stored();
        demo.mirror.tamper(part, tamper.clone());
        demo.pip(package).refused(4, &[named, class]);
        demo.mirror.honest();
        let after = demo.stored();
        for (file, version) in before {
            assert!(after[&file] >= version, "{part} {tamper:?}: {} went back", file.display());
        }
        demo.refresh().ok();
    }
    demo.pip(package).release(if package == "small" { "small-1.1" } else { "big-1.0" });
}

/// Published twice, and a store that trusts the first state.
fn demo() -> Demo {
    let demo = Demo::new();
    demo.refresh().ok();
    demo.keep_timestamp();
    demo.keep_store();
    demo.publish_more();
    demo
}

#[test]
fn root() {
    let demo = demo();
    demo.sign_again("root");
    each_change_is_refused(&demo, "/2.root.json", "root", "small", SIGNED);
}

#[test]
fn timestamp() {
    each_change_is_refused(&demo(), "/timestamp.json", "timestamp", "small", SIGNED);
}

#[test]
fn snapshot() {
    each_change_is_refused(&demo(), ".snapshot.json", "snapshot", "small", HASHED);
}

#[test]
fn targets() {
    let demo = demo();
    demo.sign_again("targets");
    each_change_is_refused(&demo, ".targets.json", "targets", "small", HASHED);
}

#[test]
fn bins() {
    each_change_is_refused(&demo(), ".bins.json", "bins", "small", HASHED);
}

#[test]
fn one_bin() {
    each_change_is_refused(&demo(), ".bin-", "bin-", "small", SIGNED);
}

#[test]
fn index_page() {
    each_change_is_refused(&demo(), ".index.json", "simple/small/", "small", TARGET);
}

#[test]
fn core_metadata() {
    let classes = ["wrong-software", "wrong-software", "wrong-software", "endless-data"];
    each_change_is_refused(&demo(), ".whl.metadata", "small-1.1-py3-none-any.whl.metadata", "small", classes);
}

#[test]
fn small_wheel() {
    each_change_is_refused(&demo(), ".whl$", "small-1.1-py3-none-any.whl", "small", TARGET);
}

#[test]
fn big_wheel() {
    each_change_is_refused(&demo(), ".whl$", "big-1.0-py3-none-any.whl", "big", TARGET);
}

#[test]
fn installers_that_do_not_check_hashes_are_safe_too() {
    let demo = demo();
    let rows = [
        (Installer::OldPip, ".index.json", "small"),
        (Installer::OldPip, ".whl$", "small"),
        (Installer::OldPip, ".whl$", "big"),
        (Installer::Uv, ".index.json", "small"),
        (Installer::Uv, ".whl.metadata", "small"),
        (Installer::Uv, ".whl$", "small"),
        (Installer::Uv, ".whl$", "big"),
        (Installer::OldUv, ".index.json", "small"),
        (Installer::OldUv, ".whl.metadata", "small"),
        (Installer::OldUv, ".whl$", "small"),
        (Installer::OldUv, ".whl$", "big"),
    ];
    for (installer, part, package) in rows {
        for tamper in [Tamper::Flip(500), Tamper::Truncate, Tamper::Longer] {
            demo.mirror.tamper(part, tamper);
            let named = format!("/{package}");
            demo.install(demo.client().arg("run"), installer, &[package])
                .refused(4, &[&named, "wrong-software"]);
            demo.mirror.honest();
        }
    }
    for installer in [Installer::OldPip, Installer::Uv, Installer::OldUv] {
        demo.install(demo.client().arg("run"), installer, &["small"]).release("small-1.1");
        demo.install(demo.client().arg("run"), installer, &["big"]).release("big-1.0");
    }
}

#[test]
fn an_installer_that_stops_reading_before_the_verdict_does_not_keep_it_from_being_found() {
    // uv 0.9.5 unpacks while it reads, and hangs up at bad zip structure.
    let demo = demo();
    demo.mirror.tamper(".whl$", Tamper::Flip(0));
    demo.install(demo.client().arg("run"), Installer::OldUv, &["big"])
        .refused(4, &["/big", "wrong-software"]);
}
