// What every library for JavaScript has to get through, over each transport:
// login, the roster and what the app changes in it, presence and messages.
import xml from "@xmpp/xml";

import { assert, PROMPT_MS, setContacts, stage, within } from "./stage/inside.mjs";

/** One connection of a client, as the scenario uses it. A library's script
 *  implements `connect`, `send` and `stop` with what the library has for it, and
 *  hands every stanza that comes to `arrived`. */
export class Connection {
  #mail = [];
  #wake = () => {};

  /** Sends a stanza. */
  async send(_stanza) {}

  /** Sends an IQ and waits for its answer, be it a result or an error. */
  async ask(_iq) {}

  /** Closes the stream. */
  async stop() {}

  arrived(stanza) {
    this.#mail.push(stanza);
    this.#wake();
  }

  /** Waits for a stanza of which this holds, and takes it out of the mail. */
  async expect(what, holds) {
    const come = async () => {
      for (;;) {
        const index = this.#mail.findIndex(holds);
        if (index >= 0) return this.#mail.splice(index, 1)[0];
        await new Promise((resolve) => (this.#wake = resolve));
      }
    };
    try {
      return await within(what, come());
    } catch (error) {
      throw new Error(`${error.message}; came: ${this.#mail.join("\n")}`);
    }
  }

  /** A chat message with this body. */
  message(body) {
    return this.expect(`"${body}"`, (stanza) => stanza.is("message") && stanza.getChildText("body") === body);
  }

  /** The push of one item, in one line. */
  push(line) {
    return this.expect(`the push of ${line}`, (stanza) => stanza.attrs.type === "set" && items(stanza)[0] === line);
  }
}

/** `connect(user, resource)` logs in and returns a Connection. */
export async function scenario(domain, connect) {
  const jid = (user) => `${user}@${domain}`;
  await setContacts("john", { [jid("marie")]: { name: "Marie", groups: ["Friends"] } });
  await setContacts("marie", { [jid("john")]: { name: "John" } });
  const john = await connect("john", "desk");
  const phone = await connect("john", "phone");
  const marie = await connect("marie", "desk");

  const slowest = await roster(john, jid);
  for (const connection of [phone, marie]) await get(connection, "jabber:iq:roster");
  await presence(john, marie, jid);
  const text = "hello, Marie <&> \u{1F600}";
  await john.send(xml("message", { to: jid("marie"), type: "chat" }, xml("body", {}, text)));
  const arrived = await marie.message(text);
  await marie.send(xml("message", { to: arrived.attrs.from, type: "chat" }, xml("body", {}, "and hello to you")));
  await john.message("and hello to you");

  for (const connection of [john, phone]) await connection.stop();
  await marie.expect("john to go", (stanza) => stanza.attrs.type === "unavailable");
  await marie.stop();
  return slowest;
}

/** The roster, and what the app changes in it, each within a second. */
async function roster(john, jid) {
  const had = items(await get(john, "jabber:iq:roster"));
  assert(had.join() === `${jid("marie")} both Marie [Friends]`, `the roster is ${had}`);
  const marie = { [jid("marie")]: { name: "Marie", groups: ["Friends"] } };
  const change = async (contacts, line) => {
    const start = performance.now();
    await Promise.all([setContacts("john", contacts), john.push(line)]);
    const took = performance.now() - start;
    assert(took < PROMPT_MS, `${line} took ${took} ms`);
    return took;
  };
  const aaron = jid("aaron");
  const took = [
    await change({ ...marie, [aaron]: { name: "Aaron", groups: ["Work"] } }, `${aaron} both Aaron [Work]`),
    await change({ ...marie, [aaron]: { name: "A. <B>", groups: ["Work"] } }, `${aaron} both A. <B> [Work]`),
    await change({ ...marie, [aaron]: { name: "A. <B>", groups: ["Chess", "Work"] } }, `${aaron} both A. <B> [Chess,Work]`),
    await change(marie, `${aaron} remove  []`),
  ];
  return Math.max(...took);
}

async function presence(john, marie, jid) {
  const of = (user, status) => (stanza) =>
    stanza.is("presence") &&
    stanza.attrs.from.startsWith(`${jid(user)}/`) &&
    stanza.getChildText("status") === status;
  await john.send(xml("presence", {}, xml("status", {}, "here")));
  await john.expect("his own presence", of("john", "here"));
  await marie.send(xml("presence", {}, xml("status", {}, "there")));
  await john.expect("marie's presence", of("marie", "there"));
  await marie.expect("john's presence", of("john", "here"));
}

async function get(connection, xmlns) {
  return result(await connection.ask(xml("iq", { type: "get" }, xml("query", { xmlns }))));
}

function result(answer) {
  assert(answer.attrs.type === "result", `refused: ${answer}`);
  return answer;
}

/** Roster items: `jid subscription name [groups]`, sorted. */
function items(iq) {
  const found = iq.getChild("query", "jabber:iq:roster")?.getChildren("item") ?? [];
  const groups = (item) => item.getChildren("group").map((group) => group.text()).sort();
  return found
    .map((item) => `${item.attrs.jid} ${item.attrs.subscription} ${item.attrs.name ?? ""} [${groups(item)}]`)
    .sort();
}
