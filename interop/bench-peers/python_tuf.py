"""`python_tuf.py BASE_URL ROOT STORE OUTPUT TARGET...`: one refresh by python-tuf, then these targets."""

import os
import sys

from tuf.ngclient import Updater

base, root, store, output, *targets = sys.argv[1:]
for directory in (store, output):
    os.makedirs(directory, exist_ok=True)
with open(root, "rb") as file:
    bootstrap = file.read()
updater = Updater(
    metadata_dir=store,
    metadata_base_url=base + "/metadata/",
    target_dir=output,
    target_base_url=base + "/targets/",
    bootstrap=bootstrap,
)
updater.refresh()
for path in targets:
    info = updater.get_targetinfo(path)
    if info is None:
        sys.exit(f"no target {path}")
    file = os.path.join(output, path)
    os.makedirs(os.path.dirname(file), exist_ok=True)
    updater.download_target(info, file)
