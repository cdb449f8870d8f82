-- Prosody as bench/run measures it, beside bench/muster.toml: everyone may log
-- in, rosters come from the app, everything is on loopback and in memory.
local function env(name)
	return assert(os.getenv(name), name .. " is not set");
end

run_as_root = true
daemonize = false
pidfile = env("PB_DIR") .. "/prosody.pid"
data_path = env("PB_DIR") .. "/data"
plugin_paths = { env("PB_MODULES") }
log = { { levels = { min = "warn" }, to = "file", filename = env("PB_DIR") .. "/prosody.log" } }

-- "incremental" is what Prosody ships with, "generational" is cheaper here.
gc = { mode = env("PB_GC") }
network_backend = "epoll"
-- Larger bursts of connections, and no time-out of idle clients.
network_settings = { read_timeout = 86400, tcp_backlog = 1024, max_wait = 3600 }

interfaces = { "127.0.0.1" }
c2s_interfaces = { "127.0.0.1" }
c2s_ports = { 25222 }
c2s_direct_tls_ports = { }
s2s_ports = { }
http_interfaces = { "127.0.0.1" }
http_ports = { 25280 }
https_ports = { }
http_max_content_size = 64 * 1024 * 1024
c2s_timeout = 3600

c2s_require_encryption = false
allow_unencrypted_plain_auth = true
authentication = "any"

modules_enabled = { "saslauth", "disco", "ping", "http", "block_subscriptions", "http_roster_admin" }
modules_disabled = { "roster", "s2s", "offline", "limits" }
default_storage = "memory"
storage = { roster = "memory", accounts = "memory" }

http_roster_url = "http://127.0.0.1:25300/contacts/%s"

VirtualHost "example.test"
	http_host = "127.0.0.1"
