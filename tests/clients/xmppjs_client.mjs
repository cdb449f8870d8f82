// @xmpp/client over WebSocket, TLS and STARTTLS, directly and through nginx.
//
// Usage: node stage/main.mjs [--plain] MUSTER LOGS node xmppjs_client.mjs
import { client } from "@xmpp/client";
import xml from "@xmpp/xml";
import { WebSocket } from "ws";

import { Connection, scenario } from "./scenario.mjs";
import { assert, password, stage, within } from "./stage/inside.mjs";

// Newer versions of Node.js have one of their own.
globalThis.WebSocket = WebSocket;

const { ports } = stage;
const PLAIN = {
  WebSocket: { service: `ws://127.0.0.1:${ports.http}/xmpp-websocket`, domain: "localhost" },
};
const SECURE = {
  "WebSocket over TLS": { service: `wss://localhost:${ports.https}/xmpp-websocket`, domain: "localhost" },
  "WebSocket through nginx": { service: `wss://localhost:${ports.proxy}/xmpp-websocket`, domain: "localhost", cut: true },
  // The library asks for the certificate of the host that it connects to.
  TLS: { service: `xmpps://localhost:${ports.xmpps}`, domain: "localhost", cut: true },
  // Here it asks for that of the domain.
  STARTTLS: { service: `xmpp://127.0.0.1:${ports.xmpp}`, domain: "example.test" },
};

class Xmppjs extends Connection {
  static async connect(options, user, resource) {
    const self = new Xmppjs();
    self.client = client({ ...options, username: user, password: password(user), resource });
    // It listens for the server's header only once its own is known to be written,
    // and waits in vain for one that came before: the writing must not take long.
    // What cannot be written is missed by whoever waits for the answer.
    const write = self.client.write.bind(self.client);
    self.client.write = async (text) => void write(text).catch(() => {});
    self.errors = [];
    self.client.on("error", (error) => self.errors.push(error));
    self.client.on("send", (element) => self.transcript.sent(`${element}`));
    self.client.on("element", (element) => self.transcript.received(`${element}`));
    self.client.on("stanza", (stanza) => self.arrived(stanza));
    // The library answers no push by itself, which a client must.
    self.client.iqCallee.set("jabber:iq:roster", "query", () => true);
    // Being online is told before stream management is.
    const managed = new Promise((resolve) =>
      self.client.on("nonza", (element) => element.is("enabled", "urn:xmpp:sm:3") && resolve()),
    );
    await within(`${user} to be online`, self.client.start());
    await within("stream management", managed);
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

/** The socket is cut while a message is under way; the session goes on. */
async function resumption(options) {
  const john = await Xmppjs.connect(options, "john", "desk");
  const marie = await Xmppjs.connect(options, "marie", "desk");
  await john.send(xml("presence"));
  await john.expect("his own presence", (stanza) => stanza.is("presence"));
  const resumed = new Promise((resolve) => john.client.streamManagement.once("resumed", resolve));
  const socket = john.client.socket.socket ?? john.client.socket;
  (socket.terminate ?? socket.destroy).call(socket);
  await marie.send(xml("message", { to: john.client.jid.toString(), type: "chat" }, xml("body", {}, "still there?")));
  await within("the session to be resumed", resumed);
  await john.message("still there?");
  await john.send(xml("message", { to: marie.client.jid.toString(), type: "chat" }, xml("body", {}, "yes")));
  await marie.message("yes");
  john.errors = [];
  for (const connection of [john, marie]) await connection.stop();
}

for (const [name, options] of Object.entries(stage.plain ? PLAIN : SECURE)) {
  const slowest = await scenario(options.domain, (user, resource) => Xmppjs.connect(options, user, resource));
  if (options.cut) await resumption(options);
  console.log(`${name}: slowest change ${slowest.toFixed(0)} ms`);
}
