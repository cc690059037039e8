#!/bin/bash
# huggingface_hub 2.4.0: HfFileSystem takes an answer with the whole file for the range that it asked for, without a word.
#
# Most would expect: a range that a server does not give (HTTP lets any server, proxy or mirror answer 200 with the whole
# file: RFC 9110, section 14.2) is an error, or is cut out of what came.
#
# Seen, from a server that knows ranges and from one that ignores them, reading ten bytes at byte 1,000,000:
#   huggingface_hub 2.4.0
#   with ranges      b'row 100000' of 10 bytes
#   without ranges   b'row 000000' of 10 bytes
#   without, cache_type="none"   1200000 bytes for a read of 10
#
# Exits with 1 if that changes.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check huggingface_hub==2.4.0
cd "$folder"
cat > try.py <<'PY'
import http.server, json, os, sys, threading

for name in list(os.environ):
    if name.startswith("HF_") or name.lower().endswith("_proxy"):
        del os.environ[name]
os.environ["HF_HOME"] = os.getcwd()
import huggingface_hub

SHA = "0" * 40
BODY = b"".join(b"row %06d" % number for number in range(120_000))  # ten bytes each
RANGES = True


class Hub(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        path, asked = self.path.partition("?")[0], self.headers.get("Range")
        status, body, headers = 200, b"", {"X-Repo-Commit": SHA, "ETag": '"1"'}
        if "/resolve/" in path:
            body = BODY
            if asked and RANGES:
                first, last = asked.removeprefix("bytes=").split("-")
                status, body = 206, BODY[int(first) : int(last) + 1]
                headers["Content-Range"] = f"bytes {first}-{int(first) + len(body) - 1}/{len(BODY)}"
        elif "/tree/" in path:
            body = json.dumps([{"type": "file", "path": "rows.txt", "size": len(BODY), "oid": "1"}]).encode()
        else:
            body = json.dumps({"id": "o/n", "sha": SHA, "siblings": [{"rfilename": "rows.txt"}]}).encode()
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        try:
            self.wfile.write(body)
        except ConnectionError:
            pass

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
threading.Thread(target=server.serve_forever, daemon=True).start()


def read(**options):
    fs = huggingface_hub.HfFileSystem(
        endpoint=f"http://127.0.0.1:{server.server_port}", token=False, skip_instance_cache=True
    )
    with fs.open(f"datasets/o/n@{SHA}/rows.txt", "rb", **options) as file:
        file.seek(1_000_000)
        return file.read(10)


print(f"huggingface_hub {huggingface_hub.__version__}")
right = read()
print(f"with ranges      {right!r} of {len(right)} bytes")
RANGES = False
wrong = read(block_size=1 << 16)
print(f"without ranges   {wrong!r} of {len(wrong)} bytes")
much = read(cache_type="none")
print(f'without, cache_type="none"   {len(much)} bytes for a read of 10')
as_seen = (right, wrong, len(much)) == (b"row 100000", b"row 000000", len(BODY))
sys.exit(0 if as_seen else 1)
PY
venv/bin/python try.py
