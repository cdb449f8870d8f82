// What the proxy lets through, and whom Muster takes its clients for.
//
// Usage: node stage/main.mjs MUSTER LOGS node proxy_client.mjs
import { readFileSync } from "node:fs";
import http from "node:http";
import https from "node:https";
import path from "node:path";

import { WebSocket } from "ws";

import { assert, stage, within } from "./stage/inside.mjs";

const { http: muster, proxy } = stage.ports;
const SITE = `https://localhost:${proxy}`;
// Also on loopback, but no trusted proxy.
const ELSEWHERE = "127.0.0.2";

function get(url, options = {}) {
  const client = url.startsWith("https") ? https : http;
  return within(
    url,
    new Promise((resolve, reject) => {
      const request = client.get(url, options, async (response) => {
        let body = "";
        for await (const part of response) body += part;
        resolve({ status: response.statusCode, body });
      });
      request.once("error", reject);
    }),
  );
}

/** Whether a WebSocket can be opened. */
function opens(url, options) {
  return new Promise((resolve) => {
    const socket = new WebSocket(url, ["xmpp"], options);
    socket.once("open", () => resolve(true) ?? socket.close());
    socket.once("error", () => resolve(false));
  });
}

const links = JSON.parse((await get(`${SITE}/.well-known/host-meta.json`)).body).links.map(({ href }) => href);
const expected = [`wss://localhost:${proxy}/xmpp-websocket`, `${SITE}/http-bind`];
assert(links.join() === expected.join(), `host-meta.json has ${links}`);
const xml = (await get(`${SITE}/.well-known/host-meta`)).body;
for (const href of expected) assert(xml.includes(`href="${href}"`) || xml.includes(`href='${href}'`), `host-meta has no ${href}: ${xml}`);
console.log("host-meta leads through the proxy");

for (const inside of ["/metrics", "/readyz", "/roster_admin/refresh"]) {
  const [outside, direct] = [await get(SITE + inside), await get(`http://localhost:${muster}${inside}`)];
  // The app answers with an empty 404.
  assert(outside.status === 404 && outside.body === "", `${inside} is reached: ${outside.status} ${outside.body}`);
  assert(direct.status !== 404, `${inside} is not even inside: ${direct.status}`);
}
console.log("what is for the app and the operator is not reached");

const socket = `wss://localhost:${proxy}/xmpp-websocket`;
assert(await opens(socket, { origin: SITE }), "the site's own page is refused");
assert(await opens(socket, { origin: `http://localhost:${stage.ports.app}` }), "a listed page is refused");
assert(!(await opens(socket, { origin: "https://elsewhere.example" })), "a foreign page is let in");
console.log("pages of this site and of the list may connect");

// Known by its own address, whatever it claims.
const claim = { localAddress: ELSEWHERE, headers: { "X-Forwarded-For": "192.0.2.7" } };
const stranger = new WebSocket(socket, ["xmpp"], claim);
stranger.once("open", () => stranger.send("no XML"));
// Which ends the stream, and is worth a line in the log.
await within("the stream to end", new Promise((resolve) => stranger.once("close", resolve)));
const log = () => readFileSync(path.join(stage.logs, "muster.log"), "utf8");
assert(log().includes(`peer=${ELSEWHERE}`), "the log does not know the client's address");
assert(!log().includes("192.0.2.7"), "a client's word about its address is believed");
console.log("clients are known by their own addresses");
