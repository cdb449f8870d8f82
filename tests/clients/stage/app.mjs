// The app that owns the contact lists, and the web site beside it: what the
// stage has in the place of a customer's own server.
//
//   GET  /contacts/USER   the contacts of USER, as Muster asks for them
//   PUT  /contacts/USER   new contacts; answers with what Muster says of the
//                         refresh that this asks for
//   GET  anything else    a file of `site`, for the clients that are web pages
import http from "node:http";
import { readFile } from "node:fs/promises";
import path from "node:path";

const TYPES = {
  ".css": "text/css",
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript",
  ".json": "application/json",
  ".png": "image/png",
  ".svg": "image/svg+xml",
  ".wasm": "application/wasm",
  ".woff2": "font/woff2",
};

/** Starts the app. `refresh(users)` asks Muster for a refresh and returns its
 *  summary; `site` maps the beginnings of paths to files and folders. */
export async function startApp(port, site, refresh) {
  const contacts = new Map();
  const server = http.createServer(async (request, response) => {
    const url = new URL(request.url, "http://app");
    const user = url.pathname.match(/^\/contacts\/([^/]+)$/)?.[1];
    try {
      if (user !== undefined) {
        await answerContacts(decodeURIComponent(user), contacts, refresh, request, response);
      } else {
        await answerFile(url.pathname, site, response);
      }
    } catch (error) {
      response.writeHead(500).end(String(error));
    }
  });
  await new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, "127.0.0.1", resolve);
  });
  return server;
}

async function answerContacts(user, contacts, refresh, request, response) {
  let answer;
  if (request.method === "PUT") {
    let body = "";
    for await (const part of request) body += part;
    contacts.set(user, JSON.parse(body));
    answer = await refresh([user]);
  } else {
    answer = contacts.get(user) ?? {};
  }
  response.writeHead(200, { "Content-Type": "application/json" }).end(JSON.stringify(answer));
}

async function answerFile(asked, site, response) {
  const start = Object.keys(site).find((start) => asked.startsWith(start));
  const file = start && path.join(site[start], path.normalize(asked.slice(start.length)));
  let content;
  try {
    content = await readFile(file);
  } catch {
    response.writeHead(404).end();
    return;
  }
  const type = TYPES[path.extname(file)] ?? "application/octet-stream";
  response.writeHead(200, { "Content-Type": type }).end(content);
}
