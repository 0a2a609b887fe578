"""Runs the test vectors, or random histories in the same form, through python-tuf.

    python run_python_tuf.py                    the cases beside this file
    python run_python_tuf.py --histories FILE   one case of several refreshes in each line

Prints where python-tuf comes to another verdict. Exit code 0 if it differs exactly where python-tuf.json says so;
with --histories, if every difference vanishes with a change to python-tuf that QUIRKS has; 1 if not.
"""

import argparse
import collections
import contextlib
import datetime
import functools
import hashlib
import itertools
import json
import pathlib
import sys
import tempfile
import time
import types
from unittest import mock
from urllib import parse

import tuf
from securesystemslib.formats import encode_canonical
from securesystemslib.signer import Key, Signature
from tuf.api import _payload, exceptions
from tuf.api.metadata import DelegatedRole, SuccinctRoles
from tuf.api.serialization import json as tuf_json
from tuf.ngclient import Updater
from tuf.ngclient._internal import trusted_metadata_set
from tuf.ngclient.fetcher import FetcherInterface

HERE = pathlib.Path(__file__).resolve().parent
METADATA, TARGETS = "https://repository.example/metadata/", "https://repository.example/targets/"



# What python-tuf does otherwise, each as a change to it after which it does what this project does: a difference is
# explained by what has to be changed for it to vanish.


@contextlib.contextmanager
def checks_stored_snapshots():
    """A stored snapshot of the version that the timestamp names is used without a look at its length and hashes."""
    original = trusted_metadata_set.TrustedMetadataSet.update_snapshot

    def update_snapshot(self, data, trusted=False):
        snapshot = original(self, data, trusted)
        # It stays there as the floor for the one that is fetched then.
        self.timestamp.snapshot_meta.verify_length_and_hashes(data)
        return snapshot

    with mock.patch.object(trusted_metadata_set.TrustedMetadataSet, "update_snapshot", update_snapshot):
        yield


@contextlib.contextmanager
def counts_keys():
    """Key IDs are counted, not keys: one key under two IDs meets a threshold of two."""
    def verified(self):
        return len({json.dumps(key.keyval, sort_keys=True) for key in self.signed.values()}) >= self.threshold

    with mock.patch.object(_payload.VerificationResult, "verified", property(verified)):
        yield


@contextlib.contextmanager
def reads_times():
    """An expiry with a fraction of a second, or with +00:00 for Z, is not read."""

    class Stamp(datetime.datetime):
        """Is written as it was read: the signature is over that."""

        def replace(self, **_):
            return self

        def strftime(self, _):
            return self.text

    class Reader(datetime.datetime):
        @classmethod
        def strptime(cls, text, _):
            stamp = Stamp.fromisoformat(text.replace("Z", "+00:00"))
            if "T" not in text or stamp.utcoffset() != datetime.timedelta(0):
                raise ValueError(text)
            stamp.text = text
            return stamp

    with mock.patch.object(_payload, "datetime", Reader):
        yield


@contextlib.contextmanager
def refuses_equal_json_keys():
    """The last of two equal keys of a JSON object is taken."""

    def pairs(members):
        if len({name for name, _ in members}) < len(members):
            raise ValueError("a key twice")
        return dict(members)

    loads = functools.partial(json.loads, object_pairs_hook=pairs)
    with mock.patch.object(tuf_json, "json", types.SimpleNamespace(loads=loads, dumps=json.dumps)):
        yield


@contextlib.contextmanager
def verifies_for_each_delegator():
    """A role verified for one delegator is taken as verified for another; a name is visited once in a search."""

    def walk(self, path):
        pending, visited = [("targets", "root")], set()
        while pending and len(visited) <= self.config.max_delegations:
            role, parent = pending.pop()
            if (role, parent) in visited:
                continue
            if parent != "root":
                self._trusted_set._trusted_set.pop(role, None)
            targets = self._load_targets(role, parent)
            if path in targets.targets:
                return targets.targets[path]
            visited.add((role, parent))
            children = []
            for child, terminating in targets.delegations.get_roles_for_target(path) if targets.delegations else ():
                children.append((child, role))
                if terminating:
                    pending = []
                    break
            pending.extend(reversed(children))
        return None

    with mock.patch.object(Updater, "_preorder_depth_first_walk", walk):
        yield


QUIRKS = [checks_stored_snapshots, counts_keys, reads_times, refuses_equal_json_keys, verifies_for_each_delegator]


class Files(FetcherInterface):
    """A repository that is a dictionary."""

    def __init__(self):
        self.files = {}

    def _fetch(self, url):
        for base in (METADATA, TARGETS):
            if url.startswith(base):
                content = self.files.get(base, {}).get(url[len(base):])
                if content is not None:
                    return iter([content])
        raise exceptions.DownloadHTTPError(url, 404)


def encoded(files):
    return {name: content.encode() for name, content in files.items()}


class Client:
    """One cache directory, and any number of updates at given times."""

    def __init__(self, directory, pinned_root, targets):
        self.directory = pathlib.Path(directory)
        self.pinned_root = pinned_root.encode()
        self.fetcher = Files()
        # python-tuf asks for targets unquoted, this project's names are quoted.
        self.fetcher.files = {METADATA: {}, TARGETS: {parse.unquote(n): c for n, c in encoded(targets).items()}}
        self.number = 0

    def store(self, stored):
        for name, content in stored.items():
            place = self.directory / "metadata"
            place = place / "root_history" / name if name.endswith(".root.json") else place / name
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content.encode())

    def update(self, at, target):
        fixed = datetime.datetime.strptime(at, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=datetime.timezone.utc)

        class Clock(datetime.datetime):
            @classmethod
            def now(cls, tz=None):
                return fixed

        trusted_metadata_set.datetime = types.SimpleNamespace(datetime=Clock, timezone=datetime.timezone)
        metadata, downloads = self.directory / "metadata", self.directory / "targets"
        metadata.mkdir(exist_ok=True)
        downloads.mkdir(exist_ok=True)
        try:
            updater = Updater(
                str(metadata), METADATA, str(downloads), TARGETS, self.fetcher, bootstrap=self.pinned_root
            )
            updater.refresh()
            trusted = updater._trusted_set
            versions = {name: getattr(trusted, name).version for name in ("root", "timestamp", "snapshot")}
            ok = {"versions": {**versions, "targets": trusted["targets"].version}}
            if target is not None:
                visited = []
                load = updater._load_targets
                updater._load_targets = lambda role, parent: (visited.append(role), load(role, parent))[1]
                info = updater.get_targetinfo(target)
                ok["target"] = None if info is None else visited[-1]
                if info is not None:
                    self.number += 1
                    updater.download_target(info, str(downloads / str(self.number)))
            return {"ok": ok}, ""
        except Exception as error:  # python-tuf lets through what its JSON reader or its types raise, too.
            return {"refused": None}, f"{type(error).__name__}: {error}"


def words(verdict, detail=""):
    """A verdict in words."""
    if "ok" in verdict:
        ok = verdict["ok"]
        found = f" target {ok['target']}" if "target" in ok else ""
        return "ok " + "/".join(str(ok["versions"][n]) for n in ("root", "timestamp", "snapshot", "targets")) + found
    refused = verdict["refused"]
    return f"refused {refused['kind']} {refused['role']}" if refused else f"refused {detail}"


def same(ours, theirs):
    return ours == theirs if "ok" in ours and "ok" in theirs else ("ok" in ours) == ("ok" in theirs)


def refreshes(case):
    """Ours and theirs for every refresh of a case."""
    with tempfile.TemporaryDirectory() as directory:
        client = Client(directory, case["pinned_root"], case.get("targets", {}))
        if "steps" not in case:
            client.store(case["stored"])
        for step in case.get("steps", [case]):
            for name, content in step["files"].items():
                if content is None:
                    client.fetcher.files[METADATA].pop(name, None)
                else:
                    client.fetcher.files[METADATA][name] = content.encode()
            theirs, detail = client.update(step["time"], step.get("target"))
            yield step, step["expected"], theirs, detail


def first_difference(case):
    """Number of refreshes that were compared, and the first that differs: after it, the two clients' states do."""
    number = 0
    for number, (step, ours, theirs, detail) in enumerate(refreshes(case), 1):
        if not same(ours, theirs):
            return number, (step, words(ours), words(theirs, detail))
    return number, None


def explanation(case):
    """The fewest changes to python-tuf after which it comes to our verdict in every refresh, if there are any."""
    for quirks in itertools.chain.from_iterable(itertools.combinations(QUIRKS, n) for n in range(1, len(QUIRKS) + 1)):
        with contextlib.ExitStack() as stack:
            for quirk in quirks:
                stack.enter_context(quirk())
            if first_difference(case)[1] is None:
                return quirks
    return None


def table(name):
    return json.loads((HERE / name).read_text(encoding="utf-8"))["cases"]


def canonical_json(case):
    text = case["input"].encode() if "input" in case else bytes.fromhex(case["input_hex"])
    ours = case.get("canonical_hex", "refused")
    try:
        theirs = encode_canonical(json.loads(text.decode())).encode().hex()
    except Exception:
        theirs = "refused"
    return ours, theirs


def key(case):
    try:
        key = Key.from_dict(case["keyid"], json.loads(json.dumps(case["key"])))
        key.verify_signature(Signature(case["keyid"], case["signature"]), case["message"].encode())
        theirs = True
    except Exception:
        theirs = False
    return case["valid"], theirs


def pattern(case):
    return case["matches"], DelegatedRole._is_target_in_pathpattern(case["path"], case["pattern"])


def hash_bin(case):
    if "count" in case:
        role = DelegatedRole(case["role"], [], 1, False, None, case["prefixes"])
        return True, role.is_delegated_path(case["path"])
    roles = SuccinctRoles([], 1, case["bit_length"], case["name_prefix"])
    return case["role"], roles.get_role_for_target(case["path"])


TABLES = {"canonical-json.json": canonical_json, "keys.json": key, "patterns.json": pattern, "hash-bins.json": hash_bin}


def canonical_files(files, sums, report):
    """Counts files whose `signed` securesystemslib encodes as we do; `sums` has our hash of each."""
    for name, expected in sums.items():
        try:
            signed = json.loads(files[name])["signed"]
        except (ValueError, KeyError, TypeError):
            continue
        found = hashlib.sha256(encode_canonical(signed).encode()).hexdigest()
        report["same" if found == expected else "different"] += 1


def run_vectors():
    counts, differences = collections.Counter(), {}
    for name, function in TABLES.items():
        for number, case in enumerate(table(name)):
            counts[name] += 1
            ours, theirs = function(case)
            if ours != theirs:
                called = case.get("name") or f"{case.get('pattern')} ~ {case.get('path')}"
                differences[f"{name}: {called}"] = f"here {ours}, python-tuf {theirs}"
    contents = {}
    for directory in ("workflow", "scripts"):
        for path in sorted((HERE / directory).glob("*.json")):
            case = json.loads(path.read_text(encoding="utf-8"))
            counts[directory] += 1
            number, found = first_difference(case)
            for step in [case, {"files": case.get("stored", {})}, *case.get("steps", [])]:
                for content in step.get("files", {}).values():
                    if content is not None:
                        contents[hashlib.sha256(content.encode()).hexdigest()] = content
            if found:
                where = f", refresh {number}" if "steps" in case else ""
                differences[f"{directory}/{path.stem}{where}"] = f"here {found[1]}, python-tuf {found[2]}"
    signed = json.loads((HERE / "canonical-metadata.json").read_text(encoding="utf-8"))["signed"]
    canonical = collections.Counter()
    canonical_files(contents, signed, canonical)
    print(f"python-tuf {tuf.__version__}: {sum(counts.values())} cases, " + ", ".join(f"{n} {c}" for n, c in counts.items()))
    print(f"canonical form of metadata files: {canonical['same']} equal to securesystemslib's, {canonical['different']} not")
    expected = json.loads((HERE / "python-tuf.json").read_text(encoding="utf-8"))["differences"]
    failed = canonical["different"] > 0 or canonical["same"] != len(signed)
    for name, difference in differences.items():
        print(f"differs: {name}: {difference}\n    {expected.get(name, 'NOT LISTED in python-tuf.json')}")
        failed |= name not in expected
    for name in expected.keys() - differences.keys():
        print(f"LISTED in python-tuf.json, but does not differ: {name}")
        failed = True
    print(f"{len(differences)} differ, {len(expected)} are listed")
    return 1 if failed else 0


def run_histories(path):
    start = time.monotonic()
    count = compared = differ = 0
    kinds, examples, unexplained = collections.Counter(), {}, []
    canonical, verdicts = collections.Counter(), collections.Counter()
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            case = json.loads(line)
            count += 1
            for step in case["steps"]:
                canonical_files(step["files"], step["canonical"], canonical)
            number, found = first_difference(case)
            compared += number
            for step in case["steps"][:number]:
                verdicts["ok" if "ok" in step["expected"] else step["expected"]["refused"]["kind"]] += 1
            if found:
                step, ours, theirs = found
                quirks = explanation(case)
                says = f"{case['name']}, refresh {number} ({step['says']}): here {ours}, python-tuf {theirs}"
                if quirks is None:
                    unexplained.append(says)
                else:
                    differ += 1
                    kinds.update(quirks)
                    for quirk in quirks:
                        examples.setdefault(quirk, says)
    differ += len(unexplained)
    print(f"python-tuf {tuf.__version__}: {count} histories, {compared} refreshes, {time.monotonic() - start:.0f} s")
    print("verdicts here: " + ", ".join(f"{name} {number}" for name, number in verdicts.most_common()))
    print(f"canonical form of metadata files: {canonical['same']} equal to securesystemslib's, {canonical['different']} not")
    print(f"histories with the same verdicts throughout: {count - differ}; that differ: {differ}")
    for quirk, number in kinds.most_common():
        print(f"  {number:6} {quirk.__name__}: {quirk.__doc__}\n         {examples[quirk]}")
    print(f"unexplained: {len(unexplained)}")
    for says in unexplained[:20]:
        print(f"  {says}")
    return 1 if unexplained or canonical["different"] else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--histories", metavar="FILE")
    arguments = parser.parse_args()
    return run_histories(arguments.histories) if arguments.histories else run_vectors()


if __name__ == "__main__":
    sys.exit(main())
