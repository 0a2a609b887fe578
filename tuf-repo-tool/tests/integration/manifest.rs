//! Targets from a manifest: all of its rows, or none.

use tuf_core::{Hashes, TargetPath};

use crate::support::{Sandbox, write};

/// Writes a target's file where it must be, and its row.
fn row(sandbox: &Sandbox, path: &str, content: &str) -> String {
    let hashes = Hashes::of(content.as_bytes());
    let remote = TargetPath::new(path).unwrap().remote(Some(&hashes));
    write(&sandbox.public("targets").join(remote), content);
    format!("{path},{},{}\n", content.len(), hashes.preferred().unwrap())
}

#[test]
fn rows_become_targets() {
    let sandbox = Sandbox::new();
    sandbox.init(&["--bins", "16"]).ok();
    let mut csv = "path,length,sha256\n".to_owned();
    for number in 0..3000 {
        csv.push_str(&row(&sandbox, &format!("d{}/file-{number}", number % 7), &number.to_string()));
    }
    write(&sandbox.path("rows.csv"), &csv);
    let manifest = sandbox.path("rows.csv").display().to_string();
    sandbox.tuf_repo(&["add", "--manifest", &manifest, "--verify"]).ok().says("3000 targets are staged");
    sandbox.tuf_repo(&["publish"]).ok().says("3000 targets set");
    sandbox.verify();
    assert_eq!(sandbox.targets().len(), 3000);
    // Said to be the other format, it is refused.
    sandbox.tuf_repo(&["add", "--manifest", &manifest, "--format", "ndjson"]).code(4).says("line 1: no row");

    let custom = row(&sandbox, "c", "c").replace('\n', ",\"{\"\"note\"\":\"\"a,b\\u0000\"\"}\"\n");
    write(&sandbox.path("custom.csv"), custom);
    sandbox.tuf_repo(&["add", "--manifest", &sandbox.path("custom.csv").display().to_string()]).ok();
    sandbox.tuf_repo(&["publish"]).ok().says("1 targets set");
    sandbox.verify();
    let bins =
        sandbox.tree(&sandbox.public("metadata")).into_iter().filter(|name| name.starts_with("2.bin-"));
    let bins: Vec<_> =
        bins.map(|name| std::fs::read_to_string(sandbox.public("metadata").join(name)).unwrap()).collect();
    assert_eq!(bins.len(), 1);
    assert!(bins[0].contains("\"custom\":{\"note\":\"a,b"), "custom is signed");
}

#[test]
fn a_bad_row_is_named_and_nothing_of_the_manifest_is_staged() {
    let sandbox = Sandbox::new();
    sandbox.init(&["--preset", "plain"]).ok();
    let good = row(&sandbox, "good", "good");
    let other = row(&sandbox, "other", "other");
    let sum = |row: &str| row.rsplit(',').next().unwrap().trim().to_owned();
    let wrong_bytes = {
        write(&sandbox.public("targets").join(format!("{}.bad", sum(&good))), "daab");
        format!("bad,4,{}\n", sum(&good))
    };
    let many: String = (0..2500).map(|number| row(&sandbox, &number.to_string(), "x")).collect();
    for (text, arguments, expected) in [
        (format!("{good}../x,1,{}\n", sum(&good)), &[][..], "line 2: target path"),
        (format!("{good}none,4,{}\n", sum(&good)), &[], "line 2: target none: expected a file of 4 bytes"),
        (format!("{good}{}", other.replace(",5,", ",6,")), &[], "found 5 bytes"),
        (format!("{good}{wrong_bytes}"), &["--verify"], "found other bytes"),
        (format!("{good}{good}"), &[], "line 2: target good is listed for the second time"),
        (format!("{many}{good}nonsense\n"), &[], "line 2502: expected the fields"),
    ] {
        write(&sandbox.path("rows.csv"), text);
        let manifest = sandbox.path("rows.csv").display().to_string();
        let run = sandbox.tuf_repo(&[&["add", "--manifest", &manifest], arguments].concat());
        run.code(4).says(expected).says("nothing was staged");
    }
    let plan = sandbox.tuf_repo(&["--json", "plan"]).ok().json();
    assert!(plan["targets"].as_array().unwrap().is_empty());
    sandbox.tuf_repo(&["add", "--manifest", "/none.csv"]).code(1).says("cannot read /none.csv");
    sandbox.tuf_repo(&["add", "--manifest", "x", "--as", "y"]).code(2);
}
