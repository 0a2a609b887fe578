"""python-tuf as the other side: reads a repository as a client, or writes one that has most of what TUF has.

    python_tuf.py version
    python_tuf.py read DIR BASE_URL ROOT        target paths on stdin, one per line
    python_tuf.py poll DIR BASE_URL ROOT        until stdin ends
    python_tuf.py write DIR consistent|plain [KEYS]

`read` keeps its trusted metadata in DIR from one call to the next. It and `write` print one JSON object: target
path to SHA-256. `write` leaves the private keys that sign at the end in KEYS, if that is given. `poll` refreshes as fast as it can,
by turns as a client that keeps its metadata in DIR and as a new one, and prints how often it tried and what failed; DIR/polling
appears when both have refreshed once.
"""

import hashlib
import json
import pathlib
import shutil
import sys
import threading
from datetime import datetime, timedelta, timezone
from importlib.metadata import version
from urllib.parse import quote

from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import (
    DelegatedRole,
    Delegations,
    Metadata,
    MetaFile,
    Root,
    Snapshot,
    SuccinctRoles,
    TargetFile,
    Targets,
    Timestamp,
)
from tuf.ngclient import Updater

EXPIRES = datetime.now(timezone.utc) + timedelta(days=30)


def read(directory, base, root):
    directory = pathlib.Path(directory)
    for name in ("metadata", "targets"):
        (directory / name).mkdir(parents=True, exist_ok=True)
    updater = Updater(
        metadata_dir=str(directory / "metadata"),
        metadata_base_url=base + "/metadata/",
        target_dir=str(directory / "targets"),
        target_base_url=base + "/targets/",
        bootstrap=pathlib.Path(root).read_bytes(),
    )
    updater.refresh()
    found = {}
    for path in sys.stdin.read().splitlines():
        info = updater.get_targetinfo(path)
        if info is None:
            sys.exit(f"python-tuf finds no target {path}")
        data = pathlib.Path(updater.download_target(info, str(directory / "targets" / "one"))).read_bytes()
        found[path] = hashlib.sha256(data).hexdigest()
    return found


def poll(directory, base, root):
    directory = pathlib.Path(directory)
    over = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), over.set()), daemon=True).start()
    bootstrap = pathlib.Path(root).read_bytes()
    tried, failed = 0, []
    while not over.is_set():
        shutil.rmtree(directory / "new", ignore_errors=True)
        for name in ("returning", "new"):
            (directory / name).mkdir(parents=True, exist_ok=True)
            tried += 1
            try:
                Updater(
                    metadata_dir=str(directory / name),
                    metadata_base_url=base + "/metadata/",
                    bootstrap=bootstrap,
                ).refresh()
            except Exception as error:
                failed.append(f"{name}: {type(error).__name__}: {error}")
        (directory / "polling").touch()
    return {"tried": tried, "failed": failed}


class Writer:
    def __init__(self, directory, consistent):
        self.directory = pathlib.Path(directory)
        self.consistent = consistent
        self.targets = {}
        self.snapshot = Snapshot(expires=EXPIRES)
        self.root = Root(expires=EXPIRES, consistent_snapshot=consistent)

    def put(self, path, data):
        path = self.directory / path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

    def sign(self, signed, signers):
        metadata = Metadata(signed)
        for signer in signers:
            metadata.sign(signer, append=True)
        return metadata.to_bytes()

    def publish_root(self, signers):
        self.put(f"metadata/{self.root.version}.root.json", self.sign(self.root, signers))

    def publish(self, role, signed, signers):
        """A role that the snapshot lists, or the snapshot itself."""
        data = self.sign(signed, signers)
        prefix = f"{signed.version}." if self.consistent else ""
        self.put(f"metadata/{prefix}{quote(role, '')}.json", data)
        if role != "snapshot":
            self.snapshot.meta[f"{role}.json"] = MetaFile.from_data(signed.version, data, ["sha256", "sha512"])
        return data

    def add(self, signed, path, algorithms=("sha256",)):
        data = f"the target {path}".encode()
        self.targets[path] = hashlib.sha256(data).hexdigest()
        signed.targets[path] = TargetFile.from_data(path, data, list(algorithms))
        directory, _, name = quote(path).rpartition("/")
        names = [name]
        if self.consistent:
            names = [f"{value}.{name}" for value in signed.targets[path].hashes.values()]
        for name in names:
            self.put("/".join(filter(None, ["targets", directory, name])), data)


def keep(directory, signers):
    directory = pathlib.Path(directory)
    directory.mkdir()
    for name, signer in signers.items():
        path = directory / f"{name}.pem"
        path.touch(mode=0o600)
        path.write_bytes(signer.private_bytes)


def write(directory, consistent, keys=None):
    writer = Writer(directory, consistent)
    ed, ecdsa, rsa, ed_2, ecdsa_2, rsa_2 = (
        generate()
        for generate in [CryptoSigner.generate_ed25519, CryptoSigner.generate_ecdsa, CryptoSigner.generate_rsa] * 2
    )
    online, online_2 = CryptoSigner.generate_ecdsa(), CryptoSigner.generate_ed25519()

    if keys:
        roles = {"root-1": ecdsa, "root-2": rsa, "ed": ed_2, "online": online_2, "delegated-1": ecdsa_2, "delegated-2": rsa_2}
        keep(keys, roles)
    root = writer.root
    for signer in (ed, ecdsa, rsa):
        root.add_key(signer.public_key, "root")
    root.roles["root"].threshold = 2
    for role in ("timestamp", "snapshot"):
        root.add_key(online.public_key, role)
    for signer in (ed_2, rsa_2):
        root.add_key(signer.public_key, "targets")
    root.roles["targets"].threshold = 2
    writer.publish_root([ed, rsa])
    # A key holder leaves and another comes.
    root.version = 2
    root.revoke_key(ed.public_key.keyid, "root")
    root.add_key(ed_2.public_key, "root")
    writer.publish_root([ecdsa, rsa, ed_2])
    # All must sign from now on.
    root.version = 3
    root.roles["root"].threshold = 3
    root.unrecognized_fields["x-note"] = {"é": [1, None, True, {}]}
    writer.publish_root([ecdsa, rsa, ed_2])
    # The online key is another one.
    root.version = 4
    for role in ("timestamp", "snapshot"):
        root.revoke_key(online.public_key.keyid, role)
        root.add_key(online_2.public_key, role)
    writer.publish_root([ecdsa, rsa, ed_2])

    targets = Targets(version=7, expires=EXPIRES)
    writer.add(targets, "top.txt")
    writer.add(targets, "deep/er/both hashes.txt", ["sha256", "sha512"])
    writer.add(targets, "sha512-only.bin", ["sha512"])
    writer.add(targets, "päckages/ünïcode.txt")
    # By path patterns, two levels down, which delegates on to succinct hash bins (TAP 15).
    by_path = Targets(version=2, expires=EXPIRES)
    writer.add(by_path, "packages/by-path.whl")
    bins = SuccinctRoles([ecdsa_2.public_key.keyid], 1, 3, "bin")
    by_path.delegations = Delegations({ecdsa_2.public_key.keyid: ecdsa_2.public_key}, succinct_roles=bins)
    members = {name: Targets(expires=EXPIRES) for name in bins.get_roles()}
    for number in range(12):
        path = f"packages/in-a-bin-{number}.whl"
        writer.add(members[bins.get_role_for_target(path)], path)
    # By prefixes of the path's hash; listed first, and it does not have everything it could have.
    by_hash = Targets(version=3, expires=EXPIRES)
    writer.add(by_hash, "files/by-hash.bin")
    prefixes = [hashlib.sha256(b"files/by-hash.bin").hexdigest()[:3], "0", "1"]
    keys = {signer.public_key.keyid: signer.public_key for signer in (ecdsa_2, rsa_2)}
    targets.delegations = Delegations(
        keys,
        roles={
            "by-hash": DelegatedRole("by-hash", [rsa_2.public_key.keyid], 1, False, path_hash_prefixes=prefixes),
            "by.path of Ünits": DelegatedRole("by.path of Ünits", list(keys), 2, True, paths=["packages/*.whl", "x?/*"]),
        },
    )
    writer.publish("targets", targets, [ed_2, rsa_2])
    writer.publish("by-hash", by_hash, [rsa_2])
    writer.publish("by.path of Ünits", by_path, [ecdsa_2, rsa_2])
    for name, member in members.items():
        writer.publish(name, member, [ecdsa_2])
    writer.snapshot.version = 11
    data = writer.publish("snapshot", writer.snapshot, [online_2])
    timestamp = Timestamp(version=12, expires=EXPIRES)
    timestamp.snapshot_meta = MetaFile.from_data(11, data, ["sha256"])
    writer.put("metadata/timestamp.json", writer.sign(timestamp, [online_2]))
    return writer.targets


def main(command, *arguments):
    if command == "version":
        return {"python-tuf": version("tuf"), "securesystemslib": version("securesystemslib")}
    if command == "read":
        return read(*arguments)
    if command == "poll":
        return poll(*arguments)
    directory, kind, *keys = arguments
    return write(directory, {"consistent": True, "plain": False}[kind], *keys)


print(json.dumps(main(*sys.argv[1:])))
