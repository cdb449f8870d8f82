// Muster on the stage: certificates made by its own command, and the
// configuration that an operator would write.
import { execFileSync, spawn } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import path from "node:path";

/** A self-signed pair for each domain, and all certificates in one file. */
export async function makeCertificates({ binary, directory, domains }) {
  const certificates = { authorities: path.join(directory, "authorities.pem") };
  for (const domain of domains) {
    execFileSync(binary, ["cert", "self-signed", domain, "--out", directory]);
    const [certificate, key] = ["crt", "key"].map((ending) => path.join(directory, `${domain}.${ending}`));
    certificates[domain] = { certificate, key };
  }
  const all = domains.map((domain) => readFileSync(certificates[domain].certificate));
  writeFileSync(certificates.authorities, all.join(""));
  return certificates;
}

export async function startServer(stage) {
  const file = path.join(stage.directory, "muster.toml");
  writeFileSync(file, configuration(stage));
  const log = stage.log("muster");
  return spawn(stage.binary, ["serve", "--config", file], { stdio: ["ignore", log, log] });
}

function configuration({ certificates, domains, password, plain, ports, token, users }) {
  const at = (name) => `["127.0.0.1:${ports[name]}"]`;
  const accounts = users.map((user) => `${user} = "${password.replace("%s", user)}"`).join(", ");
  const host = (domain) => `
[[virtual_host]]
domain = "${domain}"
[virtual_host.tls]
certificate = "${certificates[domain].certificate}"
key = "${certificates[domain].key}"
[virtual_host.auth]
kind = "static"
users = { ${accounts} }
[virtual_host.roster]
http_roster_url = "http://127.0.0.1:${ports.app}/contacts/%s"
`;
  return `
[xmpp]
listen = ${at("xmpp")}
listen_tls = ${at("xmpps")}
require_tls = ${!plain}
[http]
listen = ${at("http")}
listen_tls = ${at("https")}
[web]
origins = ["http://localhost:${ports.app}"]
trusted_proxies = ["127.0.0.1"]
[admin]
tokens = ["${token}"]
[log]
level = "debug"
${domains.map(host).join("")}`;
}
