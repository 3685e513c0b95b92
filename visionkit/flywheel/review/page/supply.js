// Pictures that come next, fetched and decoded before they are asked for.

import { pictureUrl, take } from "./api.js";

const AHEAD = 12;
const LOW = 8;
const TRIES = 6;
const AGAIN = 1500; // ms until the server is asked again after an error

export class Supply {
  // wishes(): {reviewer, wanted}; holding(): ids of the pictures that lie here.
  constructor({ wishes, holding, changed }) {
    this.wishes = wishes;
    this.holding = holding;
    this.changed = changed;
    this.cards = [];
    this.images = new Map();
    this.left = 0;
    this.others = 0; // of those left, how many lie before other people
    this.round = 0;
    this.asking = null;
    this.later = 0;
    this.failed = false;
  }

  reset() {
    this.round += 1;
    this.cards = [];
    this.asking = null;
  }

  // The next card, or undefined while there is none.
  next() {
    const card = this.cards.shift();
    this.fill();
    return card;
  }

  putBack(card) {
    this.cards = [card, ...this.cards.filter((other) => other.id !== card.id)];
    this.load(card.id);
  }

  putLast(card) {
    this.cards.push(card);
  }

  forget(id) {
    this.cards = this.cards.filter((card) => card.id !== id);
  }

  fill() {
    if (this.cards.length > LOW || this.asking) return this.asking;
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
    this.cards.push(...cards.filter((card) => !known.has(card.id)));
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
    image.addEventListener("error", () => {
      tries += 1;
      if (tries < TRIES) setTimeout(() => { image.src = `${pictureUrl(id)}&try=${tries}`; }, 500 * 2 ** tries);
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
