"""slixmpp, a client library that knows nothing of us, against `muster demo`.

Two users log in with each SASL mechanism, see their rosters, and see what the
app changes in them: a contact is added, renamed, regrouped and removed, each by
one POST to the app, which tells Muster. Presence goes both ways and a message
is delivered. Exits with 1 and says what was awaited if anything is missing.

Usage: slixmpp_client.py MUSTER, the path of the built binary.
"""

import asyncio
import json
import logging
import socket
import sys
import time
import urllib.request

import slixmpp

DOMAIN = "example.test"
# Nothing takes this long unless it is broken.
PATIENCE = 20
# The promise of the demo: a push within a second of the POST.
PROMPT = 1.0


class User(slixmpp.ClientXMPP):
    """A user who remembers what came, so that a test can wait for it."""

    def __init__(self, name, mechanism):
        # Without TLS slixmpp uses no password unless it is told to.
        allowed = {"unencrypted_scram": True, "unencrypted_plain": True}
        super().__init__(
            f"{name}@{DOMAIN}",
            f"{name}-secret",
            sasl_mech=mechanism,
            plugin_config={"feature_mechanisms": allowed},
        )
        self.enable_direct_tls = False
        self.enable_starttls = False
        self.enable_plaintext = True
        self.seen = []
        self.changed = asyncio.Condition()
        self.add_event_handler("session_start", lambda _: self.note("online"))
        self.add_event_handler("failed_all_auth", lambda _: self.note("not authorized"))
        self.add_event_handler("roster_update", self.on_roster)
        self.add_event_handler("presence_available", self.on_presence)
        self.add_event_handler("presence_unavailable", self.on_presence)
        self.add_event_handler("message", self.on_message)

    def note(self, *event):
        self.seen.append(event)

        async def wake():
            async with self.changed:
                self.changed.notify_all()

        asyncio.ensure_future(wake())

    def on_roster(self, iq):
        for jid, item in iq["roster"]["items"].items():
            groups = sorted(item["groups"])
            self.note("contact", iq["type"], str(jid), item["name"], groups, item["subscription"])

    def on_presence(self, presence):
        self.note("presence", presence["from"].bare, presence["type"], presence["status"])

    def on_message(self, message):
        self.note("message", message["from"].bare, message["body"])

    async def expect(self, *event):
        """Waits until this event has come, and forgets it and those before."""

        async def come():
            async with self.changed:
                await self.changed.wait_for(lambda: event in self.seen)

        try:
            await asyncio.wait_for(come(), PATIENCE)
        except asyncio.TimeoutError:
            sys.exit(f"{self.boundjid}: waited in vain for {event}; came: {self.seen}")
        self.seen.remove(event)


class Demo:
    """`muster demo` as a process, and its app."""

    def __init__(self, binary):
        self.binary = binary
        self.addresses = {name: f"127.0.0.1:{free_port()}" for name in ("xmpp", "http", "app")}

    async def __aenter__(self):
        arguments = [f"--{name}={address}" for name, address in self.addresses.items()]
        self.process = await asyncio.create_subprocess_exec(
            self.binary, "demo", *arguments, f"--domain={DOMAIN}", stdout=asyncio.subprocess.PIPE
        )
        said = await asyncio.wait_for(self.process.stdout.readline(), PATIENCE * 3)
        if b"running" not in said:
            sys.exit(f"the demo does not start: {said!r}")
        return self

    async def __aexit__(self, *_):
        if self.process.returncode is None:
            self.process.terminate()
        await asyncio.wait_for(self.process.wait(), PATIENCE)

    async def connect(self, name, mechanism):
        user = User(name, mechanism)
        host, port = self.addresses["xmpp"].split(":")
        user.connect(host, int(port))
        await user.expect("online")
        return user

    async def post(self, path, **body):
        """Asks the app for a change; it answers when Muster has."""
        request = urllib.request.Request(
            f"http://{self.addresses['app']}/{path}",
            json.dumps(body).encode(),
            {"Content-Type": "application/json"},
        )
        reply = await asyncio.to_thread(lambda: urllib.request.urlopen(request, timeout=PATIENCE).read())
        summary = json.loads(reply)
        if summary["status"] != "ok" or summary["errors"]:
            sys.exit(f"/{path}: {summary}")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


async def prompt(what, change, *arrivals):
    """The change and what it must bring, within a second."""
    start = time.monotonic()
    await asyncio.gather(change, *arrivals)
    took = time.monotonic() - start
    if took > PROMPT:
        sys.exit(f"{what} took {took:.2f} s")
    return took


async def scenario(demo, mechanism):
    john = await demo.connect("john", mechanism)
    marie = await demo.connect("marie", mechanism)
    john_jid, marie_jid, aaron_jid = (f"{name}@{DOMAIN}" for name in ("john", "marie", "aaron"))

    # The rosters, as the app has them.
    await john.get_roster()
    await john.expect("contact", "result", marie_jid, "Marie", ["Friends"], "both")
    await marie.get_roster()
    await marie.expect("contact", "result", john_jid, "John", [], "both")

    # Presence, both ways.
    john.send_presence(pstatus="here")
    await john.expect("presence", john_jid, "available", "here")
    marie.send_presence(pstatus="there")
    await john.expect("presence", marie_jid, "available", "there")
    await marie.expect("presence", john_jid, "available", "here")

    # What the app changes.
    def contact(name, groups, subscription="both"):
        return john.expect("contact", "set", aaron_jid, name, groups, subscription)

    pair = {"user": "john", "contact": "aaron"}
    slowest = max(
        [
            await prompt("adding", demo.post("befriend", **pair, group="Work"), contact("Aaron", ["Work"])),
            await prompt("renaming", demo.post("rename", **pair, name="A. B."), contact("A. B.", ["Work"])),
            await prompt("regrouping", demo.post("befriend", **pair, group="Chess"), contact("A. B.", ["Chess"])),
            await prompt("removing", demo.post("unfriend", **pair), contact("", [], "remove")),
        ]
    )

    # A message, and goodbye.
    john.send_message(marie_jid, "hello, Marie <&>", mtype="chat")
    await marie.expect("message", john_jid, "hello, Marie <&>")
    await john.disconnect()
    await marie.expect("presence", john_jid, "unavailable", "")
    await marie.disconnect()
    return slowest


async def main(binary):
    async with Demo(binary) as demo:
        for mechanism in ("SCRAM-SHA-256", "SCRAM-SHA-1", "PLAIN"):
            slowest = await scenario(demo, mechanism)
            print(f"slixmpp {slixmpp.__version__} {mechanism}: slowest change {slowest * 1000:.0f} ms")


if __name__ == "__main__":
    logging.basicConfig(level=logging.ERROR)
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    asyncio.run(main(sys.argv[1]))
