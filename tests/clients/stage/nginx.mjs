// nginx as docs/reverse-proxy.md tells to configure it: the very file, with
// other addresses, paths and names.
import { spawn } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";

const FILE = new URL("../../../docs/nginx.conf", import.meta.url);

/** Starts nginx in the foreground; its files are in the stage's directory. */
export function startNginx(stage) {
  const directory = path.join(stage.directory, "nginx");
  mkdirSync(directory);
  const file = path.join(directory, "nginx.conf");
  writeFileSync(file, configuration(stage, directory));
  const log = stage.log("nginx");
  return spawn("nginx", ["-p", directory, "-e", "stderr", "-c", file], { stdio: ["ignore", log, log] });
}

function configuration(stage, directory) {
  const { ports, certificates } = stage;
  const { certificate, key } = certificates.localhost;
  let server = readFileSync(fileURLToPath(FILE), "utf8");
  // What an operator has to change; each must be there.
  for (const [theirs, ours] of [
    ["listen 443 ssl", `listen 127.0.0.1:${ports.proxy} ssl`],
    ["listen [::]:443 ssl;", ""],
    ["server_name chat.example.com", "server_name localhost"],
    ["/etc/ssl/certs/chat.example.com.pem", certificate],
    ["/etc/ssl/private/chat.example.com.key", key],
    ["127.0.0.1:5280", `127.0.0.1:${ports.http}`],
    ["127.0.0.1:8080", `127.0.0.1:${ports.app}`],
  ]) {
    if (!server.includes(theirs)) throw new Error(`docs/nginx.conf has no "${theirs}"`);
    server = server.replaceAll(theirs, ours);
  }
  // Temporary files go where anyone may write.
  const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
  const paths = temporary.map((name) => `${name}_temp_path ${directory}/${name};`);
  return `daemon off;
master_process off;
pid ${directory}/pid;
events {}
http {
access_log /dev/stdout;
${paths.join("\n")}
${server}
}
`;
}
