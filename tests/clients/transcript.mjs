// What a client and the server said to each other, as text: to see that no
// request was left without an answer, whatever the client's library makes of it.

/** The XML of one connection, or of several in a row. */
export class Transcript {
  #sent = "";
  #received = "";
  #lines = [];

  sent(text) {
    this.#sent += text;
    this.#lines.push(`> ${text}`);
  }

  received(text) {
    this.#received += text;
    this.#lines.push(`< ${text}`);
  }

  /** What was said last, in its order. */
  end() {
    return this.#lines.slice(-30).join("\n");
  }

  /** The requests that got no answer, as they were sent. */
  unanswered() {
    const answers = tags(this.#received).filter(({ type }) => type === "result" || type === "error");
    const answered = new Set(answers.map(({ id }) => id));
    const requests = tags(this.#sent).filter(({ type }) => type === "get" || type === "set");
    return requests.filter(({ id }) => !answered.has(id)).map(({ text }) => text);
  }

  /** How many requests the client made. */
  requests() {
    return tags(this.#sent).filter(({ type }) => type === "get" || type === "set").length;
  }
}

/** The start tags of IQs, with the beginning of what is in them. */
function tags(xml) {
  return [...xml.matchAll(/<iq\s([^>]*)>(?=(.{0,120}))/gs)].map(([start, attributes, rest]) => ({
    text: start + rest,
    type: attribute(attributes, "type"),
    id: attribute(attributes, "id"),
  }));
}

function attribute(text, name) {
  return text.match(new RegExp(`(?:^|\\s)${name}=(["'])(.*?)\\1`))?.[2];
}
