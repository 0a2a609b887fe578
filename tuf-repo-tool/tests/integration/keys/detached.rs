//! `payload` and `add-signature`, with OpenSSL as the one that signs.

use crate::support::python::succeeds;
use crate::support::{Run, Sandbox, write};

#[test]
fn a_signature_made_elsewhere_is_checked_and_taken_in_every_form() {
    let sandbox = Sandbox::new();
    sandbox.init(&["--preset", "plain", "--key-type", "ecdsa-p256"]).ok();
    let path = |name: &str| sandbox.path(name).display().to_string();
    let root_key = sandbox.repo().join("keys/root.pem").display().to_string();
    let id = sandbox.tuf_repo(&["--json", "key", "show", "root"]).ok().json()["keyid"]
        .as_str()
        .unwrap()
        .to_owned();

    let payload = sandbox.tuf_repo(&["payload", "root"]).ok().stdout;
    assert!(payload.starts_with("{\"_type\":\"root\"") && payload.ends_with('}'));
    sandbox.tuf_repo(&["payload", "root", "-o", &path("payload")]).ok();
    assert_eq!(std::fs::read_to_string(path("payload")).unwrap(), payload);
    sandbox.tuf_repo(&["payload", "timestamp"]).code(1).says("neither a file nor a role");

    let draft = path("1.root.json");
    let published = std::fs::read(sandbox.public("metadata/1.root.json")).unwrap();
    let mut file: serde_json::Value = serde_json::from_slice(&published).unwrap();
    file["signatures"] = serde_json::json!([]);
    let unsigned = file.to_string();
    succeeds(sandbox.command("openssl").args([
        "dgst",
        "-sha256",
        "-sign",
        &root_key,
        "-out",
        &path("raw"),
        &path("payload"),
    ]));
    let raw = std::fs::read(path("raw")).unwrap();
    write(&sandbox.path("hex"), data_encoding::HEXUPPER.encode(&raw) + "\n");
    let base64 = data_encoding::BASE64.encode(&raw);
    write(&sandbox.path("base64"), format!("{}\n{}\n", &base64[..40], &base64[40..]));
    write(
        &sandbox.path("pem"),
        format!("-----BEGIN SIGNATURE-----\n{}\n{}\n-----END SIGNATURE-----\n", &base64[..64], &base64[64..]),
    );
    for form in ["raw", "hex", "base64", "pem"] {
        for format in [&[][..], &["--format", form]] {
            write(&sandbox.path("1.root.json"), &unsigned);
            let fixed = ["add-signature", &draft, "--key", &id, "--signature", &path(form)];
            sandbox.tuf_repo(&[&fixed, format].concat()).ok().says("1 in all");
            Run::of(
                sandbox.command(crate::support::tuf_client()).args(["inspect", "--root", &draft, &draft]),
            )
            .ok();
        }
    }
    let public = sandbox.repo().join("keys/root.pub.json").display().to_string();
    let signed = std::fs::read(&draft).unwrap();
    sandbox
        .tuf_repo(&["add-signature", &draft, "--key", &public, "--signature", &path("raw")])
        .ok()
        .says("1 in all");
    assert_eq!(std::fs::read(&draft).unwrap(), signed);

    // Refused, and the file left as it was.
    write(&sandbox.path("1.root.json"), &unsigned);
    let add = |arguments: &[&str]| sandbox.tuf_repo(&[&["add-signature", &draft], arguments].concat());
    let targets = sandbox.repo().join("keys/targets.pub.json").display().to_string();
    add(&["--key", &targets, "--signature", &path("raw")])
        .code(4)
        .says("does not verify")
        .says("tuf-repo payload");
    add(&["--key", &targets, "--signature", &path("raw"), "--authority", &draft])
        .code(1)
        .says("may not sign for root");
    add(&["--key", "00", "--signature", &path("raw")]).code(1).says("these may").says(&id);
    add(&["--key", &id, "--signature", &path("raw"), "--format", "hex"])
        .code(1)
        .says("cannot be read as hex");
    add(&["--key", &id, "--signature", &path("payload")]).code(4);
    add(&["--key", &id, "--signature", &path("nowhere")]).code(1).says("cannot read");
    add(&["--key", &id, "--signature", &path("raw"), "--role", "bins"]).code(1).says("names no role bins");
    assert_eq!(std::fs::read_to_string(&draft).unwrap(), unsigned);
    write(&sandbox.path("1.root.json"), "{}");
    add(&["--key", &id, "--signature", &path("raw")]).code(1).says("no TUF metadata");
}
