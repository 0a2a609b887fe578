"""python-tuf as a repository. Times on stdout, one line each: a name, and wall and processor time in nanoseconds.

    python_tuf_repository.py sign METADATA OUT           every hash bin of a published set from scratch
    python_tuf_repository.py change METADATA OUT RUNS sync|nosync    one target in one bin, then snapshot and timestamp
"""

import json
import os
import pathlib
import sys
import time
from datetime import datetime, timezone

from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import Metadata, MetaFile, TargetFile, Targets
from tuf.api.serialization.json import JSONSerializer

EXPIRES = datetime(2049, 1, 1, tzinfo=timezone.utc)
SERIALIZER = JSONSerializer(compact=True)


class Clock:
    def __init__(self):
        self.total = {}

    def run(self, name, work):
        wall, cpu = time.perf_counter_ns(), time.process_time_ns()
        result = work()
        before = self.total.get(name, (0, 0))
        self.total[name] = (
            before[0] + time.perf_counter_ns() - wall,
            before[1] + time.process_time_ns() - cpu,
        )
        return result

    def show(self):
        for name, (wall, cpu) in self.total.items():
            print(name, wall, cpu)


def put(path, data, sync):
    with open(path, "wb") as file:
        file.write(data)
        if sync:
            file.flush()
            os.fsync(file.fileno())


def newest(metadata, role):
    files = metadata.glob(f"*.{role}.json")
    return max(files, key=lambda file: int(file.name.split(".")[0]))


def sign(metadata, out):
    signer, clock = CryptoSigner.generate_ed25519(), Clock()
    for file in sorted(metadata.glob("1.bin-*.json")):
        # What is given, one bin at a time so that no collection walks over all of it.
        targets = json.loads(file.read_bytes())["signed"]["targets"]
        given = [(path, found["hashes"]["sha256"], found["length"]) for path, found in targets.items()]

        def build(given=given):
            listed = {path: TargetFile(length, {"sha256": sum}, path) for path, sum, length in given}
            return Metadata(Targets(1, "1.0.31", EXPIRES, listed))

        bin = clock.run("build", build)
        clock.run("sign", lambda bin=bin: bin.sign(signer))
        data = clock.run("serialise", lambda bin=bin: bin.to_bytes(SERIALIZER))
        clock.run("write", lambda data=data, file=file: put(out / file.name, data, False))
    clock.show()


def change(metadata, out, runs, sync):
    signer = CryptoSigner.generate_ed25519()
    # The bin that was changed last has the highest version.
    bin_file = max(metadata.glob("*.bin-*.json"), key=lambda file: int(file.name.split(".")[0]))
    snapshot_file = newest(metadata, "snapshot")
    name = bin_file.name.split(".", 1)[1]
    for run in range(runs):
        clock = Clock()

        def work(run=run):
            bin = Metadata.from_file(str(bin_file))
            path = next(iter(bin.signed.targets))
            bin.signed.targets[path] = TargetFile(run + 1, {"sha256": f"{run:064x}"}, path)
            bin.signed.version += 1
            bin.sign(signer)
            put(out / f"{bin.signed.version}.{name}", bin.to_bytes(SERIALIZER), sync)
            snapshot = Metadata.from_file(str(snapshot_file))
            snapshot.signed.meta[name] = MetaFile(bin.signed.version)
            snapshot.signed.version += 1
            snapshot.sign(signer)
            data = snapshot.to_bytes(SERIALIZER)
            put(out / f"{snapshot.signed.version}.snapshot.json", data, sync)
            timestamp = Metadata.from_file(str(metadata / "timestamp.json"))
            timestamp.signed.snapshot_meta = MetaFile.from_data(snapshot.signed.version, data, ["sha256"])
            timestamp.signed.version += 1
            timestamp.sign(signer)
            put(out / "timestamp.json", timestamp.to_bytes(SERIALIZER), sync)

        clock.run("publish", work)
        clock.show()


what, metadata, out, *rest = sys.argv[1:]
metadata, out = pathlib.Path(metadata), pathlib.Path(out)
out.mkdir(parents=True, exist_ok=True)
if what == "sign":
    sign(metadata, out)
else:
    change(metadata, out, int(rest[0]), rest[1] == "sync")
