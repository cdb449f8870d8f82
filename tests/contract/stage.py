"""A server between an app, a client and a collector of traces, and schemathesis
that drives it by its own OpenAPI document.

Owns the processes and ends them. What is checked, and which answers count as
refusals, is in schemathesis.toml.
"""

import base64
import http.server
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
)

DOMAIN = "example.test"
TOKEN = "a-token-of-the-contract-tests"
SPANS = []


class Quiet(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, body, kind):
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class App(Quiet):
    """Everybody has one contact."""

    def do_GET(self):
        self.answer(b'{"marie@example.test":{"name":"Marie"}}', "application/json")


class Collector(Quiet):
    """Reads what it is sent by OpenTelemetry's own types."""

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        request = ExportTraceServiceRequest.FromString(body)
        for resource in request.resource_spans:
            for scope in resource.scope_spans:
                SPANS.extend(scope.spans)
        self.answer(b"", "application/x-protobuf")


def serve(handler):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_port


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def configuration(xmpp, http_port, app, collector):
    return f"""
[xmpp]
listen = ["127.0.0.1:{xmpp}"]
require_tls = false
[http]
listen = ["127.0.0.1:{http_port}"]
[admin]
tokens = ["{TOKEN}"]
[telemetry.otlp]
endpoint = "http://127.0.0.1:{collector}/v1/traces"
[limits.telemetry]
spans_waiting = 100000
[limits.http]
connects_per_minute = 100000
[[virtual_host]]
domain = "{DOMAIN}"
[virtual_host.auth]
kind = "any"
[virtual_host.roster]
http_roster_url = "http://127.0.0.1:{app}/contacts/%s"
"""


def wait_until_ready(url, server):
    for _ in range(600):
        if server.poll() is not None:
            sys.exit("the server ended before it was ready")
        try:
            with urllib.request.urlopen(f"{url}/readyz", timeout=60):
                return
        except OSError:
            time.sleep(0.1)
    sys.exit("the server is not ready in time")


def online(port):
    """john, with a roster, so that a refresh has something to do."""
    stream = socket.create_connection(("127.0.0.1", port), timeout=60)
    header = f"<stream:stream to='{DOMAIN}' version='1.0' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>"
    secret = base64.b64encode(b"\0john\0x").decode()
    for sent, awaited in [
        (header, b"</stream:features>"),
        (f"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>{secret}</auth>", b"<success"),
        (header, b"</stream:features>"),
        ("<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>", b"</iq>"),
        ("<iq type='get' id='r'><query xmlns='jabber:iq:roster'/></iq>", b"marie"),
    ]:
        stream.sendall(sent.encode())
        heard = b""
        while awaited not in heard:
            more = stream.recv(65536)
            if not more:
                sys.exit(f"the stream ended after {sent}: {heard}")
            heard += more
    # What is pushed has to be read, or the stream is given up for it.
    threading.Thread(target=drain, args=(stream,), daemon=True).start()


def drain(stream):
    stream.settimeout(None)
    while stream.recv(65536):
        pass


def path_of(span, spans):
    names = []
    while span is not None:
        names.append(span.name)
        span = spans.get(span.parent_span_id)
    return names


def main():
    binary, logs, *arguments = sys.argv[1:]
    here = pathlib.Path(__file__).parent
    logs = pathlib.Path(logs)
    shutil.rmtree(logs, ignore_errors=True)
    logs.mkdir(parents=True)
    xmpp, http_port = free_port(), free_port()
    url = f"http://127.0.0.1:{http_port}"
    with tempfile.TemporaryDirectory() as directory, open(logs / "muster.log", "w") as log:
        config = pathlib.Path(directory) / "muster.toml"
        config.write_text(configuration(xmpp, http_port, serve(App), serve(Collector)))
        server = subprocess.Popen([binary, "serve", "--config", config], stderr=log)
        try:
            wait_until_ready(url, server)
            online(xmpp)
            found = subprocess.run(
                [
                    pathlib.Path(sys.executable).parent / "schemathesis",
                    "--config-file", here / "schemathesis.toml",
                    "run", f"{url}/openapi.json",
                    "--header", f"Authorization: Bearer {TOKEN}",
                    *arguments,
                ],
                cwd=logs,
                env={
                    **os.environ,
                    "PYTHONUNBUFFERED": "1",
                    "SCHEMATHESIS_HOOKS": str(here / "serializers.py"),
                },
            ).returncode
            server.send_signal(signal.SIGTERM)
            ended = server.wait(30)
        finally:
            if server.poll() is None:
                server.kill()
    log = (logs / "muster.log").read_text()
    spans = {span.span_id: span for span in SPANS}
    trees = {tuple(path_of(span, spans)) for span in SPANS if span.name == "fetch"}
    print(f"{len(SPANS)} spans; the ways from an app's answer: {sorted(trees)}")
    faults = [
        (found != 0, "schemathesis found something"),
        (ended != 0, f"the server ended with {ended}"),
        ("panicked" in log, f"something panicked: {logs / 'muster.log'}"),
        (("fetch", "call", "call", "refresh") not in trees, "no tree of a refresh"),
    ]
    for failed, fault in faults:
        if failed:
            print(f"FAILED: {fault}")
    sys.exit(any(failed for failed, _ in faults))


main()
