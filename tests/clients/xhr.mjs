// XMLHttpRequest for Node.js, which has none: as much of it as strophe.js uses
// for BOSH.
import http from "node:http";
import https from "node:https";

import { DOMParser } from "@xmldom/xmldom";

const agents = { "http:": new http.Agent({ keepAlive: true }), "https:": new https.Agent({ keepAlive: true }) };

export class XMLHttpRequest {
  readyState = 0;
  status = 0;
  responseText = "";
  responseXML = null;
  onreadystatechange = () => {};
  #headers = {};
  #request;

  open(method, url) {
    this.#request = { method, url: new URL(url) };
    this.#become(1);
  }

  setRequestHeader(name, value) {
    this.#headers[name] = value;
  }

  overrideMimeType() {}

  getAllResponseHeaders() {
    return "";
  }

  send(body) {
    const { method, url } = this.#request;
    const { request } = url.protocol === "https:" ? https : http;
    const headers = { ...this.#headers, "Content-Length": Buffer.byteLength(body) };
    this.#request = request(url, { method, headers, agent: agents[url.protocol] }, async (response) => {
      this.status = response.statusCode;
      response.setEncoding("utf8");
      try {
        for await (const part of response) this.responseText += part;
        this.responseXML = new DOMParser().parseFromString(this.responseText, "text/xml");
      } catch {
        // A body that is cut off or no XML is for the caller to find.
      }
      this.#become(4);
    });
    this.#request.once("error", () => {
      this.status = 0;
      this.#become(4);
    });
    this.#request.end(body);
  }

  abort() {
    this.onreadystatechange = () => {};
    this.#request?.destroy?.();
  }

  #become(state) {
    this.readyState = state;
    this.onreadystatechange();
  }
}
