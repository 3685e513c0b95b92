// Pictures that come next, fetched and decoded before they are asked for.

import { pictureUrl, take } from "./api.js";

const AHEAD = 12;
const LOW = 8;
const MOST_SKIPPED = 120; // that can all be named as held
const TRIES = 6;
export const AGAIN = 1500; // ms until the server is asked again after an error
export const EMPTY_EVERY = 4000; // ms until it is where it had nothing: leases of others end

export class Supply {
  // wishes(): {reviewer, wanted}; holding(): ids of the pictures that lie here.
  constructor({ wishes, holding, changed }) {
    this.wishes = wishes;
    this.holding = holding;
    this.changed = changed;
    this.cards = []; // not seen yet, or to be seen again at once
    this.skipped = []; // left for later: they come after all others
    this.drafts = new Map(); // by the id of a picture: what was changed in it and not answered yet
    this.images = new Map();
    this.left = 0;
    this.others = 0; // of those left, how many lie before other people
    this.round = 0;
    this.asking = null;
    this.later = 0;
    this.failed = false;
    this.resting = false; // while the grid is open, which asks about the same pictures
    this.dry = false; // whether the server has none that is not here
  }

  reset() {
    this.round += 1;
    this.cards = [];
    this.skipped = [];
    this.dry = false;
    this.asking = null;
  }

  // Lets all go that nobody has seen, so that the grid may be given them, until `wake`.
  rest() {
    this.round += 1;
    this.cards = [];
    this.asking = null;
    this.resting = true;
  }

  wake() {
    this.resting = false;
    this.dry = false;
  }

  // Lets those go, too, that were left for later as they were; whether there were any.
  release() {
    const { length } = this.skipped;
    this.skipped = this.skipped.filter((card) => this.drafts.has(card.id));
    return this.skipped.length < length;
  }

  forgetAll() {
    this.drafts.clear();
    this.images.clear();
  }

  // The next card, or undefined while there is none.
  next() {
    const again = this.skipped.length > MOST_SKIPPED || (!this.cards.length && (this.dry || this.failed));
    const card = (again ? this.skipped : this.cards).shift();
    this.fill();
    return card;
  }

  // All that lie here, those that come first in front.
  get all() {
    return [...this.cards, ...this.skipped];
  }

  putBack(draft) {
    this.forget(draft.card.id);
    this.cards.unshift(draft.card);
    this.keep(draft);
    this.load(draft.card.id);
  }

  putLast(draft) {
    this.skipped.push(draft.card);
    this.keep(draft);
  }

  keep(draft) {
    if (draft.steps.length) this.drafts.set(draft.card.id, draft);
    else this.drafts.delete(draft.card.id);
  }

  // What was made of a card before, as far as nobody has answered about it since.
  draftOf(card) {
    const draft = this.drafts.get(card.id);
    this.drafts.delete(card.id);
    return draft?.card.revision === card.revision ? draft : undefined;
  }

  forget(id) {
    this.cards = this.cards.filter((card) => card.id !== id);
    this.skipped = this.skipped.filter((card) => card.id !== id);
  }

  fill() {
    if (this.cards.length > LOW || this.asking || this.resting) return this.asking;
    this.asking = this.ask(this.round);
    return this.asking;
  }

  // Asks again after a while.
  again(milliseconds = AGAIN) {
    clearTimeout(this.later);
    this.later = setTimeout(() => this.fill(), milliseconds);
  }

  async ask(round) {
    let trouble = null;
    let held = [];
    const message = () => {
      held = this.holding();
      return { ...this.wishes(), held, count: Math.max(AHEAD - this.cards.length, 0) };
    };
    try {
      await take(message, (reply) => round === this.round && this.add(reply, held));
    } catch (error) {
      trouble = error;
    }
    if (round !== this.round) return;
    this.asking = null; // before it is told: what is drawn says whether an answer is awaited
    this.failed = Boolean(trouble);
    this.changed(trouble);
  }

  add({ cards, left }, held) {
    const known = new Set(this.holding());
    const fresh = cards.filter((card) => !known.has(card.id));
    this.cards.push(...fresh);
    this.dry = !fresh.length;
    this.left = left;
    this.others = Math.max(0, left - held.length - cards.length);
    this.cards.forEach((card) => this.load(card.id));
    this.trim();
  }

  // The picture of a card as an element, whether it is there yet or not.
  image(id) {
    return this.load(id);
  }

  load(id) {
    const known = this.images.get(id);
    if (known) return known;
    const image = new Image();
    image.decoding = "sync";
    let tries = 0;
    image.addEventListener("error", async () => {
      tries += 1;
      if (tries === TRIES || (await isGone(id))) {
        image.dataset.gone = "true";
        image.dispatchEvent(new Event("gone"));
      } else setTimeout(() => { image.src = `${pictureUrl(id)}&try=${tries}`; }, 500 * 2 ** tries);
    });
    image.src = pictureUrl(id);
    image.decode().catch(() => {});
    this.images.set(id, image);
    return image;
  }

  trim() {
    const wanted = new Set(this.holding());
    const old = [...this.images.keys()].filter((id) => !wanted.has(id));
    old.slice(0, Math.max(0, old.length - AHEAD)).forEach((id) => this.images.delete(id));
  }
}

// Whether the server says that there is no such picture, or no file of it.
async function isGone(id) {
  try {
    return (await fetch(pictureUrl(id))).status === 404;
  } catch {
    return false;
  }
}
