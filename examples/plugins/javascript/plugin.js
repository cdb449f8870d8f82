// Teaches Muster an app that lists friends in pages and has a webhook.
//
// Muster asks for GET /contacts/<user>, and passes on what the app sends to
// /roster_admin/; which requests run at once, and what reaches a client, is
// Muster's affair.
import { get } from "wasi:config/store@0.2.0-rc.1";

addEventListener("fetch", (event) => event.respondWith(answer(event.request)));

async function answer(request) {
  const path = new URL(request.url).pathname;
  try {
    if (path.startsWith("/contacts/")) return await contacts(path.slice(10), request);
    if (path === "/roster_admin/hook") return await hook(request);
    return new Response(null, { status: 404 });
  } catch (error) {
    // The log of Muster has it; the user keeps the roster that is known.
    console.error(`${error}`);
    return new Response(null, { status: 502 });
  }
}

// The roster of a user: page after page of the app's friends.
async function contacts(user, request) {
  let known = request.headers.get("if-none-match");
  const roster = {};
  let etag;
  const first = get("http_roster_url").replace("%s", user);
  let url = first;
  while (url) {
    const page = await fetch(url, { headers: known ? { "if-none-match": known } : {} });
    known = null; // The first page stands for all.
    // 304, 404 and whatever goes wrong: Muster knows what it means, but half a
    // list is none.
    if (page.status !== 200) {
      return new Response(null, { status: url === first ? page.status : 502 });
    }
    etag ??= page.headers.get("etag");
    const { friends, next } = await page.json();
    for (const { handle, name, lists, mutual } of friends) {
      const subscription = mutual ? "both" : "to";
      roster[`${handle}@${get("domain")}`] = { name, groups: lists, subscription };
    }
    url = next && new URL(next, url).href;
  }
  const headers = { "content-type": "application/json", ...(etag && { etag }) };
  return new Response(JSON.stringify(roster), { headers });
}

// {"event": "friends-changed", "people": ["john", …]}: whom to refresh.
async function hook(request) {
  const { event, people } = await request.json();
  if (event !== "friends-changed") return new Response(null, { status: 202 });
  const headers = { "content-type": "application/vnd.muster.refresh+json" };
  return new Response(JSON.stringify(people), { headers });
}
