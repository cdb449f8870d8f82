// What a client needs around it, for one client: certificates, the app, Muster
// and nginx in front of both, on free ports of 127.0.0.1. Everything ends with
// the client.
//
// Usage: node stage/main.mjs [--plain] MUSTER LOGS COMMAND...
//
// MUSTER is the built binary, LOGS a directory for what everyone says. COMMAND
// runs with the environment variable STAGE, a JSON object of all that it has
// to know, and its exit code is this one's. With --plain Muster lets clients log
// in without TLS, as on a developer's machine.
import { spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, openSync, rmSync } from "node:fs";
import http from "node:http";
import net from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";

import { startApp } from "./app.mjs";
import { startNginx } from "./nginx.mjs";

const { makeCertificates, startServer } = await import(process.env.STAGE_SERVER ?? "./muster.mjs");

const DOMAINS = ["localhost", "example.test"];
const USERS = ["john", "marie", "aaron", "juliet", "romeo"];
const CLIENTS = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
// Nothing takes this long unless it is broken.
const PATIENCE_MS = 30_000;

const plain = process.argv[2] === "--plain";
const [binary, logs, ...command] = process.argv.slice(plain ? 3 : 2);
mkdirSync(logs, { recursive: true });
const directory = mkdtempSync(path.join(tmpdir(), "muster-stage-"));
const running = [];
let code = 1;
for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => running.at(-1)?.kill());
try {
  code = await play();
} catch (error) {
  console.error(error.message);
} finally {
  for (const process of running.reverse()) await end(process);
  rmSync(directory, { recursive: true, force: true });
}
process.exit(code);

async function play() {
  const stage = {
    domains: DOMAINS,
    users: USERS,
    password: "%s-secret",
    token: "token-of-the-stage",
    plain,
    directory,
    logs,
    log: (name) => openSync(path.join(logs, `${name}.log`), "w"),
    binary,
    ports: await freePorts("xmpp", "xmpps", "http", "https", "app", "proxy"),
  };
  stage.certificates = await makeCertificates(stage);

  const modules = path.join(CLIENTS, "node_modules");
  const site = {
    "/converse/": path.join(modules, "converse.js/dist/"),
    "/": path.join(CLIENTS, "site/"),
  };
  const app = await startApp(stage.ports.app, site, (users) => refresh(stage, users));
  running.push(started("Muster", await startServer(stage)));
  running.push(started("nginx", startNginx(stage)));
  await Promise.all(["http", "proxy"].map((name) => listening(stage.ports[name])));
  await ready(stage);

  const told = { ...stage, log: undefined, directory: undefined, binary: undefined };
  const client = spawn(command[0], command.slice(1), {
    stdio: "inherit",
    env: {
      ...process.env,
      STAGE: JSON.stringify(told),
      NODE_EXTRA_CA_CERTS: stage.certificates.authorities,
    },
  });
  running.push(client);
  const status = await new Promise((resolve) => {
    client.once("error", (error) => resolve(console.error(error.message) ?? 1));
    client.once("exit", (code) => resolve(code ?? 1));
  });
  app.closeAllConnections();
  app.close();
  return status;
}

/** Ends the stage if this process ends before it. */
function started(name, child) {
  child.once("error", (error) => console.error(`${name}: ${error.message}`));
  child.once("exit", (code) => {
    if (!child.expected) console.error(`${name} ended with ${code}; its log is in ${logs}`);
  });
  return child;
}

async function end(child) {
  child.expected = true;
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
  const ended = new Promise((resolve) => child.once("exit", resolve));
  child.kill("SIGTERM");
  await ended;
}

/** Ports that nobody listens on: a row for each process, so that no two stages
 *  want the same, and below those that the system gives to outgoing connections. */
async function freePorts(...names) {
  const rows = 1_000;
  for (let row = process.pid; row < process.pid + rows; row += 1) {
    const first = 12_000 + (row % rows) * 16;
    const ports = names.map((name, index) => [name, first + index]);
    const all = await Promise.all(ports.map(([, port]) => free(port)));
    if (all.every(Boolean)) return Object.fromEntries(ports);
  }
  throw new Error("no free ports");
}

function free(port) {
  return new Promise((resolve) => {
    const probe = net.createServer();
    probe.once("error", () => resolve(false));
    probe.listen(port, "127.0.0.1", () => probe.close(() => resolve(true)));
  });
}

async function until(what, holds) {
  const deadline = Date.now() + PATIENCE_MS;
  while (!(await holds())) {
    if (running.some((child) => child.exitCode !== null)) throw new Error(`${what}: a process ended`);
    if (Date.now() > deadline) throw new Error(`waited in vain for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

async function listening(port) {
  await until(`a listener at port ${port}`, async () => !(await free(port)));
}

async function ready(stage) {
  const url = `http://127.0.0.1:${stage.ports.http}/readyz`;
  await until("Muster to be ready", async () => {
    // Prosody, for a comparison, has no such route: it listens when it is ready.
    return (await fetch(url)).ok || process.env.STAGE_SERVER !== undefined;
  });
}

/** Asks Muster for a refresh of these users of every domain. */
async function refresh(stage, users) {
  const summaries = {};
  for (const domain of stage.domains) {
    const summary = await new Promise((resolve, reject) => {
      const request = http.request(
        {
          port: stage.ports.http,
          host: "127.0.0.1",
          path: "/roster_admin/refresh",
          method: "POST",
          headers: {
            Host: domain,
            Authorization: `Bearer ${stage.token}`,
            "Content-Type": "application/json",
          },
        },
        async (response) => {
          let body = "";
          for await (const part of response) body += part;
          resolve(response.statusCode === 200 ? JSON.parse(body) : { status: `${response.statusCode} ${body}` });
        },
      );
      request.once("error", reject);
      request.end(JSON.stringify(users));
    });
    summaries[domain] = summary;
  }
  return summaries;
}
