// What the page says of itself: why no picture is shown, and which answers wait.

import { byId, counted, make } from "./build.js";

// showAll(): takes the filter away.
export function drawEmpty({ asking, failed, others }, filtered, showAll) {
  const waiting = Boolean(asking || failed);
  const taken = !waiting && others > 0;
  const over = filtered ? "No picture fits this filter" : "All pictures are judged";
  const words = failed ? "The server can’t be reached" : asking ? "Fetching pictures" : taken ? "Nothing is free just now" : over;
  const lie = others === 1 ? "lies" : "lie";
  const where = taken ? make("p", {}, `${counted(others, "picture")} ${lie} before other people; what they leave comes here.`) : null;
  const next = !waiting && !taken && !filtered ? make("p", {}, "visionkit merge makes a new version of the data with your answers.") : null;
  const more = filtered && !waiting ? make("button", { type: "button", class: "plain tool", on: { click: showAll } }, "Show all") : null;
  byId("empty").replaceChildren(...[make("h1", {}, words), where, next, more].filter(Boolean));
  byId("empty").hidden = false;
  delete document.documentElement.dataset.shown;
}

export function drawLink({ size, elsewhere, reachable, trouble }) {
  const link = byId("link");
  const waiting = size ? `${counted(size, "answer")} to be saved` : "";
  const others = elsewhere ? `${counted(elsewhere, "answer")} of another catalog ${elsewhere === 1 ? "waits" : "wait"} here` : "";
  link.title = elsewhere ? "Saved when that catalog is served at this address" : "";
  link.textContent = trouble || (reachable ? (size > 3 ? waiting : others) : `No server: ${waiting}, nothing is lost`);
  link.classList.toggle("off", !reachable || Boolean(trouble));
}
