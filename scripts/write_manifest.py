"""Write coldavg/networks/networks.json from what stands inside the network files: python scripts/write_manifest.py."""

import hashlib
import json

from coldavg.networks import FOLDER, read_network
from coldavg.support.files import write_atomically

entries = {}
for file in sorted(FOLDER.glob("*.safetensors")):
    content = file.read_bytes()
    _, notes = read_network(content, file.name)
    entries[file.stem] = {"sha256": hashlib.sha256(content).hexdigest(), "settings": notes["settings"],
                          "size": notes["size"], **notes["record"]}
write_atomically(FOLDER / "networks.json", (json.dumps(entries, indent=2) + "\n").encode())
print(f"{len(entries)} networks: {', '.join(entries)}")
