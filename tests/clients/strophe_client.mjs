// strophe.js over WebSocket and BOSH, directly and through nginx.
//
// Usage: node stage/main.mjs [--plain] MUSTER LOGS node strophe_client.mjs
import parse from "@xmpp/xml/lib/parse.js";
import xml from "@xmpp/xml";
import { Strophe } from "strophe.js";

import { Connection, scenario } from "./scenario.mjs";
import { assert, password, stage, within } from "./stage/inside.mjs";
import { XMLHttpRequest } from "./xhr.mjs";

globalThis.XMLHttpRequest = XMLHttpRequest;

const { http, https, proxy } = stage.ports;
const PLAIN = {
  WebSocket: `ws://127.0.0.1:${http}/xmpp-websocket`,
  BOSH: `http://127.0.0.1:${http}/http-bind`,
};
const SECURE = {
  "WebSocket over TLS": `wss://localhost:${https}/xmpp-websocket`,
  "WebSocket through nginx": `wss://localhost:${proxy}/xmpp-websocket`,
  "BOSH over TLS": `https://localhost:${https}/http-bind`,
  "BOSH through nginx": `https://localhost:${proxy}/http-bind`,
};
const DOMAIN = "localhost";

/** What strophe.js complained about in the console. */
let complaints = [];
Strophe.setLogLevel(Strophe.LogLevel.WARN);
for (const level of ["warn", "error"]) console[level] = (text) => complaints.push(`${text?.stack ?? text}`);

class StropheJs extends Connection {
  static async connect(service, user, resource) {
    const self = new StropheJs();
    const connection = new Strophe.Connection(service, {
      enableStreamManagement: service.startsWith("ws"),
    });
    self.strophe = connection;
    connection.rawOutput = (text) => self.transcript.sent(text);
    connection.rawInput = (text) => self.transcript.received(text);
    self.account = [`${user}@${DOMAIN}/${resource}`, password(user)];
    await within(`${user} to be online`, self.online());
    return self;
  }

  /** Connects, for the first time or again. */
  online() {
    return new Promise((resolve, reject) => {
      this.strophe.connect(...this.account, (status, condition) => {
        const { AUTHFAIL, CONNECTED, CONNFAIL, DISCONNECTED, ERROR } = Strophe.Status;
        if (status === CONNECTED) resolve();
        if (status === DISCONNECTED) this.gone?.();
        if ([AUTHFAIL, CONNFAIL, ERROR].includes(status)) reject(new Error(`${status} ${condition}`));
      });
      // The end of a connection takes them away.
      for (const name of ["iq", "message", "presence"]) {
        this.strophe.addHandler((stanza) => this.#take(stanza), null, name);
      }
    });
  }

  #take(stanza) {
    const taken = parse(Strophe.serialize(stanza));
    if (taken.is("iq") && taken.attrs.type === "set") {
      this.send(xml("iq", { type: "result", id: taken.attrs.id }));
    }
    this.arrived(taken);
    return true;
  }

  async send(stanza) {
    if (stanza.getNS() === undefined) stanza.attrs.xmlns = "jabber:client";
    this.strophe.send(Strophe.Stanza.toElement(`${stanza}`));
  }

  async ask(iq) {
    iq.attrs.id = this.strophe.getUniqueId("ask");
    const answer = this.expect(`the answer to ${iq}`, (stanza) => stanza.attrs.id === iq.attrs.id);
    await this.send(iq);
    return answer;
  }

  async stop() {
    const gone = new Promise((resolve) => (this.gone = resolve));
    this.strophe.flush();
    this.strophe.disconnect("bye");
    await within("the stream to close", gone);
    const unanswered = this.transcript.unanswered();
    assert(unanswered.length === 0, `unanswered: ${unanswered.join("\n")}`);
    assert(complaints.length === 0, `in the console: ${complaints.join("; ")}`);
  }
}

/** The socket is cut while a message is under way; the session goes on. */
async function resumption(service) {
  const john = await StropheJs.connect(service, "john", "desk");
  const marie = await StropheJs.connect(service, "marie", "desk");
  await john.send(xml("presence"));
  await john.expect("his own presence", (stanza) => stanza.is("presence"));
  const cut = new Promise((resolve) => (john.gone = resolve));
  john.strophe._proto.socket.terminate();
  await within("the library to see the cut", cut);
  await marie.send(xml("message", { to: john.account[0], type: "chat" }, xml("body", {}, "still there?")));
  await within("john to be back", john.online());
  assert(john.strophe.hasResumed(), "the session is a new one");
  await john.message("still there?");
  await john.send(xml("message", { to: marie.account[0], type: "chat" }, xml("body", {}, "yes")));
  await marie.message("yes");
  complaints = [];
  for (const connection of [john, marie]) await connection.stop();
}

for (const [name, service] of Object.entries(stage.plain ? PLAIN : SECURE)) {
  const slowest = await scenario(DOMAIN, (user, resource) => StropheJs.connect(service, user, resource));
  if (service.startsWith("ws")) await resumption(service);
  console.log(`${name}: slowest change ${slowest.toFixed(0)} ms`);
}
