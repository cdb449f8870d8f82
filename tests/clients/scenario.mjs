// What every library for JavaScript has to get through, over each transport:
// login, the roster and what the app changes in it, presence, messages on
// several devices, and the questions that clients ask at login.
import xml from "@xmpp/xml";

import { assert, PROMPT_MS, setContacts, stage, within } from "./stage/inside.mjs";
import { Transcript } from "./transcript.mjs";

/** One connection of a client, as the scenario uses it. A library's script
 *  implements `connect`, `send` and `stop` with what the library has for it, and
 *  hands every stanza that comes to `arrived`. */
export class Connection {
  /** Everything that went over it. */
  transcript = new Transcript();
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
      throw new Error(`${error.message}; this came:\n${this.#mail.join("\n")}\nand this was said last:\n${this.transcript.end()}`);
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

  await questions(john, domain);
  const slowest = await roster(john, jid);
  for (const connection of [phone, marie]) await get(connection, "jabber:iq:roster");
  await presence(john, marie, jid);
  await devices(john, phone, marie, jid);
  await block(john, marie, jid);

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

/** Two devices of john: each sees what the other sends and gets. */
async function devices(john, phone, marie, jid) {
  const carbons = () => xml("iq", { type: "set" }, xml("enable", { xmlns: "urn:xmpp:carbons:2" }));
  for (const device of [john, phone]) result(await device.ask(carbons()));
  await phone.send(xml("presence", {}, xml("status", {}, "away")));
  await phone.expect("marie's presence", (stanza) => stanza.is("presence") && stanza.attrs.from.startsWith(jid("marie")));

  const text = "hello, Marie <&> \u{1F600}";
  await john.send(message(`${jid("marie")}`, text));
  const arrived = await marie.message(text);
  await phone.expect("the copy of what john sent", copy("sent", text));
  await marie.send(message(arrived.attrs.from, "and hello to you"));
  await john.message("and hello to you");
  await phone.expect("the copy of what john got", copy("received", "and hello to you"));
}

function message(to, body) {
  return xml("message", { to, type: "chat", id: `m-${body.length}` }, xml("body", {}, body));
}

function copy(direction, body) {
  return (stanza) => {
    const forwarded = stanza.getChild(direction, "urn:xmpp:carbons:2")?.getChild("forwarded", "urn:xmpp:forward:0");
    return forwarded?.getChild("message", "jabber:client")?.getChildText("body") === body;
  };
}

/** Marie's messages come back to her while john blocks her. */
async function block(john, marie, jid) {
  const command = (name) =>
    xml("iq", { type: "set" }, xml(name, { xmlns: "urn:xmpp:blocking" }, xml("item", { jid: jid("marie") })));
  result(await john.ask(command("block")));
  await marie.send(message(jid("john"), "do you hear me?"));
  await marie.expect("the message to come back", (stanza) => stanza.is("message") && stanza.attrs.type === "error");
  const listed = await john.ask(xml("iq", { type: "get" }, xml("blocklist", { xmlns: "urn:xmpp:blocking" })));
  const blocked = result(listed).getChild("blocklist").getChildren("item").map((item) => item.attrs.jid);
  assert(blocked.join() === jid("marie"), `the blocklist is ${blocked}`);
  result(await john.ask(command("unblock")));
  await marie.send(message(jid("john"), "and now?"));
  await john.message("and now?");
}

/** What clients ask at login: answered at once, whether or not we know it. */
async function questions(john, domain) {
  const iq = (type, to, child) => xml("iq", { type, ...(to && { to }) }, child);
  const query = (xmlns, ...children) => xml("query", { xmlns }, ...children);
  const server = result(await john.ask(iq("get", domain, query("http://jabber.org/protocol/disco#info"))));
  const features = server.getChild("query").getChildren("feature").map((feature) => feature.attrs.var);
  for (const feature of ["urn:xmpp:carbons:2", "urn:xmpp:ping", "urn:xmpp:blocking", "vcard-temp"]) {
    assert(features.includes(feature), `the server does not tell that it has ${feature}: ${features}`);
  }
  const card = xml("vCard", { xmlns: "vcard-temp" }, xml("FN", {}, "John"));
  const note = query("jabber:iq:private", xml("note", { xmlns: "urn:example:note" }, "milk"));
  const bookmarks = xml("items", { node: "urn:xmpp:bookmarks:1" });
  for (const [what, request, type] of [
    ["session", iq("set", null, xml("session", { xmlns: "urn:ietf:params:xml:ns:xmpp-session" })), "result"],
    ["ping", iq("get", domain, xml("ping", { xmlns: "urn:xmpp:ping" })), "result"],
    ["items", iq("get", domain, query("http://jabber.org/protocol/disco#items")), "result"],
    ["version", iq("get", domain, query("jabber:iq:version")), "result"],
    ["time", iq("get", domain, xml("time", { xmlns: "urn:xmpp:time" })), "result"],
    ["own vCard, set", iq("set", null, card), "result"],
    ["own vCard", iq("get", null, xml("vCard", { xmlns: "vcard-temp" })), "result"],
    ["a note, set", iq("set", null, note), "result"],
    ["a note", iq("get", null, query("jabber:iq:private", xml("note", { xmlns: "urn:example:note" }))), "result"],
    ["a contact's vCard", iq("get", `aaron@${domain}`, xml("vCard", { xmlns: "vcard-temp" })), "any"],
    ["bookmarks", iq("get", null, xml("pubsub", { xmlns: "http://jabber.org/protocol/pubsub" }, bookmarks)), "any"],
    ["rooms", iq("get", `conference.${domain}`, query("http://jabber.org/protocol/disco#info")), "error"],
    ["what nobody knows", iq("get", domain, xml("nothing", { xmlns: "urn:example:nothing" })), "error"],
  ]) {
    const start = performance.now();
    const answer = await john.ask(request);
    const took = performance.now() - start;
    assert(took < PROMPT_MS, `${what}: answered after ${took} ms`);
    assert(type === "any" || answer.attrs.type === type, `${what}: ${answer}`);
    if (what === "own vCard") assert(answer.getChild("vCard").getChildText("FN") === "John", `${what}: ${answer}`);
    if (what === "a note") assert(`${answer}`.includes(">milk<"), `${what}: ${answer}`);
  }
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
