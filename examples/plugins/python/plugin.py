"""Teaches Muster an app that lists friends in pages and has a webhook.

Muster asks for GET /contacts/<user>, and passes on what the app sends to
/roster_admin/; which requests run at once, and what reaches a client, is
Muster's affair.
"""
import sys
from urllib.parse import urljoin

from wit_world import exports
from wit_world.imports import store

from wasi_http import answer, get, read

JSON, REFRESH = b"application/json", b"application/vnd.muster.refresh+json"


class Handler(exports.Handler):
    async def handle(self, request):
        path = request.get_path_with_query()
        try:
            if path.startswith("/contacts/"):
                return await contacts(path[10:], request.get_headers().get("if-none-match"))
            return await hook(request) if path == "/roster_admin/hook" else answer(404)
        except Exception as error:  # The user keeps the roster that is known.
            print(repr(error), file=sys.stderr)
            return answer(502)


async def contacts(user, known):
    """The roster of a user: page after page of the app's friends."""
    roster, etag, first = {}, [], store.get("http_roster_url").replace("%s", user)
    url = first
    while url:
        page = await get(url, [("if-none-match", value) for value in known])
        known = []  # The first page stands for all.
        status = page.get_status_code()
        if status != 200:  # Muster knows what it means, but half a list is none.
            return answer(status if url == first else 502)
        etag = etag or page.get_headers().get("etag")
        document = await read(page)
        for friend in document["friends"]:
            roster[f"{friend['handle']}@{store.get('domain')}"] = {
                "name": friend.get("name"), "groups": friend.get("lists", []),
                "subscription": "both" if friend.get("mutual") else "to",
            }
        url = document.get("next") and urljoin(url, document["next"])
    return answer(200, roster, [("content-type", JSON), *(("etag", value) for value in etag)])


async def hook(request):
    """{"event": "friends-changed", "people": ["john", …]}: whom to refresh."""
    document = await read(request)
    if document["event"] != "friends-changed":
        return answer(202)
    return answer(200, document["people"], [("content-type", REFRESH)])
