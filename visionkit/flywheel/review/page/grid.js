// Many crops of one item at once: a person marks those that are not it, and one key answers all.

import { cropUrl, makeId, take, thumbnailUrl } from "./api.js";
import { byId, make } from "./build.js";
import { AGAIN, EMPTY_EVERY } from "./supply.js";

const TILES = 40;

export class Grid {
  // wishes(): {reviewer, wanted}; answer(pairs, {item, marked}): sends them; holding(): ids of all pictures that lie here.
  // release(): lets pictures go that the grid may be given then; whether there were any.
  constructor({ wishes, answer, holding, release, problem }) {
    this.wishes = wishes;
    this.answer = answer;
    this.holding = holding;
    this.release = release;
    this.problem = problem;
    this.item = "";
    this.cards = [];
    this.marked = new Set();
    this.unread = new Set(); // ids of pictures that can't be shown, about which nobody can answer
    this.passed = [];
    this.round = 0;
    this.words = "";
    this.started = 0;
  }

  // again: whether it was empty before, and goes on saying why.
  async open(item, again = false) {
    const round = (this.round += 1);
    this.item = item;
    this.cards = [];
    this.marked = new Set();
    this.unread = new Set();
    if (!again) this.words = item ? "Fetching pictures." : "Choose an item.";
    this.draw();
    if (!item) return;
    let trouble = null;
    try {
      await this.ask(round);
      if (round === this.round && !this.cards.length && this.letGo()) await this.ask(round);
    } catch (error) {
      trouble = error;
    }
    if (round === this.round) this.asked(trouble);
    if (trouble) this.problem(trouble);
  }

  ask(round) {
    const message = () => {
      const wishes = this.wishes();
      const { item, passed } = this;
      return { ...wishes, wanted: { ...wishes.wanted, item }, count: TILES, alone: true, held: this.holding(), passed };
    };
    return take(message, (reply) => {
      if (round === this.round) this.cards = upTo(TILES, reply.cards);
    });
  }

  // What was passed over or left for later comes again where there is nothing else.
  letGo() {
    const { length } = this.passed;
    this.passed = [];
    return this.release() || length > 0;
  }

  asked(trouble) {
    this.words = trouble ? "The server can’t be reached." : `No more pictures that show only ${this.item}.`;
    this.started = performance.now();
    this.draw();
    byId("tiles").querySelector("button")?.focus();
    if (!this.cards.length) this.later(trouble ? AGAIN : EMPTY_EVERY);
  }

  later(milliseconds) {
    const { round, item } = this;
    setTimeout(() => {
      if (round === this.round) this.open(item, true);
    }, milliseconds);
  }

  close() {
    this.round += 1;
    this.cards = [];
  }

  // Asks again what was answered: `item` of these cards, with the marks that were set.
  restore(cards, { item, marked }) {
    this.round += 1;
    this.item = item;
    this.cards = cards;
    this.marked = marked;
    this.unread = new Set();
    this.started = performance.now();
    this.draw();
  }

  get tiles() {
    return this.cards.flatMap((card) => card.claims.filter((claim) => claim.there).map((claim) => ({ card, claim })));
  }

  draw() {
    const tiles = this.tiles;
    byId("grid-count").textContent = tiles.length || "";
    byId("grid-item").textContent = this.item || "item";
    byId("tiles").replaceChildren(...tiles.map((tile) => this.tile(tile)));
    byId("tiles").hidden = tiles.length === 0;
    byId("grid-hint").hidden = tiles.length === 0;
    byId("grid-empty").hidden = tiles.length > 0;
    byId("grid-empty").replaceChildren(make("p", {}, this.words));
    for (const name of ["grid-accept", "grid-flip", "grid-skip"]) byId(name).disabled = tiles.length === 0;
    this.drawWords();
  }

  drawWords() {
    const shown = this.tiles.filter(({ card }) => !this.unread.has(card.id));
    const not = shown.filter(({ claim }) => this.marked.has(claim.proposal)).length;
    const words = [`${shown.length - not} are ${this.item}`];
    if (not) words.push(`${not} not`);
    if (shown.length < this.tiles.length) words.push(`${this.tiles.length - shown.length} can’t be read`);
    byId("grid-words").textContent = this.cards.length ? words.join(", ") : "";
  }

  tile({ card, claim }) {
    if (this.unread.has(card.id)) return make("button", { type: "button", class: "tile", disabled: true }, make("em", {}, "can’t be read"));
    const source = claim.box ? cropUrl(claim.proposal) : thumbnailUrl(card.id);
    const isMarked = this.marked.has(claim.proposal);
    const flip = (event) => this.toggle(claim.proposal, event.currentTarget);
    return make(
      "button",
      { type: "button", class: isMarked ? "tile not" : "tile", ariaPressed: String(isMarked), ariaLabel: `${claim.label} in ${card.name}`, on: { click: flip } },
      make("img", { src: source, alt: "", draggable: false, on: { error: () => this.leaveOut(card) } }),
      make("span", {}, claim.score.toFixed(2)),
    );
  }

  leaveOut(card) {
    if (!this.cards.includes(card)) return;
    this.unread.add(card.id);
    this.tiles.forEach((tile, place) => {
      if (tile.card === card) byId("tiles").children[place].replaceWith(this.tile(tile));
    });
    this.drawWords();
  }

  toggle(id, element) {
    const isMarked = !this.marked.delete(id);
    if (isMarked) this.marked.add(id);
    element.classList.toggle("not", isMarked);
    element.ariaPressed = String(isMarked);
    this.drawWords();
  }

  flip() {
    this.tiles.forEach(({ card, claim }, place) => {
      if (!this.unread.has(card.id)) this.toggle(claim.proposal, byId("tiles").children[place]);
    });
  }

  skip() {
    return this.pass(this.cards.map((card) => card.id));
  }

  pass(ids) {
    this.passed = [...this.passed, ...ids].slice(-160);
    return this.open(this.item);
  }

  // What can't be read is passed over: nobody can say what it shows.
  submit() {
    const read = this.cards.filter((card) => !this.unread.has(card.id));
    if (!read.length) return this.cards.length ? this.skip() : undefined;
    const milliseconds = Math.round((performance.now() - this.started) / read.length);
    this.answer(read.map((card) => ({ card, message: this.message(card, milliseconds) })), { item: this.item, marked: this.marked });
    return this.pass([...this.unread]);
  }

  message(card, milliseconds) {
    const there = card.claims.filter((claim) => claim.there);
    const kept = there.filter((claim) => !this.marked.has(claim.proposal));
    const action = kept.length === there.length ? "accept" : kept.length ? "edit" : "reject";
    return {
      id: makeId(),
      sample_id: card.id,
      revision: card.revision,
      action,
      labels: [...new Set(kept.filter((claim) => !claim.box).map((claim) => claim.label))],
      objects: kept.filter((claim) => claim.box).map(({ label, box }) => ({ label, box })),
      seen: card.claims.filter((claim) => claim.proposal).map((claim) => claim.proposal),
      model: card.model,
      milliseconds,
    };
  }

  // Moves the focus by a key of the arrows.
  move(key) {
    const tiles = [...byId("tiles").children];
    if (!tiles.length) return;
    const place = tiles.indexOf(document.activeElement);
    const across = tiles.filter((tile) => tile.offsetTop === tiles[0].offsetTop).length;
    const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -across, ArrowDown: across }[key];
    tiles[Math.min(Math.max(place < 0 ? 0 : place + step, 0), tiles.length - 1)].focus();
  }
}

// The first cards that have no more than `count` claims together; at least one.
function upTo(count, cards) {
  let sum = 0;
  return cards.filter((card, place) => {
    sum += card.claims.filter((claim) => claim.there).length;
    return place === 0 || sum <= count;
  });
}
