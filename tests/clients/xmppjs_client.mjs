// @xmpp/client over WebSocket, TLS and STARTTLS, directly and through nginx.
//
// Usage: node stage/main.mjs [--plain] MUSTER LOGS node xmppjs_client.mjs
import { client } from "@xmpp/client";
import { WebSocket } from "ws";

import { Connection, scenario } from "./scenario.mjs";
import { assert, password, stage, within } from "./stage/inside.mjs";
import { Transcript } from "./transcript.mjs";

// Newer versions of Node.js have one of their own.
globalThis.WebSocket = WebSocket;

const { ports } = stage;
const PLAIN = {
  WebSocket: { service: `ws://127.0.0.1:${ports.http}/xmpp-websocket`, domain: "localhost" },
};
const SECURE = {
  "WebSocket over TLS": { service: `wss://localhost:${ports.https}/xmpp-websocket`, domain: "localhost" },
  "WebSocket through nginx": { service: `wss://localhost:${ports.proxy}/xmpp-websocket`, domain: "localhost" },
  // The library asks for the certificate of the host that it connects to.
  TLS: { service: `xmpps://localhost:${ports.xmpps}`, domain: "localhost" },
  // Here it asks for that of the domain.
  STARTTLS: { service: `xmpp://127.0.0.1:${ports.xmpp}`, domain: "example.test" },
};

class Xmppjs extends Connection {
  static async connect(options, user, resource) {
    const self = new Xmppjs();
    self.transcript = new Transcript();
    self.client = client({ ...options, username: user, password: password(user), resource });
    // It listens for the server's header only once its own is known to be written,
    // and waits in vain for one that came before: the writing must not take long.
    const write = self.client.write.bind(self.client);
    self.client.write = async (text) => void write(text).catch((error) => self.errors.push(error));
    self.errors = [];
    self.client.on("error", (error) => self.errors.push(error));
    self.client.on("send", (element) => self.transcript.sent(`${element}`));
    self.client.on("element", (element) => self.transcript.received(`${element}`));
    self.client.on("stanza", (stanza) => self.arrived(stanza));
    // The library answers no push by itself, which a client must.
    self.client.iqCallee.set("jabber:iq:roster", "query", () => true);
    await within(`${user} to be online`, self.client.start());
    assert(stage.plain || self.client.isSecure(), "the connection is not under TLS");
    return self;
  }

  send(stanza) {
    return this.client.send(stanza);
  }

  async ask(iq) {
    iq.attrs.id ??= `ask-${Math.random().toString(36).slice(2)}`;
    // An error is an answer, too, which the library throws away.
    const answer = this.expect(`the answer to ${iq}`, (stanza) => stanza.attrs.id === iq.attrs.id && ["result", "error"].includes(stanza.attrs.type));
    await Promise.all([this.client.iqCaller.request(iq).catch(() => {}), answer]);
    return answer;
  }

  async stop() {
    await within("the stream to close", this.client.stop());
    assert(this.errors.length === 0, `errors: ${this.errors.join("; ")}`);
    const unanswered = this.transcript.unanswered();
    assert(unanswered.length === 0, `unanswered: ${unanswered.join("\n")}`);
  }
}

for (const [name, options] of Object.entries(stage.plain ? PLAIN : SECURE)) {
  const slowest = await scenario(options.domain, (user, resource) => Xmppjs.connect(options, user, resource));
  console.log(`${name}: slowest change ${slowest.toFixed(0)} ms`);
}
