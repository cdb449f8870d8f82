"""slixmpp, a client library that knows nothing of us.

Two users log in, see their rosters, and see what the app changes in them: a
contact is added, renamed, regrouped and removed, each by one request to the
app, which tells Muster. Presence goes both ways and a message is delivered.
Exits with 1 and says what was awaited if anything is missing.

Usage: slixmpp_client.py MUSTER, the path of the built binary: `muster demo`
without TLS, with each SASL mechanism. Without an argument, on the stage of
stage/main.mjs: STARTTLS and TLS, with the certificate verified, and with the
extensions that slixmpp has a plugin for.
"""

import asyncio
import logging
import sys
import time

import slixmpp
from slixmpp.exceptions import IqError

from slixmpp_places import Demo, Stage
from slixmpp_user import PATIENCE

# The promise of the demo: a push within a second of the change.
PROMPT = 1.0


async def prompt(what, change, *arrivals):
    """The change and what it must bring, within a second."""
    start = time.monotonic()
    await asyncio.gather(change, *arrivals)
    took = time.monotonic() - start
    if took > PROMPT:
        sys.exit(f"{what} took {took:.2f} s")
    return took


async def scenario(place, how):
    """`how` is the mechanism or the security of the connections."""
    john = await place.connect("john", how)
    marie = await place.connect("marie", how)
    john_jid, marie_jid, aaron_jid = (f"{name}@{place.domain}" for name in ("john", "marie", "aaron"))

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

    pair = ("john", "aaron")
    slowest = max(
        [
            await prompt("adding", place.befriend(*pair, "Work"), contact("Aaron", ["Work"])),
            await prompt("renaming", place.rename(*pair, "A. B."), contact("A. B.", ["Work"])),
            await prompt("regrouping", place.befriend(*pair, "Chess"), contact("A. B.", ["Chess"])),
            await prompt("removing", place.unfriend(*pair), contact("", [], "remove")),
        ]
    )

    # A message, what the plugins are for, and goodbye.
    john.send_message(marie_jid, "hello, Marie <&>", mtype="chat")
    await marie.expect("message", john_jid, "hello, Marie <&>")
    if "xep_0280" in john.plugin:
        await extensions(john, marie)
    await john.leave()
    await marie.expect("presence", john_jid, "unavailable", "")
    await marie.leave()
    return slowest


async def extensions(john, marie):
    """What slixmpp's plugins ask, each answered as they want it."""
    if not john.plugin["xep_0198"].enabled_in:
        sys.exit("stream management is not enabled")
    server = john.boundjid.domain
    await john.plugin["xep_0280"].enable()
    await john.plugin["xep_0199"].ping(server)
    info = await john.plugin["xep_0030"].get_info(server)
    if "urn:xmpp:blocking" not in info["disco_info"]["features"]:
        sys.exit(f"the server does not tell of blocking: {info}")
    await john.plugin["xep_0092"].get_version(server)
    await john.plugin["xep_0202"].get_entity_time(server)
    await john.plugin["xep_0012"].get_last_activity(server)
    john.plugin["xep_0352"].send_inactive()
    john.plugin["xep_0352"].send_active()
    card = john.plugin["xep_0054"].make_vcard()
    card["FN"] = "John"
    await john.plugin["xep_0054"].publish_vcard(card)
    kept = await john.plugin["xep_0054"].get_vcard(local=False)
    if kept["vcard_temp"]["FN"] != "John":
        sys.exit(f"the vCard is {kept}")
    # Hers is not there; she may see that at once.
    try:
        await john.plugin["xep_0054"].get_vcard(marie.boundjid.bare, timeout=PATIENCE)
    except IqError:
        pass
    await john.plugin["xep_0191"].block(marie.boundjid.bare)
    blocked = await john.plugin["xep_0191"].get_blocked_jids()
    if blocked != {marie.boundjid.bare}:
        sys.exit(f"the blocklist is {blocked}")
    await john.plugin["xep_0191"].unblock(marie.boundjid.bare)
    await marie.expect("presence", john.boundjid.bare, "unavailable", "")


async def distrust(stage, security):
    """Who does not know the certificate's issuer does not log in."""
    user = stage.user("john", security, trusting=False)
    user.connect(*stage.address(security))
    await user.expect("not trusted")
    user.cancel_connection_attempt()
    user.abort()


async def main(arguments):
    if arguments:
        async with Demo(arguments[0]) as demo:
            for mechanism in ("SCRAM-SHA-256", "SCRAM-SHA-1", "PLAIN"):
                slowest = await scenario(demo, mechanism)
                print(f"slixmpp {slixmpp.__version__} {mechanism}: slowest change {slowest * 1000:.0f} ms")
        return
    async with Stage() as stage:
        for security in ("starttls", "tls"):
            slowest = await scenario(stage, security)
            await distrust(stage, security)
            print(f"slixmpp {slixmpp.__version__} {security}: slowest change {slowest * 1000:.0f} ms")


if __name__ == "__main__":
    # A refused certificate is an error to asyncio, and wanted here.
    logging.basicConfig(level=logging.ERROR if len(sys.argv) > 1 else logging.CRITICAL)
    asyncio.run(main(sys.argv[1:]))
