// What the server tells of the catalog as a whole, read anew every now and then.

import { overview } from "./api.js";

const EVERY = 20000;
const TONES = 8;

export class Facts {
  // heard(isAnother): they are there, maybe of another catalog than before; problem(error): they could not be read.
  constructor({ heard, problem }) {
    this.heard = heard;
    this.problem = problem;
    this.now = null; // until they are first heard
  }

  start() {
    setInterval(() => this.read(), EVERY);
    window.addEventListener("focus", () => this.read());
  }

  async read() {
    let now;
    try {
      now = await overview();
    } catch (error) {
      this.problem(error);
      return;
    }
    const before = this.catalog; // as it is by now: two may be read at once
    this.now = now;
    this.heard(before !== "" && before !== this.catalog);
  }

  // Id of the catalog; "" while it is not known.
  get catalog() {
    return this.now?.catalog ?? "";
  }

  // Names of all items and classes.
  get labels() {
    return this.now?.labels ?? [];
  }

  // Those that open pictures show, the most frequent first.
  get items() {
    return Object.keys(this.now?.items ?? {});
  }

  get leaseSeconds() {
    return this.now?.lease_seconds ?? 180;
  }

  // Number of the colour that a name is shown in.
  tone(label) {
    const place = this.labels.indexOf(label);
    return (place < 0 ? [...label].reduce((sum, sign) => sum + sign.codePointAt(0), 0) : place) % TONES;
  }
}
