// Answers on their way to the server. Each lies in the browser's own store from the key press until
// the server has said what became of it: closing the page or stopping the server loses none. An
// answer is sent with the same id again, and the server counts an id once. It is sent to the catalog
// that it was given for alone; where another one is served at this address, it waits.

import { ServerError, sendAnswers } from "./api.js";

const PREFIX = "visionkit.answer.";
const BATCH = 50;
const AGAIN = 4000; // ms

export class Outbox {
  // told(entry, result): what became of an answer; changed(): how many wait, or whether it is well;
  // moved(): another catalog is served here.
  constructor({ told, changed, moved }) {
    this.told = told;
    this.changed = changed;
    this.moved = moved;
    this.catalog = ""; // id of the one that is served; "" while it is not known
    this.reachable = true;
    this.trouble = "";
    this.sending = new Set();
    this.entries = load();
    this.pause = 250;
    this.running = false;
    this.batch = BATCH;
  }

  // Those that can be sent. What an older page stored names no catalog.
  get open() {
    return this.entries.filter((entry) => !entry.catalog || entry.catalog === this.catalog);
  }

  get size() {
    return this.open.length;
  }

  // How many wait for another catalog.
  get elsewhere() {
    return this.entries.length - this.size;
  }

  // The server has just said which catalog it serves.
  serve(catalog) {
    this.catalog = catalog;
    this.reachable = true;
    this.changed();
    this.run();
  }

  // Ids of the pictures whose answers wait.
  get pictures() {
    return this.open.map((entry) => entry.answer.sample_id);
  }

  add(reviewer, answer) {
    const entry = { reviewer, catalog: this.catalog, answer, order: Date.now() + this.entries.length / 1000 };
    this.entries.push(entry);
    try {
      localStorage.setItem(PREFIX + answer.id, JSON.stringify(entry));
    } catch {
      this.trouble = "This browser keeps nothing: leave the page open until all is saved.";
    }
    this.changed();
    this.run();
  }

  // Whether an answer that was not sent yet is taken out again.
  drop(id) {
    const known = this.entries.find((entry) => entry.answer.id === id);
    if (!known || this.sending.has(id)) return false;
    this.forget(known);
    this.changed();
    return true;
  }

  // Takes out all that waits about the picture of an answer that was not written: it was said of what
  // that one was to make of it.
  dropAfter({ answer, reviewer }) {
    const later = this.open.filter((entry) => entry.answer.sample_id === answer.sample_id && entry.reviewer === reviewer);
    later.forEach((entry) => this.forget(entry));
    return later;
  }

  async run() {
    if (this.running) return;
    this.running = true;
    try {
      while (this.size) await this.sendSome();
    } catch (error) {
      setTimeout(() => this.run(), AGAIN); // a fault of ours or of what was told keeps nothing back
      throw error;
    } finally {
      this.running = false;
    }
  }

  async sendSome() {
    const [{ reviewer, catalog = "" }] = this.open;
    const isAlike = (entry) => entry.reviewer === reviewer && (entry.catalog || "") === catalog;
    const batch = this.open.filter(isAlike).slice(0, this.batch);
    batch.forEach((entry) => this.sending.add(entry.answer.id));
    try {
      const reply = await sendAnswers(reviewer, catalog, batch.map((entry) => entry.answer));
      this.settle(batch, reply.results);
      this.batch = BATCH;
      this.reachable = true;
      this.pause = 250;
    } catch (error) {
      if (!(error instanceof ServerError)) throw error;
      if (isFinal(error.status)) {
        this.settleRefused(batch, error);
      } else {
        this.reachable = error.status === 429 || error.status === 409;
        if (error.status === 409) await this.moved();
        await new Promise((resolve) => setTimeout(resolve, Math.max(this.pause, error.seconds * 1000)));
        this.pause = Math.min(this.pause * 2, 4000);
      }
    } finally {
      batch.forEach((entry) => this.sending.delete(entry.answer.id));
      this.changed();
    }
  }

  settle(batch, results) {
    const byId = new Map(results.map((result) => [result.id, result]));
    for (const entry of batch) {
      const result = byId.get(entry.answer.id);
      if (!result || !this.entries.includes(entry)) continue;
      this.forget(entry);
      this.told(entry, result);
    }
  }

  // A request was refused as a whole: sent one by one, it shows which answer can't be.
  settleRefused(batch, error) {
    if (batch.length > 1) {
      this.batch = 1;
      return;
    }
    const [entry] = batch;
    this.forget(entry);
    this.told(entry, { id: entry.answer.id, status: "refused", what: error.message, way_out: error.wayOut });
  }

  forget(entry) {
    this.entries = this.entries.filter((other) => other !== entry);
    localStorage.removeItem(PREFIX + entry.answer.id);
  }
}

function isFinal(status) {
  return status === 413 || status === 422;
}

function load() {
  const found = [];
  for (let place = 0; place < localStorage.length; place += 1) {
    const key = localStorage.key(place);
    if (!key.startsWith(PREFIX)) continue;
    try {
      found.push(JSON.parse(localStorage.getItem(key)));
    } catch {
      localStorage.removeItem(key);
    }
  }
  return found.sort((one, other) => one.order - other.order);
}
