"""profanity, a client for terminals, over STARTTLS and direct TLS.

john logs in with it, sees his roster, what the app changes in it, and a message
from marie, who uses slixmpp; he answers. What must come is looked for on the
screen, and every request of profanity in its log must have an answer.

Usage: node stage/main.mjs MUSTER LOGS python profanity_client.py
"""

import asyncio
import fcntl
import logging
import os
import pty
import re
import struct
import subprocess
import sys
import tempfile
import termios
from pathlib import Path

from slixmpp_places import Stage
from slixmpp_user import PATIENCE

ROWS, COLUMNS = 40, 120
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[()][A-Z0-9]|\x1b[=>]|\x0f")


class Profanity:
    """The program on a terminal of its own, with settings of its own."""

    def __init__(self, stage, security):
        self.stage, self.security = stage, security
        self.directory = tempfile.TemporaryDirectory()
        self.home = Path(self.directory.name)
        self.log = Path(stage.stage["logs"]) / f"profanity-{security}.log"
        self.screen = ""
        self.drawn = asyncio.Condition()

    async def __aenter__(self):
        self.configure()
        self.terminal, inner = pty.openpty()
        fcntl.ioctl(inner, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        environment = {
            **os.environ,
            "HOME": str(self.home),
            "XDG_CONFIG_HOME": str(self.home / "config"),
            "XDG_DATA_HOME": str(self.home / "data"),
            "TERM": "xterm",
            "LANG": "C.UTF-8",
        }
        command = ["profanity", "--log", "DEBUG", "--logfile", str(self.log), "--account", "john"]
        self.process = subprocess.Popen(
            command, stdin=inner, stdout=inner, stderr=inner, env=environment, start_new_session=True
        )
        os.close(inner)
        asyncio.get_running_loop().add_reader(self.terminal, self.read)
        return self

    async def __aexit__(self, *_):
        self.process.terminate()
        asyncio.get_running_loop().remove_reader(self.terminal)
        await asyncio.to_thread(self.process.wait)
        os.close(self.terminal)
        self.directory.cleanup()

    def configure(self):
        """The account, and a directory of trusted certificates."""
        host, port = self.stage.address(self.security)
        account = {
            "enabled": "true",
            "jid": f"john@{self.stage.domain}",
            "server": host,
            "port": port,
            "password": self.stage.stage["password"] % "john",
            "tls.policy": "legacy" if self.security == "tls" else "force",
            "resource": "terminal",
        }
        trusted = self.home / "trusted"
        trusted.mkdir()
        certificate = self.stage.stage["certificates"][self.stage.domain]["certificate"]
        (trusted / "certificate.pem").write_bytes(Path(certificate).read_bytes())
        subprocess.run(["openssl", "rehash", trusted], check=True)
        settings = {
            "connection": {"tls.certpath": trusted},
            "ui": {"roster": "true", "roster.by": "group", "splash": "false"},
            "notifications": {"message": "off"},
        }
        write(self.home / "data/profanity/accounts", {"john": account})
        write(self.home / "config/profanity/profrc", settings)

    def read(self):
        try:
            text = os.read(self.terminal, 65536).decode(errors="replace")
        except OSError:
            text = ""
        self.screen += ESCAPES.sub(" ", text)

        async def wake():
            async with self.drawn:
                self.drawn.notify_all()

        asyncio.ensure_future(wake())

    async def shows(self, text):
        """Waits until the program draws this, and forgets what was drawn."""

        async def come():
            async with self.drawn:
                await self.drawn.wait_for(lambda: text in self.screen)

        try:
            await asyncio.wait_for(come(), PATIENCE)
        except asyncio.TimeoutError:
            sys.exit(f"profanity does not show {text!r}: {self.screen[-4000:]}")
        self.screen = ""

    def type(self, line):
        os.write(self.terminal, line.encode() + b"\r")

    def check_answers(self):
        """Every request in the log has its answer there."""
        log = self.log.read_text()
        sent = requests(re.findall(r"SENT: (.*)", log), ("get", "set"))
        answered = requests(re.findall(r"RECV: (.*)", log), ("result", "error"))
        if len(sent) < 3:
            sys.exit(f"the log has only these requests: {sent}")
        if unanswered := sent - answered:
            sys.exit(f"profanity got no answer to {unanswered}")


def requests(lines, types):
    found = set()
    for attributes in re.findall(r"<iq\s([^>]*)>", "\n".join(lines)):
        values = dict(re.findall(r"([\w:]+)=[\"']([^\"']*)[\"']", attributes))
        if values.get("type") in types:
            found.add(values.get("id"))
    return found


def write(path, sections):
    path.parent.mkdir(parents=True)
    lines = []
    for section, values in sections.items():
        lines += [f"[{section}]", *(f"{key}={value}" for key, value in values.items())]
    path.write_text("\n".join(lines) + "\n")


async def scenario(stage, security):
    marie = await stage.connect("marie", security)
    marie.send_presence()
    async with Profanity(stage, security) as profanity:
        await profanity.shows("logged in successfully")
        await profanity.shows("Marie")
        await stage.befriend("john", "aaron", "Work")
        await profanity.shows("Aaron")
        marie.send_message(f"john@{stage.domain}", "hello-john", mtype="chat")
        await profanity.shows("chat message: Marie")
        profanity.type("/win 2")
        await profanity.shows("hello-john")
        profanity.type(f"/msg marie@{stage.domain} hello-marie")
        await marie.expect("message", f"john@{stage.domain}", "hello-marie")
        await stage.unfriend("john", "aaron")
        profanity.type("/quit")
        await asyncio.wait_for(asyncio.to_thread(profanity.process.wait), PATIENCE)
        profanity.check_answers()
    await marie.leave()


async def main():
    async with Stage() as stage:
        for security in ("starttls", "tls"):
            await scenario(stage, security)
            print(f"{security}: roster, changes, messages")


if __name__ == "__main__":
    logging.basicConfig(level=logging.CRITICAL)
    asyncio.run(main())
