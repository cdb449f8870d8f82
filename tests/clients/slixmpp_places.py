"""Where slixmpp's users go: `muster demo`, or the stage of the other clients."""

import asyncio
import json
import os
import socket
import sys
import urllib.request

from slixmpp_user import PATIENCE, PLUGINS, User


class Demo:
    """`muster demo` as a process, and its app: plaintext, on loopback."""

    domain = "example.test"

    def __init__(self, binary):
        self.binary = binary
        self.addresses = {name: f"127.0.0.1:{free_port()}" for name in ("xmpp", "http", "app")}

    async def __aenter__(self):
        arguments = [f"--{name}={address}" for name, address in self.addresses.items()]
        self.process = await asyncio.create_subprocess_exec(
            self.binary, "demo", *arguments, f"--domain={self.domain}", stdout=asyncio.subprocess.PIPE
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
        user = User(f"{name}@{self.domain}", f"{name}-secret", mechanism=mechanism)
        host, port = self.addresses["xmpp"].split(":")
        user.connect(host, int(port))
        await user.expect("online")
        return user

    async def befriend(self, user, contact, group):
        await self.post("befriend", user=user, contact=contact, group=group)

    async def rename(self, user, contact, name):
        await self.post("rename", user=user, contact=contact, name=name)

    async def unfriend(self, user, contact):
        await self.post("unfriend", user=user, contact=contact)

    async def post(self, path, **body):
        """Asks the app for a change; it answers when Muster has."""
        summary = await ask(f"http://{self.addresses['app']}/{path}", "POST", body)
        if summary["status"] != "ok" or summary["errors"]:
            sys.exit(f"/{path}: {summary}")


class Stage:
    """Muster with TLS, started by stage/main.mjs; the contacts are kept here."""

    domain = "example.test"

    def __init__(self):
        self.stage = json.loads(os.environ["STAGE"])
        self.contacts = {}

    async def __aenter__(self):
        await self.set("john", {f"marie@{self.domain}": {"name": "Marie", "groups": ["Friends"]}})
        await self.set("marie", {f"john@{self.domain}": {"name": "John"}})
        return self

    async def __aexit__(self, *_):
        pass

    def user(self, name, security, trusting=True):
        """A user who is not connected yet."""
        authorities = self.stage["certificates"]["authorities"] if trusting else None
        return User(f"{name}@{self.domain}", self.stage["password"] % name, security, authorities)

    def address(self, security):
        return "127.0.0.1", self.stage["ports"]["xmpps" if security == "tls" else "xmpp"]

    async def connect(self, name, security):
        user = self.user(name, security)
        for plugin in PLUGINS:
            user.register_plugin(plugin)
        user.connect(*self.address(security))
        await user.expect("online")
        return user

    async def befriend(self, user, contact, group):
        jid = f"{contact}@{self.domain}"
        known = self.contacts[user].get(jid, {"name": contact.capitalize()})
        await self.set(user, {**self.contacts[user], jid: {**known, "groups": [group]}})

    async def rename(self, user, contact, name):
        jid = f"{contact}@{self.domain}"
        await self.set(user, {**self.contacts[user], jid: {**self.contacts[user][jid], "name": name}})

    async def unfriend(self, user, contact):
        jid = f"{contact}@{self.domain}"
        await self.set(user, {key: value for key, value in self.contacts[user].items() if key != jid})

    async def set(self, user, contacts):
        self.contacts[user] = contacts
        summaries = await ask(f"http://127.0.0.1:{self.stage['ports']['app']}/contacts/{user}", "PUT", contacts)
        for domain, summary in summaries.items():
            if summary["status"] != "ok" or summary["errors"]:
                sys.exit(f"the refresh of {user}@{domain}: {summary}")


async def ask(url, method, body):
    request = urllib.request.Request(
        url, json.dumps(body).encode(), {"Content-Type": "application/json"}, method=method
    )
    reply = await asyncio.to_thread(lambda: urllib.request.urlopen(request, timeout=PATIENCE).read())
    return json.loads(reply)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
