// Converse.js in Chromium over WebSocket and BOSH: what a person sees, and what
// the console says. Without TLS, its page is on an origin of its own; behind
// nginx, page and Muster share one.
//
// Usage: node stage/main.mjs [--plain] MUSTER LOGS node converse_client.mjs
import { createHash, X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import path from "node:path";

import { chromium } from "playwright-core";

import { assert, password, PATIENCE_MS, PROMPT_MS, setContacts, stage } from "./stage/inside.mjs";
import { Transcript } from "./transcript.mjs";

const { app, http, proxy } = stage.ports;
const HERE = `http://localhost:${app}/index.html`;
const PLAIN = {
  WebSocket: `${HERE}?websocket=ws://localhost:${http}/xmpp-websocket`,
  BOSH: `${HERE}?bosh=http://localhost:${http}/http-bind`,
};
// Port 443 leads to the stage's nginx. With no address given, Converse.js asks
// for host-meta and takes WebSocket.
const SECURE = {
  "WebSocket through nginx": "https://localhost/index.html",
  "BOSH through nginx": "https://localhost/index.html?bosh=https://localhost/http-bind",
};
// Before a login over BOSH it looks for a session of an earlier page.
const EXPECTED = /^Could not restore session for jid: .* no restoreable session\.$/;
const EXECUTABLE = process.env.CHROMIUM ?? "/usr/bin/chromium";

const jid = (user) => `${user}@localhost`;
const MARIE = { [jid("marie")]: { name: "Marie", groups: ["Friends"] } };
const AARON = { [jid("aaron")]: { name: "Aaron", groups: ["Work"] } };
const JULIET = { [jid("juliet")]: { name: "Juliet", groups: ["Friends"] } };

/** A browser with one user of Converse.js, and everything that went wrong. */
class Person {
  faults = [];
  transcript = new Transcript();

  static async login(browser, url, user) {
    const self = new Person();
    self.user = user;
    self.context = await browser.newContext({ viewport: { width: 1100, height: 700 } });
    self.page = await self.context.newPage();
    self.page.setDefaultTimeout(PATIENCE_MS);
    self.#watch();
    // The login page has its sponsors' pictures fetched from elsewhere.
    await self.page.route("https://conversejs.org/**", (route) => route.fulfill({ status: 200, body: "" }));
    await self.page.goto(url);
    const form = self.page.locator("converse-login-form form");
    await form.locator("input[name=jid]").fill(jid(user));
    await form.locator("input[name=password]").fill(password(user));
    await form.locator("input[type=submit], button[type=submit]").first().click();
    await self.contact("").first().waitFor();
    // A reload would take this away.
    await self.page.evaluate(() => (globalThis.stillTheSame = true));
    return self;
  }

  #watch() {
    const { page, faults, transcript } = this;
    page.on("console", (message) => {
      const counts = ["error", "warning"].includes(message.type());
      if (counts && !EXPECTED.test(message.text())) faults.push(`console: ${message.text()}`);
    });
    page.on("pageerror", (error) => faults.push(`exception: ${error.stack ?? error}`));
    page.on("requestfailed", (request) => {
      // BOSH holds a request until there is an answer; the page ends first.
      if (!this.leaving) faults.push(`request: ${request.url()} ${request.failure()?.errorText}`);
    });
    page.on("response", (response) => {
      if (response.status() >= 400) faults.push(`response: ${response.status()} ${response.url()}`);
    });
    page.on("websocket", (socket) => {
      socket.on("framesent", ({ payload }) => transcript.sent(`${payload}`));
      socket.on("framereceived", ({ payload }) => transcript.received(`${payload}`));
      socket.on("socketerror", (error) => faults.push(`socket: ${error}`));
    });
    page.on("requestfinished", async (request) => {
      if (!request.url().endsWith("/http-bind") || request.method() !== "POST") return;
      transcript.sent(request.postData() ?? "");
      const response = await request.response();
      transcript.received((await response?.text().catch(() => "")) ?? "");
    });
  }

  /** Contacts in the list whose text has this. */
  contact(text) {
    return this.page.locator("converse-roster converse-roster-contact", { hasText: text });
  }

  /** Groups in the list with this title. */
  group(title) {
    return this.page.locator("converse-roster .roster-group", { hasText: title });
  }

  screenshot(name) {
    const file = path.join(stage.logs, "..", `converse ${name}.png`.toLowerCase().replaceAll(" ", "-"));
    return this.page.screenshot({ path: file });
  }

  async chatWith(text) {
    await this.contact(text).locator("a").first().click();
    await this.page.locator("converse-chat textarea.chat-textarea").waitFor();
  }

  async say(text) {
    const area = this.page.locator("converse-chat textarea.chat-textarea");
    await area.fill(text);
    await area.press("Enter");
  }

  message(text) {
    return this.page.locator("converse-chat-message", { hasText: text });
  }

  async leave() {
    assert(await this.page.evaluate(() => globalThis.stillTheSame), "the page was loaded again");
    const unanswered = this.transcript.unanswered();
    assert(this.transcript.requests() > 3, "no request was seen");
    assert(unanswered.length === 0, `unanswered: ${unanswered.join("\n")}`);
    assert(this.faults.length === 0, `${this.user}: ${this.faults.join("\n")}`);
    this.leaving = true;
    await this.context.close();
  }
}

async function scenario(browser, name, url) {
  await setContacts("john", { ...MARIE, ...AARON });
  await setContacts("marie", { [jid("john")]: { name: "John", groups: [] } });
  const john = await Person.login(browser, url, "john");
  const marie = await Person.login(browser, url, "marie");

  await john.group("Friends").locator("converse-roster-contact", { hasText: "Marie" }).waitFor();
  await john.group("Work").locator("converse-roster-contact", { hasText: "Aaron" }).waitFor();
  await john.screenshot(`${name} roster`);

  const start = performance.now();
  await setContacts("john", { ...MARIE, ...AARON, ...JULIET });
  await john.group("Friends").locator("converse-roster-contact", { hasText: "Juliet" }).waitFor();
  const took = performance.now() - start;
  assert(took < PROMPT_MS, `the new contact took ${took} ms`);
  await setContacts("john", { ...MARIE, ...JULIET, [jid("aaron")]: { name: "Aaron B.", groups: ["Chess"] } });
  await john.group("Chess").locator("converse-roster-contact", { hasText: "Aaron B." }).waitFor();
  await setContacts("john", { ...MARIE, [jid("aaron")]: { name: "Aaron B.", groups: ["Chess"] } });
  await john.contact("Juliet").waitFor({ state: "detached" });
  await john.group("Work").waitFor({ state: "detached" });

  await marie.chatWith("John");
  await marie.say("hello, John <&> \u{1F600}");
  await john.chatWith("Marie");
  await john.message("hello, John <&>").waitFor();
  await john.say("hello, Marie");
  await marie.message("hello, Marie").waitFor();
  await john.screenshot(name);
  for (const person of [john, marie]) await person.leave();
  return took;
}

const certificate = new X509Certificate(readFileSync(stage.certificates.localhost.certificate));
const key = certificate.publicKey.export({ type: "spki", format: "der" });
const browser = await chromium.launch({
  executablePath: EXECUTABLE,
  args: [
    // The stage's certificate and no other.
    `--ignore-certificate-errors-spki-list=${createHash("sha256").update(key).digest("base64")}`,
    `--host-resolver-rules=MAP localhost:443 127.0.0.1:${proxy}`,
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
  ],
});
try {
  for (const [name, url] of Object.entries(stage.plain ? PLAIN : SECURE)) {
    const took = await scenario(browser, name, url);
    console.log(`${name}: a new contact is seen after ${took.toFixed(0)} ms`);
  }
} finally {
  await browser.close();
}
