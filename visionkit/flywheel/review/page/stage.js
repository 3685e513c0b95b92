// The picture with its boxes. Annotorious draws, moves and resizes them; what they mean is the draft's.

/* global Annotorious */

const LARGEST = 4; // small pictures are shown at most so much larger than they are
export const ZOOMS = [1, 1.5, 2, 3, 4];
const CROWD = 6; // more offered boxes than these bear their names only when they are pointed at or chosen

export class Stage {
  // drawn(box), moved(key, box), chosen(key or null): what a person did with pointer or finger.
  constructor(place, { drawn, moved, chosen, tone }) {
    this.place = place;
    this.handlers = { drawn, moved, chosen };
    this.tone = tone;
    this.zoom = 0;
    this.tags = [];
    this.quiet = false;
    new ResizeObserver(() => this.fit()).observe(place);
  }

  show(card, image) {
    this.clear();
    this.card = card;
    this.image = image;
    this.zoom = 0;
    image.alt = card.name;
    this.place.replaceChildren(image);
    this.fit();
    // Until then Annotorious takes what is shown for the picture's size: boxes would lie elsewhere.
    const loaded = image.naturalWidth > 0;
    this.place.classList.toggle("waiting", !loaded);
    if (!loaded) image.addEventListener("load", () => this.loaded(image), { once: true });
    this.place.classList.toggle("gone", this.gone);
    image.addEventListener("gone", () => this.image === image && this.place.classList.add("gone"));
    this.annotator = Annotorious.createImageAnnotator(image, { drawingMode: "drag", theme: "light" });
    this.layer = this.annotator.element.querySelector(".a9s-annotationlayer");
    this.layer.removeAttribute("tabindex");
    this.layer.setAttribute("preserveAspectRatio", "none"); // as wide and high as the picture, to the pixel
    this.watcher = new MutationObserver(() => this.paint());
    this.watcher.observe(this.layer, { childList: true, subtree: true });
    this.annotator.on("createAnnotation", (annotation) => this.created(annotation));
    this.annotator.on("selectionChanged", (annotations) => {
      if (!this.quiet) this.handlers.chosen(annotations.length ? annotations[0].id : null);
    });
    this.layer.addEventListener("pointerup", () => setTimeout(() => this.sync()));
    this.layer.addEventListener("pointerdown", (event) => this.leave(event), true);
    this.layer.addEventListener("pointermove", (event) => this.point(event.target.closest(".a9s-annotation")?.dataset.id));
    this.layer.addEventListener("pointerleave", () => this.point(undefined));
  }

  // Whether there is nothing to be seen, so that nothing can be said of it.
  get gone() {
    return Boolean(this.image?.dataset.gone);
  }

  loaded(image) {
    if (this.image !== image) return;
    this.place.classList.remove("waiting");
    if (this.draft) this.draw(this.draft);
  }

  clear() {
    this.watcher?.disconnect();
    this.annotator?.destroy();
    this.annotator = null;
    this.place.replaceChildren();
  }

  fit() {
    if (!this.image) return;
    const [width, height] = [this.card.width, this.card.height];
    const room = [this.place.clientWidth - 32, this.place.clientHeight - 32];
    const fitted = Math.max(Math.min(room[0] / width, room[1] / height, LARGEST), 0.01);
    const factor = fitted * ZOOMS[this.zoom];
    this.image.style.width = `${Math.round(width * factor)}px`;
    this.image.style.height = `${Math.round(height * factor)}px`;
  }

  magnify(direction) {
    this.zoom = Math.min(Math.max(this.zoom + direction, 0), ZOOMS.length - 1);
    this.fit();
    if (this.draft?.current?.box) this.centre(this.draft.current.box);
  }

  centre(box) {
    const [across, down] = [(box[0] + box[2]) / 2 / this.card.width, (box[1] + box[3]) / 2 / this.card.height];
    this.place.scrollTo(across * this.image.clientWidth - this.place.clientWidth / 2 + 16, down * this.image.clientHeight - this.place.clientHeight / 2 + 16);
  }

  // Shows the draft as it is now.
  draw(draft) {
    this.draft = draft;
    if (!this.annotator) return;
    this.quiet = true;
    // Boxes are read back with the scale that they were set with: while a picture loads its size
    // becomes known in between.
    this.scale = this.shownScale();
    const boxed = draft.entries.filter((entry) => entry.box && (entry.there || entry.proposal || entry.key === draft.chosen));
    this.annotator.setAnnotations(boxed.map((entry) => this.annotation(entry)), true);
    if (draft.current?.box) this.annotator.setSelected(draft.chosen, true);
    else this.annotator.cancelSelected();
    this.quiet = false;
    this.drawTags(boxed);
    this.paint();
  }

  // Pixels of the shown file for one of the picture, across and down: the sides of a small file are
  // rounded, which in a narrow picture is much.
  shownScale() {
    const { naturalWidth, naturalHeight } = this.image;
    const { width, height } = this.card;
    return [(naturalWidth || width) / width, (naturalHeight || height) / height];
  }

  annotation({ key, box }) {
    const [minX, minY, maxX, maxY] = box.map((value, place) => value * this.scale[place % 2]);
    const geometry = { x: minX, y: minY, w: maxX - minX, h: maxY - minY, bounds: { minX, minY, maxX, maxY } };
    return { id: key, bodies: [], target: { annotation: key, selector: { type: "RECTANGLE", geometry } } };
  }

  created(annotation) {
    const box = this.boxOf(annotation);
    this.quiet = true;
    this.annotator.cancelSelected();
    this.annotator.removeAnnotation(annotation.id);
    this.quiet = false;
    this.handlers.drawn(box);
  }

  // Annotorious draws only while nothing is chosen: a press beside the chosen box lets go of it, and
  // is made again once the layer has become ready to draw.
  leave(event) {
    const own = event.target.closest(".a9s-handle, .a9s-shape-handle, .a9s-edge-handle, .a9s-corner-handle, [class*=a9s-handle]");
    if (!this.draft?.chosen || own || !event.isTrusted) return;
    event.stopImmediatePropagation();
    const { clientX, clientY, pointerId, pointerType, isPrimary, button, buttons } = event;
    this.handlers.chosen(null);
    const again = { clientX, clientY, pointerId, pointerType, isPrimary, button, buttons, bubbles: true, cancelable: true };
    setTimeout(() => document.elementFromPoint(clientX, clientY)?.dispatchEvent(new PointerEvent("pointerdown", again)));
  }

  // Takes over what was moved or resized.
  sync() {
    if (!this.annotator || !this.draft) return;
    for (const annotation of this.annotator.getAnnotations()) {
      const entry = this.draft.find(annotation.id);
      if (!entry?.box) continue;
      const box = this.boxOf(annotation);
      if (box.some((value, place) => Math.abs(value - entry.box[place]) > 0.5)) this.handlers.moved(entry.key, box);
    }
  }

  boxOf(annotation) {
    const { x, y, w, h } = annotation.target.selector.geometry;
    return [x, y, x + w, y + h].map((value, place) => Math.round((value / this.scale[place % 2]) * 100) / 100);
  }

  // Marks the name of the box that the pointer is on.
  point(key) {
    for (const tag of this.tags) tag.classList.toggle("pointed", tag.dataset.of === key);
  }

  // Colours by class name: the page forbids inline styles that come as text.
  paint() {
    if (!this.draft || !this.layer) return;
    for (const shape of this.layer.querySelectorAll(".a9s-annotation")) {
      const entry = this.draft.find(shape.dataset.id);
      const wanted = entry ? `a9s-annotation c${this.tone(entry.label)}${entry.there ? "" : " offered"}` : "a9s-annotation";
      if (shape.getAttribute("class") !== wanted) shape.setAttribute("class", wanted);
    }
    const current = this.draft.current;
    for (let tone = 0; tone < 8; tone += 1) this.layer.classList.toggle(`c${tone}`, Boolean(current) && this.tone(current.label) === tone);
  }

  drawTags(boxed) {
    this.tags.forEach((tag) => tag.remove());
    const crowded = boxed.filter((entry) => !entry.there).length > CROWD;
    this.place.classList.toggle("crowded", crowded);
    this.tags = boxed.map((entry) => {
      const tag = document.createElement("span");
      tag.className = `tag c${this.tone(entry.label)}`;
      tag.dataset.of = entry.key;
      if (!entry.there) tag.classList.add("offered");
      if (entry.key === this.draft.chosen) tag.classList.add("chosen");
      tag.textContent = entry.there ? entry.label : `${entry.label}?`;
      tag.style.left = `${(entry.box[0] / this.card.width) * 100}%`;
      tag.style.top = `${(entry.box[1] / this.card.height) * 100}%`;
      if (entry.box[1] / this.card.height < 0.05) tag.classList.add("inside");
      this.annotator.element.append(tag);
      return tag;
    });
  }
}
