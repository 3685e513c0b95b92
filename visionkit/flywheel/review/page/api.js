// What the page asks of the server. An error carries `status` (0: the server can't be reached).

export const session = keepSession();

// A page that is loaded anew keeps its name, and with it its pictures. One that was duplicated or
// opened by another has got a copy of that one's, which must stay its own.
function keepSession() {
  const [navigation] = performance.getEntriesByType("navigation");
  let name = navigation?.type === "reload" ? sessionStorage.getItem("visionkit.session") : null;
  if (!name) {
    name = crypto.randomUUID ? crypto.randomUUID() : makeId();
    sessionStorage.setItem("visionkit.session", name);
  }
  return name;
}

export function makeId() {
  // randomUUID is there in secure contexts only; a tablet may come by plain http.
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return [...bytes].map((value) => value.toString(16).padStart(2, "0")).join("");
}

export class ServerError extends Error {
  constructor(status, what, wayOut, seconds = 0) {
    super(what);
    this.status = status;
    this.wayOut = wayOut;
    this.seconds = seconds;
  }
}

async function ask(path, options = {}) {
  let response;
  try {
    response = await fetch(path, { ...options, signal: AbortSignal.timeout(30000) });
  } catch {
    throw new ServerError(0, "The server can’t be reached", "It is tried again.");
  }
  let body = null;
  try {
    body = await response.json();
  } catch {
    // Not ours, or cut off: told by its status.
  }
  if (response.ok && body !== null) return body;
  const words = (body && body.error) || { what: `The server answered ${response.status}`, way_out: "" };
  const seconds = Number(response.headers.get("retry-after")) || 0;
  throw new ServerError(response.ok ? 0 : response.status, words.what, words.way_out, seconds);
}

function send(path, value) {
  return ask(path, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(value),
  });
}


const MOST_HELD = 200; // ids that one request may name
let turn = Promise.resolve();

// Asks for pictures, and hands the reply to `use`. One at a time, with what `message()` says when its
// turn comes: the server gives back all that is not named as held.
export function take(message, use) {
  const ask = () => {
    const told = message();
    return send("/api/take", { session, ...told, held: told.held.slice(0, MOST_HELD) });
  };
  const mine = turn.then(async () => use(await ask()));
  turn = mine.catch(() => {});
  return mine;
}

export const sendAnswers = (reviewer, catalog, answers) => send("/api/answers", { session, reviewer, catalog, answers });
export const overview = () => ask("/api/overview");
export const card = (id, reviewer) => ask(`/api/card?${new URLSearchParams({ id, reviewer, session })}`);
export const pictureUrl = (id) => `/picture?${new URLSearchParams({ id })}`;
export const thumbnailUrl = (id) => `/thumbnail?${new URLSearchParams({ id })}`;
export const cropUrl = (id) => `/crop?${new URLSearchParams({ id })}`;

// Says that the pictures of this page lie before nobody any more; sent while the page goes.
export function giveBack(reviewer, held) {
  const words = JSON.stringify({ session, reviewer, held: held.slice(0, MOST_HELD), count: 0 });
  navigator.sendBeacon("/api/take", new Blob([words], { type: "application/json" }));
}
