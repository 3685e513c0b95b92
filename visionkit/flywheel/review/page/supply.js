// Pictures that come next, fetched and decoded before they are asked for.

import { pictureUrl, take } from "./api.js";

const AHEAD = 12;
const LOW = 8;
const TRIES = 6;

export class Supply {
  // wishes(): {reviewer, wanted}; holding(): ids of all pictures that lie here.
  constructor({ wishes, holding, changed }) {
    this.wishes = wishes;
    this.holding = holding;
    this.changed = changed;
    this.cards = [];
    this.images = new Map();
    this.left = 0;
    this.round = 0;
    this.asking = null;
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
    this.fill(card ? [card.id] : []);
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

  fill(before = []) {
    if (this.cards.length > LOW || this.asking) return this.asking;
    const round = this.round;
    this.asking = this.ask(round, before).finally(() => {
      if (round === this.round) this.asking = null;
    });
    return this.asking;
  }

  async ask(round, before) {
    const held = [...new Set([...before, ...this.holding()])].slice(0, 200);
    try {
      const reply = await take({ ...this.wishes(), held, count: AHEAD - this.cards.length });
      if (round !== this.round) return;
      const known = new Set([...before, ...this.holding()]);
      this.cards.push(...reply.cards.filter((card) => !known.has(card.id)));
      this.left = reply.left;
      this.failed = false;
      this.cards.forEach((card) => this.load(card.id));
      this.trim(before);
    } catch (error) {
      this.failed = true;
      this.changed(error);
      return;
    }
    this.changed(null);
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

  trim(before) {
    const wanted = new Set([...before, ...this.cards.map((card) => card.id)]);
    const old = [...this.images.keys()].filter((id) => !wanted.has(id));
    old.slice(0, Math.max(0, old.length - AHEAD)).forEach((id) => this.images.delete(id));
  }
}
