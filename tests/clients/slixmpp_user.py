"""A user of slixmpp who remembers what came, so that a test can wait for it."""

import asyncio
import sys
from pathlib import Path

import slixmpp

# Nothing takes this long unless it is broken.
PATIENCE = 20
# What real clients ask for at login: resumption, copies, blocking, cards, ...
PLUGINS = (
    *("xep_0012", "xep_0030", "xep_0049", "xep_0054", "xep_0092", "xep_0115"),
    *("xep_0191", "xep_0198", "xep_0199", "xep_0202", "xep_0280", "xep_0352"),
)


class User(slixmpp.ClientXMPP):
    """One connection. `security` is "none", "starttls" or "tls"."""

    def __init__(self, jid, password, security="none", authorities=None, mechanism=None):
        # Without TLS slixmpp uses no password unless it is told to.
        plain = {"unencrypted_scram": True, "unencrypted_plain": True}
        config = {"feature_mechanisms": plain} if security == "none" else {}
        super().__init__(jid, password, sasl_mech=mechanism, plugin_config=config)
        self.enable_direct_tls = security == "tls"
        self.enable_starttls = security == "starttls"
        self.enable_plaintext = security == "none"
        self.ca_certs = Path(authorities) if authorities else None
        self.seen = []
        self.changed = asyncio.Condition()
        self.asked, self.answered = set(), set()
        self.add_filter("out", self.on_out)
        self.add_filter("in", self.on_in)
        for event, note in (
            ("session_start", "online"),
            ("session_resumed", "resumed"),
            ("failed_all_auth", "not authorized"),
            ("ssl_invalid_chain", "not trusted"),
            ("disconnected", "disconnected"),
        ):
            self.add_event_handler(event, lambda _, note=note: self.note(note))
        self.add_event_handler("connection_failed", self.on_failure)
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

    def on_out(self, stanza):
        if isinstance(stanza, slixmpp.Iq) and stanza["type"] in ("get", "set"):
            self.asked.add(stanza["id"])
        return stanza

    def on_in(self, stanza):
        if isinstance(stanza, slixmpp.Iq) and stanza["type"] in ("result", "error"):
            self.answered.add(stanza["id"])
        return stanza

    def on_failure(self, error):
        self.note("not trusted" if "CERTIFICATE_VERIFY_FAILED" in str(error) else str(error))

    def on_roster(self, iq):
        for jid, item in iq["roster"]["items"].items():
            groups = sorted(item["groups"])
            self.note("contact", iq["type"], str(jid), item["name"], groups, item["subscription"])

    def on_presence(self, presence):
        self.note("presence", presence["from"].bare, presence["type"], presence["status"])

    def on_message(self, message):
        self.note("message", message["from"].bare, message["body"])

    async def expect(self, *event):
        """Waits until this event has come, and forgets it."""

        async def come():
            async with self.changed:
                await self.changed.wait_for(lambda: event in self.seen)

        try:
            await asyncio.wait_for(come(), PATIENCE)
        except asyncio.TimeoutError:
            sys.exit(f"{self.boundjid}: waited in vain for {event}; came: {self.seen}")
        self.seen.remove(event)

    async def leave(self):
        """Closes the stream; every question must have its answer by then."""
        if unanswered := self.asked - self.answered:
            sys.exit(f"{self.boundjid}: no answer to {unanswered}")
        await self.disconnect()
