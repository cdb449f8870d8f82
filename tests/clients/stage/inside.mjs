// The stage as a client's script sees it.

/** Ports, domains, users and certificates; see main.mjs. */
export const stage = JSON.parse(process.env.STAGE ?? fail("this runs on a stage: see stage/main.mjs"));

/** Nothing takes this long unless it is broken. */
export const PATIENCE_MS = 20_000;
/** What changes in the app is with the client within this time. */
export const PROMPT_MS = 1_000;

export function password(user) {
  return stage.password.replace("%s", user);
}

/** Gives a user new contacts in the app, as an app's own page would, and waits
 *  until Muster has told what came of it. */
export async function setContacts(user, contacts) {
  const url = `http://127.0.0.1:${stage.ports.app}/contacts/${user}`;
  const put = fetch(url, { method: "PUT", body: JSON.stringify(contacts) });
  const reply = await within("the app", put);
  const summaries = await reply.json();
  for (const [domain, summary] of Object.entries(summaries)) {
    if (summary.status !== "ok" || summary.errors !== 0) {
      fail(`the refresh of ${user}@${domain}: ${JSON.stringify(summary)}`);
    }
  }
}

/** The value of a promise, which must come in time. */
export async function within(what, promise, milliseconds = PATIENCE_MS) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`waited in vain for ${what}`)), milliseconds);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

export function assert(holds, what) {
  if (!holds) fail(what);
}

function fail(what) {
  throw new Error(what);
}
